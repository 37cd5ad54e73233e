"""What the operator has to hold for people of a place: each rule that asks for evidence, and what answers it.

For pages. Pure: asks what the rules themselves ask (`checks.check_of`), once as things stand and once as if
nothing were held, so that it can say nothing else than a decision would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from dragoman.core.facts import EVENTS, Facts
from dragoman.decide import checks
from dragoman.decide.context import Context
from dragoman.decide.packs import PackSet
from dragoman.decide.places import find_places
from dragoman.decide.rules import ABSENT, ADVISORY, Rule
from dragoman.decide.weigh import Tally
from dragoman.decide.world import World

FACTS = ("data_locations.", "operator.", "retention.")
"""What an entry of `not_ready` begins with that names a fact the operator states, and no evidence."""


@dataclass(frozen=True, slots=True)
class Held:
    """Evidence that answers a rule. `expires`: its last day."""

    name: str
    number: str | None
    expires: date | None


@dataclass(frozen=True, slots=True)
class Need:
    """A rule that asks for evidence: `wanted`, any of `a|b`, and what answers it; `held` None: it is missing.

    `from_day`: where the rule does not bind yet, the day from which it does.
    """

    rule: Rule
    wanted: str
    held: Held | None
    from_day: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of which any one will do."""
        return tuple(self.wanted.split("|"))


class _Asking(Context):
    """A context in which nothing is held; it notes what was asked for."""

    __slots__ = ("asked",)
    asked: list[str]

    def holds_any(self, names: Iterable[str]) -> bool:
        self.asked += names
        return False


def needs(facts: Facts, packs: PackSet, world: World) -> list[Need]:
    """What rules in play ask for at any event, by rule and evidence, each once."""
    found: dict[tuple[str, str], Need] = {}
    for event in EVENTS:
        told = facts.replaced({"event": event})
        context = Context(told, world.deployment, (), packs.capabilities)
        places = find_places(context, packs, Tally())
        context.countries = places.countries
        for pack in places.packs:
            for rule in (one for one in packs.packs[pack].rules if event in one.condition.events):
                for need in _of_rule(rule, told, packs, world, context):
                    found.setdefault((rule.rule_id, need.wanted), need)
    return sorted(found.values(), key=lambda one: (one.rule.pack, one.wanted, one.rule.rule_id))


def _of_rule(rule: Rule, facts: Facts, packs: PackSet, world: World, places: Context) -> Iterator[Need]:
    context = Context(facts, world.deployment, (), packs.capabilities)
    asking = _Asking(facts, world.deployment, (), packs.capabilities)
    asking.asked = []
    for one in (context, asking):
        one.civil, one.countries, one.phone_regions = rule.civil, places.countries, places.phone_regions
    phase = rule.phase(context)
    if phase == ABSENT or rule.condition.test(context) is False:
        return
    check = checks.check_of(rule)
    wanted = None if check is None else check(rule, asking)
    if check is None or wanted is None or not wanted.evidence:
        return
    missing = check(rule, context)
    lacked = missing.evidence if missing is not None else ()
    for entry in wanted.evidence:
        if not entry.startswith(FACTS):
            held = None if entry in lacked else _held(context, asking.asked)
            yield Need(rule, entry, held, _from_day(rule, context) if phase == ADVISORY else None)


def _from_day(rule: Rule, context: Context) -> str | None:
    return rule.starts_on if context.as_of < rule.starts else rule.grandfathered_on


def _held(context: Context, asked: list[str]) -> Held | None:
    """The evidence that answers, the one that lasts longest first."""
    answers = [name for name in asked if context.holds(name)]
    records = [(name, context.get(f"operator.evidence.{name}")) for name in answers]
    best = max(records, key=lambda one: one[1].expires or date.max, default=None)
    return None if best is None else Held(best[0], best[1].number, best[1].expires)
