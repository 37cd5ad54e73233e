"""An SMS gateway on loopback: takes messages over HTTP as a real one would, and tells what it was given.

`python -m dragoman.testing.sms PORT` serves until it is ended and prints each message, for a local trial.
Deterministic: what goes wrong is scripted per number, and nothing is drawn at random.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qs, urlsplit

KEPT = 200_000
"""LIMIT: messages that are remembered, the newest of them."""
BODY_BYTES = 65_536
"""LIMIT: bytes of a request."""
HANG, RESET, LOST = "hang", "reset", "lost"
"""What may happen instead of an answer: none ever comes; the connection is reset before the message is taken,
or after."""
CODE = re.compile(r"(?<![0-9])[0-9]{6}(?![0-9])")
"""A code in a message."""


@dataclass(frozen=True)
class Sent:
    """A message that was taken; `n` counts from 1."""

    n: int
    id: str
    to: str
    text: str
    sender: str | None


@dataclass
class FakeSms:
    """Serves in a thread of its own. Use `contextlib.closing`.

    `latency` seconds pass before each answer. `script` says per number what its next posts come to: a status,
    or HANG, RESET, LOST; then 202. A message is delivered unless its number is in `unreachable`. `key`: the
    credential it asks for; None: none. `posts` counts all posts, `repeats` those of a message taken before.
    """

    port: int = 0
    latency: float = 0.0
    key: str | None = None
    script: dict[str, list[int | str]] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    told: bool = False
    """Print each message."""

    def __post_init__(self) -> None:
        """Begin to serve; returns when it answers."""
        self.posts = 0
        self.repeats = 0
        self._taken: OrderedDict[str, Sent] = OrderedDict()
        self._newest: dict[str, Sent] = {}
        self._count = 0
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="fake-sms", daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the gateway did not start")

    @property
    def url(self) -> str:
        """What a configuration names as `[sms] url`."""
        return f"http://127.0.0.1:{self.port}/messages"

    def close(self) -> None:
        """Stop serving; open requests are dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def sent(self, to: str | None = None) -> list[Sent]:
        """The messages taken, oldest first; of one number where it is named."""
        with self._lock:
            return [one for one in self._taken.values() if to is None or one.to == to]

    def code(self, to: str) -> str | None:
        """The code in the newest message to a number."""
        with self._lock:
            found = self._newest.get(to)
        code = CODE.search(found.text) if found is not None else None
        return None if code is None else code.group()

    def receipt(self, name: str) -> str | None:
        """What became of a message: delivered or undeliverable; None where none was taken under this id."""
        with self._lock:
            found = self._taken.get(name)
        if found is None:
            return None
        return "undeliverable" if found.to in self.unreachable else "delivered"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1_024)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        server.close()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client left, or sent no HTTP: its connection ends
        except asyncio.CancelledError:
            pass  # the gateway is closed; the streams' own callback would print this
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        pairs = (line.partition(":") for line in head[1:] if line)
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        size = int(fields.get("content-length", "0"))
        if size > BODY_BYTES:
            return False
        body = await reader.readexactly(size)
        if method == "POST":
            what, document = self._post(fields, body)
        else:
            what, document = self._read(target)
        if self.latency:
            await asyncio.sleep(self.latency)
        if what == HANG:
            await reader.read()
        if isinstance(what, str):
            writer.transport.abort()
            return False
        raw = json.dumps(document, ensure_ascii=False).encode()
        answer = f"HTTP/1.1 {what} X\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        writer.write(answer.encode() + raw)
        await writer.drain()
        return True

    def _post(self, fields: Mapping[str, str], body: bytes) -> tuple[int | str, object]:
        with self._lock:
            self.posts += 1
        if self.key is not None and fields.get("authorization") != f"Bearer {self.key}":
            return 401, {"error": "unauthorized"}
        try:
            given = json.loads(body)
            name, to, text = (given[one] for one in ("id", "to", "text"))
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "malformed"}
        if fields.get("idempotency-key") != name:
            return 400, {"error": "no idempotency key"}
        with self._lock:
            script = self.script.get(to)
            what = script.pop(0) if script else 202
            if what == LOST or (isinstance(what, int) and 200 <= what < 300):
                self._take(name, to, text, given.get("from"))
        return what, {"id": name}

    def _take(self, name: str, to: str, text: str, sender: str | None) -> None:
        if name in self._taken:
            self.repeats += 1
            return
        self._count += 1
        sent = Sent(self._count, name, to, text, sender)
        self._taken[name] = self._newest[to] = sent
        if len(self._taken) > KEPT:
            _, gone = self._taken.popitem(last=False)
            if self._newest.get(gone.to) is gone:
                del self._newest[gone.to]
        if self.told:
            sys.stdout.write(f"{to}: {text}\n")
            sys.stdout.flush()

    def _read(self, target: str) -> tuple[int, object]:
        """`GET /messages?to=` lists what was taken, `GET /receipts/ID` tells what became of a message."""
        parts = urlsplit(target)
        if parts.path == "/messages":
            to = parse_qs(parts.query).get("to", [None])[0]
            return 200, {"data": [asdict(one) for one in self.sent(to)]}
        state = self.receipt(parts.path.removeprefix("/receipts/"))
        return (200, {"state": state}) if state is not None else (404, {"error": "not found"})


if __name__ == "__main__":
    served = FakeSms(port=int(sys.argv[1]), told=True)
    sys.stdout.write(f"{served.url}\n")
    sys.stdout.flush()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        served.close()
