"""Classes: an opaque digest of a person's facts, so that a new person shares plans.

INVARIANT: equal facts, equal class; other facts, another class. No name, number or address is a fact here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from dragoman.accounts.pepper import Pepper
from dragoman.accounts.user_tokens import UserClaims
from dragoman.canonical import canonical
from dragoman.core.accounts import AccountStore
from dragoman.core.people import Declared, Person

LAST_DAY = dt.timedelta(hours=12)
"""How far the last time zone is behind UTC."""
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
    declared = person.declared
    for name in ("residence", "residence_subdivision"):
        value = getattr(declared, name)
        if value is not None:
            facts[name] = value
    age = age_of(declared, now)
    if age is not None:
        facts.update(age=age, age_source="declared")
    if person.phone is not None:
        facts.update(phone=person.phone.stands_for, phone_verified=True, phone_kind=person.phone.kind)
        facts["identity"] = {"verified": ["phone"]}
    return facts


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
