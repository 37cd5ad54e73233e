"""Takes the pictures of docs/images from a running Dragoman: `python tools/pictures.py`, with Chromium installed.

It serves on free ports with a fresh data folder and does what a person would: it asks, asks as somebody else, meets a
rule, and logs in as the first administrator. It goes by words that people see and by roles, not by the pages' classes,
so that a page made anew is pictured by the same script. It writes nothing but the pictures.
"""

from __future__ import annotations

import base64
import importlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman.testing.ports import free_port

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "images"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PICTURE_BYTES = 200 * 1024
"""LIMIT: bytes of a picture, which a reader loads."""
PICTURES_BYTES = 3072 * 1024
"""LIMIT: bytes of all pictures, which every clone of the repository holds."""
QUALITY, SCALE = 70, 2
"""Of WebP; and pixels per CSS pixel, so that text is sharp on a dense screen."""
WAIT_MS = 60_000
RELOAD_S = 3.0
"""In which a changed file of rules is in use; it takes half a second."""
SETTLE_TRIES, SETTLE_S = 40, 0.15
"""A page has settled when two pictures of it, so many seconds apart, are the same."""
CONFIG = """
rules = ["rules.toml"]
[zone]
data = "data"
listen = "127.0.0.1:{}"
admin_listen = "127.0.0.1:{}"
"""
RULES = """
[[rules]]
id = "house.pickup"
words = ["collection point", "代收点"]
action = "redact"
message = { en = "Where parcels go is internal.", zh = "包裹去向属内部信息。" }
"""
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@dataclass(frozen=True)
class Size:
    """A window: its width, and the heights a picture may have, in CSS pixels."""

    name: str
    width: int
    least: int
    most: int


@dataclass(frozen=True)
class Words:
    """What is asked in one language, and what is on the page when it is answered."""

    locale: str
    question: str
    answer: str
    berlin: str
    why: str
    appeal: str


SIZES = (Size("desktop", 1120, 640, 1100), Size("phone", 390, 780, 1400))
WORDS = {
    "en": Words(
        "en-GB",
        "How do I send an item back?",
        "Open your order",
        "A reader in Berlin",
        "Why this answer",
        "Reasons and how to appeal",
    ),
    "zh": Words(
        "zh-CN",
        "怎么退货？",
        "打开订单",
        "柏林的读者",
        "为什么这样回答",
        "理由与申诉方式",
    ),
}
RULE, REASON = "house.pickup", "eu.gdpr.representative"
FORBIDDEN = ("intervention", "appeal")
"""The scenes that meet the rule."""
PAPERS = {
    "opening-hours.md": "# Opening hours\n\nThe shop is open from 9:00 to 18:00 on working days.\n",
    "questions.csv": "question,answer\nDo you repair lamps?,Yes; bring the lamp and its receipt.\n",
}
"""Documents that are put in."""
SCENES = (
    *("home", "asking", "answer", "passport", "intervention", "appeal", "refusal"),
    *("admin", "setup", "difference", "documents"),
)


def names() -> list[str]:
    """Every picture there is: each scene at both sizes, and at a desk in Chinese as well."""
    return [
        picture(scene, size, language)
        for scene in SCENES
        for size in SIZES
        for language in WORDS
        if language == "en" or size.name == "desktop"
    ]


def picture(scene: str, size: Size, language: str) -> str:
    """The file of a picture."""
    return f"{scene}-{size.name}{'' if language == 'en' else '-' + language}.webp"


def main() -> None:
    """Serve, picture every scene, and say how large the pictures are. Exits where one or all are too large."""
    if CHROMIUM is None:
        sys.exit("Chromium is missing; get it with: apt-get install chromium")
    sync = importlib.import_module("playwright.sync_api")
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as said,
        sync.sync_playwright() as it,
    ):
        browser = it.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for forbidding in (False, True):  # an answer is pictured before a rule is there that takes words out
            if forbidding:
                Path(folder, "rules.toml").write_text(RULES, encoding="utf-8")
                time.sleep(RELOAD_S)
            for language in WORDS:
                for size in SIZES:
                    chat(browser, said["page"], language, size, forbidding=forbidding)
        administration(browser, said["admin_link"])
        browser.close()
    sizes = {name: (FOLDER / name).stat().st_size for name in names()}
    for name, size in sizes.items():
        print(f"{name}: {size // 1024} KiB")
    large = [name for name, size in sizes.items() if size > PICTURE_BYTES]
    if large or sum(sizes.values()) > PICTURES_BYTES:
        sys.exit(f"larger than {PICTURE_BYTES} bytes: {large}, or all than {PICTURES_BYTES}")


def chat(browser: Any, origin: str, language: str, size: Size, *, forbidding: bool) -> None:
    """The scenes of the page, each by a guest of its own: those that meet a rule, or the others."""
    words = WORDS[language]
    scenes: dict[str, Callable[[Any], None]] = {
        "home": lambda _: None,
        "asking": lambda page: page.locator("summary").first.click(),
        "answer": lambda page: ask(page, words.question, words.answer),
        "passport": lambda page: reasons(page, words),
        "intervention": lambda page: ask(page, words.question, RULE),
        "appeal": lambda page: appeal(page, words),
        "refusal": lambda page: refused(page, words),
    }
    for scene, act in scenes.items():
        name = picture(scene, size, language)
        if name not in names() or (scene in FORBIDDEN) != forbidding:
            continue
        context = browser.new_context(
            viewport={"width": size.width, "height": size.least},
            locale=words.locale,
        )
        context.set_default_timeout(WAIT_MS)
        page = context.new_page()
        page.goto(f"{origin.rstrip('/')}/?lang={language}")
        act(page)
        take(page, size, FOLDER / name)
        context.close()


def ask(page: Any, question: str, expected: str) -> None:
    """Ask, and wait until what is expected stands on the page and the answer is whole."""
    box = page.get_by_role("textbox").and_(page.locator("textarea")).last
    box.fill(question)
    box.press("Enter")
    page.locator("main").get_by_text(expected).first.wait_for()
    page.locator("[aria-busy=true]").wait_for(state="detached")


def reasons(page: Any, words: Words) -> None:
    """Ask, and open what the answer rests on."""
    ask(page, words.question, words.answer)
    page.get_by_role("link", name=words.why).click()
    page.get_by_role("dialog").get_by_text("dragoman ledger").first.wait_for()


def appeal(page: Any, words: Words) -> None:
    """Ask what meets a rule, and go to where one may object."""
    ask(page, words.question, RULE)
    page.get_by_role("link", name=words.appeal).first.click()
    page.get_by_role("textbox").first.wait_for()


def refused(page: Any, words: Words) -> None:
    """Ask as somebody for whom the turn is not carried out."""
    button = page.get_by_role("button", name=words.berlin)
    if not button.is_visible():
        page.locator("summary").first.click()
    button.click()
    page.wait_for_load_state("load")
    ask(page, words.question, REASON)


def administration(browser: Any, link: str) -> None:
    """The administration's first page, its list of what is set up, and a change of the file, by one person."""
    origin = link.split("/enrol", maxsplit=1)[0]
    context = browser.new_context(locale="en-GB")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    page.goto(link)
    page.click("form[data-passkey] button")
    page.wait_for_url(f"{origin}/")
    scenes: dict[str, Callable[[str], None]] = {
        "admin": lambda language: page.goto(f"{origin}/?lang={language}"),
        "setup": lambda language: page.goto(f"{origin}/setup?lang={language}"),
        "difference": lambda language: changed(page, f"{origin}/setup/organisation?lang={language}"),
        "documents": lambda language: given(page, f"{origin}/setup/documents?lang={language}"),
    }
    for scene, act in scenes.items():
        for language in WORDS:
            for size in SIZES:
                if picture(scene, size, language) in names():
                    page.set_viewport_size({"width": size.width, "height": size.least})
                    act(language)
                    take(page, size, FOLDER / picture(scene, size, language))
    context.close()


def changed(page: Any, form: str) -> None:
    """Fill in the organisation's form, up to the difference; nothing is written."""
    page.goto(form)
    for name, value in {
        "contact": "mailto:appeals@osmanthus.example",
        "seat": "SG",
        "owners": "SG 100",
    }.items():
        page.fill(f"[name={name}]", value)
    page.click("main form button:not([type])")
    page.wait_for_url("**/setup/changes/*")


def given(page: Any, form: str) -> None:
    """Put documents in, and wait until each is told to be there."""
    page.goto(form)
    papers = [
        {"name": name, "mimeType": "text/plain", "buffer": text.encode()} for name, text in PAPERS.items()
    ]
    page.set_input_files("input[type=file]", papers)
    page.locator("#progress li .links a").nth(len(PAPERS)).wait_for()


def take(page: Any, size: Size, file: Path) -> None:
    """Picture the page from its top, as high as it is within the bounds, once it has settled."""
    page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
    height = page.evaluate("document.documentElement.scrollHeight")
    height = min(max(height, size.least), size.most)
    page.set_viewport_size({"width": size.width, "height": height})
    clip = {"x": 0, "y": 0, "width": size.width, "height": height, "scale": SCALE}
    shot = b""
    devtools = page.context.new_cdp_session(page)
    for _ in range(SETTLE_TRIES):
        sent = devtools.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY, "clip": clip})
        before, shot = shot, base64.b64decode(sent["data"])
        if shot == before:
            file.write_bytes(shot)
            return
        time.sleep(SETTLE_S)
    sys.exit(f"{file.name}: the page does not come to rest")


@contextmanager
def serving(folder: Path) -> Iterator[dict[str, str]]:
    """Give what a Dragoman says of itself that runs while the block does."""
    config = folder / "dragoman.toml"
    config.write_text(CONFIG.format(free_port(), free_port()), encoding="utf-8")
    (folder / "rules.toml").touch()
    command = [sys.executable, "-P", "-c", "from dragoman.cli import main; main()"]
    with subprocess.Popen(
        [*command, "serve", "--config", str(config), "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield json.loads(process.stdout.readline()) if process.stdout else {}
        finally:
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
