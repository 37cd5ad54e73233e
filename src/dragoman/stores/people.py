"""People and codes in the zone's database: the port `core.people.PeopleStore`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa

from dragoman.core.accounts import Change
from dragoman.core.people import Challenge, Declared, PeopleRows, Person, Phone, Sent, Verified
from dragoman.ids import now_ms
from dragoman.stores.acts import enter, publish
from dragoman.stores.database import Database
from dragoman.stores.people_tables import codes_sent, people, phone_codes
from dragoman.stores.prepared import Prepared
from dragoman.stores.tenancy import (
    prepared_add_up,
    prepared_insert,
    prepared_put,
    prepared_select,
    prepared_update,
    rows_of,
)
from dragoman.stores.turns import leaving

T = TypeVar("T")

_PHONE = ("regions", "kind", "stands_for", "prefix", "country")
_DECLARED = ("residence", "residence_subdivision", "birth_date", "least_age")
_PLAIN_CHANGED = ("proved_at", "recovery", "sessions_from", "corrected_on", "corrections")
_PLAIN = ("created_at", *_PLAIN_CHANGED)

_CODE = phone_codes.alias("code")
_CHALLENGE = prepared_select(phone_codes, phone_codes.c.challenge == sa.bindparam("challenge"))
_CHALLENGES = prepared_select(
    phone_codes,
    phone_codes.c.phone == sa.bindparam("phone"),
    order=phone_codes.c.created_at.desc(),
    limit=sa.bindparam("most"),
)
_BESIDE = Prepared(
    sa.select(phone_codes)
    .where(
        phone_codes.c.tenant == sa.bindparam("tenant"),
        phone_codes.c.phone
        == sa.select(_CODE.c.phone)
        .where(_CODE.c.tenant == sa.bindparam("tenant"), _CODE.c.challenge == sa.bindparam("challenge"))
        .scalar_subquery(),
    )
    .order_by(phone_codes.c.created_at.desc())
    .limit(sa.bindparam("most"))
)
_ADD_CHALLENGE = prepared_insert(phone_codes)
_PERSON = prepared_select(people, people.c.person == sa.bindparam("person"))
_KNOWN = Prepared(sa.select(people).where(people.c.person == sa.bindparam("person")))
_PERSON_OF = prepared_select(people, people.c.phone == sa.bindparam("phone"))
_PUT_PERSON = prepared_put(
    people,
    ("person",),
    ("phone", *_PHONE, *_DECLARED, *_PLAIN_CHANGED, "verified"),
)


@cache
def _of(country: str) -> sa.Select[Any]:
    """How many people a country's law counts. Made once each."""
    # One number may be of several countries: "US,CA".
    by_phone = (sa.literal(",") + people.c.regions + ",").contains(f",{country},", autoescape=True)
    return sa.select(sa.func.count()).where(sa.or_(people.c.residence == country, by_phone))


@cache
def _sent(many: int) -> Prepared:
    """The rows of so many windows: budgets `b0`, `b1`, windows `w0`, `w1` and so on. Made once each."""
    # By each column apart, which finds a few more: of pairs the database looks through all windows there are.
    named: dict[str, list[Any]] = {one: [sa.bindparam(f"{one}{n}") for n in range(many)] for one in "bw"}
    found = (codes_sent.c.budget.in_(named["b"]), codes_sent.c.window.in_(named["w"]))
    return prepared_select(codes_sent, *found, limit=many * many)


@cache
def _counted(many: int) -> Prepared:
    """What so many windows count more, each named as in `_sent` with its end: `e0`, `e1`. Made once each."""
    both: dict[str, Any] = {name: sa.bindparam(name) for name in ("sent", "proved")}
    named = {"budget": "b", "window": "w", "ends": "e"}
    rows = [{**both, **{name: sa.bindparam(f"{one}{n}") for name, one in named.items()}} for n in range(many)]
    return prepared_add_up(codes_sent, ("budget", "window"), ("sent", "proved"), rows)


class SqlPeopleRows:
    """A tenant's people and codes on one connection."""

    def __init__(self, connection: sa.Connection, tenant: str, zone: str) -> None:
        self._connection = connection
        self._tenant = tenant
        self._zone = zone
        self._rows = rows_of(connection, tenant)

    def challenge(self, name: str) -> Challenge | None:
        """A code by its id."""
        found = self._rows.run(_CHALLENGE, {"challenge": name})
        return _challenge(found[0]) if found else None

    def challenges(self, digest: str, most: int) -> Sequence[Challenge]:
        """Codes to a number, newest first."""
        return [_challenge(row) for row in self._rows.run(_CHALLENGES, {"phone": digest, "most": most})]

    def beside(self, name: str, most: int) -> Sequence[Challenge]:
        """A code and the others to its number, newest first; none where there is no such code."""
        return [_challenge(row) for row in self._rows.run(_BESIDE, {"challenge": name, "most": most})]

    def add_challenge(self, challenge: Challenge) -> None:
        """Keep a new code."""
        row = {
            name: getattr(challenge, name)
            for name in ("challenge", "code", "state", "attempts", "created_at", "expires_at")
        }
        self._rows.run(_ADD_CHALLENGE, {**row, **_of_phone(challenge.phone)})

    def set_challenge(self, name: str, state: str, attempts: int) -> None:
        """What became of a code."""
        update = prepared_update(phone_codes, "challenge", ("state", "attempts"))
        self._rows.run(update, {"of_row": name, "new_state": state, "new_attempts": attempts})

    def sent(self, windows: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Sent]:
        """What went in windows of budgets, by budget and window; nothing of those in which nothing did."""
        found = self._rows.run(_sent(len(windows)), _numbered("bw", windows))
        return {(row.budget, row.window): Sent(row.sent, row.proved) for row in found}

    def count(self, windows: Sequence[tuple[str, str, int]], sent: int, proved: int) -> None:
        """Add to windows of budgets: budget, window, and when it can be forgotten (ms UTC)."""
        more = {"sent": sent, "proved": proved}
        self._rows.run(_counted(len(windows)), _numbered("bwe", windows) | more)

    def person(self, name: str) -> Person | None:
        """A person by its principal."""
        found = self._rows.run(_PERSON, {"person": name})
        return _person(found[0]) if found else None

    def person_of(self, digest: str) -> Person | None:
        """The person whose number has this digest."""
        found = self._rows.run(_PERSON_OF, {"phone": digest})
        return _person(found[0]) if found else None

    def put_person(self, person: Person) -> None:
        """Keep a person, new or changed."""
        row = {name: getattr(person, name) for name in ("person", *_PLAIN)}
        said = {name: getattr(person.declared, name) for name in _DECLARED}
        shown = json.dumps([asdict(one) for one in person.verified]) if person.verified else None
        self._rows.run(_PUT_PERSON, {**row, **said, **_of_phone(person.phone), "verified": shown})

    def leaving(self, person: str) -> str | None:
        """Why a person may not go on here: `being_erased`, `being_moved`; None where it may."""
        return leaving(self._rows, person)

    def enter(self, entry: Mapping[str, Any]) -> None:
        """Have an act entered in control's log."""
        enter(self._connection, self._zone, self._tenant, {"kind": "action", **entry}, now_ms())

    def changed(self, person: str) -> None:
        """Tell relays to forget who this is."""
        publish(self._connection, Change((f"principal:{person}",), "drop"), now_ms())


class SqlPeople:
    """The zone's people."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def submit(self, tenant: str, work: Callable[[PeopleRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlPeopleRows(c, tenant, self._zone)))

    def read(self, tenant: str, work: Callable[[PeopleRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
        return self._database.read(lambda c: work(SqlPeopleRows(c, tenant, self._zone)))

    def known(self, person: str) -> Person | None:
        """A person of whatever tenant; the row says whose it is."""
        found = self._database.read(lambda c: _KNOWN.run(c, {"person": person}))
        return _person(found[0]) if found else None

    def registered(self, countries: Sequence[str]) -> Mapping[str, int]:
        """How many people of whatever tenant each country's law counts: by residence, or by their phone."""
        return self._database.read(lambda c: {one: c.execute(_of(one)).scalar_one() for one in countries})

    def forget(self, now: int, most: int) -> int:
        """Remove codes and windows that are over, a step of them; how many."""
        return self._database.write(lambda c: _forget(c, now, most))


KEPT_MS = 2 * 86_400_000
"""LIMIT: milliseconds that codes and windows are kept: no bound looks further back than a day."""


def _forget(connection: sa.Connection, now: int, most: int) -> int:
    gone = 0
    for table, key, over in (
        (phone_codes, phone_codes.c.challenge, phone_codes.c.created_at < now - KEPT_MS),
        (codes_sent, codes_sent.c.ends, codes_sent.c.ends < now - KEPT_MS),
    ):
        due = sa.select(key).where(over).limit(most)
        gone += connection.execute(sa.delete(table).where(over, key.in_(due))).rowcount
    return gone


def _numbered(letters: str, rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """The columns of rows as parameters: a letter each, and the row's number."""
    return {f"{one}{n}": value for n, row in enumerate(rows) for one, value in zip(letters, row, strict=True)}


def _of_phone(phone: Phone | None) -> dict[str, Any]:
    if phone is None:
        return dict.fromkeys(("phone", *_PHONE))
    kept = {name: getattr(phone, name) for name in _PHONE}
    return {"phone": phone.digest, **kept, "regions": ",".join(phone.regions)}


def _phone(row: Any) -> Phone:
    found = {name: getattr(row, name) for name in _PHONE}
    return Phone(row.phone, **{**found, "regions": tuple(row.regions.split(","))})


def _challenge(row: Any) -> Challenge:
    return Challenge(
        row.challenge, _phone(row), row.code, row.state, row.attempts, row.created_at, row.expires_at
    )


def _person(row: Any) -> Person:
    return Person(
        tenant=row.tenant,
        person=row.person,
        phone=None if row.phone is None else _phone(row),
        declared=Declared(*(getattr(row, name) for name in _DECLARED)),
        verified=tuple(Verified(**one) for one in json.loads(row.verified or "[]")),
        **{name: getattr(row, name) for name in _PLAIN},
    )
