"""A whole site without a relay: the pages, and a relay's part played over the real local provider's answers.

`python -m dragoman.testing.site PORT FOLDER` serves until it is ended. It plays what a page sees of a relay
(label, `dragoman` object, refusals, streams that break); it scans nothing and records nothing.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.model import Asker
from dragoman.web.context import Guest, PagesContext
from dragoman.web.pages import pages
from dragoman.web.turn import TurnClient

TENANT = "ten_local_a"
SESSION = "dragoman_session"
LABEL = {"en": "[AI-generated] ", "zh": "【AI 生成】"}
PIECE = 7
"""Code points of a streamed piece."""
SAY = "say: "
STEPS = "steps"
"""The file in the site's folder that says how many pieces of a "step by step" answer may be sent so far."""
STEP_SECONDS = 60.0
"""How long such an answer waits for its next step before it breaks off."""
LOOK_SECONDS = 0.01

INTERVENTION = {"id": "int_local_0192", "origin": "rule", "action": "redact", "rule": "op.demo"}
HOSTILE = "<script>document.title='hit'</script><img src=x onerror=\"document.title='hit'\"> [1]"


class RelayPart:
    """Answers turns; the words overload, break off, redact and script in a question make it misbehave.

    A question that begins with SAY is answered with the rest of it.
    One with "step by step" is answered as far as the file STEPS allows, so that a test decides when.
    """

    def __init__(self, knowledge: Knowledge, pause: float, steps: Path) -> None:
        self.knowledge = knowledge
        self._pause = pause
        self._steps = steps
        self.headers: list[dict[str, str]] = []

    async def chat(self, request: Request) -> Response:
        """Play `POST /v1/chat/completions`."""
        body = await request.json()
        self.headers.append(dict(request.headers))
        said = request.headers.get("dragoman-locale") or request.headers.get("accept-language", "en")
        question = body["messages"][-1]["content"]
        if "dragoman-principal" not in request.headers and SESSION not in request.cookies:
            return JSONResponse({"error": {"message": "no session", "code": "missing_credential"}}, 401)
        if "overload" in question:
            return JSONResponse({"error": {"message": "Too many requests <b>now</b>.", "code": "x"}}, 429)
        locale = "zh" if said.startswith("zh") else "en"
        return StreamingResponse(self._stream(question, locale), media_type="text/event-stream")

    async def _stream(self, question: str, locale: str) -> AsyncIterator[bytes]:
        text, notes = self._answer(question, locale)
        for at in range(0, len(text), PIECE):
            await asyncio.sleep(self._pause)
            if "step by step" in question and not await self._may_send(at // PIECE):
                return
            yield _event({"content": text[at : at + PIECE]})
            if "break off" in question and at > 2 * PIECE:
                return
        yield _event({"annotations": notes})
        told = [INTERVENTION] if "redact" in question else []
        yield _event({}, "stop", dragoman={"turn": "trn_local_1", "interventions": told})
        yield b"data: [DONE]\n\n"

    async def _may_send(self, piece: int) -> bool:
        """Wait until the piece of this number (from 0) may be sent; False where nobody allows it."""
        for _ in range(int(STEP_SECONDS / LOOK_SECONDS)):
            if self._steps.exists() and int(self._steps.read_text() or "0") > piece:
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    def _answer(self, question: str, locale: str) -> tuple[str, list[dict[str, Any]]]:
        if question.startswith(SAY):
            return LABEL[locale] + question.removeprefix(SAY), []
        if "script" in question:
            return LABEL[locale] + HOSTILE, [_note("javascript:document.title='hit'", "<b>")]
        given = self.knowledge.answer(question, Asker(TENANT), locale)
        return LABEL[locale] + given.text, [_note(c.url, c.title) for c in given.citations]


def _note(url: str, title: str) -> dict[str, Any]:
    cited = {"start_index": 0, "end_index": 3, "title": title, "url": url}
    return {"type": "url_citation", "url_citation": cited}


def _event(delta: dict[str, Any], finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], **more}, ensure_ascii=False).encode() + b"\n\n"


class Guests:
    """Sessions in memory."""

    def __init__(self) -> None:
        self._known: dict[str, Guest] = {}
        self.kept: list[Guest] = []

    def mint(self) -> str:
        """Make a new guest's cookie."""
        value = secrets.token_urlsafe(16)
        self._known[value] = Guest(TENANT, f"prn_local_{len(self._known)}")
        return value

    def read(self, value: str) -> Guest | None:
        """Give the guest of a cookie."""
        return self._known.get(value)


class WithSession:
    """Gives a page's reader a session, as control does."""

    def __init__(self, app: ASGIApp, guests: Guests) -> None:
        self._app, self._guests = app, guests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, adding the cookie where there is none."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{SESSION}={self._guests.mint()}; Path=/; HttpOnly; SameSite=Lax".encode()
                message["headers"] = [*message["headers"], (b"set-cookie", cookie)]
            await send(message)

        due = (
            scope["type"] == "http" and scope["method"] == "GET" and not scope["path"].startswith("/static/")
        )
        due = due and SESSION not in Request(scope).cookies
        await self._app(scope, receive, sending if due else send)


class Site(NamedTuple):
    """The public app, the app of turn.sock, and the relay's part in both."""

    public: ASGIApp
    inner: ASGIApp
    relay: RelayPart


def site(folder: Path, pause: float = 0.0) -> Site:
    """A site with its data and turn.sock in `folder`; `pause` seconds between the pieces of an answer."""
    knowledge = Knowledge(folder / "knowledge")
    relay = RelayPart(knowledge, pause, folder / STEPS)
    guests = Guests()
    turns = TurnClient(folder / "turn.sock")
    context = PagesContext(knowledge, turns, guests.read, guests.mint, guests.kept.append)
    chat = Route("/v1/chat/completions", relay.chat, methods=["POST"])
    public = Starlette(routes=[chat, *pages(context)])
    return Site(WithSession(public, guests), Starlette(routes=[chat]), relay)


async def serve(port: int, folder: Path, pause: float) -> None:
    """Serve on 127.0.0.1 and on turn.sock until a signal comes."""
    it = site(folder, pause)
    servers = [
        uvicorn.Server(uvicorn.Config(it.public, port=port, log_level="warning")),
        uvicorn.Server(uvicorn.Config(it.inner, uds=str(folder / "turn.sock"), log_level="warning")),
    ]
    await asyncio.gather(*(server.serve() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 0.01))
