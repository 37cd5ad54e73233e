"""The little ASGI that internal sockets need: bounded JSON in, JSON out, one table of routes.

Plain functions instead of a framework, because `plan.sock` is paid for by every turn that misses a cache.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from dragoman.errors import DragomanError, RefusedError, UnavailableError
from dragoman.events import EdgeFailed, emit, fault_place
from dragoman.meters import observe

WIRE = b"1"
"""The wire version spoken here. There is no earlier one to speak besides."""
BODY_LIMIT = 16 << 20
"""LIMIT: bytes of an internal request body; a batch of the journal is the largest."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, Any]
Endpoint = Callable[["Request"], Awaitable[Answer]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]


class Request:
    """One internal request: path parameters by prefix, query, headers, bounded body."""

    def __init__(self, scope: Scope, receive: Receive, rest: str) -> None:
        self._scope = scope
        self._receive = receive
        self.rest = rest
        """What follows the route's prefix in the path."""

    def header(self, name: bytes) -> str | None:
        """The last value of a header (lower-case name)."""
        found = None
        for key, value in self._scope["headers"]:
            if key == name:
                found = value.decode("latin-1")
        return found

    def query(self, name: str) -> str | None:
        """A query parameter; internal callers never encode theirs."""
        for pair in self._scope["query_string"].decode("latin-1").split("&"):
            key, _, value = pair.partition("=")
            if key == name:
                return str(value)
        return None

    async def body(self) -> bytes:
        """The whole body. Raises RefusedError 413 beyond the limit."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            part = message.get("body", b"")
            size += len(part)
            if size > BODY_LIMIT:
                raise RefusedError(
                    413, "body_too_large", {"en": "The internal body is too large.", "zh": "内部请求体过大。"}
                )
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises RefusedError 400."""
        try:
            value = json.loads(await self.body())
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise RefusedError(
                400, "invalid_json", {"en": "The body is not a JSON object.", "zh": "请求体不是 JSON 对象。"}
            )
        return value


class Routes:
    """An ASGI application over exact and prefix routes. Everything else is 404."""

    def __init__(self, edge: str, *, wire_checked: bool = True) -> None:
        self._edge = edge
        self._wire_checked = wire_checked
        self._exact: dict[tuple[str, str], Endpoint] = {}
        self._prefix: list[tuple[str, str, Endpoint]] = []
        self._mounts: list[tuple[str, App]] = []

    def on(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Serve a path; one ending in `/` serves all below it, with the remainder in `request.rest`."""
        if path.endswith("/"):
            self._prefix.append((method, path, endpoint))
        else:
            self._exact[(method, path)] = endpoint

    def mount(self, prefix: str, app: App) -> None:
        """Serve everything below a prefix by another application."""
        self._mounts.append((prefix, app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        if self._wire_checked and _wire(scope) != WIRE:
            await respond(
                send,
                426,
                _error("wire_version", "This control speaks wire version 1.", "此控制进程使用线路版本 1。"),
            )
            return
        path = scope["path"]
        for prefix, app in self._mounts:
            if path.startswith(prefix):
                await app(scope, receive, send)
                return
        place, endpoint, rest = self._find(scope["method"], path)
        if endpoint is None:
            await respond(
                send, 404, _error("not_found", "There is no such internal route.", "没有这个内部路由。")
            )
            return
        began = time.perf_counter()
        status, document = await self._run(endpoint, Request(scope, receive, rest))
        observe(self._edge, place, status, time.perf_counter() - began)
        await respond(send, status, document)

    def _find(self, method: str, path: str) -> tuple[str, Endpoint | None, str]:
        endpoint = self._exact.get((method, path))
        if endpoint is not None:
            return path, endpoint, ""
        for wanted, prefix, candidate in self._prefix:
            if wanted == method and path.startswith(prefix):
                return prefix, candidate, path[len(prefix) :]
        return "", None, ""

    async def _run(self, endpoint: Endpoint, request: Request) -> Answer:
        """The edge of a socket: an unexpected fault is one failed request, told apart only in the log."""
        try:
            return await endpoint(request)
        except RefusedError as refused:
            return refused.status, refused.document()
        except UnavailableError as fault:
            return 503, _error(fault.code, fault.message, "控制进程暂时无法处理，请重试。")
        except DragomanError as fault:
            return 400, _error(fault.code, fault.message, fault.message)
        except Exception as fault:  # noqa: BLE001 - the edge
            emit(EdgeFailed(self._edge, type(fault).__name__, fault_place(fault)))
            return 500, _error(
                "internal_error", "Control failed on this request.", "控制进程处理此请求时出错。"
            )


async def respond(send: Send, status: int, document: Any) -> None:
    """Send a JSON document, raw JSON bytes, or nothing (None)."""
    if document is None:
        body = b""
    elif isinstance(document, bytes):
        body = document
    else:
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    headers = [*_JSON, (b"content-length", str(len(body)).encode())] if status != 204 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _wire(scope: Scope) -> bytes | None:
    for key, value in scope["headers"]:
        if key == b"dragoman-wire":
            return bytes(value)
    return None


def _error(code: str, en: str, zh: str) -> Mapping[str, Any]:
    kind = "server_error" if code in {"internal_error", "unavailable"} else "invalid_request_error"
    return {"error": {"type": kind, "code": code, "param": None, "message": {"en": en, "zh": zh}}}


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
