"""Which zone serves a residence, and by which rule: what the page `/start` answers.

The configuration assigns countries to zones (`[zones.NAME] countries`); the engine says what the law asks of
where data lie, and whether this zone takes anybody new of there. Nothing is stored: it decides on no person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from dragoman.control.placing import CLOSING
from dragoman.core.decision import BINDING, Reason
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet
from dragoman.decide.world import World
from dragoman.settings import Settings
from dragoman.web.answer import source_of
from dragoman.web.entry import Parts, Rule, Served

OF_PLACE = frozenset({"residency", "transfer"})
"""Kinds of rules about where data lie or go."""

AGAINST = frozenset({"deny", "not_ready", "handoff"})
"""Effects that keep somebody new out, whatever is known of them besides; a step-up can be met later."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom the page asks: configuration, packs and world.

    `is_zone` False: it stands outside all zones and knows only those that the configuration names.
    """

    settings: Settings
    packs: PackSet
    world: World
    is_zone: bool = True


def served(asked: Asked, country: str, part: str | None, now: int) -> Served:
    """The zone that serves people of a country (and a part of it) at an instant (ms UTC)."""
    facts: dict[str, Any] = {
        "as_of": now,
        "channel": "web",
        "address_kind": "unknown",
        "residence": country,
        **({"residence_subdivision": part} if part is not None else {}),
    }
    signup, transfer = (
        decide(Facts.parse({**facts, "event": event}), asked.packs, asked.world)
        for event in ("signup", "transfer")
    )
    laws = tuple(_laws((*signup.reasons, *transfer.reasons), asked.packs, now))
    world, settings = asked.world, asked.settings
    name = world.zones.get(country)
    if name is not None and not (asked.is_zone and name == world.zone):
        return Served("elsewhere", name, settings.zones[name].address, (_assigned(name, country),), laws)
    if not asked.is_zone:
        return Served("nowhere", None, None, (_unassigned(country),), laws)
    if signup.outcome in CLOSING:
        against = [one for one in signup.reasons if one.effect in AGAINST]
        return Served("refused", None, None, tuple(_rule(one, one.text) for one in against), laws)
    reason = _kept(world.zone, country) if name is None else _assigned(name, country)
    return Served("here", world.zone, settings.public_url(), (reason,), laws)


def parts_of(packs: PackSet) -> Parts:
    """The parts of countries that have a pack of their own, with their names."""
    return {code: packs.packs[names[0]].title for code, names in packs.by_subdivision.items() if names}


def _laws(reasons: Iterable[Reason], packs: PackSet, now: int) -> Iterator[Rule]:
    """What the law in force says of where data lie, each rule once; no draft and no doubtful rule."""
    known = {rule.rule_id: rule for pack in packs.packs.values() for rule in pack.rules}
    told: set[str] = set()
    for reason in reasons:
        rule = known.get(reason.rule_id)
        if rule is None or rule.kind not in OF_PLACE or reason.rule_id in told:
            continue
        told.add(reason.rule_id)
        if rule.enforcement in BINDING and rule.certainty != "?" and rule.starts <= now:
            yield _rule(reason, reason.title)


def _rule(reason: Reason, text: Any) -> Rule:
    cited = None if reason.citation is None else source_of(reason.citation.to_dict(), "source")
    return dict(text), reason.rule_id, cited


def _assigned(zone: str, country: str) -> Rule:
    said = {
        "en": f"This organisation's configuration assigns people of {country} to zone {zone}.",
        "zh": f"本机构的配置将 {country} 的用户划归 {zone} 区域。",
    }
    return said, f"zone.{zone}", (f"[zones.{zone}] countries", "", None)


def _kept(zone: str, country: str) -> Rule:
    said = {
        "en": f"This organisation's configuration assigns people of {country} to no other zone than {zone}.",
        "zh": f"本机构的配置未将 {country} 的用户划归 {zone} 以外的区域。",
    }
    return said, f"zone.{zone}", ("[zones] countries", "", None)


def _unassigned(country: str) -> Rule:
    said = {
        "en": f"This organisation's configuration assigns people of {country} to none of its zones.",
        "zh": f"本机构的配置未将 {country} 的用户划归任何区域。",
    }
    return said, "zones", ("[zones] countries", "", None)
