"""What lies ahead: the dates at which rules begin or end, and what each changes for people of given places.

For pages and their API. Pure: the time is given. A change is the difference of two decisions, just before the
instant and at it, so that it can be nothing else than what will be decided.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dragoman.core.decision import QUIET, Decision
from dragoman.core.facts import EVENTS, Facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet
from dragoman.decide.rules import Rule
from dragoman.decide.world import World

STEPS = 200
"""LIMIT: instants looked at for one place and event."""
ALWAYS = ("turn", "signup", "deploy")
"""Events at which each instant is looked at; a rule of other events adds the first of its own."""
ALLOWED = "ALLOW"
BEGINS, ENDS, BINDS_OLDER = "begins", "ends", "binds_older"


@dataclass(frozen=True, slots=True)
class Turn:
    """A rule that begins, ends, or binds systems that were there before. `day`: its civil date, ISO 8601."""

    rule: Rule
    change: str
    day: str


@dataclass(frozen=True, slots=True)
class Change:
    """What is decided otherwise, at which events and where. Codes: of refusals and warnings."""

    places: tuple[str, ...]
    events: tuple[str, ...]
    before: str
    after: str
    codes_begin: tuple[str, ...]
    codes_end: tuple[str, ...]
    duties_begin: tuple[tuple[str, str], ...]
    """Kind and rule of duties that bind from then on; `duties_end` of those that no longer do."""
    duties_end: tuple[tuple[str, str], ...]
    lacks: tuple[str, ...]
    """What the operator then lacks, as `not_ready` names it; `asks`: what a person is then asked for."""
    asks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Date:
    """One instant (ms UTC) with the rules that turn there and what it changes; never both are empty."""

    at: int
    turns: tuple[Turn, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """A duty that is listed already and does not bind yet."""

    place: str
    kind: str
    rule_id: str
    binding_from: str | None


class Ahead:
    """Decisions for some places over time, each made once. `people`: facts by place."""

    def __init__(self, packs: PackSet, world: World, people: Mapping[str, Facts]) -> None:
        self._packs = packs
        self._world = world
        self._people = people
        self._made: defaultdict[tuple[str, str], dict[int, Decision]] = defaultdict(dict)

    def decided(self, place: str, event: str, at: int) -> Decision:
        """The decision for a place at an event and instant: one made before, while that one holds."""
        made = self._made[place, event]
        earlier = max((one for one in made if one <= at), default=None)
        if earlier is not None:
            holds = made[earlier].holds_until
            if holds is None or at < holds:
                return made[earlier]
        facts = self._people[place].replaced({"event": event, "as_of": at})
        made[at] = decide(facts, self._packs, self._world)
        return made[at]

    def in_play(self, now: int) -> frozenset[str]:
        """The packs that decide for any of the places."""
        found = (self.decided(place, event, now).packs for place in self._people for event in ALWAYS)
        return frozenset(pack for packs in found for pack in packs)

    def dates(self, now: int, until: int, packs: Iterable[str]) -> list[Date]:
        """What turns after `now` and not after `until` (ms UTC), in order of time."""
        turns = self._turns(now, until, frozenset(packs))
        instants = {*turns, *self._holding(now, until)}
        made = (Date(at, tuple(turns[at]), tuple(self._changes(at, turns[at]))) for at in sorted(instants))
        return [one for one in made if one.turns or one.changes]

    def advice(self, now: int) -> list[Advice]:
        """Duties of the places that are listed ahead of their day."""
        found = {
            Advice(place, duty.kind, duty.rule_id, duty.binding_from)
            for place in self._people
            for event in EVENTS
            for duty in self.decided(place, event, now).obligations
            if duty.binding_from is not None
        }
        return sorted(found, key=lambda one: (one.binding_from or "", one.rule_id, one.place, one.kind))

    def _turns(self, now: int, until: int, packs: frozenset[str]) -> defaultdict[int, list[Turn]]:
        found: defaultdict[int, list[Turn]] = defaultdict(list)
        for pack in self._packs.packs.values():
            for rule in pack.rules if pack.id in packs else ():
                for at, turn in turns_of(rule, _last_day(pack.document, rule)):
                    if now < at <= until:
                        found[at].append(turn)
        return found

    def _holding(self, now: int, until: int) -> Iterator[int]:
        """Instants at which a decision says that something dated changes, evidence and lists among it."""
        for place in self._people:
            for event in ALWAYS:
                at = now
                for _ in range(STEPS):
                    holds = self.decided(place, event, at).holds_until
                    if holds is None or holds > until:
                        break
                    yield holds
                    at = holds

    def _changes(self, at: int, turns: Iterable[Turn]) -> Iterator[Change]:
        """Equal ones are told together: every market is in play for whoever asks."""
        own = {_first_event(turn.rule) for turn in turns}
        found: defaultdict[Change, list[tuple[str, str]]] = defaultdict(list)
        for place in self._people:
            for event in dict.fromkeys((*ALWAYS, *sorted(own))):
                change = _change(self.decided(place, event, at - 1), self.decided(place, event, at))
                if change is not None:
                    found[change].append((place, event))
        for change, where in found.items():
            of_events = defaultdict(list)
            for place, event in where:
                of_events[event].append(place)
            of_places = defaultdict(list)
            for event, places in of_events.items():
                of_places[tuple(places)].append(event)
            for places_, events in of_places.items():
                yield replace(change, places=places_, events=tuple(events))


def turns_of(rule: Rule, last_day: str) -> Iterator[tuple[int, Turn]]:
    """The instants at which a rule begins, ends, and binds older systems."""
    if rule.starts_on is not None:
        yield rule.starts, Turn(rule, BEGINS, rule.starts_on)
    if rule.ends is not None:
        yield rule.ends, Turn(rule, ENDS, last_day)
    if rule.grandfathered_on is not None:
        yield rule.grandfathered_until, Turn(rule, BINDS_OLDER, rule.grandfathered_on)


def _last_day(document: Mapping[str, Any], rule: Rule) -> str:
    row = next(row for row in document["rules"] if row["rule_id"] == rule.rule_id)
    return str(row.get("effective_to", ""))


def _first_event(rule: Rule) -> str:
    return next((event for event in EVENTS if event in rule.condition.events), EVENTS[0])


def _change(before: Decision, after: Decision) -> Change | None:
    codes, duties = (_codes(before), _codes(after)), (_binding(before), _binding(after))
    lacks = tuple(sorted(set(after.not_ready) - set(before.not_ready)))
    asks = tuple(sorted(set(after.step_up) - set(before.step_up)))
    kept_out = not before.outcome.startswith(ALLOWED) or not after.outcome.startswith(ALLOWED)
    is_other = (
        kept_out and before.outcome != after.outcome
    )  # what is only listed ahead makes ALLOW_WITH of ALLOW
    if not (is_other or codes[0] != codes[1] or duties[0] != duties[1] or lacks):
        return None
    return Change(
        (), (), before.outcome, after.outcome,
        tuple(sorted(codes[1] - codes[0])), tuple(sorted(codes[0] - codes[1])),
        tuple(sorted(duties[1] - duties[0])), tuple(sorted(duties[0] - duties[1])), lacks, asks,
    )  # fmt: skip


def _codes(decision: Decision) -> frozenset[str]:
    told = {
        reason.code for reason in decision.reasons if reason.effect not in QUIET or reason.effect == "warn"
    }
    return frozenset(told)


def _binding(decision: Decision) -> frozenset[tuple[str, str]]:
    return frozenset((one.kind, one.rule_id) for one in decision.obligations if one.binding_from is None)
