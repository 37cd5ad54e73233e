"""The clocks that law sets for complaints: by when an objection has to be answered, by which rule.

Pure: the caller says what time it is. That one has come is acknowledged at once, before any clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.core.decision import BINDING, Citation
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet
from dragoman.decide.world import World
from dragoman.settings import Settings

DAY_MS = 86_400_000
STATED = "deployment.appeal_answer_days"
"""Who asks for a time that the operator itself promised."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Within how many days a complaint is to be resolved, and where that stands."""

    days: int
    rule_id: str
    citation: Citation | None


@dataclass(frozen=True, slots=True)
class Due:
    """By when an appeal has to be answered (ms UTC), and by which rule or setting."""

    at: int
    rule: str
    citation: Citation | None


def complaint_clock(settings: Settings, packs: PackSet, world: World, now: int) -> Clock | None:
    """The shortest time in the law of the markets; of every place with a pack where none is stated."""
    markets = settings.deployment.markets or sorted(packs.by_country)
    facts = Facts.parse({"as_of": now, "event": "complaint", "offered_markets": list(markets)})
    found = []
    for one in decide(facts, packs, world).obligations:
        days = one.parameters.get("resolve_days")
        if one.kind == "complaint_channel" and one.enforcement in BINDING and days is not None:
            rule = packs.rule(one.rule_id)
            found.append(Clock(int(days), one.rule_id, rule.reasons["oblige"].citation if rule else None))
    return min(found, key=lambda one: (one.days, one.rule_id), default=None)


def due(at: int, promised: int | None, clock: Clock | None) -> Due | None:
    """By when what came at an instant is to be answered: the earlier of promise and law, if there is one."""
    by_law = None if clock is None else Due(at + clock.days * DAY_MS, clock.rule_id, clock.citation)
    stated = None if promised is None else Due(promised, STATED, None)
    both = [one for one in (stated, by_law) if one is not None]
    return min(both, key=lambda one: one.at, default=None)
