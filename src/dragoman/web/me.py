"""The page `/me`: what is known of whoever reads it and from what, to be corrected; evidence; what is kept.

Plain forms. Whoever did not sign up reads what is known of a guest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dragoman.accounts import evidence
from dragoman.accounts.placement import CORRECTIONS_PER_DAY, DAY_MS, Address
from dragoman.assistants.conversations import Person as Asker
from dragoman.core.decision import QUIET
from dragoman.core.people import Person
from dragoman.errors import RefusedError, UnavailableError
from dragoman.policy.data_classes import declared
from dragoman.web import view
from dragoman.web.answer import rules_of
from dragoman.web.desk import Desk, Hearing
from dragoman.web.entry import residence_named
from dragoman.web.forms import FormError
from dragoman.web.guest import Guest
from dragoman.web.placement import country_named
from dragoman.web.signup import answered, declared_by, residences, status_of, told_by_field, typed
from dragoman.web.site import Site

DONE = frozenset({"corrected", "evidence_sent", "out_done"})
"""What the page may say was done."""
LEAVING = frozenset({"being_moved", "being_erased"})
"""Codes of the refusal of whoever may not go on here."""
FIELDS = ("residence", "birth_date", "least_age")
KEPT = ("conversation", "index", "feedback", "notice", "appeal", "intervention", "decision", "record")
"""Classes of data that are kept of whoever asks, besides what is known of them (policy/data_classes.toml)."""
KEPT_OF = {True: ("profile", "evidence", *KEPT), False: ("guest", *KEPT)}
"""The same of who signed up, of a guest."""


class Signal(NamedTuple):
    """Something known of a reader: of what, its value, by what and since when."""

    name: str
    value: str | None
    why: str


class MePages:
    """The page and its forms, over the desk and where evidence is handed in."""

    def __init__(self, site: Site, desk: Desk, hearing: Hearing) -> None:
        self._site = site
        self._view = site.view
        self._desk = desk
        self._hearing = hearing

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/me", self.show, methods=["GET"]),
            Route("/me/placement", self.correct, methods=["POST"]),
            Route("/me/evidence", self.hand_in, methods=["POST"]),
            Route("/me/sign-out", self.sign_out, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """What is known of whoever reads it."""
        return await self._page(request)

    async def correct(self, request: Request) -> Response:
        """Take what a person says of itself in place of what it said before."""
        try:
            form = await self._site.form(request)
        except FormError as fault:
            return self._view.error(request, fault.status)
        guest = await self._site.guest(request)
        if guest is None:
            return self._site.back("/me")
        try:
            await self._desk.correct(*guest, declared_by(form))
        except (RefusedError, UnavailableError) as fault:
            return await self._page(request, fault, draft={name: typed(form, name) for name in FIELDS})
        return self._site.back("/me?done=corrected#correct")

    async def hand_in(self, request: Request) -> Response:
        """Take evidence, a text or a file."""
        guest = await self._site.guest(request)
        if not self._site.is_own(request):
            return self._view.error(request, HTTPStatus.FORBIDDEN)
        if guest is None:
            return self._site.back("/me")
        try:
            await self._hearing.taken(request, Asker(*guest), self._view.language(request))
        except (RefusedError, UnavailableError) as fault:
            return await self._page(request, fault)
        return self._site.back("/me?done=evidence_sent#evidence")

    async def sign_out(self, request: Request) -> Response:
        """End every session of the reader, this one too."""
        try:
            await self._site.form(request)
        except FormError as fault:
            return self._view.error(request, fault.status)
        guest = await self._site.guest(request)
        if guest is not None:
            try:
                await self._desk.end_sessions(*guest)
            except RefusedError as fault:
                if fault.code not in LEAVING:
                    return await self._page(request, fault)
                # Its row stays as it is, but no session of it opens anything: this browser's goes.
                return self._site.without_session(self._site.back("/me"))
            except UnavailableError as fault:
                return await self._page(request, fault)
        return self._site.without_session(self._site.back("/me?done=out_done"))

    async def _page(
        self,
        request: Request,
        fault: RefusedError | UnavailableError | None = None,
        draft: Mapping[str, str] | None = None,
    ) -> Response:
        guest = await self._site.guest(request)
        person = await run_in_threadpool(self._desk.known, *guest) if guest else None
        address = self._desk.address(view.address_facts(request))
        language = self._view.language(request)
        t = self._view.texts(request)
        if person is None:
            values = await self._of_guest(request, guest, address)
        else:
            values = await self._of_person(request, person, address)
        done = request.query_params.get("done", "")
        values |= {
            "done": f"me_{done}" if done in DONE and (person is None) == (done == "out_done") else None,
            "problems": {} if fault is None else told_by_field(fault, t),
            "kept": list(self._kept(language, t, signed_up=person is not None)),
            "is_open": self._desk.is_open(),
            **residences(self._site.context, language),
            **await self._site.stated(request, guest),
        }
        if draft is not None:
            values["draft"] = draft
        page = self._view.page(request, "me.html", status_of(fault), here="/me", **values)
        return answered(page, fault)

    async def _of_guest(self, request: Request, guest: Guest | None, address: Address) -> dict[str, Any]:
        """What is known of somebody who did not sign up: the address, and what it stated."""
        context, language, t = self._site.context, self._view.language(request), self._view.texts(request)
        stated = (await self._site.stated(request, guest))["stated"]
        home = None if stated.residence is None else country_named(stated.residence, language)
        age = None if stated.age is None else t["stated_age"].format(age=stated.age)
        found: dict[str, list[str]] = {}
        for country, by in ((stated.residence, "residence"), (address.country, "address")):
            if country is not None:
                found.setdefault(country, []).append(by)
        return {
            "person": None,
            "signals": [
                Signal("residence", home, t["me_by_guest" if home else "me_by_none"]),
                Signal("age", age, t["me_by_guest" if age else "me_by_none"]),
                Signal("phone", None, t["me_by_none"]),
                _of_address(address, language, t),
            ],
            "in_play": _in_play(
                [{"country": one, "by": by} for one, by in sorted(found.items())], language, t
            ),
            "pretends": guest is not None and await run_in_threadpool(context.simulated, guest) is not None,
        }

    async def _of_person(self, request: Request, person: Person, address: Address) -> dict[str, Any]:
        language, t = self._view.language(request), self._view.texts(request)
        told = self._desk.placement(person, address)
        handed = await run_in_threadpool(self._hearing.listed, Asker(person.tenant, person.person))
        said, decision = person.declared, told["decision"]
        return {
            "person": person.person,
            "since": _day(person.created_at),
            "signals": list(self._signals(person, told, address, language, t)),
            "in_play": _in_play(told["in_play"], language, t),
            "contradictions": [(one["text"][language], one["asks_for"]) for one in told["contradictions"]],
            "unknown": [(one["text"][language], one["asks_for"]) for one in told["unknown"]],
            "decision": decision,
            "against": rules_of((one for one in decision["reasons"] if one["effect"] not in QUIET), language),
            "besides": rules_of((one for one in decision["reasons"] if one["effect"] in QUIET), language),
            "lifts": [one[language] for one in decision["lifted_by"]],
            "wanted": told["evidence_for"],
            "handed": [_evidence(one) for one in handed["data"]],
            "draft": {
                "residence": said.residence_subdivision or said.residence or "",
                "birth_date": said.birth_date or "",
                "least_age": "" if said.least_age is None else str(said.least_age),
            },
            "corrections": CORRECTIONS_PER_DAY,
            "kinds": evidence.KINDS,
            "bounds": {
                "days": self._site.context.kept_days().get("evidence"),
                "mib": evidence.FILE_BYTES >> 20,
                "chars": evidence.TEXT_CHARS,
                "waiting": evidence.WAITING_EACH,
                "day": evidence.A_DAY,
            },
        }

    def _signals(
        self, person: Person, told: Mapping[str, Any], address: Address, language: str, t: Mapping[str, str]
    ) -> Iterator[Signal]:
        """Each thing that is known of a person, by what it is and since when."""
        entry = self._site.context.entry
        home, age, phone = told["residence"], told["age"], told["phone"]
        place = home["subdivision"] or home["country"]
        where = None if place is None else residence_named(place, entry.parts() if entry else {}, language)
        said_at = _day(person.corrected_on * DAY_MS if person.corrected_on else person.created_at)
        yield Signal("residence", where, _known(home, said_at, t))
        least = None if age["least"] is None else t["me_at_least"].format(n=age["least"])
        if age["birth_date"] is not None:
            least = t["me_born"].format(n=age["least"], day=age["birth_date"])
        yield Signal("age", least, _known(age, said_at, t))
        if phone is None:
            yield Signal("phone", None, t["me_by_none"])
        else:
            countries = t["me_or"].join(country_named(one, language) for one in phone["countries"])
            kind = t[f"me_kind_{phone['kind']}"]
            yield Signal("phone", countries, t["me_by_code"].format(at=_day(person.proved_at), kind=kind))
        yield _of_address(address, language, t)
        for one in told["verified"]:
            if one["fact"] in {"real_name", "guardian"}:
                shown = t[f"me_shown_{one['fact']}"]
                yield Signal(one["fact"], shown, t["me_by_verified"].format(until=one["until"]))

    def _kept(self, language: str, t: Mapping[str, str], *, signed_up: bool) -> Iterator[tuple[str, str]]:
        """What is kept of the reader, and how long: by the declared table and the periods in force."""
        table, days = declared(), self._site.context.kept_days()
        for name in KEPT_OF[signed_up]:
            by = table.kept[name]
            if by in days and days[by] is not None:
                key = "me_kept_session" if by == "guests" else "me_kept_days"
                yield table.titles[name][language], t[key].format(n=days[by])
            else:
                key = "me_kept_operator" if by == "operator" else "me_kept_open"
                yield table.titles[name][language], t[key]


def _known(one: Mapping[str, Any], said_at: str, t: Mapping[str, str]) -> str:
    if one["known_by"] == "verified":
        return t["me_by_verified"].format(until=one["until"])
    return t["me_by_declared"].format(at=said_at) if one["known_by"] else t["me_by_none"]


def _of_address(address: Address, language: str, t: Mapping[str, str]) -> Signal:
    place = None if address.country is None else country_named(address.country, language)
    why = t["me_by_address"].format(kind=t[f"address_{address.kind}"])
    return Signal("address", place, why + t["gap"] + t["me_shows" if address.shows_place else "me_shows_not"])


def _in_play(given: Iterable[Mapping[str, Any]], language: str, t: Mapping[str, str]) -> list[str]:
    return [
        t["me_in_play_of"].format(
            country=country_named(one["country"], language),
            by=t["me_and"].join(t[f"me_sig_{by}"] for by in one["by"]),
        )
        for one in given
    ]


def _evidence(one: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence as the page lists it."""
    return {
        "kind": one["kind"],
        "state": one["state"],
        "at": _day(one["created_at"] * 1000),
        "text": one["text"],
        "file": None if one["file"] is None else one["file"]["name"],
        "verified": one["verified"],
        "reason": one["reason"],
    }


def _day(at: int) -> str:
    """The day of an instant (ms UTC)."""
    return f"{dt.datetime.fromtimestamp(at / 1000, dt.UTC):%Y-%m-%d}"
