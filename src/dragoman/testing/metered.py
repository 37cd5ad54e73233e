"""A provider on loopback that keeps its own meter: what it would bill, call by call, however the call ends.

It does as it is asked: never more than the most tokens of the request. A call is known by the first word of
its last message. It knows nothing of limits.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from dataclasses import dataclass
from typing import Any

CHUNKS = 4
"""Pieces of a streamed answer."""


@dataclass
class Call:
    """What one call used: tokens in and out, and whether its whole answer was written."""

    name: str
    input: int = 0
    output: int = 0
    whole: bool = False


class MeteredProvider:
    """Serves in a thread of its own. `pause`: seconds before each piece of a stream, at most."""

    def __init__(self, seed: int = 0, pause: float = 0.01) -> None:
        self.calls: list[Call] = []
        self.port = 0
        self._random = random.Random(seed)  # noqa: S311 - a test's own dice
        self._pause = pause
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(5)

    @property
    def url(self) -> str:
        """What a configuration names as `base_url`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def metered(self) -> int:
        """All tokens that it would bill."""
        return sum(call.input + call.output for call in list(self.calls))

    def close(self) -> None:
        """Stop; open calls are dropped."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        starting = asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        server = self._loop.run_until_complete(starting)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._one(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        body = json.loads(await reader.readexactly(length))
        text = body["messages"][-1]["content"]
        call = Call(text.split(" ")[0], input=self._random.randint(1, len(text.encode())))
        self.calls.append(call)
        most = body.get("max_tokens") or 10**6  # like most of its kind it knows no other member
        due = self._random.randint(1, most)
        if body.get("stream"):
            await self._stream(writer, call, due)
        else:
            await asyncio.sleep(self._random.random() * self._pause * CHUNKS)
            call.output = due
            whole = _head("chat.completion", {"message": {"role": "assistant", "content": "ok"}}, "stop")
            answer = json.dumps({**whole, "usage": _usage(call)}).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                % (len(answer), answer)
            )
            await writer.drain()
        call.whole = True

    async def _stream(self, writer: asyncio.StreamWriter, call: Call, due: int) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for number in range(CHUNKS):
            await asyncio.sleep(self._random.random() * self._pause)
            # What is generated is billed, whether anybody reads it or not.
            call.output = due * (number + 1) // CHUNKS
            finish = "stop" if number == CHUNKS - 1 else None
            await _piece(writer, _head("chat.completion.chunk", {"delta": {"content": "ok "}}, finish))
        usage = {**_head("chat.completion.chunk", {}, None), "choices": [], "usage": _usage(call)}
        await _piece(writer, usage)
        writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()


def _head(kind: str, choice: dict[str, Any], finish: str | None) -> dict[str, Any]:
    choices = [{"index": 0, **choice, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "m", "choices": choices}


def _usage(call: Call) -> dict[str, int]:
    total = call.input + call.output
    return {"prompt_tokens": call.input, "completion_tokens": call.output, "total_tokens": total}


async def _piece(writer: asyncio.StreamWriter, document: dict[str, Any]) -> None:
    data = b"data: " + json.dumps(document).encode() + b"\n\n"
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))
    await writer.drain()
