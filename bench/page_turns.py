"""What the page costs the server beside the API: CPU of relay and control for each turn, and for each view of a page.

    python bench/page_turns.py --turns 60 --results build/page_turns.json

The whole product with a fake provider, asked by Chromium: by the page itself, as a person does, and by the same turns
alone, fetched in the same browser as far apart, under a key of their own as the page's. Blocks are interleaved; the browser's own CPU
is not counted, and where there are cores for both it has another one than the server: what it draws would cost the server its caches.
Then `/` with many conversations and a conversation's page, each looked at again and again.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "acceptance"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "browser"))

from browser_visit import ARGUMENTS, CHROMIUM, GET, SLOW_MS
from whole_product import Server, start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk

BLOCK = 10
"""Turns of a conversation; the ways change after each."""
CONFIG = """
[edge]
guest_turns_per_minute = 1_000_000
requests_per_minute = 1_000_000
address_requests_per_minute = 1_000_000
[providers.fake]
base_url = "{}"
[models.dragoman]
provider = "fake"
model = "up"
"""
MARKDOWN = (
    "## What to bring\n\nBring the **receipt** or the *order number*, and the item in its `box`.\n\n"
    "- Within 14 days: your money back\n- Within 30 days: another item\n  1. the same one\n  2. one of the same price\n\n"
    "| item | days |\n|---|---|\n| lamp | 14 |\n| chair | 30 |\n\n> What was made for you is not taken back.\n\n"
    '```python\nprint("order", 17)\n```\n\n'
) * 6
PLAIN = "You may return an unused item within thirty days, with its receipt, to any of our shops. " * 24
ANSWERS = {"markdown": MARKDOWN, "plain": PLAIN}
ALONE = """async ([conversation, questions, pause]) => {
  let parent = "last";
  for (const content of questions) {
    const answer = await fetch(`/v1/conversations/${conversation}/turns`, {method: "POST", credentials: "same-origin",
      headers: {"content-type": "application/json", "idempotency-key": crypto.randomUUID()},
      body: JSON.stringify({model: "dragoman", stream: true, parent, messages: [{role: "user", content}]})});
    if (!(await answer.text()).includes("[DONE]")) throw new Error("an answer did not come to its end");
    parent = answer.headers.get("dragoman-turn");
    if (pause) await new Promise((done) => setTimeout(done, pause));
  }
}"""
NEW = """async (title) => (await (await fetch("/v1/conversations", {method: "POST", credentials: "same-origin",
  headers: {"content-type": "application/json"}, body: JSON.stringify({title})})).json()).id"""


def scripted(text: str, chunks: int) -> Script:
    size = max(1, -(-len(text) // chunks))
    pieces = [chunk({"content": text[at : at + size]}) for at in range(0, len(text), size)]
    return Script([*pieces, chunk({}, finish="stop"), DONE])


def cpu_ms(server: Server) -> dict[str, float]:
    """CPU that the threads of each process have used."""
    used = {}
    for role, pid in server.pids.items():
        threads = Path(f"/proc/{pid}/task").iterdir()
        # In nanoseconds; the ticks of /proc/PID/stat are 10 ms, which is a turn or two.
        used[role] = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6
    return used


def apart(server: Server) -> bool:
    """Give the server a core, and to this process and the browser that it will start the others; whether there are."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return False
    for pid in server.pids.values():
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {first})
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), others)
    return True


def spent(server: Server, work: Any) -> dict[str, float]:
    before = cpu_ms(server)
    work()
    after = cpu_ms(server)
    return {role: after[role] - before[role] for role in before}


class Asking:
    """A guest's browser at the product."""

    def __init__(self, server: Server, browser: Any) -> None:
        self.server = server
        self.context = browser.new_context()
        self.context.set_default_timeout(SLOW_MS)
        self.page = self.context.new_page()
        self.page.goto(server.url)
        self.pause_ms = 0.0
        """Between two turns without the page, so that they come as far apart as with it."""

    def opened(self) -> str:
        """A new conversation, shown."""
        name = str(self.page.evaluate(NEW, "A lamp"))
        self.page.goto(f"{self.server.url}/c/{name}")
        return name

    def by_page(self, name: str) -> None:
        """A block as a person asks it: the script sends, reads, shows."""
        for at in range(BLOCK):
            self.page.fill("#q", name)
            self.page.press("#q", "Enter")
            self.page.locator(".finished").nth(at).wait_for()
            self.page.locator(".acts").nth(at).wait_for()

    def block(self, way: str, name: str) -> dict[str, float]:
        conversation = self.opened()
        if way == "page":
            return spent(self.server, lambda: self.by_page(name))
        return spent(
            self.server, lambda: self.page.evaluate(ALONE, [conversation, [name] * BLOCK, self.pause_ms])
        )

    def turns(self, name: str, many: int) -> dict[str, Any]:
        """CPU for each turn by both ways, interleaved."""
        taken: dict[str, list[dict[str, float]]] = {"api": [], "page": []}
        took = {}
        self.pause_ms = 0.0
        for way in ("api", "page", "api", "page"):  # warm
            begun = time.perf_counter()
            self.block(way, name)
            took[way] = time.perf_counter() - begun
        self.pause_ms = max(0.0, took["page"] - took["api"]) * 1000 / BLOCK
        for _ in range(max(1, many // BLOCK)):
            for way, blocks in taken.items():
                blocks.append(self.block(way, name))
        row: dict[str, Any] = {"answer": name, "chars": len(ANSWERS[name]), "turns": many}
        for way, blocks in taken.items():
            row[way] = {
                role: round(statistics.fmean(one[role] for one in blocks) / BLOCK, 2) for role in blocks[0]
            }
        api, page = (sum(row[way].values()) for way in ("api", "page"))
        row["pause_ms"] = round(self.pause_ms)
        row["added_percent"] = round((page / api - 1) * 100, 1)
        return row

    def cookie(self) -> str:
        return "; ".join(f"{one['name']}={one['value']}" for one in self.context.cookies())


def views(server: Server, cookie: str, path: str, many: int) -> dict[str, Any]:
    """A page looked at again and again on one connection: latency and CPU of each view."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"cookie": cookie, "accept": "text/html"}
    waits: list[float] = []
    size = 0

    def look() -> None:
        nonlocal size
        begun = time.perf_counter()
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        size = len(answer.read())
        assert answer.status == http.client.OK, answer.status
        waits.append((time.perf_counter() - begun) * 1000)

    for _ in range(10):
        look()
    waits.clear()
    used = spent(server, lambda: [look() for _ in range(many)])
    waits.sort()
    connection.close()
    return {
        "views": many,
        "bytes": size,
        "p50_ms": round(waits[many // 2], 1),
        "p99_ms": round(waits[int(many * 0.99)], 1),
        "cpu_ms": {role: round(ms / many, 2) for role, ms in used.items()},
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=60)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--conversations", type=int, default=2_000)
    parser.add_argument("--views", type=int, default=200)
    parser.add_argument("--results", type=Path, default=Path("build/page_turns.json"))
    given = parser.parse_args()
    if CHROMIUM is None:
        sys.exit(GET)
    found: dict[str, Any] = {"load": os.getloadavg()[0]}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(FakeProvider()) as provider,
        importlib.import_module("playwright.sync_api").sync_playwright() as it,
    ):
        provider.scripts = {name: scripted(text, given.chunks) for name, text in ANSWERS.items()}
        server = start(Path(folder), CONFIG.format(provider.url))
        found["cores_apart"] = apart(server)
        browser = it.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            asking = Asking(server, browser)
            found["turns"] = [asking.turns(name, given.turns) for name in ANSWERS]
            name = asking.opened()
            asking.page.evaluate(ALONE, [name, ["markdown"] * 50, 0])
            asking.page.evaluate(
                f"async (many) => {{ for (let n = 0; n < many; n += 1) await ({NEW})(`Talk ${{n}}`); }}",
                given.conversations,
            )
            cookie = asking.cookie()
            found["conversation_of_50_answers"] = views(server, cookie, f"/c/{name}", given.views // 4)
            found["list"] = views(server, cookie, "/", given.views)
            found["list_api"] = views(server, cookie, "/v1/conversations?limit=30", given.views)
            browser.close()
        finally:
            server.stop()
    print(json.dumps(found, indent=1))
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
