"""People who signed up, the codes that phones were sent, the port through which they are kept. No I/O here.

INVARIANT: no number is kept, only a keyed digest of it, the countries it can belong to and its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Phone:
    """What is kept of a number: keyed digest (hex), countries it can belong to (ISO 3166-1), kind.

    `stands_for` is a number or prefix of nobody's that can belong to the same countries, or to more.
    `prefix` and `country` name the budgets that its codes count in.
    """

    digest: str
    regions: tuple[str, ...]
    kind: str
    stands_for: str
    prefix: str
    country: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """A code on its way: `code` is a keyed digest. `state`: open, used or void; times are ms UTC."""

    challenge: str
    phone: Phone
    code: str
    state: str
    attempts: int
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Declared:
    """What a person says of itself: residence (ISO 3166-1, 3166-2), a birth date or a least age in years."""

    residence: str | None = None
    residence_subdivision: str | None = None
    birth_date: str | None = None
    least_age: int | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What evidence showed of a person: `fact` is residence, age, real_name or guardian.

    It holds through its day `until` (YYYY-MM-DD, UTC). `evidence` is the id of what was handed in. A
    residence has a country (ISO 3166-1) and maybe a part of it (3166-2), an age a birth date or a least age
    in years.
    """

    fact: str
    until: str
    evidence: str
    country: str | None = None
    subdivision: str | None = None
    birth_date: str | None = None
    least_age: int | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A verified person. `phone` is None where the number went to somebody else. Times are ms UTC.

    `recovery` is a keyed digest of a code that was shown once; sessions made before `sessions_from` are over.
    `corrections` of the day `corrected_on` (days since the epoch) are those of its own words. `verified`:
    what evidence showed, one of each fact, over or not.
    """

    tenant: str
    person: str
    phone: Phone | None
    proved_at: int
    declared: Declared
    recovery: str
    created_at: int
    sessions_from: int
    corrected_on: int = 0
    corrections: int = 0
    verified: tuple[Verified, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """Codes of a budget in one window: how many went, how many were given back."""

    sent: int
    proved: int


NONE_SENT = Sent(0, 0)


class PeopleRows(Protocol):
    """A tenant's people and codes, inside one transaction."""

    def challenge(self, name: str) -> Challenge | None:
        """A code by its id."""

    def challenges(self, digest: str, most: int) -> Sequence[Challenge]:
        """Codes to a number, newest first."""

    def beside(self, name: str, most: int) -> Sequence[Challenge]:
        """A code and the others to its number, newest first; none where there is no such code."""

    def add_challenge(self, challenge: Challenge) -> None:
        """Keep a new code."""

    def set_challenge(self, name: str, state: str, attempts: int) -> None:
        """What became of a code."""

    def sent(self, windows: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Sent]:
        """What went in windows of budgets, by budget and window; nothing of those in which nothing did."""

    def count(self, windows: Sequence[tuple[str, str, int]], sent: int, proved: int) -> None:
        """Add to windows of budgets: budget, window, and when it can be forgotten (ms UTC)."""

    def person(self, name: str) -> Person | None:
        """A person by its principal."""

    def person_of(self, digest: str) -> Person | None:
        """The person whose number has this digest."""

    def put_person(self, person: Person) -> None:
        """Keep a person, new or changed."""

    def leaving(self, person: str) -> str | None:
        """Why a person may not go on here: `being_erased`, `being_moved`; None where it may."""

    def enter(self, entry: Mapping[str, Any]) -> None:
        """Have an act entered in control's log."""

    def changed(self, person: str) -> None:
        """Tell relays to forget who this is."""


class PeopleStore(Protocol):
    """Where people are kept."""

    def submit(self, tenant: str, work: Callable[[PeopleRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""

    def read(self, tenant: str, work: Callable[[PeopleRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""

    def known(self, person: str) -> Person | None:
        """A person of whatever tenant; the row says whose it is."""

    def registered(self, countries: Sequence[str]) -> Mapping[str, int]:
        """How many people of whatever tenant each country's law counts: by residence, or by their phone."""

    def forget(self, now: int, most: int) -> int:
        """Remove codes and windows that are over, a step of them; how many."""
