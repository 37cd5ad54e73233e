"""Which reports on an incident law asks for, and by when.

Pure: the caller says when the operator came to know. What a rule asks for in days is in its hours.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.core.decision import BINDING
from dragoman.core.facts import Facts
from dragoman.core.incidents import Report
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet
from dragoman.decide.world import World
from dragoman.settings import Settings

HOUR_MS = 3_600_000
KIND = "incident"


def triggers(packs: PackSet) -> list[str]:
    """What sets a clock going, by the names that the rules of the packs use."""
    rules = (rule for pack in packs.packs.values() for rule in pack.rules if rule.kind == KIND)
    return sorted({str(one.payload["trigger"]) for one in rules if "trigger" in one.payload})


def wanted(
    settings: Settings, packs: PackSet, world: World, named: Sequence[str], known_at: int
) -> tuple[Report, ...]:
    """The reports, the earliest first, by the law of the markets at that instant (ms UTC).

    Of every place with a pack where no market is stated.
    """
    markets = settings.deployment.markets or sorted(packs.by_country)
    facts = Facts.parse({"as_of": known_at, "event": "deploy", "offered_markets": list(markets)})
    found = []
    for duty in decide(facts, packs, world).obligations:
        if duty.kind != KIND or duty.parameters.get("trigger") not in named:
            continue
        authority, binding = duty.parameters.get("authority"), duty.enforcement in BINDING
        for stage in duty.parameters.get("stages") or ({"hours": duty.parameters.get("hours")},):
            hours = stage.get("hours")
            due = None if hours is None else known_at + int(hours) * HOUR_MS
            found.append((duty.rule_id, stage.get("name"), authority, due, binding))
    found.sort(key=lambda one: (one[3] is None, one[3] or 0, one[0]))
    return tuple(Report(n, *one) for n, one in enumerate(found, 1))
