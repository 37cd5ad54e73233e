"""A provider that sends exactly the bytes a test scripts, cut where the test cuts them.

A script is found by its name, which is the text of the request's last user message. It knows nothing of
what the relay does with the bytes, so it can play a provider that is slow, broken or hostile.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field

SSE = "text/event-stream"
JSON = "application/json"
RESET = b"\0RESET"
"""A piece that means: reset the connection here."""


@dataclass
class Script:
    """What to answer: status, type, pieces of the body; `gap` seconds before each piece; no length means chunked."""

    pieces: list[bytes]
    status: int = 200
    content_type: str = SSE
    gap: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False


class RawProvider:
    """Serves scripts on loopback in a thread of its own; `seen` holds the request bodies in order."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.seen: list[dict] = []
        self.cancelled = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(5)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            self.cancelled += 1
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        body = json.loads(await reader.readexactly(length))
        self.seen.append(body | {"_head": head.decode("latin-1")})
        script = self.scripts[name_of(body)]
        if script.hang:
            await reader.read()
            return False
        extra = "".join(f"{k}: {v}\r\n" for k, v in script.headers.items())
        writer.write(
            f"HTTP/1.1 {script.status} X\r\ncontent-type: {script.content_type}\r\n{extra}transfer-encoding: chunked\r\n\r\n".encode()
        )
        for piece in script.pieces:
            if script.gap:
                await asyncio.sleep(script.gap)
            if piece == RESET:
                writer.transport.abort()
                return False
            if piece:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def name_of(body: dict) -> str:
    """The script's name: the last user message, or the prompt of a legacy completion."""
    if "prompt" in body:
        return body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0]
    return body["messages"][-1]["content"]


def chunk(delta: dict, *, index: int = 0, finish: str | None = None, **more: object) -> bytes:
    """One chat chunk as an SSE frame."""
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
