"""The page `/signup`: a phone, the code that goes to it, what somebody new says of itself; plain forms.

They are sent to the paths of the JSON routes, so that the relay counts both alike by address. No cookie comes
along there: the language is in the form's address, and who is signed in the relay says.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import unicodedata
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dragoman.accounts import codes
from dragoman.accounts.placement import Address
from dragoman.accounts.signup import Opened
from dragoman.errors import RefusedError, UnavailableError
from dragoman.web import view
from dragoman.web.answer import rules_of
from dragoman.web.context import PagesContext
from dragoman.web.desk import Desk
from dragoman.web.entry import choices, chosen, residence_named
from dragoman.web.forms import Form, FormError
from dragoman.web.site import Site

ASK, GIVE_BACK = "/v1/signup/phone", "/v1/signup/verify"
FORM = "application/x-www-form-urlencoded"
FIELD_CHARS = 256
"""LIMIT: characters of a field of a form of these pages; what is longer cannot be right."""
DECIDED = frozenset({"signup_refused", "signup_elsewhere"})
"""What the law or terms say against somebody new."""
FIELDS = ("phone", "code", "recovery_code", "residence", "birth_date", "least_age")
"""What stays in the form for a code."""
_ONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_AT = {
    **dict.fromkeys(("phone_invalid", "phone_not_accepted", "too_many_codes", "code_unsent"), "phone"),
    **dict.fromkeys(("codes_used_up", "codes_paused"), "phone"),
    **dict.fromkeys(("second_proof_needed", "second_proof_wrong"), "recovery_code"),
    "code_not_accepted": "code",
    **{name: name for name in ("code", "residence", "birth_date", "least_age", "kind", "text", "file")},
    "residence_subdivision": "residence",
}
"""Beside which field a refusal is said, by its field or its code."""
_MINUTES, _HOURS = 120, 7_200
"""Seconds from which on a wait is told in minutes, in hours."""


def is_form(request: Request) -> bool:
    """Whether it is a form of a page that a browser sends, and no program's request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == FORM and "text/html" in request.headers.get("accept", "")


class SignupPages:
    """The page and its forms, over the desk."""

    def __init__(self, site: Site, desk: Desk) -> None:
        self._site = site
        self._view = site.view
        self._desk = desk

    def routes(self) -> list[BaseRoute]:
        """The routes; those under `/v1` get the forms that the JSON routes leave to them."""
        return [
            Route("/signup", self.show, methods=["GET"]),
            Route("/signup", self.show_again, methods=["POST"]),
            Route(ASK, self.ask, methods=["POST"]),
            Route(GIVE_BACK, self.give_back, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The form for a phone, or that nobody can sign up here."""
        return await self._start(request)

    async def show_again(self, request: Request) -> Response:
        """The form for a code that was sent, in another language."""
        try:
            form = await self._site.form(request)
        except FormError as fault:
            return self._view.error(request, fault.status)
        return await self._code(request, form) or await self._start(request)

    async def ask(self, request: Request) -> Response:
        """Have a code sent; the form for it, or the one before with what is wrong."""
        try:
            form = await self._site.form(request)
        except FormError as fault:
            return self._view.error(request, fault.status)
        once = field(form, "once")
        key = once if _ONCE.fullmatch(once) else None
        try:
            made = await self._desk.ask(typed(form, "phone"), key, self._view.language(request))
        except (RefusedError, UnavailableError) as fault:
            told = told_by_field(fault, self._texts(request))
            shown = await self._code(request, form, fault, told)
            home = typed(form, "residence")
            return shown or await self._start(request, fault, told, typed(form, "phone"), home)
        return await self._code(request, {**form, "challenge": [made.challenge]}) or self._gone(request)

    async def give_back(self, request: Request) -> Response:
        """Give a code back: the recovery code of somebody new, the page of who returns, or what is wrong."""
        try:
            form = await self._site.form(request)
        except FormError as fault:
            return self._view.error(request, fault.status)
        address = self._desk.address(view.address_facts(request))
        given: dict[str, Any] = {
            "challenge": field(form, "challenge"),
            "code": "".join(typed(form, "code").split()),
            "recovery_code": typed(form, "recovery_code"),
            "new_account": field(form, "new_account") == "yes",
            **declared_by(form),
        }
        try:
            opened = await self._desk.give_back(given, request.headers.get("dragoman-principal"), address)
        except RefusedError as fault:
            if fault.code in DECIDED:
                return self._refused(request, fault)
            told = told_by_field(fault, self._texts(request))
            return await self._code(request, form, fault, told) or await self._start(request, fault, told)
        except UnavailableError as fault:
            told = told_by_field(fault, self._texts(request))
            return await self._code(request, form, fault, told) or self._gone(request)
        answer = (
            self._site.back("/me") if opened.recovery is None else self._welcome(request, opened, address)
        )
        return self._site.with_session(answer, self._desk.cookie(opened.person))

    async def _start(
        self,
        request: Request,
        fault: RefusedError | UnavailableError | None = None,
        told: Mapping[str, str] | None = None,
        phone: str = "",
        home: str = "",
    ) -> Response:
        if not self._desk.is_open():
            return self._view.page(request, "signup_closed.html", HTTPStatus.NOT_FOUND, here="/signup")
        bounds = {
            "hour": codes.CODES_PER_HOUR,
            "day": codes.CODES_PER_DAY,
            "minutes": codes.CODE_MS // 60_000,
            "attempts": codes.ATTEMPTS,
        }
        guest = await self._site.guest(request)
        known = await run_in_threadpool(self._desk.known, *guest) if guest else None
        values = {
            "problems": told or {},
            "phone": phone,
            # What `/start` was told; it is sent with the code, where it can be changed.
            "residence": home or chosen(request, self._site.context.entry),
            "bounds": bounds,
            "known": known,
            "once": fresh(),
        }
        return answered(
            self._view.page(request, "signup.html", status_of(fault), here="/signup", **values), fault
        )

    async def _code(
        self,
        request: Request,
        form: Form,
        fault: RefusedError | UnavailableError | None = None,
        told: Mapping[str, str] | None = None,
    ) -> Response | None:
        """The form for a code that was sent and its limits; None where there is no such code."""
        name = field(form, "challenge")
        sent = await run_in_threadpool(self._desk.challenge, name) if name else None
        if sent is None:
            return None
        problems = dict(told or {})
        values = {
            "sent": sent.challenge,
            "until": clock(sent.expires_at),
            "again_from": clock(sent.created_at + codes.RESEND_MS),
            "digits": codes.CODE_DIGITS,
            "attempts": codes.ATTEMPTS,
            "draft": {name: typed(form, name) for name in FIELDS},
            "anew": field(form, "new_account") == "yes",
            "second": "recovery_code" in problems or bool(field(form, "recovery_code")),
            **residences(self._site.context, self._view.language(request)),
            "problems": problems,
            "once": fresh(),
        }
        return answered(
            self._view.page(request, "signup_code.html", status_of(fault), here="/signup", **values), fault
        )

    def _welcome(self, request: Request, opened: Opened, address: Address) -> Response:
        language = self._view.language(request)
        told = self._desk.placement(opened.person, address)
        reasons = told["decision"]["reasons"] if told["decision"]["step_up"] else ()
        values = {
            "recovery": opened.recovery,
            "days": self._desk.second_proof_days(),
            "keeps": self._site.context.keeps(),
            "wanted": told["evidence_for"],
            "rules": rules_of(reasons, language),
        }
        return self._view.page(request, "signup_done.html", here="/me", **values)

    def _refused(self, request: Request, fault: RefusedError) -> Response:
        """What the law or terms say against somebody new, with sources; or where such people are taken."""
        language, told = self._view.language(request), fault.extra
        values = {
            "zone": told.get("address"),
            "rules": rules_of(told["reasons"], language),
            "lifts": [one[language] for one in told["lifted_by"]],
            "decision": told["decision"],
            "contact": self._site.context.contact(),
        }
        # Browsers send a request again that was answered by 421, and a code opens once.
        moved = fault.status == HTTPStatus.MISDIRECTED_REQUEST
        status = HTTPStatus.FORBIDDEN if moved else fault.status
        return self._view.page(request, "signup_refused.html", status, here="/signup", **values)

    def _gone(self, request: Request) -> Response:
        return self._view.error(request, HTTPStatus.SERVICE_UNAVAILABLE)

    def _texts(self, request: Request) -> Mapping[str, str]:
        return self._view.texts(request)


def field(form: Form, name: str) -> str:
    """A field of a form as it came, cut where it cannot be right."""
    return form.get(name, [""])[-1][:FIELD_CHARS]


def typed(form: Form, name: str) -> str:
    """A field that a person types: an input method may have given wide digits and signs."""
    return unicodedata.normalize("NFKC", field(form, name)).strip()[:FIELD_CHARS]


def declared_by(form: Form) -> dict[str, Any]:
    """What a form declares (`placement.FIELDS`); what was left empty is not said."""
    home, least = typed(form, "residence").upper(), typed(form, "least_age")
    return {
        "residence": home[:2] if "-" in home else home or None,
        "residence_subdivision": home if "-" in home else None,
        "birth_date": typed(form, "birth_date") or None,
        "least_age": int(least) if re.fullmatch("[0-9]{1,3}", least) else least or None,
    }


def residences(context: PagesContext, language: str) -> dict[str, Any]:
    """What a list of residences is made of."""
    parts = context.entry.parts() if context.entry else {}
    return {
        "choices": choices(language, tuple(sorted(parts))),
        "part": lambda code: residence_named(code, parts, language),
    }


def told_by_field(fault: RefusedError | UnavailableError, t: Mapping[str, str]) -> dict[str, str]:
    """What a refusal says, beside the field it is about; beside none: under `form`."""
    if isinstance(fault, UnavailableError):
        return {"form": t["error_503"]}
    at = _AT.get(fault.param or fault.code, "form")
    said = (t.get(f"signup_wrong_{at}") if fault.param else None) or fault.text[t["html_lang"][:2]]
    wait = fault.extra.get("retry_after")
    return {at: f"{said}{t['gap']}{later(wait, t)}" if wait else said}


def later(seconds: int, t: Mapping[str, str]) -> str:
    """When something can be tried again."""
    unit, span = (
        ("seconds", 1) if seconds < _MINUTES else ("minutes", 60) if seconds < _HOURS else ("hours", 3_600)
    )
    return t[f"signup_later_{unit}"].format(n=-(-seconds // span))


def answered(page: Response, fault: RefusedError | UnavailableError | None) -> Response:
    """The page, with the time after which it may be tried again."""
    wait = fault.extra.get("retry_after") if isinstance(fault, RefusedError) else None
    if wait:
        page.headers["retry-after"] = str(wait)
    return page


def status_of(fault: RefusedError | UnavailableError | None) -> int:
    """The status of the page that says what is wrong."""
    if fault is None:
        return HTTPStatus.OK
    return fault.status if isinstance(fault, RefusedError) else HTTPStatus.SERVICE_UNAVAILABLE


def clock(at: int) -> str:
    """The time of day of an instant (ms UTC)."""
    return f"{dt.datetime.fromtimestamp(at / 1000, dt.UTC):%H:%M:%S}"


def fresh() -> str:
    """A key by which a form that is sent again sends no second code."""
    return secrets.token_urlsafe(24)
