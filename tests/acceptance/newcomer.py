"""A newcomer's first minutes, timed: a fresh clone, `make serve`, and from there on the browser alone.

    python tests/acceptance/newcomer.py            # clones this repository's commit, builds it, serves it
    python tests/acceptance/newcomer.py --here     # serves what this Python runs; to try the script itself

The one-time link, an own model by the form (a fake provider plays it) with a turn of it, an own document dropped
on the page, a question about it, and the cited sentence on the document's page. The last line is JSON with the
seconds of each step; exit 1 where a step does not come to its end. Needs Chromium.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from whole_product import COMMAND, environment

from dragoman.testing.ports import free_port
from dragoman.testing.provider import DONE, JSON, FakeProvider, Script, chunk, whole

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
admin_person = importlib.import_module("admin_person")
browser_visit = importlib.import_module("browser_visit")

BUILD_SECONDS = 3_600.0
"""How long cloning, installing and building may take on a slow machine."""
STOP_SECONDS = 60.0
DOCUMENT = (
    "# Zebra desk\n\n## Opening hours\n\nThe zebra desk opens at noon. Lamas are served at the back door.\n"
)
ANSWER = "at noon"
MODEL = {"model_name": "house", "upstream": "m-1"}


class Steps:
    """Seconds of each step, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time a step; one that fails is not in the figures."""
        print(f"{name} …", file=sys.stderr, flush=True)
        begun = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begun, 2)


class Served:
    """`make serve` of a fresh clone, or the command of this Python, in a process group of its own."""

    def __init__(self, folder: Path, *, here: bool) -> None:
        self.folder = folder
        self.log = (folder / "serve.log").open("wb")
        ports = {"LISTEN": free_port(), "ADMIN_LISTEN": free_port()}
        settings = {f"DRAGOMAN_ZONE__{name}": f"127.0.0.1:{port}" for name, port in ports.items()}
        command = [str(COMMAND), "serve", "--json"] if here else ["make", "serve", "ARGS=--json"]
        self.child = subprocess.Popen(
            command,
            cwd=folder if here else folder / "dragoman",
            env=environment(**settings) if here else bare(environment(**settings)),
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,
        )

    def ready(self) -> dict[str, Any]:
        """What it says of itself when it is ready; the lines of the build come before."""
        assert self.child.stdout
        for line in self.child.stdout:
            if line.startswith('{"ready"'):
                told: dict[str, Any] = json.loads(line)
                return told
        raise AssertionError((self.folder / "serve.log").read_text(errors="replace")[-3000:])

    def stop(self) -> None:
        """End it and what it started."""
        os.killpg(self.child.pid, signal.SIGTERM)
        try:
            self.child.wait(STOP_SECONDS)
        finally:
            self.log.close()


def bare(found: dict[str, str]) -> dict[str, str]:
    """An environment that leads to nothing of another checkout."""
    others = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CARGO_TARGET_DIR"}
    return {name: value for name, value in found.items() if name not in others}


def clone(folder: Path) -> None:
    """This repository's commit, as somebody gets it who has nothing of it."""
    quiet = {"check": True, "stdout": sys.stderr, "timeout": BUILD_SECONDS}
    subprocess.run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(folder / "dragoman")], **quiet)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    subprocess.run(["git", "checkout", "--quiet", head.stdout.strip()], cwd=folder / "dragoman", **quiet)


def add_model(page: Any, origin: str, provider: FakeProvider) -> None:
    """The form, the difference, one question before it is written, then written, then a turn as everybody's."""
    page.goto(f"{origin}/setup/model")
    for name, value in {**MODEL, "base_url": provider.url}.items():
        page.fill(f"#f-{name}", value)
    page.click("form.setting > button")
    page.wait_for_url("**/setup/changes/*")
    assert MODEL["upstream"] in page.locator("pre.difference").inner_text()
    assert provider.seen == [], "showing the difference calls nobody"
    page.click("form[action$='/try'] button")
    page.locator("#trial ~ .result blockquote", has_text="ready").wait_for()
    page.click("form[action*='/setup/changes/']:not([action$='/try']) button")
    page.locator(".result[role=status]").first.wait_for()
    provider.default = Script(
        [chunk({"content": "ready"}), chunk({}, finish="stop"), DONE]
    )  # a turn is streamed
    page.goto(f"{origin}/setup/model")
    page.click("form[action='/setup/turn'] button")
    page.locator("#turn, .problem, .problems").first.wait_for()
    said = page.locator("main").inner_text()
    assert page.locator("#turn blockquote", has_text="ready").count() == 1, said


def give_document(person: Any, folder: Path) -> str:
    """A file dropped on the page; the address that asks about it."""
    file = folder / "zebra-desk.md"
    file.write_text(DOCUMENT, encoding="utf-8")
    person.page.goto(f"{person.origin}/setup/documents")
    person.drop(".drop", [file])
    person.page.locator("#progress .added", has_text=file.name).wait_for()
    ask: str = person.page.locator("#progress a.ask").get_attribute("href")
    return ask


def asked(page: Any, address: str) -> str:
    """The prepared question sent; the cited sentence as its page shows it."""
    page.goto(address)
    page.click("#send")
    page.locator(".answer .finished").wait_for()
    said = page.locator(".answer").last.inner_text()
    assert ANSWER in said, said
    page.locator(".answer a.cite").first.click()
    page.wait_for_url("**/sources/documents/zebra-desk#p*")
    marked: str = page.locator(":target").inner_text()
    return marked


def first_minutes(steps: Steps, folder: Path, told: dict[str, Any]) -> None:
    """All that happens in the browser."""
    link = told["admin_link"]
    origin = link.partition("/enrol#")[0]
    play = importlib.import_module("playwright.sync_api").sync_playwright
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider, play() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_visit.CHROMIUM, args=browser_visit.ARGUMENTS
        )
        with admin_person.coming_to(browser, origin)() as person:
            person.page.context.set_default_timeout(browser_visit.SLOW_MS)
            with steps("one-time link"):
                person.enrol(link, "laptop")
            with steps("own model by the form"):
                add_model(person.page, origin, provider)
            with steps("own document by drag and drop"):
                ask = give_document(person, folder)
            with steps("cited answer that opens its passage"):
                marked = asked(person.page, ask)
            assert ANSWER in marked, marked
        browser.close()


def main() -> int:
    """Run it all; the figures as the last line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--here", action="store_true", help="no clone, no build")
    options = parser.parse_args()
    if browser_visit.CHROMIUM is None:
        print(browser_visit.GET, file=sys.stderr)
        return 1
    steps = Steps()
    with tempfile.TemporaryDirectory(prefix="dragoman-new-") as name:
        folder = Path(name)
        if not options.here:
            with steps("fresh clone"):
                clone(folder)
        with steps("make serve" if not options.here else "serve"):
            served = Served(folder, here=options.here)
            try:
                told = served.ready()
            except BaseException:
                served.stop()
                raise
        try:
            first_minutes(steps, folder, told)
        finally:
            served.stop()
    browser_s = sum(list(steps.seconds.values())[-4:])
    print(json.dumps({"seconds": steps.seconds, "in_the_browser_s": round(browser_s, 2), "passed": True}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
