"""Carries a page's question to the relay over turn.sock, for browsers without JavaScript.

It takes the same path as every other turn; nothing here decides, scans or records.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

WIRE = "1"
CHANNEL = "web"
CONVERSATIONS = "/v1/conversations"
APPEALS = "/v1/appeals"
MAX_ANSWER = 262_144
"""Code points of an answer that a page shows."""
MAX_LINE_BYTES = 1_048_576
CONNECT_SECONDS = 2.0
IDLE_SECONDS = 150.0
OPEN_TURNS = 64
"""Turns that pages have open at once; more wait CONNECT_SECONDS and then see the page's error."""


class TurnError(Exception):
    """The relay refused or could not be reached; `text` is its sentence for the user, if it gave one."""

    def __init__(self, status: int, text: str | None) -> None:
        super().__init__(text or f"status {status}")
        self.status = status
        self.text = text


@dataclass(slots=True)
class Turn:
    """What has come of a turn so far."""

    text: str = ""
    annotations: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    finish: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """For whom the relay is asked: who it is, from where, and in which language."""

    principal: str
    address: str
    locale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Caller):
    """A question from a page. In a conversation it follows `parent`; the same `once` asks it once."""

    question: str
    model: str
    conversation: str | None = None
    parent: str = "last"
    once: str | None = None


class TurnClient:
    """A client of one relay's turn.sock; `ask` yields the growing turn."""

    def __init__(self, socket: Path) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=str(socket), limits=httpx.Limits(max_connections=OPEN_TURNS)
            ),
            base_url="http://localhost",
            timeout=httpx.Timeout(IDLE_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(self, asked: Asked) -> AsyncIterator[tuple[Turn, str]]:
        """Yield (the turn so far, the text just added) until the answer ends. Raises TurnError."""
        turn = Turn()
        body: dict[str, Any] = {
            "model": asked.model,
            "stream": True,
            "messages": [{"role": "user", "content": asked.question}],
        }
        path = "/v1/chat/completions"
        if asked.conversation is not None:
            path = f"{CONVERSATIONS}/{asked.conversation}/turns"
            body["parent"] = asked.parent
        headers = _headers(asked, asked.once)
        try:
            async with self._client.stream("POST", path, json=body, headers=headers) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise TurnError(answer.status_code, _message(await answer.aread()))
                async for data in _events(answer):
                    added = _take(turn, data)
                    yield turn, added
                    if len(turn.text) > MAX_ANSWER:
                        return
        except httpx.HTTPError as error:
            raise TurnError(503, None) from error

    async def send(
        self, caller: Caller, method: str, path: str, body: object = None, once: str | None = None
    ) -> dict[str, Any]:
        """One request about conversations, `path` under theirs; the object it gave. Raises TurnError."""
        return await self._sent(method, CONVERSATIONS + path, body, _headers(caller, once))

    async def appeal(self, caller: Caller, body: object) -> dict[str, Any]:
        """Appeal; what it was acknowledged with. Raises TurnError."""
        return await self._sent("POST", APPEALS, body, _headers(caller, None))

    async def _sent(self, method: str, path: str, body: object, headers: dict[str, str]) -> dict[str, Any]:
        try:
            answer = await self._client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise TurnError(503, None) from error
        if not answer.is_success:
            raise TurnError(answer.status_code, _message(answer.content))
        try:
            found = answer.json()
        except ValueError as error:
            raise TurnError(502, None) from error
        return dict(found)


def _headers(caller: Caller, once: str | None) -> dict[str, str]:
    return {
        "dragoman-wire": WIRE,
        "dragoman-principal": caller.principal,
        "dragoman-channel": CHANNEL,
        "dragoman-address": caller.address,
        "dragoman-locale": caller.locale,
        **({"idempotency-key": once} if once else {}),
    }


async def _events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of the `data:` lines, until `[DONE]`; a line that is none ends the answer."""
    async for line in _lines(answer):
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        try:
            value = json.loads(data)
        except ValueError as error:
            raise TurnError(502, None) from error
        if isinstance(value, dict):
            yield value


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    pending = b""
    async for chunk in answer.aiter_raw():
        *lines, pending = (pending + chunk).split(b"\n")
        if len(pending) > MAX_LINE_BYTES:
            raise TurnError(502, None)
        for line in lines:
            yield line.decode("utf-8", "replace").rstrip("\r")


def _take(turn: Turn, data: dict[str, Any]) -> str:
    """Put one event into the turn; the text it added."""
    if isinstance(data.get("dragoman"), dict):
        turn.metadata = data["dragoman"]
    if isinstance(data.get("error"), dict):
        turn.error = str(data["error"].get("message") or "")
    choices = data.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or choice.get("index", 0) != 0:
        return ""
    if isinstance(choice.get("finish_reason"), str):
        turn.finish = choice["finish_reason"]
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return ""
    notes = delta.get("annotations")
    turn.annotations.extend(n for n in notes if isinstance(n, dict)) if isinstance(notes, list) else None
    pieces = [delta.get("content"), delta.get("refusal")]
    added = "".join(piece for piece in pieces if isinstance(piece, str))
    turn.text += added
    return added


def _message(body: bytes) -> str | None:
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return None
    return message if isinstance(message, str) else None
