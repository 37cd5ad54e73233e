"""Signing up on `pages.sock`, for programs: JSON over what `control.signup_desk` does.

What is not sent as JSON is refused here: a form of another site cannot send that, so that no page logs its
reader in as somebody else. The forms of our own pages have routes of the same paths (`web.signup`), so that
the relay counts them alike; those look where a form comes from.
"""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route

from dragoman.accounts import codes, placement, sessions, texts
from dragoman.accounts.placement import Address
from dragoman.accounts.signup import Opened
from dragoman.assistants.conversations import Person as Asker
from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.control.signup_desk import FIELDS, SignupDesk
from dragoman.control.v1_request import (
    NO_STORE,
    Endpoint,
    answered,
    json_object,
    locale,
    raw_body,
    refusing,
)
from dragoman.core.people import Challenge, Person
from dragoman.web.signup import is_form


class _ForPrograms(Route):
    """A route that leaves a page's form to the page's route of the same path."""

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, MutableMapping[str, Any]]:
        """As any route; no match where a page's form comes."""
        found = super().matches(scope)
        return (Match.NONE, {}) if found[0] is not Match.NONE and is_form(Request(scope)) else found


class SignupRoutes:
    """The routes, over the desk."""

    def __init__(self, desk: SignupDesk, *, secure: bool) -> None:
        self._desk = desk
        self._secure = secure

    def routes(self) -> list[BaseRoute]:
        """Control's `/v1` table of signing up."""
        shared: list[tuple[str, Endpoint]] = [
            ("/v1/signup/phone", refusing(self.phone)),
            ("/v1/signup/verify", refusing(self.verify)),
        ]
        table: list[tuple[str, str, Endpoint]] = [
            ("GET", "/v1/me/placement", answered(self.placement, None)),
            ("PUT", "/v1/me/placement", answered(self.correct, None)),
            ("DELETE", "/v1/me/sessions", answered(self.end_sessions, None)),
        ]
        return [
            *(_ForPrograms(path, endpoint, methods=["POST"]) for path, endpoint in shared),
            *(Route(path, endpoint, methods=[method]) for method, path, endpoint in table),
        ]

    async def phone(self, request: Request) -> Response:
        """Have a code sent to a phone; the same answer whoever's number it is."""
        text = (await _document(request, {"phone"})).get("phone")
        key = request.headers.get("idempotency-key")
        made = await self._desk.ask(text if isinstance(text, str) else "", key, locale(request))
        return JSONResponse(_challenge(made), 202, NO_STORE)

    async def verify(self, request: Request) -> Response:
        """Give a code back: the person it opens, with a session; somebody new gets a recovery code, once."""
        given = await _document(request, set(FIELDS))
        address, holder = self._address(request), request.headers.get("dragoman-principal")
        return self._welcome(await self._desk.give_back(given, holder, address), address)

    def _welcome(self, opened: Opened, address: Address) -> Response:
        shown = {
            "object": "person",
            "id": opened.person.person,
            "created": opened.recovery is not None,
            "recovery_code": opened.recovery,
            "placement": self._desk.placement(opened.person, address),
        }
        answer = JSONResponse(shown, 200, NO_STORE)
        answer.set_cookie(
            SESSION_COOKIE,
            self._desk.cookie(opened.person),
            max_age=sessions.SESSION_MS // 1000,
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )
        return answer

    async def placement(self, request: Request, asker: Asker) -> Response:
        """Where the caller is taken to be, why, what speaks against it and what is not known."""
        person = await run_in_threadpool(self._known, asker)
        return JSONResponse(self._desk.placement(person, self._address(request)), headers=NO_STORE)

    async def correct(self, request: Request, asker: Asker) -> Response:
        """Take what the caller declares in place of what it did before; what is left out is unknown again."""
        given = await _document(request, set(placement.FIELDS))
        person = await self._desk.correct(asker.tenant, asker.principal, given)
        return JSONResponse(self._desk.placement(person, self._address(request)), headers=NO_STORE)

    async def end_sessions(self, _request: Request, asker: Asker) -> Response:
        """End every session of the caller, this one too."""
        await self._desk.end_sessions(asker.tenant, asker.principal)
        answer = Response(status_code=204, headers=NO_STORE)
        answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax", secure=self._secure)
        return answer

    def _known(self, asker: Asker) -> Person:
        found = self._desk.known(asker.tenant, asker.principal)
        if found is None:
            raise texts.refused("not_a_person")
        return found

    def _address(self, request: Request) -> Address:
        return self._desk.address(json.loads(request.headers.get("dragoman-address") or "{}"))


async def _document(request: Request, known: set[str]) -> dict[str, Any]:
    """The JSON object of a request, which holds known fields alone. Raises RefusedError 400."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise texts.invalid("content-type", "application/json", "须为 application/json")
    given = json_object(await raw_body(request))
    if strange := sorted(set(given) - known):
        raise texts.invalid(strange[0][:64], "not a field of this request", "不是此请求的字段")
    return given


def _challenge(made: Challenge) -> dict[str, Any]:
    """What whoever asked for a code is told. Times are seconds UTC."""
    return {
        "object": "signup.challenge",
        "id": made.challenge,
        "code_digits": codes.CODE_DIGITS,
        "attempts": codes.ATTEMPTS,
        "expires_at": made.expires_at // 1000,
        "resend_at": (made.created_at + codes.RESEND_MS) // 1000,
    }
