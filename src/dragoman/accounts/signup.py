"""Signing up by phone: a code is asked for, sent, given back; what it opens is a person.

Every function runs inside one transaction, so that of two who give the same code back one wins. What
whoever asks for a code is answered does not depend on whether the number is known: nothing here looks before.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from dragoman.accounts import codes, texts
from dragoman.accounts.codes import DAY_MS, HOUR_MS
from dragoman.core.people import NONE_SENT, Challenge, Declared, PeopleRows, Person, Phone
from dragoman.errors import RefusedError

EARLIER = 64
"""LIMIT: codes of one number that are looked at; no more are made while they are kept."""
RECOVERY_BITS = 128
"""LIMIT: random bits of a recovery code."""

OfLaw = Callable[[Phone], RefusedError | None]
"""Why nobody new of this phone is taken; None where somebody is. Pure."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many codes may go where, as `[sms]` has it (docs/settings.md)."""

    country_per_hour: int
    country_per_day: int
    prefix_per_hour: int
    prefix_per_day: int
    breaker_unproven: int
    breaker_percent: int
    second_proof_days: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What comes back with a code: its id, its digest, and about the person.

    `holder`: the principal of the session it came with. `recovery`: digest of the recovery code beside it.
    `anew`: a number that belonged to somebody else begins a new account.
    """

    challenge: str
    code: str
    declared: Declared
    holder: str | None = None
    recovery: str | None = None
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a budget: its name, its length in ms, how many codes it takes."""

    budget: str
    name: str
    span: int
    most: int


@dataclass(frozen=True, slots=True)
class Newcomer:
    """What a new person would be made of: its principal, and the digest of its recovery code."""

    tenant: str
    person: str
    recovery: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Whom a code opened. `recovery`: of somebody new its recovery code, told this once; else None."""

    person: Person
    recovery: str | None


def ask(rows: PeopleRows, challenge: Challenge, bounds: Bounds) -> tuple[Challenge, bool]:
    """Keep a code that is to be sent, and whether it is; the one kept before under its id is not sent again.

    Raises RefusedError 429 where the number has had enough codes, 503 where its country or prefix has, or
    where the one kept before could not be sent.
    """
    phone, now = challenge.phone, challenge.created_at
    kept = rows.challenges(phone.digest, EARLIER)
    held = _named(challenge.challenge, kept)
    if held is not None:
        if held.state == codes.VOID:
            raise texts.wait("code_unsent", codes.RESEND_MS)
        return held, False
    wait = codes.wait_ms(_lately(kept, now), now)
    if wait > 0:
        raise texts.wait("too_many_codes", wait)
    windows = _windows(phone, bounds, now)
    _check_budgets(rows, phone, windows, bounds, now)
    _count(rows, windows, now, sent=1, proved=0)
    rows.add_challenge(challenge)
    return challenge, True


def unsent(rows: PeopleRows, name: str) -> None:
    """A code that no gateway took. What it was counted for stays counted: somebody may have been paid."""
    held = rows.challenge(name)
    if held is not None and held.state == codes.OPEN:
        rows.set_challenge(name, codes.VOID, held.attempts)


def prove(  # noqa: PLR0913, PLR0917 - all that a proof is weighed by
    rows: PeopleRows, proof: Proof, newcomer: Newcomer, of_law: OfLaw, bounds: Bounds, now: int
) -> tuple[Person, bool] | RefusedError:
    """Whom a code opens, and whether that is somebody new; or why not, which is given and not raised.

    `of_law` is asked of somebody new alone, whose number was proved. An attempt counts whatever comes of it,
    so its transaction has to stand.
    """
    kept = rows.beside(proof.challenge, EARLIER)
    held = _named(proof.challenge, kept)
    if held is None:
        return texts.refused("code_not_accepted")
    after, opens = codes.tried(held, _lately(kept, now), hmac.compare_digest(held.code, proof.code), now)
    owner = rows.person_of(held.phone.digest) if opens else None
    if owner is not None and not proof.anew and not _is_owner(owner, proof, bounds, now):
        # The code was right and stays good: it may come again with the second proof.
        rows.set_challenge(held.challenge, codes.OPEN, after.attempts)
        return texts.refused("second_proof_needed" if proof.recovery is None else "second_proof_wrong")
    if owner is not None and rows.leaving(owner.person) == "being_moved":
        # What is being moved has to stay as it was taken: no new session, and the number stays its owner's.
        rows.set_challenge(held.challenge, codes.OPEN, after.attempts)
        return texts.refused("being_moved")
    if after != held:
        rows.set_challenge(held.challenge, after.state, after.attempts)
    if not opens:
        return texts.refused("code_not_accepted")
    made = held.created_at
    _count(rows, _windows(held.phone, bounds, made), made, sent=0, proved=1)
    if owner is not None and (not proof.anew or _is_fresh(owner, bounds, now)):
        person = replace(owner, proved_at=now)
        rows.put_person(person)
        return person, False
    refusal = of_law(held.phone)
    return refusal if refusal is not None else _taken_in(rows, owner, held.phone, proof, newcomer, now)


def _taken_in(  # noqa: PLR0913, PLR0917 - what somebody new is made of
    rows: PeopleRows, owner: Person | None, phone: Phone, proof: Proof, newcomer: Newcomer, now: int
) -> tuple[Person, bool]:
    if owner is not None:
        rows.put_person(replace(owner, phone=None))
        rows.changed(owner.person)
        rows.enter({"act": "person.phone_gone"})
    person = Person(
        tenant=newcomer.tenant,
        person=newcomer.person,
        phone=phone,
        proved_at=now,
        declared=proof.declared,
        recovery=newcomer.recovery,
        created_at=now,
        sessions_from=now,
    )
    rows.put_person(person)
    rows.enter({"act": "person.signup"})
    return person, True


def _named(name: str, kept: Iterable[Challenge]) -> Challenge | None:
    return next((one for one in kept if one.challenge == name), None)


def _lately(kept: Iterable[Challenge], now: int) -> list[Challenge]:
    """Those of the last 24 hours."""
    return [one for one in kept if one.created_at > now - DAY_MS]


def _is_fresh(owner: Person, bounds: Bounds, now: int) -> bool:
    """Whether the number was its owner's so lately that it cannot have gone to somebody else."""
    return now - owner.proved_at < bounds.second_proof_days * DAY_MS


def _is_owner(owner: Person, proof: Proof, bounds: Bounds, now: int) -> bool:
    """Whether whoever holds the number is its owner: lately so, or by session or recovery code besides."""
    if _is_fresh(owner, bounds, now) or proof.holder == owner.person:
        return True
    return proof.recovery is not None and hmac.compare_digest(proof.recovery, owner.recovery)


def _windows(phone: Phone, bounds: Bounds, at: int) -> list[Window]:
    """The windows that a code of an instant counts in."""
    return [
        Window(budget, f"{unit}{at // span}", span, most)
        for budget, hour, day in (
            (f"country:{phone.country}", bounds.country_per_hour, bounds.country_per_day),
            (f"prefix:{phone.prefix}", bounds.prefix_per_hour, bounds.prefix_per_day),
        )
        for unit, span, most in (("h", HOUR_MS, hour), ("d", DAY_MS, day))
    ]


def _count(rows: PeopleRows, windows: Iterable[Window], at: int, sent: int, proved: int) -> None:
    rows.count([(one.budget, one.name, (at // one.span + 1) * one.span) for one in windows], sent, proved)


def _check_budgets(
    rows: PeopleRows, phone: Phone, windows: Sequence[Window], bounds: Bounds, now: int
) -> None:
    """Raise RefusedError 503 where a budget is used up, or codes of a prefix look asked for their price."""
    prefix, hour = f"prefix:{phone.prefix}", now // HOUR_MS
    lately = [(prefix, f"h{hour}"), (prefix, f"h{hour - 1}")]
    found = rows.sent([*((one.budget, one.name) for one in windows), lately[1]])
    for one in windows:
        if found.get((one.budget, one.name), NONE_SENT).sent >= one.most:
            raise texts.wait("codes_used_up", one.span - now % one.span)
    hours = [found.get(one, NONE_SENT) for one in lately]
    if codes.is_pumped(hours, bounds.breaker_unproven, bounds.breaker_percent):
        raise texts.wait("codes_paused", HOUR_MS - now % HOUR_MS)
