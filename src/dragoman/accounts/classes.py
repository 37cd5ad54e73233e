"""Classes: an opaque digest of a person's facts, so that a new person shares plans.

INVARIANT: equal facts, equal class; other facts, another class. No name, number or address is a fact here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from dragoman.accounts.pepper import Pepper
from dragoman.accounts.user_tokens import UserClaims
from dragoman.canonical import canonical
from dragoman.core.accounts import AccountStore
from dragoman.core.people import Declared, Person, Verified

LAST_DAY = dt.timedelta(hours=12)
"""How far the last time zone is behind UTC."""
DAY_MS = 86_400_000
IDENTITY = ("real_name", "residence", "age")
"""What evidence may show of who somebody is, as `identity.verified` names it."""
GUARDIAN, GUARDIAN_METHOD = "guardian", "review"
"""A guardian's consent, which somebody looked at."""
CLASSES_CACHED = 50_000
"""LIMIT: classes kept in memory (each a few hundred bytes)."""


def facts_of_key(end_users: str) -> dict[str, Any]:
    """The facts of a key that speaks for the tenant's own staff."""
    return {"end_users": end_users, "account": "established"}


def facts_of_user(claims: UserClaims) -> dict[str, Any]:
    """The facts a tenant declares of its user."""
    facts: dict[str, Any] = {"end_users": "declared", "account": "established"}
    if claims.residence is not None:
        facts["residence"] = claims.residence
    if claims.age is not None:
        facts.update(age=claims.age, age_source="declared")
    return facts


def facts_of_person(person: Person, now: int) -> dict[str, Any]:
    """The facts of whoever signed up, as of an instant (ms UTC): what was proved, what was declared."""
    facts: dict[str, Any] = {"end_users": "placed", "account": "new", "person": True}
    known, shown = counted(person, now), proved(person, now)
    for name in ("residence", "residence_subdivision"):
        value = getattr(known, name)
        if value is not None:
            facts[name] = value
    age = age_of(known, now)
    if age is not None:
        facts.update(age=age, age_source="verified" if "age" in shown else "declared")
    verified = [] if person.phone is None else ["phone"]
    if person.phone is not None:
        facts.update(phone=person.phone.stands_for, phone_verified=True, phone_kind=person.phone.kind)
    verified += [name for name in IDENTITY if name in shown]
    if verified:
        facts["identity"] = {"verified": verified}
    if "residence" in shown:
        facts["account"] = "established"
    if GUARDIAN in shown:
        facts["guardian_consent"] = {"given": True, "method": GUARDIAN_METHOD}
    return facts


def proved(person: Person, now: int) -> dict[str, Verified]:
    """What evidence showed of a person and still holds at an instant (ms UTC), by fact."""
    return {one.fact: one for one in person.verified if now < over_at(one)}


def over_at(one: Verified) -> int:
    """The instant (ms UTC) at which what was verified holds no more: the end of its last day."""
    day = dt.datetime.fromisoformat(f"{one.until}T00:00:00+00:00")
    return int(day.timestamp() * 1000) + DAY_MS


def counted(person: Person, now: int) -> Declared:
    """Residence and age as they count: what evidence showed, else what the person says.

    INVARIANT: that something verified is over makes nobody older and puts nobody elsewhere. A residence ends:
    then the person's word counts where it is the same, and else none does. An age stays, as no more than a
    word: who was born on a day, or had reached an age, still was and had.
    """
    said, shown = person.declared, proved(person, now)
    once = {one.fact: one for one in person.verified}
    home, age = once.get("residence"), once.get("age")
    if home is not None:
        if "residence" in shown:
            said = replace(said, residence=home.country, residence_subdivision=home.subdivision)
        elif said.residence != home.country:
            said = replace(said, residence=None, residence_subdivision=None)
        elif home.subdivision not in {None, said.residence_subdivision}:
            said = replace(said, residence_subdivision=None)
    if age is not None:
        said = replace(said, birth_date=age.birth_date, least_age=age.least_age)
    return said


def age_of(declared: Declared, now: int) -> int | None:
    """Years of age, at the least, as of an instant (ms UTC) and the place on earth where the day begins last.

    So nobody is taken for older than they are; born on 29 February: older on 1 March.
    """
    if declared.birth_date is None:
        return declared.least_age
    born = dt.date.fromisoformat(declared.birth_date)
    today = (dt.datetime.fromtimestamp(now / 1000, dt.UTC) - LAST_DAY).date()
    return max(0, today.year - born.year - ((today.month, today.day) < (born.month, born.day)))


def facts_of_guest() -> dict[str, Any]:
    """The facts of a guest of the pages: nothing is known."""
    return {"end_users": "none", "account": "new", "guest": True}


class Classes:
    """Facts to class and back; kept durably, so that a restarted control still knows what relays hold."""

    def __init__(self, store: AccountStore, pepper: Pepper) -> None:
        self._store = store
        self._pepper = pepper
        self._known: dict[str, Mapping[str, Any]] = {}
        self._pending: dict[str, Future[None]] = {}

    def of(self, facts: Mapping[str, Any], now: int) -> str:
        """The class of these facts."""
        raw = self._pepper.digest("class", canonical(dict(facts)).decode())
        klass = "c_" + raw[:16].hex()
        if klass not in self._known:
            self._pending[klass] = self._store.add_class(klass, facts, now)
            self._keep(klass, facts)
        return klass

    def pending(self, klass: str) -> Future[None] | None:
        """The write that keeps a new class; await it before the class is told to anyone."""
        future = self._pending.get(klass)
        if future is not None and future.done() and future.exception() is None:
            del self._pending[klass]
            return None
        return future

    def facts(self, klass: str) -> Mapping[str, Any] | None:
        """The facts behind a class, or None for one never made here."""
        found = self._known.get(klass)
        if found is None:
            found = self._store.class_facts(klass)
            if found is not None:
                self._keep(klass, found)
        return found

    def _keep(self, klass: str, facts: Mapping[str, Any]) -> None:
        if len(self._known) >= CLASSES_CACHED:
            self._known.clear()
        self._known[klass] = dict(facts)
