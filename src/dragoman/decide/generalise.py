"""Facts made impersonal, by one table: for the ledger's decision entry and for the decision's id.

Numbers become bands cut where some loaded rule changes its mind, a phone number its country; names, numbers
and texts of a person go. Two facts with the same generalisation cannot get different outcomes.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from datetime import date
from typing import Any

from dragoman.core.facts import Evidence, Facts, Owner
from dragoman.decide.context import Context
from dragoman.decide.packs import PackSet
from dragoman.decide.places import phone_regions
from dragoman.decide.world import World

DROPPED = frozenset({"agreement.version", "agreement.signed_at", "received_at", "guardian_consent.method"})
"""Facts the ledger does without: no rule reads them, or they date one person's act."""


_KEPT = frozenset({str, bool, tuple, type(None)})
"""Types of facts that enter a decision's id as they are; the others are evidence, dates and numbers."""


def generalise(facts: Facts, packs: PackSet) -> dict[str, Any]:
    """Every fact given, by path, as the ledger holds it: JSON values, nothing about one person."""
    out: dict[str, Any] = {}
    for path, value in sorted(facts.values.items()):
        if path in DROPPED:
            continue
        if isinstance(value, Evidence):
            out[path] = {"held": True, "expires": value.expires.isoformat() if value.expires else None}
        else:
            out[path] = _general(path, value, packs.cuts)
    return out


def decision_id(
    context: Context,
    paths: tuple[str, ...],
    packs: PackSet,
    world: World,
    interval: tuple[int | None, int | None],
) -> str:
    """`dec_` and 32 hex digits: equal for equal decisions, different under other packs or another world.

    SHA-256 over the facts read (`paths`, sorted; generalised, evidence numbers kept because the decision
    repeats them), the interval in which no considered date changes, the digest of the packs and the world.
    """
    read = context.values_of(paths)
    for at, value in enumerate(read):
        kind = value.__class__
        if kind in _KEPT:
            continue
        if kind is Evidence:
            read[at] = (value.number, value.expires and value.expires.isoformat())
        elif kind is date:
            read[at] = value.isoformat()
        elif paths[at] != "received_at":
            # The place among the cuts says as much as the band in words, and is found sooner.
            read[at] = bisect_right(cuts_of(paths[at], packs.cuts), value)
    if "phone" in context.read:
        read[paths.index("phone")] = context.phone_regions
    as_of = context.as_of if context.timed else None
    preimage = (2, "\0".join(paths), read, interval, as_of, context.open_facts, packs.digest, world.digest)
    return "dec_" + hashlib.sha256(repr(preimage).encode()).hexdigest()[:32]


def band(value: float, cuts: tuple[float, ...]) -> str:
    """The band of a number: `0-17`, `18+`; without cuts everything is one band."""
    at = bisect_right(cuts, value)
    low = cuts[at - 1] if at else 0
    if at == len(cuts):
        return f"{_short(low)}+"
    return f"{_short(low)}-<{_short(cuts[at])}"


def _short(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _general(path: str, value: Any, cuts: Mapping[str, tuple[float, ...]]) -> Any:
    if path == "phone":
        return list(phone_regions(value))
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return band(value, cuts_of(path, cuts))
    if isinstance(value, tuple):
        return [{"country": o.country, "percent": o.percent} if isinstance(o, Owner) else o for o in value]
    return _exact(value)


def cuts_of(path: str, cuts: Mapping[str, tuple[float, ...]]) -> tuple[float, ...]:
    """Where the bands of the fact at `path` begin."""
    # All reminders are due at the shortest interval in play, so every one's age is cut at every interval.
    if path.startswith("turn.minutes_since.") and path not in cuts:
        path = "turn.continuous_minutes"
    return cuts.get(path, ())


def _exact(value: Any) -> Any:
    if isinstance(value, Evidence):
        return {"number": value.number, "expires": value.expires.isoformat() if value.expires else None}
    if isinstance(value, date):
        return value.isoformat()
    return value
