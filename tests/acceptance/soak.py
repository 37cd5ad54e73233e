"""A long run of mixed traffic at a fifth of what the machine can: memory and open files stay flat, every answer that a
client got is in the record exactly once (P18), the record verifies, and control has all of it.

    python tests/acceptance/soak.py --seconds 7200
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import whole_product
from arrivals import Clients, Reply
from footprint import open_files, rss_mb, slope
from whole_product import Server

from dragoman.ledger.logs import entries, shards
from dragoman.ledger.verify import verify_zone
from dragoman.testing.provider import DONE, JSON, FakeProvider, Script, chunk, whole

SHARE = 0.2
CALM_SECONDS = 1.0
"""How long nobody asks and no client is connected before a sample: what is held then was kept, and is not in use."""
PEAK_SECONDS = 10.0
PEAK_CLIENTS = 16
SETTLE_SHARE = 0.2
"""Of the run, at its beginning, that is left out of the slopes: caches fill."""
GROWTH = 0.05
"""Memory may grow by this share of its mean over the whole run, at the upper end of the 95 % interval."""
FILES = 10.0
"""Descriptors by which open files may grow over the whole run: connections kept for the next request come and go."""
RECEIPT = re.compile(rb"turn=(trn_[^;]+);")
RULES = """
[[rules]]
id = "soak.name"
words = ["project heron"]
action = "redact"
message = {en = "An internal name.", zh = "内部名称。"}
placeholder = {en = "[name]", zh = "[名称]"}
source = {title = "The test's rules"}
[[rules]]
id = "soak.never"
words = ["forbidden thing"]
direction = ["in"]
action = "refuse"
message = {en = "Not here.", zh = "此处不可。"}
source = {title = "The test's rules"}
"""
CHAT = "/v1/chat/completions"
PAGE_TYPE = "application/x-www-form-urlencoded"


@dataclass
class Tally:
    """What clients got: turns by id, pages that asked, and everything that went wrong."""

    turns: Counter[str] = field(default_factory=Counter)
    pages: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


@dataclass
class Traffic:
    """Clients of all kinds against one server."""

    server: Server
    clients: Clients
    rng: random.Random
    tally: Tally = field(default_factory=Tally)
    conversations: list[str] = field(default_factory=list)
    number: int = 0

    def request(
        self, path: str, body: bytes = b"", headers: str = "", kind: str = "application/json"
    ) -> bytes:
        method = "POST" if body else "GET"
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.server.port}\r\n{headers}"
            f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def turn(self, text: str, *, stream: bool, path: str = CHAT, model: str = "far", more: str = "") -> bytes:
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
        return self.request(
            path, json.dumps(body).encode(), f"authorization: Bearer {self.server.key}\r\n{more}"
        )

    def answered(self, kind: str, reply: Reply, end: bytes = b'"finish_reason"') -> None:
        """Count an answer under its turn, or what is wrong with it."""
        found = RECEIPT.search(reply.fields.get(b"dragoman-receipt", b""))
        turn = found[1] if found else reply.fields.get(b"dragoman-turn")
        if reply.status != 200 or end not in reply.body or not turn:
            self.tally.wrong[f"{kind}: {reply.status} {reply.body[:120]!r}"] += 1
            return
        self.tally.turns[turn.decode()] += 1

    async def whole(self) -> None:
        self.answered("whole", await self.clients.ask(self.turn("whole", stream=False)))

    async def stream(self) -> None:
        self.answered("stream", await self.clients.ask(self.turn("stream", stream=True)), b"[DONE]")

    async def local(self) -> None:
        asked = self.turn("How do I return a lamp?", stream=self.rng.random() < 0.5, model="dragoman")
        self.answered("local", await self.clients.ask(asked))

    async def redacted(self) -> None:
        reply = await self.clients.ask(self.turn("about project heron", stream=False))
        self.answered("redacted", reply, b"[name]" if b"[name]" in reply.body else b'"finish_reason"')

    async def refused(self) -> None:
        asked = self.turn("the forbidden thing", stream=self.rng.random() < 0.5)
        self.answered("refused", await self.clients.ask(asked), b"content_filter")

    async def leaves(self) -> None:
        fields = await self.clients.leave(self.turn("slow", stream=True))
        found = RECEIPT.search(fields.get(b"dragoman-receipt", b""))
        if found:
            self.tally.turns[found[1].decode()] += 1
        else:
            self.tally.wrong["leaves: no receipt"] += 1

    async def twin(self) -> None:
        self.number += 1
        asked = self.turn("whole", stream=False, more=f"idempotency-key: soak-{self.number}\r\n")
        first, second = await self.clients.ask(asked), await self.clients.ask(asked)
        self.answered("twin", first)
        self.answered("twin again", second)
        texts = [_text(reply) for reply in (first, second)]
        if texts[0] != texts[1]:
            self.tally.wrong[f"twins differ: {texts}"] += 1

    async def conversation(self) -> None:
        # A conversation is taken out while it is used: two turns at once on a branch are refused, as they should be.
        name = self.conversations.pop() if len(self.conversations) > 20 else await self._new_conversation()
        if name is None:
            return
        stream = self.rng.random() < 0.5
        asked = self.turn(
            "stream" if stream else "whole", stream=stream, path=f"/v1/conversations/{name}/turns"
        )
        self.answered("conversation", await self.clients.ask(asked))
        if self.rng.random() < 0.98:
            self.conversations.insert(0, name)

    async def _new_conversation(self) -> str | None:
        key = f"authorization: Bearer {self.server.key}\r\n"
        reply = await self.clients.ask(self.request("/v1/conversations", b"{}", key))
        if reply.status != 201:
            self.tally.wrong[f"new conversation: {reply.status} {reply.body[:120]!r}"] += 1
            return None
        return str(json.loads(reply.body)["id"])

    async def stranger(self) -> None:
        body = json.dumps({"model": "far", "messages": []}).encode()
        wrong_key = f"authorization: Bearer wrong-{self.rng.random()}\r\n"
        reply = await self.clients.ask(self.request(CHAT, body, wrong_key))
        if reply.status != 401:
            self.tally.wrong[f"stranger: {reply.status}"] += 1

    async def visit(self) -> None:
        reply = await self.clients.ask(self.request("/"))
        if reply.status != 200:
            self.tally.wrong[f"visit: {reply.status}"] += 1

    async def page(self) -> None:
        origin = f"origin: http://127.0.0.1:{self.server.port}\r\n"
        asked = self.request("/ask", b"q=How+do+I+return+a+lamp%3F", origin, PAGE_TYPE)
        reply = await self.clients.ask(asked)
        if reply.status == 200 and b'class="finished"' in reply.body and b'class="problem"' not in reply.body:
            self.tally.pages += 1
        else:
            self.tally.wrong[f"page: {reply.status}"] += 1

    def kinds(self) -> dict[Callable[[], Awaitable[None]], int]:
        """The mix, by weight."""
        return {
            self.whole: 30, self.stream: 22, self.local: 8, self.conversation: 10, self.twin: 5, self.leaves: 5,
            self.redacted: 5, self.refused: 5, self.stranger: 3, self.visit: 5, self.page: 2,
        }  # fmt: skip

    async def one(self) -> None:
        """One client, of a kind drawn by weight; what fails is counted, and the run goes on."""
        kinds = self.kinds()
        kind = self.rng.choices(list(kinds), list(kinds.values()))[0]
        name = kind.__name__
        self.tally.kinds[name] += 1
        try:
            await asyncio.wait_for(kind(), 60.0)
        except (OSError, TimeoutError, EOFError) as error:
            self.tally.wrong[f"{name}: {type(error).__name__}"] += 1


def _text(reply: Reply) -> object:
    try:
        return json.loads(reply.body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError):
        return reply.body[:80]


def scripts() -> dict[str, Script]:
    """The provider's answers, by the question."""
    frames = [chunk({"content": f"piece {n} "}) for n in range(10)]
    end = [chunk({}, finish="stop"), DONE]
    return {
        "whole": Script([whole("A lamp goes back by post within thirty days.")], content_type=JSON),
        "stream": Script([*frames, *end]),
        "slow": Script([*frames, *end], gap=0.1),
        "about [name]": Script([whole("Nothing is known of project heron.")], content_type=JSON),
    }


@dataclass
class Samples:
    """Memory and open files of both processes over time."""

    pids: dict[str, int]
    taken: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def take(self, at: float) -> None:
        for role, pid in self.pids.items():
            for what, value in (("mb", rss_mb(pid)), ("files", float(open_files(pid)))):
                self.taken.setdefault(f"{role}_{what}", []).append((at, value))

    def judged(self, seconds: float) -> tuple[dict[str, Any], list[str]]:
        """Each slope with its interval, and which of them grow."""
        found, wrong = {}, []
        for name, samples in self.taken.items():
            settled = [(t, v) for t, v in samples if t >= seconds * SETTLE_SHARE]
            if len(settled) < 30:
                found[name] = {"first": samples[0][1], "last": samples[-1][1], "too_short_for_a_slope": True}
                continue
            line = slope(settled)
            grows = line.high * (seconds * (1 - SETTLE_SHARE)) / 3600
            found[name] = {
                "first": round(samples[0][1], 1),
                "mean": round(line.mean, 2),
                "last": round(samples[-1][1], 1),
                "per_hour": round(line.per_hour, 3),
                "interval": [round(line.low, 3), round(line.high, 3)],
            }
            if grows > (FILES if name.endswith("files") else GROWTH * line.mean):
                wrong.append(f"{name} grows: {found[name]}")
        return found, wrong


async def _drive(traffic: Traffic, rate: float, seconds: float, samples: Samples, every: float) -> None:
    """Traffic in stretches of `every` seconds; between them everybody leaves, and a sample is taken.

    How much is in use at once follows what else the machine does, and would hide what is only kept.
    """
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        await _calm(traffic)
        samples.take(passed)
        _told(passed, traffic, samples)
        await _stretch(traffic, rate, every)
    await _calm(traffic)


def _told(passed: float, traffic: Traffic, samples: Samples) -> None:
    """How it goes, a line each sample, so that a run that is broken off has told what it saw."""
    last = {name: round(taken[-1][1], 1) for name, taken in samples.taken.items()}
    wrong = sum(traffic.tally.wrong.values())
    told = {"s": round(passed), "answers": sum(traffic.tally.turns.values()), "wrong": wrong, **last}
    print(json.dumps(told), file=sys.stderr, flush=True)


async def _calm(traffic: Traffic) -> None:
    traffic.clients.close()
    await asyncio.sleep(CALM_SECONDS)


async def _stretch(traffic: Traffic, rate: float, seconds: float) -> None:
    begun, due = time.monotonic(), 0.0
    async with asyncio.TaskGroup() as asked:
        while (due := due + traffic.rng.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, begun + due - time.monotonic()))
            asked.create_task(traffic.one())


async def _peak(traffic: Traffic, seconds: float) -> float:
    until, done = time.monotonic() + seconds, 0

    async def client() -> None:
        nonlocal done
        while time.monotonic() < until:
            await traffic.one()
            done += 1

    await asyncio.gather(*(client() for _ in range(PEAK_CLIENTS)))
    return done / seconds


def recorded(data: Path) -> tuple[Counter[str], Counter[str]]:
    """Intents and results of the relay's log, counted by turn."""
    intents: Counter[str] = Counter()
    results: Counter[str] = Counter()
    for shard in shards(data / "journal"):
        for entry in entries(shard):
            value = entry.value
            if value["kind"] in {"intent", "result"}:
                (intents if value["kind"] == "intent" else results)[value["turn"]] += 1
    return intents, results


def behind(data: Path) -> dict[str, int]:
    """Entries of each of the relay's logs that control has not taken. Call it when nothing runs."""
    have = {}
    with sqlite3.connect(f"file:{data / 'zone.db'}?mode=ro", uri=True) as zone:
        have = dict(zone.execute("select log, next from journal_cursor"))
    ends: dict[str, int] = {}
    for shard in shards(data / "journal"):
        for entry in entries(shard):
            ends[entry.log] = entry.index + 1
    return {log: end - have.get(log, 0) for log, end in ends.items() if have.get(log, 0) != end}


def compare(tally: Tally, intents: Counter[str], results: Counter[str]) -> list[str]:
    """Where what clients got and what the record holds differ."""
    wrong = []
    missing = [turn for turn in tally.turns if results[turn] != 1]
    doubled = [turn for found in (intents, results) for turn, n in found.items() if n > 1]
    unended = [turn for turn in intents if results[turn] != 1]
    others = sum(results.values()) - len(tally.turns)
    for what, turns in (("answered, no result", missing), ("doubled", doubled), ("no end", unended)):
        if turns:
            wrong.append(f"{len(turns)} {what}: {turns[:3]}")
    if others != tally.pages:
        wrong.append(
            f"{others} results beside the answers that clients hold, {tally.pages} pages were answered"
        )
    return wrong


def run(
    folder: Path, seconds: float, peak_seconds: float = PEAK_SECONDS, every: float = 30.0
) -> dict[str, Any]:
    """The whole run on a fresh zone."""
    provider = FakeProvider()
    provider.scripts.update(scripts())
    # A long run asks very often: only the last questions are kept.
    provider.seen, provider.heads = deque(maxlen=PEAK_CLIENTS), deque(maxlen=PEAK_CLIENTS)
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    body = f"""
        rules = ["rules.toml"]
        [providers.far]
        kind = "openai"
        base_url = "{provider.url}"
        [models.far]
        provider = "far"
        model = "m"
        [edge]
        requests_per_minute = 1_000_000
        refused_turns_per_minute = 1_000_000
        """
    server = whole_product.start(folder, body)
    samples = Samples({role: server.pids[role] for role in ("relay", "control")})

    async def soak() -> tuple[Traffic, float]:
        traffic = Traffic(server, Clients(server.port), random.Random(1))
        peak = await _peak(traffic, peak_seconds)
        await _drive(traffic, SHARE * peak, seconds, samples, every)
        return traffic, peak

    try:
        traffic, peak = asyncio.run(soak())
    finally:
        stopped = server.stop()
        provider.close()
    return _judge(folder / "data", traffic.tally, samples, seconds) | {
        "peak_per_s": round(peak, 1),
        "stopped": stopped,
    }


def _judge(data: Path, tally: Tally, samples: Samples, seconds: float) -> dict[str, Any]:
    slopes, wrong = samples.judged(seconds)
    intents, results = recorded(data)
    wrong += compare(tally, intents, results)
    wrong += [f"{n} times {what}" for what, n in tally.wrong.most_common(10)]
    waits = behind(data)
    if waits:
        wrong.append(f"control has not taken {waits}")
    verdict = verify_zone(data)
    if not verdict.sound:
        wrong.append(f"the record does not verify: {verdict.findings}")
    return {
        "seconds": seconds,
        "requests": dict(tally.kinds),
        "answers": len(tally.turns) + tally.pages,
        "results": sum(results.values()),
        "slopes": slopes,
        "wrong": wrong,
    }


def main() -> int:
    """Soak and judge; exit 1 where something grows or is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=7200.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), given.seconds, every=min(30.0, given.seconds / 60))
    print(json.dumps(found))
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
