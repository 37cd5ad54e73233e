"""A scripted provider on loopback in OpenAI's wire shape: answers, streams, calls tools, blocks, breaks.

It runs on a thread of its own and notes what it was asked. For tests and trials; it never leaves loopback.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

HEAD_LIMIT = 65_536
BODY_LIMIT = 64 << 20
"""LIMITs in bytes of what a request may send here."""

Kind = Literal[
    "answer",
    "tool_calls",
    "block",
    "reset",
    "timeout",
    "status",
    "garbage",
    "html",
    "half",
    "reset_after",
]


@dataclass(frozen=True)
class Behaviour:
    """How one request is answered.

    answer: `text` (streamed in `chunks` pieces, `pause` seconds apart); tool_calls: a call with `text` as
    its arguments; block: the vendor's own filter; reset: before any byte; timeout: never answers; status: an
    error with `status`; garbage: bytes that are no HTTP; html: a page with 200; half: half a frame, then the
    end; reset_after: resets after `after` pieces.
    """

    kind: Kind = "answer"
    text: str = "Ready."
    chunks: int = 3
    pause: float = 0.0
    status: int = 500
    after: int = 1
    usage: bool = True


@dataclass
class Asked:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    closed_by_client: threading.Event = field(default_factory=threading.Event)


Script = Sequence[Behaviour] | Callable[[Asked], Behaviour]


class FakeProvider:
    """`with FakeProvider([Behaviour(...)]) as provider:`; the last behaviour repeats."""

    def __init__(self, script: Script = (Behaviour(),)) -> None:
        self._script = script
        self.asked: list[Asked] = []
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stopped: asyncio.Event | None = None
        self.port = 0

    @property
    def base_url(self) -> str:
        """What a configuration names."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening; open requests are dropped."""
        if self._stopped is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopped.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await _read(reader)) is not None:
                self.asked.append(asked)
                if not await self._answer(asked, reader, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if self.asked:
                self.asked[-1].closed_by_client.set()
        finally:
            writer.close()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may be used again."""
        how = self._next(asked)
        if how.kind in {"timeout", "reset", "garbage"}:
            await self._break(asked, how, reader, writer)
            return False
        if how.kind == "html":
            await _whole(writer, 200, b"<html>proxy login</html>", "text/html")
        elif how.kind == "status":
            error = {"error": {"message": "scripted", "type": "server_error", "code": None, "param": None}}
            await _whole(writer, how.status, json.dumps(error).encode())
        elif asked.body.get("stream"):
            await self._stream(asked, how, writer)
            return False
        else:
            await _whole(writer, 200, json.dumps(_completion(asked, how)).encode())
        return True

    async def _break(
        self, asked: Asked, how: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """What comes instead of an answer."""
        if how.kind == "timeout":
            await reader.read()  # ends when the client gives up
            asked.closed_by_client.set()
        elif how.kind == "reset":
            _reset(writer)
        else:
            writer.write(b"\x00\x17not http at all\r\n\r\n")
            await writer.drain()

    async def _stream(self, asked: Asked, how: Behaviour, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for index, frame in enumerate(_frames(asked, how)):
            if how.kind == "reset_after" and index == how.after:
                await writer.drain()
                _reset(writer)
                return
            if how.kind == "half":
                writer.write(frame[: len(frame) // 2])
                await writer.drain()
                return
            writer.write(frame)
            await writer.drain()
            if how.pause:
                await asyncio.sleep(how.pause)

    def _next(self, asked: Asked) -> Behaviour:
        if callable(self._script):
            return self._script(asked)
        return self._script[min(len(self.asked), len(self._script)) - 1]


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = min(int(headers.get("content-length", "0")), BODY_LIMIT)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        raw = await _chunked(reader)
    else:
        raw = await reader.readexactly(size)
    return Asked(first.split(" ")[1], headers, json.loads(raw) if raw else {})


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    raw = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        raw += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return raw


async def _whole(
    writer: asyncio.StreamWriter, status: int, body: bytes, kind: str = "application/json"
) -> None:
    head = f"HTTP/1.1 {status} Scripted\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: lingering for 0 s discards what was not sent."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _message(how: Behaviour) -> tuple[dict[str, Any], str]:
    if how.kind == "block":
        return {"role": "assistant", "content": ""}, "content_filter"
    if how.kind == "tool_calls":
        call = {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": how.text}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    return {"role": "assistant", "content": how.text}, "stop"


def _completion(asked: Asked, how: Behaviour) -> dict[str, Any]:
    message, finish = _message(how)
    choices: list[dict[str, Any]] = []
    for index in range(int(asked.body.get("n") or 1)):
        if asked.path.endswith("/chat/completions"):
            choices.append({"index": index, "message": message, "finish_reason": finish})
        else:
            choices.append(
                {"index": index, "text": message["content"], "finish_reason": finish, "logprobs": None}
            )
    kind = "chat.completion" if asked.path.endswith("/chat/completions") else "text_completion"
    answer = {
        "id": "fake-1",
        "object": kind,
        "created": 1,
        "model": asked.body.get("model"),
        "choices": choices,
    }
    return {**answer, "usage": _usage(how)} if how.usage else answer


def _frames(asked: Asked, how: Behaviour) -> list[bytes]:
    head = {"id": "fake-1", "object": "chat.completion.chunk", "created": 1, "model": asked.body.get("model")}
    message, finish = _message(how)
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    if how.kind == "tool_calls":
        call = {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "lookup", "arguments": ""},
        }
        deltas.append({"tool_calls": [call]})
        deltas += [
            {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
            for part in _parts(how.text, how.chunks)
        ]
    elif message["content"]:
        deltas += [{"content": part} for part in _parts(message["content"], how.chunks)]
    frames = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    frames.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if how.usage and (asked.body.get("stream_options") or {}).get("include_usage"):
        frames.append({**head, "choices": [], "usage": _usage(how)})
    return [b"data: " + json.dumps(frame, ensure_ascii=False).encode() + b"\n\n" for frame in frames] + [
        b"data: [DONE]\n\n"
    ]


def _parts(text: str, count: int) -> list[str]:
    size = max(1, -(-len(text) // max(1, count)))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _usage(how: Behaviour) -> dict[str, int]:
    words = len(how.text.split())
    return {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1}
