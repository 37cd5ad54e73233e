"""The chat's pages: `/`, `/c/{conversation}`, and the forms by which it works without JavaScript.

Where guests may not keep conversations there is no list, and each question stands for itself.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from dragoman.assistants.finding import QUERY_CHARS
from dragoman.ids import kind_of
from dragoman.web import view
from dragoman.web.answer import html, interventions, label_and_rest, refusal
from dragoman.web.entry import arrived
from dragoman.web.forms import Form, FormError
from dragoman.web.guest import Guest
from dragoman.web.kept import BLANK, Finding, Kept, Listing, Shown, Wish
from dragoman.web.site import MAX_QUESTION_BYTES, STATED, Site
from dragoman.web.starters import SAMPLE_QUESTIONS, STARTER_SOURCES, STARTERS
from dragoman.web.turn import Asked, Caller, Turn, TurnError

MAX_QUESTION = 4_000
"""LIMIT: code points of a question."""
MAX_TITLE = 200
"""LIMIT: characters of a conversation's title."""
_ONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")

Endpoint = Callable[[Request], Awaitable[Response]]
Act = Callable[[Caller, str, Form], Awaitable[str]]
"""What a form about a conversation does at the relay; the page to go back to."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who asks for a page, with the cookie to set where it is new."""

    guest: Guest
    minted: str | None


class ChatPages:
    """The routes of the chat."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._context = site.context
        self._view = site.view

    def routes(self) -> list[BaseRoute]:
        """The chat's routes."""
        one = "/c/{conversation}"
        return [
            Route("/", self.home, methods=["GET"]),
            Route("/ask", self.ask, methods=["POST"]),
            Route("/ask", self.home, methods=["GET"]),
            Route(one, self.conversation, methods=["GET"]),
            Route(f"{one}/ask", self.ask, methods=["POST"]),
            Route(f"{one}/change", self._form(self._change), methods=["POST"]),
            Route(f"{one}/delete", self._form(self._delete), methods=["POST"]),
            Route(f"{one}/stop", self._form(self._stop), methods=["POST"]),
            Route(f"{one}/feedback", self._form(self._feedback), methods=["POST"]),
        ]

    async def home(self, request: Request) -> Response:
        """The empty start, or with a question that a link prepared (`?q=`): a person still sends it."""
        draft = request.query_params.get("q", "")[:MAX_QUESTION]
        return await self._page(request, await self._site.guest(request), draft=draft)

    async def conversation(self, request: Request) -> Response:
        """A conversation with its turns; 404 where it is not the guest's own."""
        guest = await self._site.guest(request)
        shown = await self._shown(request, guest) if guest is not None else None
        if shown is None:
            return self._view.error(request, 404)
        return await self._page(request, guest, **{"shown": shown, **_draft(request, shown)})

    async def ask(self, request: Request) -> Response:
        """A question from the form without JavaScript; the page grows with the answer."""
        try:
            form = await self._site.form(request, MAX_QUESTION_BYTES)
        except FormError as fault:
            return self._view.error(request, fault.status)
        question = next((q.strip() for q in reversed(form.get("q", [])) if q.strip()), "")
        guest, minted = await self._site.guest_or_new(request)
        if guest is None:
            return self._view.error(request, 503)
        reader, shown = _Reader(guest, minted), None
        if "conversation" in request.path_params:
            shown = await self._shown(request, guest)
            if shown is None:
                why = "session_lost" if minted else "gone"
                return await self._unasked(request, reader, question, why, 404)
        if not question or len(question) > MAX_QUESTION:
            why = "too_long" if question else "empty"
            return await self._unasked(request, reader, question, why, 400, **_place(form, shown))
        parent = _parent(form)
        if shown is not None and not _beside(form) and await self._followed(guest, shown, parent, question):
            more: dict[str, Any] = {"shown": shown, "beside": parent}
            return await self._unasked(request, reader, question, "moved_above", 409, **more)
        await run_in_threadpool(self._context.keep_guest, guest)
        return await self._asked(request, reader, question, form, shown)

    async def _unasked(
        self, request: Request, reader: _Reader, question: str, why: str, status: int, **more: Any
    ) -> Response:
        """The page says why a question was not asked, which stays in the form."""
        text = self._view.text(request, why).format(limit=MAX_QUESTION)
        values: dict[str, Any] = {"problem": text, "draft": question, "status": status, **more}
        return self._site.with_session(await self._page(request, reader.guest, **values), reader.minted)

    async def _followed(self, guest: Guest, shown: Shown, parent: str, question: str) -> bool:
        kept = self._site.kept()
        if kept is None or kind_of(parent) != "trn":
            return False
        return await run_in_threadpool(kept.followed, guest, shown.conversation["id"], parent, question)

    async def _asked(
        self, request: Request, reader: _Reader, question: str, form: Form, shown: Shown | None
    ) -> Response:
        """Ask in the conversation, in a new one, or in none, and answer with the page that grows."""
        caller, once = self._site.caller(request, reader.guest), _once(form, question)
        name = shown.conversation["id"] if shown else None
        if name is None and self._site.kept() is not None:
            try:
                made = await self._context.turns.send(caller, "POST", "", {}, once and f"{once}.new")
            except TurnError as fault:
                why = {"problem": fault.text} if fault.text else {}
                return await self._unasked(request, reader, question, "unreachable", fault.status, **why)
            name, shown = made["id"], Shown(made, (), None)
        asked = Asked(
            principal=caller.principal,
            address=caller.address,
            locale=caller.locale,
            question=question,
            model=self._context.model,
            conversation=name,
            parent=_parent(form),
            once=once if name is not None else None,
        )
        values = await self._values(request, reader.guest, _until(shown, asked.parent))
        values["parent"] = "last"
        response = StreamingResponse(
            self._growing(request, asked, values),
            media_type="text/html",
            headers=self._view.headers(stream=True),
        )
        return self._site.with_session(response, reader.minted)

    async def _growing(self, request: Request, asked: Asked, values: dict[str, Any]) -> AsyncIterator[str]:
        """The page's top with the question, the text as it comes, then the finished answer in its place."""
        top, bottom = self._view.halves(request, "chat.html", **{**values, "question": asked.question})
        yield top
        turn, problem = Turn(), None
        try:
            async for latest, added in self._context.turns.ask(asked):
                turn = latest
                if added:
                    yield str(view.escape(added))
        except TurnError as error:
            problem = error.text or self._view.text(request, "broken" if turn.text else "unreachable")
        if problem is None and (turn.error is not None or turn.finish is None):
            problem = turn.error or self._view.text(request, "broken")
        label, rest = label_and_rest(turn.text)
        body = await self._site.rendering.made(lambda: html(rest, turn.annotations))
        yield self._view.fragment(
            request,
            "finished.html",
            label=label,
            body=html(rest, turn.annotations, plain=True) if body is None else body,
            interventions=interventions(turn.metadata),
            refusal=refusal(turn.metadata),
            trouble=problem,
            turn=turn.metadata.get("turn"),
            **{name: values[name] for name in (*STATED, "here", "keeps")},
        )
        if problem is not None and not turn.text:
            again = {**values, "question": asked.question, "draft": asked.question}
            _, bottom = self._view.halves(request, "chat.html", **again)
        yield bottom

    def _form(self, act: Act) -> Endpoint:
        """An endpoint that takes a form of our own page about a conversation and goes back to a page."""

        async def endpoint(request: Request) -> Response:
            try:
                form = await self._site.form(request)
            except FormError as fault:
                return self._view.error(request, fault.status)
            name, guest = request.path_params["conversation"], await self._site.guest(request)
            if guest is None or not await self._site.owns(guest, name):
                return self._view.error(request, 404)
            await run_in_threadpool(self._context.keep_guest, guest)
            try:
                return self._site.back(await act(self._site.caller(request, guest), name, form))
            except TurnError as fault:
                return self._view.error(request, fault.status, fault.text if fault.status != 404 else None)

        return endpoint

    async def _change(self, caller: Caller, name: str, form: Form) -> str:
        """Rename, pin, no longer pin."""
        body: dict[str, Any] = {}
        if form.get("title", [""])[-1].strip():
            body["title"] = form["title"][-1].strip()[:MAX_TITLE]
        if form.get("pinned", [""])[-1] in {"true", "false"}:
            body["pinned"] = form["pinned"][-1] == "true"
        await self._context.turns.send(caller, "PATCH", f"/{name}", body)
        return f"/c/{name}"

    async def _delete(self, caller: Caller, name: str, _: Form) -> str:
        await self._context.turns.send(caller, "DELETE", f"/{name}")
        return "/"

    async def _stop(self, caller: Caller, name: str, form: Form) -> str:
        turn = form.get("turn", [""])[-1]
        if kind_of(turn) != "trn":
            raise TurnError(404, None)
        await self._context.turns.send(caller, "POST", f"/{name}/turns/{turn}/stop")
        return f"/c/{name}"

    async def _feedback(self, caller: Caller, name: str, form: Form) -> str:
        """Good, bad with a reason and a note, or taken back."""
        turn, rating = form.get("turn", [""])[-1], form.get("rating", [""])[-1]
        if kind_of(turn) != "trn":
            raise TurnError(404, None)
        path = f"/{name}/turns/{turn}/feedback"
        if rating == "none":
            await self._context.turns.send(caller, "DELETE", path)
        else:
            await self._context.turns.send(caller, "PUT", path, _judgement(form, rating))
        return f"/c/{name}?branch={turn}#{turn}"

    async def _shown(self, request: Request, guest: Guest) -> Shown | None:
        kept, name, wish = self._site.kept(), request.path_params["conversation"], request.query_params.get
        if kept is None or kind_of(name) != "cnv":
            return None
        language = self._view.language(request)
        wanted = Wish(wish("edit") or wish("branch"), wish("before"), wish("at"))
        return await kept.shown(guest, name, wanted, language, self._site.rendering)

    async def _page(
        self, request: Request, guest: Guest | None, shown: Shown | None = None, **more: Any
    ) -> Response:
        values = await self._values(request, guest, shown)
        return self._view.page(request, "chat.html", more.pop("status", 200), **{**values, **more})

    async def _values(self, request: Request, guest: Guest | None, shown: Shown | None) -> dict[str, Any]:
        """What the page of the chat shows."""
        kept = self._site.kept()
        wanted = request.query_params.get("find", "").strip()
        listing, finding = Listing(), Finding(wanted) if wanted else None
        if kept and guest:
            listing, finding = await self._listed(request, kept, guest, wanted)
        return {
            "model": self._context.model,
            "limit": MAX_QUESTION,
            "starters": await run_in_threadpool(self._starters, self._view.language(request)),
            "bar": await self._site.bar(request, guest),
            "placement": self._site.placement(request),
            "keeps": kept is not None,
            "listing": listing,
            "finding": finding,
            "find_limit": QUERY_CHARS,
            "shown": shown,
            "signs_up": self._context.signup is not None and self._context.signup.is_open(),
            "arrived": arrived(request, self._context.entry, self._view.language(request)),
            "here": f"/c/{shown.conversation['id']}" if shown else "/",
            "question": None,
            "branching": False,
            "beside": None,
            "parent": shown.turns[-1].id if shown and shown.turns else "last",
            "blank": BLANK,
            "once": secrets.token_urlsafe(16),
            "past": shown is not None and shown.past,
            **await self._site.stated(request, guest),
        }

    def _starters(self, language: str) -> list[tuple[str, str]]:
        """The questions to begin with whose documents are there: an operator may have removed the samples.

        Where no language model answers, they are such as the samples do.
        """
        gone = self._context.knowledge.removed_samples()
        if not self._context.writes():
            return [("question", text) for source, text in SAMPLE_QUESTIONS[language] if source not in gone]
        return [(kind, text) for kind, text in STARTERS[language] if STARTER_SOURCES[kind] not in gone]

    async def _listed(
        self, request: Request, kept: Kept, guest: Guest, wanted: str
    ) -> tuple[Listing, Finding | None]:
        """The guest's list; and what was found, behind which the list waits from its beginning."""
        after = request.query_params.get("after")
        if wanted:
            language = self._view.language(request)
            finding = await kept.found(guest, wanted, after, language)
            return await run_in_threadpool(kept.listed, guest, None), finding
        if after is not None and kind_of(after) != "cnv":
            after = None
        return await run_in_threadpool(kept.listed, guest, after), None


def _once(form: Form, question: str) -> str | None:
    """The form's own key for this question: a page that is loaded again asks nothing twice."""
    given = form.get("once", [""])[-1]
    digest = hashlib.sha256(f"{_parent(form)}\n{question}".encode("utf-8", "replace")).hexdigest()
    return f"{given}.{digest[:16]}" if _ONCE.fullmatch(given) else None


def _judgement(form: Form, rating: str) -> dict[str, str | None]:
    """What a form says of an answer; a form counts a line's end as two characters, the API as one."""
    bad = rating == "bad"
    note = form.get("note", [""])[-1].replace("\r\n", "\n")
    return {
        "rating": rating,
        "reason": form.get("reason", [None])[-1] if bad else None,
        "note": note if bad and note.strip() else None,
    }


def _draft(request: Request, shown: Shown) -> dict[str, Any]:
    """For a question that is asked anew in other words: the page up to it, and its words to be changed."""
    wanted = request.query_params.get("edit")
    turn = next((one for one in shown.turns if one.id == wanted), None)
    if turn is None:
        return {}
    parent = turn.parent or "root"
    return {"shown": _until(shown, parent), "draft": turn.question, "parent": parent, "branching": True}


def _parent(form: Form) -> str:
    """Which turn the question follows."""
    beside = form.get("beside", [""])[-1]
    given = beside if kind_of(beside) == "trn" else form.get("parent", ["last"])[-1]
    return given if given == "root" or kind_of(given) == "trn" else "last"


def _beside(form: Form) -> bool:
    """Whether the question is meant to stand beside what follows that turn."""
    return bool(form.get("beside", [""])[-1])


def _place(form: Form, shown: Shown | None) -> dict[str, Any]:
    """The page with the place that a question was meant for."""
    if not _beside(form):
        return {"shown": shown}
    return {"shown": _until(shown, _parent(form)), "parent": _parent(form), "branching": True}


def _until(shown: Shown | None, parent: str) -> Shown | None:
    """The page without the turns that a question asked beside them leaves behind."""
    if shown is None or parent == "last":
        return shown
    if parent == "root":
        return Shown(shown.conversation, (), None)
    at = next((at for at, one in enumerate(shown.turns) if one.id == parent), len(shown.turns) - 1)
    return Shown(shown.conversation, shown.turns[: at + 1], shown.earlier)
