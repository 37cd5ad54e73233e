"""The page `/appeal/{id}`: why something was changed or refused, a form to object, and what was said to it.

A plain form, with and without JavaScript. `{id}` is that of an intervention, a decision, a turn or an appeal.
What is sent goes to the relay like every other request (`web.turn`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dragoman.assistants import appeals
from dragoman.assistants.appeals import CONTACT_CHARS, TEXT_CHARS
from dragoman.assistants.conversations import Person
from dragoman.assistants.texts import refused
from dragoman.core.appeals import AppealRows, AppealStore
from dragoman.errors import RefusedError
from dragoman.ids import kind_of
from dragoman.web import view
from dragoman.web.answer import Rule, rules_of, source_of
from dragoman.web.forms import FormError
from dragoman.web.guest import Guest
from dragoman.web.site import Site
from dragoman.web.turn import Caller, TurnError

Statement = Callable[[str, str, str], Mapping[str, Any] | None]
"""The statement of reasons of a tenant's principal by the id of an intervention or a decision."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one may object to, or did. `place`: the page of the turn, where it is kept.

    `turn`: the turn from which one came to a decision, which is of many turns.
    """

    about: str
    statement: Mapping[str, Any] | None
    appeal: Mapping[str, Any] | None
    place: str | None
    turn: str | None

    def page(self, name: str) -> str:
        """The page of one of its ids."""
        return f"/appeal/{name}?turn={self.turn}" if self.turn else f"/appeal/{name}"


class AppealPages:
    """The routes, over what is kept of reasons and appeals."""

    def __init__(self, site: Site, store: AppealStore, statement: Statement) -> None:
        self._site = site
        self._view = site.view
        self._store = store
        self._statement = statement

    def routes(self) -> list[BaseRoute]:
        """The page, and its form."""
        return [
            Route("/appeal/{about}", self.show, methods=["GET"]),
            Route("/appeal/{about}", self.send, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """Reasons and the form, or the acknowledgement; 404 where it is not one's own."""
        guest = await self._site.guest(request)
        found = await self._found(request, guest)
        return self._view.error(request, 404) if found is None else self._page(request, found)

    async def send(self, request: Request) -> Response:
        """An appeal from the form of our own page; the acknowledgement is its page from then on."""
        try:
            form = await self._site.form(request)
        except FormError as fault:
            return self._view.error(request, fault.status)
        guest = await self._site.guest(request)
        found = await self._found(request, guest)
        if found is None or guest is None:
            return self._view.error(request, 404)
        if found.appeal is not None:
            return self._site.back(found.page(found.appeal["id"]))
        given = {name: form.get(name, [""])[-1].replace("\r\n", "\n").strip() for name in ("text", "contact")}
        try:
            made = await self._given(request, guest, found.about, given)
        except TurnError as fault:
            if fault.status == HTTPStatus.CONFLICT:  # sent twice: the page shows the first
                return self._site.back(found.page(found.about))
            problem = self._problem(request, given, fault)
            return self._page(request, found, fault.status, problem=problem, draft=given)
        return self._site.back(found.page(made["id"]))

    async def _given(
        self, request: Request, guest: Guest, about: str, given: Mapping[str, str]
    ) -> dict[str, Any]:
        """Have an appeal received; what it was acknowledged with. Raises TurnError."""
        language = self._view.language(request)
        if appeals.is_full(request.headers):  # what goes through turn.sock has no address
            many = refused("too_many_appeals")
            raise TurnError(many.status, many.text[language])
        await run_in_threadpool(self._site.context.keep_guest, guest)
        caller = Caller(principal=guest.principal, address=view.address_of(request), locale=language)
        body = {"about": about, "text": given["text"], "contact": given["contact"] or None}
        return await self._site.context.turns.appeal(caller, body)

    def _problem(self, request: Request, given: Mapping[str, str], fault: TurnError) -> str:
        """What is wrong with a form, in the page's own words where it knows."""
        if not given["text"]:
            return self._view.text(request, "appeal_empty")
        if len(given["text"]) > TEXT_CHARS:
            return self._view.text(request, "appeal_long").format(limit=TEXT_CHARS)
        return fault.text or self._view.text(request, "unreachable")

    async def _found(self, request: Request, guest: Guest | None) -> Subject | None:
        if guest is None:
            return None
        try:
            came = request.query_params.get("turn", "")
            turn = came if kind_of(came) == "trn" else None
            return await run_in_threadpool(self._look, guest, request.path_params["about"][:256], turn)
        except RefusedError:
            return None

    def _look(self, guest: Guest, name: str, came: str | None) -> Subject:
        """What an id names of the guest's own, who came from a turn. Raises RefusedError 404."""
        person = Person(guest.tenant, guest.principal)

        def work(rows: AppealRows) -> tuple[str, Mapping[str, Any] | None, str | None]:
            found = rows.turn(came) if came else None
            before = came if found is not None and found.principal == person.principal else None
            if kind_of(name) == "apl":
                sent = appeals.one(rows, person, name)
                return sent["about"]["id"], sent, _place(rows, sent["about"]["turn"] or before)
            turn = appeals.subject_turn(rows, person, name)
            earlier = rows.appeal_about(person.principal, name)
            return name, appeals.document(earlier) if earlier else None, _place(rows, turn or before)

        about, sent, place = self._store.read(guest.tenant, work)
        return Subject(about, self._statement(*guest, about), sent, place, came)

    def _page(
        self,
        request: Request,
        found: Subject,
        status: int = 200,
        problem: str | None = None,
        draft: Mapping[str, str] | None = None,
    ) -> Response:
        language = self._view.language(request)
        told = found.statement
        lines = told["text"][language].split("\n") if told else []
        return self._view.page(
            request,
            "appeal.html",
            status,
            here=request.url.path,
            found=found,
            what=lines[0] if lines else None,
            ground=told["ground"]["text"][language] if told else None,
            rules=_rules(told, language) if told else (),
            facts=told["facts"][language] if told else "",
            until=told["redress"]["until"] if told else None,
            contact=told["redress"]["contact"] if told else None,
            said=found.appeal["acknowledgement"][language] if found.appeal else None,
            problem=problem,
            draft=draft or {"text": "", "contact": ""},
            text_limit=TEXT_CHARS,
            contact_limit=CONTACT_CHARS,
        )


def _rules(told: Mapping[str, Any], language: str) -> tuple[Rule, ...]:
    """The content rule, or the rules of the decision, that acted."""
    rule = told["rule"]
    if rule is not None:
        message = (rule.get("message") or {}).get(language)
        return ((None, rule["id"], message, source_of(rule["source"], "title")),)
    return rules_of(told["reasons"], language)


def _place(rows: AppealRows, turn: str | None) -> str | None:
    """The page where a turn is shown."""
    found = rows.turn(turn) if turn else None
    shown = found is not None and found.conversation is not None and found.has_text
    return f"/c/{found.conversation}?branch={turn}#{turn}" if found is not None and shown else None
