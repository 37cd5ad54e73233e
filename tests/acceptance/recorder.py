"""A client that notes when each byte of an answer came: what reached it, not what a library made of it."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass, field, replace

from fault_rig import now_ns

CANARY = b"quokka"
"""Stands in every answer of the tests' provider and nowhere else."""
RECEIPT = re.compile(rb"dragoman-receipt: v=1; turn=(trn_[^;]+);")
READ_BYTES = 65_536
FRAMING = re.compile(rb"\r\n[0-9a-fA-F]+\r\n|\s")
"""Chunk heads and white space between texts."""
GROWS = b'<p class="draft">'
FINISHED = b'<div class="finished">'
PROBLEM = b'class="problem"'


@dataclass(frozen=True)
class Route:
    """One way to ask: what is sent, and whether its answer is a stream, a whole body or a page."""

    name: str
    path: str
    body: bytes
    shape: str
    """`stream`, `whole` or `page`."""
    headers: str = ""
    """Further head lines."""

    def filled(self, conversation: str, number: int) -> Route:
        """With the conversation in its path, and a number in its head lines."""
        path = self.path.replace("CONVERSATION", conversation)
        return replace(self, path=path, headers=self.headers.replace("NUMBER", str(number)))

    def request(self, port: int, key: str) -> bytes:
        page = self.shape == "page"
        kind = "application/x-www-form-urlencoded" if page else "application/json"
        who = f"origin: http://127.0.0.1:{port}" if page else f"authorization: Bearer {key}"
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{who}\r\ncontent-type: {kind}\r\n"
            f"content-length: {len(self.body)}\r\nconnection: close\r\n{self.headers}\r\n"
        )
        return head.encode() + self.body


def chat(
    name: str, model: str, *, stream: bool, text: str, path: str = "/v1/chat/completions", headers: str = ""
) -> Route:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    shape = "stream" if stream else "whole"
    return Route(f"{name}, {shape}", path, json.dumps(body).encode(), shape, headers)


def completion(name: str, model: str, *, stream: bool, text: str) -> Route:
    body = {"model": model, "stream": stream, "prompt": text}
    shape = "stream" if stream else "whole"
    return Route(f"{name}, {shape}", "/v1/completions", json.dumps(body).encode(), shape)


@dataclass
class Exchange:
    """The bytes of one answer with the time each piece of them came; `closed`: the server ended it."""

    route: Route
    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    closed: bool = False

    @property
    def bytes(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    def clear(self) -> bool:
        """Whether the client can tell: a complete answer, one that says what is wrong, or a connection cut short."""
        raw = self.bytes
        if self.ended() is not None or self.status == 0:
            return True
        if self.route.shape == "page":
            return PROBLEM in raw or self.status >= 500 or b"</html>" not in raw
        if self.status != 200:
            return b'"error"' in raw and b'"code"' in raw
        # A stream that ends by its own framing has to say why; one that was cut has no last chunk.
        return b'"error"' in raw or not raw.endswith(b"0\r\n\r\n")

    def came(self, position: int) -> int:
        """When the byte at `position` came, ns."""
        for at, piece in self.pieces:
            if position < len(piece):
                return at
            position -= len(piece)
        raise IndexError(position)

    @property
    def status(self) -> int:
        """0 where no head came."""
        raw = self.bytes
        return int(raw[9:12]) if b"\r\n\r\n" in raw else 0

    @property
    def turn(self) -> str | None:
        found = RECEIPT.search(self.bytes)
        return found[1].decode() if found else None

    def begun(self) -> int | None:
        """The first byte of an answer: the body of a 200, the growing text of a page, the canary in anything."""
        raw = self.bytes
        body = raw.find(b"\r\n\r\n") + 4
        marks = [raw.find(CANARY, body)]
        if self.route.shape == "page":
            marks.append(_grown(raw))
        elif self.status == 200 and len(raw) > body:
            marks.append(body)
        found = [mark for mark in marks if mark >= 0]
        return min(found) if found else None

    def ended(self) -> int | None:
        """The first byte that lets a client call the answer complete."""
        raw = self.bytes
        if self.route.shape == "page":
            return None if PROBLEM in raw or FINISHED not in raw else raw.find(FINISHED)
        if self.status != 200:
            return None
        if self.route.shape == "whole":
            return self.begun()
        marks = [raw.find(b'"finish_reason":"'), raw.find(b'"finish_reason": "'), raw.find(b"[DONE]")]
        found = [mark for mark in marks if mark >= 0]
        return min(found) if found else None


def _grown(raw: bytes) -> int:
    """Where the text of a page's answer begins, behind the tag that came with the page's top; -1: not yet."""
    at = raw.find(GROWS)
    if at < 0:
        return -1
    at += len(GROWS)
    while skipped := FRAMING.match(raw, at):
        at = skipped.end()
    return -1 if at >= len(raw) or raw[at : at + 1] == b"<" else at


class Asking:
    """An exchange under way."""

    def __init__(self, route: Route, port: int, key: str, seconds: float) -> None:
        self.exchange = Exchange(route)
        self._until = now_ns() + int(seconds * 1e9)
        try:
            self._socket: socket.socket | None = socket.create_connection(("127.0.0.1", port), seconds)
            self._socket.sendall(route.request(port, key))
        except OSError:
            self._socket, self.exchange.closed = None, True

    def read(self, until: bytes | None = None) -> Exchange:
        """Read until the bytes `until` came, the server ended the answer, or time is over."""
        while self._socket and not (until and until in self.exchange.bytes):
            left = (self._until - now_ns()) / 1e9
            if left <= 0:
                break
            self._socket.settimeout(left)
            try:
                piece = self._socket.recv(READ_BYTES)
            except TimeoutError:
                break
            except OSError:
                piece = b""
            if not piece:
                self.exchange.closed = True
                self._socket.close()
                self._socket = None
                break
            self.exchange.pieces.append((now_ns(), piece))
        return self.exchange

    def close(self) -> Exchange:
        """Read what is left and leave."""
        self.read()
        if self._socket:
            self._socket.close()
        return self.exchange
