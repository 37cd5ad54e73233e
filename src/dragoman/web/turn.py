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


@dataclass(frozen=True, slots=True)
class Asked:
    """A question from a page: who asks, from where, and in which language."""

    question: str
    model: str
    principal: str
    address: str
    locale: str


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
        body = {
            "model": asked.model,
            "stream": True,
            "messages": [{"role": "user", "content": asked.question}],
        }
        headers = {
            "dragoman-wire": WIRE,
            "dragoman-principal": asked.principal,
            "dragoman-channel": CHANNEL,
            "dragoman-address": asked.address,
            "dragoman-locale": asked.locale,
        }
        try:
            async with self._client.stream(
                "POST", "/v1/chat/completions", json=body, headers=headers
            ) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise TurnError(answer.status_code, _message(await answer.aread()))
                async for data in _events(answer):
                    added = _take(turn, data)
                    yield turn, added
                    if len(turn.text) > MAX_ANSWER:
                        return
        except httpx.HTTPError as error:
            raise TurnError(503, None) from error


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
