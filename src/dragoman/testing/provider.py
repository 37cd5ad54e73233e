"""A provider on loopback that sends exactly the bytes a test scripts, cut where the test cuts them.

A script is found by its name, which is the text of the request's last user message. It knows nothing of
what is done with its bytes, so it can play a provider that is slow, broken or hostile.
"""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

SSE = "text/event-stream"
JSON = "application/json"
RESET = b"\0RESET"
"""A piece that means: reset the connection here."""


@dataclass
class Script:
    """What to answer: status, type, pieces of the body in chunks, `gap` seconds before each.

    `hang` never answers; `bare` sends the pieces alone, as bytes that are no HTTP.
    """

    pieces: list[bytes]
    status: int = 200
    content_type: str = SSE
    gap: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    bare: bool = False


class FakeProvider:
    """Serves scripts in a thread of its own; `default` where none has the name. Use `contextlib.closing`.

    `seen` holds the requests' bodies in order, `heads` their heads; `cancelled` counts callers that left.
    """

    def __init__(self, default: Script | None = None) -> None:
        self.default = default
        self.scripts: dict[str, Script] = {}
        self.seen: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.port = 0
        self.cancelled = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(5)

    @property
    def url(self) -> str:
        """What a configuration names as `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        """Stop listening; open requests are dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
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
        self.seen.append(body)
        self.heads.append(head.decode("latin-1"))
        script = self.scripts.get(name_of(body), self.default)
        if script is None:
            raise LookupError(f"no script is called {name_of(body)!r}")
        if script.hang:
            await reader.read()
            return False
        if script.bare:
            writer.write(b"".join(script.pieces))
            return False
        fields = {"content-type": script.content_type, **script.headers, "transfer-encoding": "chunked"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {script.status} X\r\n{lines}\r\n".encode())
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


def name_of(body: dict[str, Any]) -> str:
    """The script's name: the last user message, or the prompt of a legacy completion."""
    if "prompt" in body:
        return str(body["prompt"] if isinstance(body["prompt"], str) else body["prompt"][0])
    return str(body["messages"][-1]["content"])


def whole(text: str, finish: str = "stop") -> bytes:
    """A chat completion that is not streamed."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return json.dumps({**head, "choices": [choice]}).encode()


def chunk(delta: dict[str, Any], *, index: int = 0, finish: str | None = None, **more: object) -> bytes:
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
