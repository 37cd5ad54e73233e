"""What the page costs the server beside the API: CPU of relay and control for each turn, and for each view of a page.

    python bench/page_turns.py --turns 120 --results build/page_turns.json

The whole product with a fake provider, and the same conversations by turns: by the page in Chromium, as a person has them from the
first question at `/` on; by the page after another window; by a program with the same session on one connection that stays open; and
nothing at all. The ways take turns, and every turn has the same period from its beginning to its end: relay and control work by
themselves too, and more time between turns would be paid by the turn. The browser's CPU is not counted, and where there are cores
for both it has another one than the server: what it draws would cost the server its caches.
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
from intervals import ratio
from whole_product import Server, start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk

BLOCK = 10
"""Turns of a conversation. The ways take turns, each in a conversation of its own."""
SETTLE_S = 1.2
"""Before a round: what the last one and the page's own files left to do is done; the journal's batches come once a second."""
SPARE = 1.5
"""A period beside the longest turn of the page when it was warm."""
SHORTEST_S = 0.2
"""A period at least: nobody asks, reads and asks again faster."""
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
ALONE = """async ([conversation, questions]) => {
  for (const content of questions) {
    const answer = await fetch(`/v1/conversations/${conversation}/turns`, {method: "POST", credentials: "same-origin",
      headers: {"content-type": "application/json"},
      body: JSON.stringify({model: "dragoman", stream: true, messages: [{role: "user", content}]})});
    if (!(await answer.text()).includes("[DONE]")) throw new Error("an answer did not come to its end");
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


def cookies(context: Any) -> str:
    return "; ".join(f"{one['name']}={one['value']}" for one in context.cookies())


class Nobody:
    """Nothing is asked: what relay and control do by themselves."""

    requests = 0
    """Sent for turns so far: answers to questions and what is asked around them, not the page's own files."""

    def begin(self) -> None:
        """Be about to have a new conversation."""

    def turn(self, content: str) -> None:
        """Ask, and have the whole answer."""


class Page(Nobody):
    """A person at the page: the script begins a conversation, sends, reads, shows."""

    def __init__(self, server: Server, context: Any) -> None:
        self.url = server.url
        self.page = context.new_page()
        self.page.on("request", self._sent)
        self.asked = 0

    def _sent(self, request: Any) -> None:
        self.requests += request.resource_type == "fetch"

    def begin(self) -> None:
        self.page.goto(self.url)
        self.asked = 0

    def turn(self, content: str) -> None:
        self.page.fill("#q", content)
        self.page.press("#q", "Enter")
        self.page.locator(".finished").nth(self.asked).wait_for()
        self.page.locator(".acts").nth(self.asked).wait_for()
        self.asked += 1


class Returning(Page):
    """The same person, who was in another window before each question but the first."""

    def turn(self, content: str) -> None:
        self.page.evaluate("dispatchEvent(new Event('blur'))")
        super().turn(content)


class Program(Nobody):
    """A program with a person's session: what the page asks, asked alone."""

    def __init__(self, server: Server, context: Any) -> None:
        self.context = context
        self.origin = server.url
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.conversation, self.parent = "", "root"

    def begin(self) -> None:
        self.conversation, self.parent = "", "root"

    def turn(self, content: str) -> None:
        if not self.conversation:
            _, made = self._post("/v1/conversations", {"title": content})
            self.conversation = json.loads(made)["id"]
        question = {"model": "dragoman", "stream": True, "parent": self.parent}
        answer, text = self._post(
            f"/v1/conversations/{self.conversation}/turns",
            {**question, "messages": [{"role": "user", "content": content}]},
        )
        assert b"[DONE]" in text, "an answer did not come to its end"
        self.parent = answer.headers["dragoman-turn"]

    def _post(self, path: str, document: dict[str, Any]) -> tuple[http.client.HTTPResponse, bytes]:
        self.requests += 1
        # A session is taken only from the site's own pages, which a browser says of itself.
        own = {"cookie": cookies(self.context), "origin": self.origin, "sec-fetch-site": "same-origin"}
        headers = {**own, "content-type": "application/json", "idempotency-key": os.urandom(16).hex()}
        self.connection.request("POST", path, json.dumps(document), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status in {http.client.OK, http.client.CREATED}, text
        return answer, text


class Asking:
    """One person's ways to ask the product."""

    def __init__(self, server: Server, browser: Any) -> None:
        self.server = server
        self.context = browser.new_context()
        self.context.set_default_timeout(SLOW_MS)
        self.ways = {
            "page": Page(server, self.context),
            "api": Program(server, self.context),
            "returning": Returning(server, self.context),
        }
        self.every_s = 0.0
        """From the beginning of a turn to that of the next."""
        self.late = 0
        """Turns that took longer than their period."""

    def _slot(self, way: Nobody, content: str) -> dict[str, float]:
        """A turn and the rest of its period: CPU ms of each role, and requests."""
        begun, before = time.perf_counter(), way.requests

        def work() -> None:
            way.turn(content)
            left = begun + self.every_s - time.perf_counter()
            self.late += left < 0
            time.sleep(max(0.0, left))

        return {**spent(self.server, work), "requests": way.requests - before}

    def round(self, content: str) -> dict[str, dict[str, float]]:
        """A conversation by each way, and as many periods of nothing before."""
        for way in self.ways.values():
            way.begin()
        time.sleep(SETTLE_S)
        used = {"idle": summed([self._slot(Nobody(), content) for _ in range(BLOCK)])}
        slots: dict[str, list[dict[str, float]]] = {name: [] for name in self.ways}
        for at in range(BLOCK):
            for name in list(self.ways)[:: -1 if at % 2 else 1]:
                slots[name].append(self._slot(self.ways[name], content))
        return used | {name: summed(taken) for name, taken in slots.items()}

    def warm(self, content: str) -> None:
        """Find how far apart turns come, and have each way once."""
        page = self.ways["page"]
        page.begin()
        longest = 0.0
        for at in range(BLOCK):
            begun = time.perf_counter()
            page.turn(content)
            longest = max(longest, time.perf_counter() - begun) if at >= BLOCK // 2 else 0.0
        self.every_s = max(SHORTEST_S, longest * SPARE)
        self.round(content)
        self.late = 0

    def turns(self, content: str, many: int) -> dict[str, Any]:
        """CPU for each turn by every way."""
        self.warm(content)
        rounds = [self.round(content) for _ in range(max(1, many // BLOCK))]
        row: dict[str, Any] = {"answer": content, "chars": len(ANSWERS[content]), "turns": many}
        row |= {"every_ms": round(self.every_s * 1000), "late_turns": self.late}
        return row | compared(rounds)


def summed(taken: list[dict[str, float]]) -> dict[str, float]:
    return {kind: sum(one[kind] for one in taken) for kind in taken[0]}


def compared(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Each way's medians for a turn, and what the page adds to a turn by the API, both without what is done idle.

    `rounds`: of each way a conversation's CPU ms by role, and its `requests`. Idle work is taken away from both ways, because
    it would make what is added look smaller the farther turns are apart. `added_percent` is of the geometric mean of the
    rounds' ratios, `added_interval_percent` its 95 % interval.
    """
    row: dict[str, Any] = {
        name: {kind: round(statistics.median(one[name][kind] for one in rounds) / BLOCK, 2) for kind in taken}
        for name, taken in rounds[0].items()
    }
    cpu = [{name: one["control"] + one["relay"] for name, one in each.items()} for each in rounds]
    idle = statistics.median(each["idle"] for each in cpu)
    for name, key in (("page", "added"), ("returning", "added_returning")):
        found = ratio([(each[name] - idle, each["api"] - idle) for each in cpu])
        if found is None:
            continue
        row[f"{key}_percent"] = round((found.value - 1) * 100, 1)
        if found.low is not None and found.high is not None:
            row[f"{key}_interval_percent"] = [round((one - 1) * 100, 1) for one in (found.low, found.high)]
    return row


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
    parser.add_argument("--turns", type=int, default=120)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--conversations", type=int, default=2_000)
    parser.add_argument("--views", type=int, default=200)
    parser.add_argument("--results", type=Path, default=Path("build/page_turns.json"))
    given = parser.parse_args()
    if CHROMIUM is None:
        sys.exit(GET)
    found: dict[str, Any] = {"load_before": os.getloadavg()[0]}
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
            page = asking.context.pages[0]
            name = page.evaluate(NEW, "A lamp")
            page.evaluate(ALONE, [name, ["markdown"] * 50])
            page.evaluate(
                f"async (many) => {{ for (let n = 0; n < many; n += 1) await ({NEW})(`Talk ${{n}}`); }}",
                given.conversations,
            )
            cookie = cookies(asking.context)
            found["conversation_of_50_answers"] = views(server, cookie, f"/c/{name}", given.views // 4)
            found["list"] = views(server, cookie, "/", given.views)
            found["list_api"] = views(server, cookie, "/v1/conversations?limit=30", given.views)
            browser.close()
        finally:
            server.stop()
    found["load_after"] = os.getloadavg()[0]
    print(json.dumps(found, indent=1))
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
