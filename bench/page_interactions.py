"""How long after an interaction the page paints, with many conversations and turns and while a fast answer comes in.

    python bench/page_interactions.py --conversations 2000 --turns 200 --results build/page_interactions.json

The whole product, asked by Chromium without a display. Interactions are real key presses and clicks; Event Timing says how
long each took until the next paint (in steps of 8 ms; below 16 ms it says nothing). Such times are the machine's too, so
the CPU that the page's main thread used stands beside them: on a busy machine they are what can be compared.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "acceptance"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "browser"))

from browser_visit import ARGUMENTS, CHROMIUM, GET, SLOW_MS
from page_turns import ALONE, CONFIG, MARKDOWN, NEW, scripted
from whole_product import start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk

RATE = 200
"""Tokens a second of the fast answer."""
TOKENS = 60 * RATE
BELOW_MS = 16
"""What Event Timing does not report."""
OBSERVE = """() => {
  window.timings = [];
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (one.interactionId) window.timings.push([one.interactionId, one.duration, one.name]);
  }).observe({type: "event", durationThreshold: 16});
  window.frames = [];
  let before = performance.now();
  const frame = (now) => { window.frames.push(now - before); before = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""


class Page:
    """A page that is measured."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.devtools = page.context.new_cdp_session(page)
        self.devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.evaluate(OBSERVE)

    def cpu_ms(self) -> float:
        told = self.devtools.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in told if one["name"] == "TaskDuration")) * 1000

    def row(self, name: str, act: Callable[[], int]) -> dict[str, Any]:
        """One kind of interaction; `act` says how many there were."""
        self.page.evaluate("() => { window.timings.length = 0; window.frames.length = 0; }")
        begun, before = time.perf_counter(), self.cpu_ms()
        many = act()
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")
        used, took = self.cpu_ms() - before, time.perf_counter() - begun
        found: dict[int, float] = {}
        for interaction, duration, _ in self.page.evaluate("window.timings"):
            found[interaction] = max(duration, found.get(interaction, 0))
        slow = sorted(found.values())
        frames = sorted(self.page.evaluate("window.frames")) or [0.0]
        return {
            "what": name,
            "interactions": many,
            "longest_ms": slow[-1] if slow else f"< {BELOW_MS}",
            "over_100_ms": sum(one > 100 for one in slow),
            "cpu_ms_each": round(used / max(many, 1), 1),
            "cpu_percent": round(used / took / 10, 1),
            "frame_p99_ms": round(frames[int(len(frames) * 0.99)], 1),
        }

    def typing(self) -> int:
        text = "How may I return a lamp that I have bought?"
        self.page.focus("#q")
        self.page.keyboard.type(text)
        return len(text)

    def menus(self) -> int:
        boxes = ["#manage > summary", ".asking summary", ".acts details.rate > summary"]
        found = [one for one in boxes if self.page.locator(one).count()]
        for one in found:
            for _ in range(2):
                self.page.locator(one).last.click()
        return 2 * len(found)

    def scrolling(self) -> int:
        self.page.mouse.move(700, 300)
        for at in range(40):
            self.page.mouse.wheel(0, -600 if at < 20 else 600)
            self.page.wait_for_timeout(16)
        return 40

    def more(self, times: int) -> int:
        for _ in range(times):
            if not self.page.locator("#more").count():
                break
            shown = self.page.locator("#others li").count()
            self.page.locator("#more").click()
            self.page.wait_for_function("n => document.querySelectorAll('#others li').length > n", arg=shown)
        return times

    def send(self, question: str) -> int:
        self.page.fill("#q", question)
        self.page.press("#q", "Enter")
        self.page.locator(".draft", has_text="t9 ").wait_for()
        return 1

    def language(self, address: str) -> dict[str, Any]:
        """A page in the other language: from its request to its first paint."""
        self.page.goto(f"{address}?lang=zh")
        paint = self.page.evaluate(
            "() => new Promise((done) => new PerformanceObserver((list) => done(list.getEntries()[0].startTime))"
            ".observe({type: 'paint', buffered: true}))"
        )
        return {"what": "other language, first paint", "interactions": 1, "longest_ms": round(paint)}


def measured(page: Any, address: str, listed: int) -> list[dict[str, Any]]:
    """All interactions on the conversation's page."""
    page.goto(address)
    it = Page(page)
    it.typing()  # warm
    page.fill("#q", "")
    rows = [it.row("typing", it.typing)]
    page.fill("#q", "")
    rows.append(it.row("menus", it.menus))
    rows.append(it.row("scrolling", it.scrolling))
    rows.append(it.row("thirty more of the list", lambda: it.more(listed // 30)))
    rows.append({"what": "list", "shown": page.locator("#others li").count()})
    rows.append(it.row("typing, all listed", it.typing))
    page.fill("#q", "")
    rows.append(it.row("menus, all listed", it.menus))
    rows.append(it.row("sending", lambda: it.send("fast")))
    rows.append(it.row("typing, answer comes", it.typing))
    rows.append(it.row("menus, answer comes", it.menus))
    rows.append(it.row("scrolling, answer comes", it.scrolling))
    rows.append(it.row("nothing for 5 s, answer comes", lambda: page.wait_for_timeout(5_000) or 0))
    rows.append({"what": "answer so far", "characters": len(page.locator(".draft").inner_text())})
    page.focus("#q")
    rows.append(it.row("stopping", lambda: page.keyboard.press("Escape") or 1))
    page.locator("#log[aria-busy=false]").wait_for()
    rows.append(it.language(address))
    return rows


def main() -> None:
    """Measure, print a line for each interaction, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=2_000)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--results", type=Path, default=Path("build/page_interactions.json"))
    given = parser.parse_args()
    if CHROMIUM is None:
        sys.exit(GET)
    found: dict[str, Any] = {"load": os.getloadavg()[0]}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(FakeProvider()) as provider,
        importlib.import_module("playwright.sync_api").sync_playwright() as it,
    ):
        tokens = [chunk({"content": f"t{n} " + ("\n\n" if n % 80 == 79 else "")}) for n in range(TOKENS)]
        provider.scripts["fast"] = Script([*tokens, chunk({}, finish="stop"), DONE], gap=1 / RATE)
        provider.scripts["markdown"] = scripted(MARKDOWN, 20)
        server = start(Path(folder), CONFIG.format(provider.url))
        browser = it.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            page.set_default_timeout(SLOW_MS)
            page.goto(server.url)
            page.evaluate(
                f"async (many) => {{ for (let n = 0; n < many; n += 1) await ({NEW})(`Talk ${{n}}`); }}",
                given.conversations,
            )
            name = page.evaluate(NEW, "A long talk")
            page.evaluate(ALONE, [name, ["markdown"] * given.turns])
            found["rows"] = measured(page, f"{server.url}/c/{name}", given.conversations)
            found["load_after"] = os.getloadavg()[0]
            browser.close()
        finally:
            server.stop()
    for row in found["rows"]:
        print(json.dumps(row))
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
