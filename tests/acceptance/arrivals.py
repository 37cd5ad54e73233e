"""Requests that start when they are due, whatever became of those before: an open loop, on one thread.

No request waits for an answer to another, so that waiting in a queue is not hidden. How late this program itself was is
told beside the latencies. It reads heads and bodies itself, for what a client library makes of a refusal is not measured.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from dataclasses import dataclass, field

ANSWER_SECONDS = 60.0
"""LIMIT: what one request may take before it counts as unanswered."""
CONNECTIONS = 4_000
"""LIMIT: connections open at once."""
REFUSED = (429, 503)


@dataclass(frozen=True)
class Target:
    """Where to ask, with which key, and what."""

    port: int
    key: str
    body: bytes
    path: str = "/v1/chat/completions"

    def request(self) -> bytes:
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


@dataclass(frozen=True)
class Answer:
    """One request: when it was due, the status (0: none came), how long it took, and what a refusal lacked."""

    due: float
    status: int
    seconds: float
    fault: str | None = None


@dataclass
class Seen:
    """All answers of a window of `seconds`; `late` is how late requests were sent, seconds."""

    seconds: float
    answers: list[Answer] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def admitted(self) -> list[float]:
        return sorted(a.seconds for a in self.answers if a.status == 200)

    def refused(self) -> list[float]:
        return sorted(a.seconds for a in self.answers if a.status in REFUSED)

    def after(self, seconds: float) -> Seen:
        """What was due later than that into the window."""
        return Seen(self.seconds - seconds, [a for a in self.answers if a.due >= seconds], self.late)

    def faults(self) -> dict[str, int]:
        """What was wrong with answers, and how often."""
        found: dict[str, int] = {}
        for answer in self.answers:
            if answer.fault:
                found[answer.fault] = found.get(answer.fault, 0) + 1
        return found


def quantile(values: list[float], q: float) -> float:
    """Nearest rank of sorted values; 0 of none."""
    return values[max(0, math.ceil(q * len(values)) - 1)] if values else 0.0


def figures(seen: Seen) -> dict[str, float | int | dict[str, int]]:
    """Counts, rates and milliseconds of a window."""
    admitted, refused = seen.admitted(), seen.refused()
    return {
        "asked": len(seen.answers),
        "admitted": len(admitted),
        "refused": len(refused),
        "goodput": round(len(admitted) / seen.seconds, 1),
        "admitted_p50_ms": round(quantile(admitted, 0.5) * 1000, 1),
        "admitted_p99_ms": round(quantile(admitted, 0.99) * 1000, 1),
        "refused_p99_ms": round(quantile(refused, 0.99) * 1000, 1),
        "refused_max_ms": round(quantile(refused, 1.0) * 1000, 1),
        "sent_late_p99_ms": round(quantile(sorted(seen.late), 0.99) * 1000, 1),
        "faults": seen.faults(),
    }


@dataclass(frozen=True)
class Reply:
    """An answer as it came: status, lower-case head fields, body."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


class Clients:
    """Keep-alive connections to one port, each kept for the next request."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.free = asyncio.Semaphore(CONNECTIONS)

    async def ask(self, request: bytes) -> Reply:
        """The whole reply. A kept connection that the server closed meanwhile is replaced once."""
        async with self.free:
            while self.idle:
                reader, writer = self.idle.pop()
                if not (writer.is_closing() or reader.at_eof()):
                    return await self._exchange(reader, writer, request)
            return await self._exchange(*await asyncio.open_connection("127.0.0.1", self.port), request)

    async def leave(self, request: bytes) -> dict[bytes, bytes]:
        """The head alone: the client is gone after it."""
        async with self.free:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(request)
                return _fields(await reader.readuntil(b"\r\n\r\n"))
            finally:
                writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
    ) -> Reply:
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = _fields(head)
            body = await _body(reader, fields)
        except BaseException:
            writer.close()
            raise
        if fields.get(b"connection") == b"close":
            writer.close()
        else:
            self.idle.append((reader, writer))
        return Reply(int(head.split(b" ")[1]), fields, body)

    def close(self) -> None:
        for _, writer in self.idle:
            writer.close()


def _fields(head: bytes) -> dict[bytes, bytes]:
    pairs = (line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    return {name.lower(): value for name, value in pairs}


async def _body(reader: asyncio.StreamReader, fields: dict[bytes, bytes]) -> bytes:
    if b"content-length" in fields:
        return await reader.readexactly(int(fields[b"content-length"]))
    whole = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        whole += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return whole


def _fault(reply: Reply) -> str | None:
    if reply.status == 200:
        return None if b'"finish_reason"' in reply.body else "an answer without an end"
    if reply.status not in REFUSED:
        return f"status {reply.status}"
    if not reply.fields.get(b"retry-after", b"").isdigit():
        return "a refusal without Retry-After"
    try:
        return None if json.loads(reply.body)["error"]["code"] else "a refusal without a code"
    except (ValueError, KeyError, TypeError):
        return "a refusal without a JSON body"


async def _window(target: Target, rate: float, seconds: float, seed: int) -> Seen:
    rng = random.Random(seed)
    clients, request, seen = Clients(target.port), target.request(), Seen(seconds)
    tasks: set[asyncio.Task[None]] = set()
    begun = time.monotonic()

    async def one(due: float) -> None:
        sent = time.monotonic()
        seen.late.append(sent - begun - due)
        try:
            reply = await asyncio.wait_for(clients.ask(request), ANSWER_SECONDS)
            status, fault = reply.status, _fault(reply)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            status, fault = 0, type(error).__name__
        seen.answers.append(Answer(due, status, time.monotonic() - sent, fault))

    due = rng.expovariate(rate)
    while due < seconds:
        ahead = begun + due - time.monotonic()
        if ahead > 0:
            await asyncio.sleep(ahead)
        task = asyncio.create_task(one(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        due += rng.expovariate(rate)
    while tasks:
        await asyncio.wait(tasks)
    clients.close()
    return seen


def window(target: Target, rate: float, seconds: float, seed: int = 1) -> Seen:
    """Ask `rate` times a second on average, at random instants, for so many seconds, and wait for all answers."""
    return asyncio.run(_window(target, rate, seconds, seed))


async def _closed(target: Target, clients: int, seconds: float) -> float:
    made, request, answered = Clients(target.port), target.request(), 0
    until = time.monotonic() + seconds

    async def one() -> None:
        nonlocal answered
        while time.monotonic() < until:
            status = (await made.ask(request)).status
            answered += status == 200
            if status != 200:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(one() for _ in range(clients)))
    made.close()
    return answered / seconds


def peak(target: Target, clients: int, seconds: float) -> float:
    """Answers a second where so many clients ask again as soon as they were answered."""
    return asyncio.run(_closed(target, clients, seconds))
