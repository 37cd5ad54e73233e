"""Sends a text to a phone through the gateway that `[sms]` names, over HTTP; it follows no redirect.

The message's id goes along as its idempotency key, so that a repeated post is one message. What the gateway's
answer says beyond its status is not read: it is an outsider's text.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

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


class HttpGateway:
    """A gateway over HTTP (docs/signup.md). One client, made in the loop that first sends."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None

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
        if self._client is None:
            self._client = httpx.AsyncClient(
                follow_redirects=False,
                trust_env=False,
                limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            )
        headers = {"idempotency-key": message.id}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        body = {"id": message.id, "to": message.to, "text": message.text}
        if sms.sender is not None:
            body["from"] = sms.sender
        wait = sms.timeout_ms / 1000
        try:
            async with (
                asyncio.timeout(wait),
                self._client.stream(
                    "POST", sms.url or "", json=body, headers=headers, timeout=wait
                ) as answer,
            ):
                if answer.is_success and int(answer.headers.get("content-length") or 0) <= ANSWER_BYTES:
                    await _drain(answer)
                return answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError):
            return 0


ANSWER_BYTES = 16_384
"""LIMIT: bytes of an answer that are read so that its connection can be used again."""


async def _drain(answer: httpx.Response) -> None:
    """Read a short answer to its end; a longer one costs its connection."""
    size = 0
    async for part in answer.aiter_raw():
        size += len(part)
        if size > ANSWER_BYTES:
            return


def _key(sms: Sms) -> str | None:
    if sms.key_env is not None:
        return key_of_env(sms.key_env)
    return None if sms.key_file is None else key_in(sms.key_file.resolve())
