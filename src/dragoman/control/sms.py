"""Sends a text to a phone through the gateway that `[sms]` names, over HTTP; it follows no redirect.

The message's id goes along as its idempotency key, so that a repeated post is one message. What the gateway's
answer says beyond its status is not read: it is an outsider's text.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

import httpx

from dragoman.events import SmsUnsent, emit
from dragoman.providers.provider_key import NoKeyError, key_in, key_of_env
from dragoman.settings_signup import Sms

ATTEMPTS = 2
"""LIMIT: posts of one message; the second one where the first was not clearly taken or refused."""
PAUSE_S = 0.2
"""Seconds between them."""
CONNECTIONS = 64
"""LIMIT: connections to the gateway."""


@dataclass(frozen=True, slots=True)
class Message:
    """A text (`text`) to a number in E.164 (`to`), under an id that no other message has."""

    id: str
    to: str
    text: str


class SmsGateway(Protocol):
    """What sends messages."""

    async def send(self, message: Message, sms: Sms) -> bool:
        """Whether the gateway took the message."""


@dataclass(slots=True)
class _Post:
    """One request; `line`: the connection it is on while it is open."""

    url: SplitResult
    body: bytes
    headers: Mapping[str, str]
    wait: float
    line: HTTPConnection | None = None

    def cut(self) -> None:
        """End it, whatever its thread waits for."""
        line = self.line
        if line is not None and line.sock is not None:
            with contextlib.suppress(OSError):  # it has just ended by itself
                line.sock.shutdown(socket.SHUT_RDWR)


class HttpGateway:
    """A gateway over HTTP (docs/signup.md). Its threads each keep a connection.

    A client on the loop took more processor time for a message than all the rest of a sign-up.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="sms")
        self._kept = threading.local()
        self._tls = httpx.create_ssl_context(trust_env=False)

    async def send(self, message: Message, sms: Sms) -> bool:
        """Post the message, a second time where it is not known what came of the first."""
        try:
            key = _key(sms)
        except NoKeyError:
            emit(SmsUnsent("no_credential", 0))
            return False
        status = 0
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE_S)
            status = await self._post(message, sms, key)
            if 200 <= status < 300:
                return True
            if 400 <= status < 500 and status not in {408, 425, 429}:
                break
        emit(SmsUnsent("refused" if status else "unreachable", status))
        return False

    async def _post(self, message: Message, sms: Sms, key: str | None) -> int:
        """The status; 0 where there was none in time."""
        headers = {"content-type": "application/json", "idempotency-key": message.id}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        body = {"id": message.id, "to": message.to, "text": message.text}
        if sms.sender is not None:
            body["from"] = sms.sender
        raw = json.dumps(body, ensure_ascii=False).encode()
        post = _Post(urlsplit(sms.url or ""), raw, headers, sms.timeout_ms / 1000)
        try:
            async with asyncio.timeout(post.wait):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._posted, post)
        except TimeoutError:
            return 0
        finally:
            post.cut()

    def _posted(self, post: _Post) -> int:
        """The same, on a thread of ours."""
        line = post.line = self._line(post)
        path = f"{post.url.path or '/'}?{post.url.query}" if post.url.query else post.url.path or "/"
        try:
            line.request("POST", path, post.body, dict(post.headers))
            answer = line.getresponse()
            if answer.length is not None and answer.length <= ANSWER_BYTES:
                answer.read()
            else:
                line.close()
        except (OSError, HTTPException, ValueError):
            line.close()
            return 0
        else:
            return answer.status
        finally:
            post.line = None

    def _line(self, post: _Post) -> HTTPConnection:
        """The connection that this thread keeps, or a new one where it goes elsewhere or was closed."""
        at = (post.url.scheme, post.url.hostname or "", post.url.port)
        kept_at, line = getattr(self._kept, "line", (None, None))
        if line is None or kept_at != at:
            if line is not None:
                line.close()
            secure = post.url.scheme == "https"
            line = HTTPSConnection(*at[1:], context=self._tls) if secure else HTTPConnection(*at[1:])
            self._kept.line = at, line
        # What can be read between two requests is its end, or nothing that was asked for.
        if line.sock is not None:
            idle = select.poll()
            idle.register(line.sock, select.POLLIN)
            if idle.poll(0):
                line.close()
            else:
                line.sock.settimeout(post.wait)
        line.timeout = post.wait
        return line


ANSWER_BYTES = 16_384
"""LIMIT: bytes of an answer that are read so that its connection can be used again; a longer one costs it."""


def _key(sms: Sms) -> str | None:
    if sms.key_env is not None:
        return key_of_env(sms.key_env)
    return None if sms.key_file is None else key_in(sms.key_file.resolve())
