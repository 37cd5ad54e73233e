"""What one pack says at an event, for a stretch of time in which none of its dates falls.

Built once from the pack's rules and used by `engine` for every decision in that stretch: rules of other
events and dates are gone, conditions have the event settled, and duties that ask nothing of the facts stand
ready together. Never reads a clock: `Schedule` is asked for a moment.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dragoman.decide.conditions import Test, compile_condition
from dragoman.decide.context import Context
from dragoman.decide.judge import Act, act_of, outright
from dragoman.decide.rules import ABSENT, BINDING, GRANDFATHERED, PLACED, Rule
from dragoman.decide.weigh import Findings, Tally

FOREVER = 2**63 - 1
"""The `until` of what no date ends."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rules under one condition that come to the same findings whatever else is known."""

    test: Test
    findings: Findings
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roster:
    """The rules of a pack in [`since`, `until`) at one event, ms UTC.

    All moments lie after 0. `always` holds of everybody, `groups` of those who meet their condition; `acts`
    look further for themselves. `reminders` are settled over all packs.
    """

    since: int
    until: int
    always: Findings
    groups: tuple[Group, ...]
    acts: tuple[Act, ...]
    reminders: tuple[tuple[Rule, Test | None], ...]


@dataclass(slots=True)
class Schedule:
    """The rosters of a pack at one event, made when first asked for; `moments` (ms UTC) divide them."""

    event: str
    rules: tuple[Rule, ...]
    moments: tuple[int, ...]
    _made: dict[int, Roster] = field(default_factory=dict)

    @staticmethod
    def of(rules: Iterable[Rule], event: str) -> Schedule:
        """The schedule of those rules that can hold at the event."""
        here = tuple(rule for rule in rules if event in rule.condition.events)
        return Schedule(event, here, tuple(sorted({moment for rule in here for moment in rule.instants()})))

    def at(self, now: int) -> Roster:
        """The roster in force at `now`, ms UTC."""
        place = bisect_right(self.moments, now)
        roster = self._made.get(place)
        if roster is None:
            roster = self._made[place] = self._make(place)
        return roster

    def _make(self, place: int) -> Roster:
        since = self.moments[place - 1] if place else 0
        until = self.moments[place] if place < len(self.moments) else FOREVER
        always = Findings()
        alike: dict[str, Group] = {}
        acts: list[Act] = []
        reminders: list[tuple[Rule, Test | None]] = []
        for rule in self.rules:
            phase = rule.phase_at(since)
            if phase == ABSENT:
                continue
            tree = at_event(rule.trees[0], self.event)
            if tree is False:
                continue
            test = None if tree is True else compile_condition(tree, rule.rule_id).test
            if rule.kind == "reminder" and rule.on_missing != "warn":
                reminders.append((rule, test))
                continue
            found = None if phase == PLACED else outright(rule, self.event, phase)
            if found == Findings():
                continue
            if found is None:
                acts.append(_act(rule, self.event, phase, test))
            elif test is None:
                always = always.joined(found)
            else:
                group = alike.get(repr(tree), Group(test, Findings(), ()))
                alike[repr(tree)] = Group(test, group.findings.joined(found), (*group.rules, rule.rule_id))
        return Roster(since, until, always, tuple(alike.values()), tuple(acts), tuple(reminders))


def _act(rule: Rule, event: str, phase: str, test: Test | None) -> Act:
    if phase != PLACED:
        return act_of(rule, event, phase, test)
    # Which of the two holds is a fact: when the operator's system was placed on the market.
    older, newer = act_of(rule, event, GRANDFATHERED, test), act_of(rule, event, BINDING, test)

    def act(context: Context, tally: Tally, standing: str) -> None:
        (older if rule.placed_earlier(context) else newer)(context, tally, standing)

    return act


def at_event(tree: Any, event: str) -> Any:
    """What is left of a tree that compiles, once the event is known: True, False, or the tree without it."""
    if tree is None:
        return True
    left: dict[str, Any] = {}
    for key, value in tree.items():
        settled, rest = _settled(key, value, event)
        if settled is False:
            return False
        if settled is None:
            left[key] = rest
    return left if left.keys() - {"known"} else True


def _settled(key: str, value: Any, event: str) -> tuple[bool | None, Any]:
    """Whether the event alone answers this part of a table, and what is left of it if not."""
    if key == "event":
        return event in ((value,) if isinstance(value, str) else value), None
    if key == "not":
        inner = at_event(value, event)
        return (not inner, None) if isinstance(inner, bool) else (None, inner)
    if key not in ("all", "any"):
        return None, value
    decisive = key == "any"
    parts = [at_event(item, event) for item in value]
    if any(part is decisive for part in parts):
        return decisive, None
    asked = [part for part in parts if not isinstance(part, bool)]
    return (None, asked) if asked else (not decisive, None)
