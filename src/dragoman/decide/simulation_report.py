"""The report of a simulation as JSON values: what came out otherwise, for whom, by which rules.

Made of a tally; decides nothing. Its members are public (`docs/simulate.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dragoman.decide.compare import compare
from dragoman.decide.packs import PackSet
from dragoman.decide.replay import CHANGED, NOT_UNDERSTOOD, OPEN, STATES, Asked
from dragoman.decide.turn_tally import Count, Key, TurnTally

Report = dict[str, Any]


def report(tally: TurnTally, asked: Asked, source: str, simulated: int) -> Report:
    """The whole report, most turns first in every table. `simulated`: turns of simulated facts, left out."""
    old, new = asked.old.packs, asked.new.packs
    states = {state: tally.of("states").get((state,), Count()) for state in STATES}
    return {
        "v": 1,
        "source": source,
        "as_of": asked.as_of,
        "packs": {
            "before": old.digest,
            "after": new.digest,
            "changed": [one["pack"] for one in compare(old.packs, new.packs)],
        },
        "turns": {"all": tally.turns(), **{name: one.turns for name, one in states.items()}},
        "decisions": {name: one.decisions for name, one in states.items()},
        "simulated_left_out": simulated,
        "outcomes": _rows(tally, "outcomes", ("before", "after")),
        "by_rule": _by_rule(tally, (old, new)),
        "beside_rules": [row for row in _differences(tally) if row.pop("rule_id") is None],
        "by_pack": _rows(tally, "packs", ("pack",)),
        "by_place": _groups(tally, "places", "place"),
        "by_app": _groups(tally, "apps", "app"),
        "open": _rows(tally, OPEN, ("facts",)),
        "not_understood": _rows(tally, NOT_UNDERSTOOD, ("reason",)),
        "not_recorded": _rows(tally, "unread", ("fact",)),
        "recorded_otherwise": _rows(tally, "recorded_otherwise", ("recorded", "before")),
        "examples": {name: one.examples for name, one in states.items() if one.examples},
    }


def _sorted(table: Mapping[Key, Count]) -> Iterable[tuple[Key, Count]]:
    return sorted(table.items(), key=lambda item: (-item[1].turns, str(item[0])))


def _rows(tally: TurnTally, table: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {**dict(zip(names, key, strict=True)), **count.to_dict()} for key, count in _sorted(tally.of(table))
    ]


def _differences(tally: TurnTally) -> list[dict[str, Any]]:
    return [
        {
            "rule_id": one.rule_id,
            "of": one.of,
            "name": one.name,
            "before": one.before,
            "after": one.after,
            **count.to_dict(),
        }
        for (one,), count in _sorted(tally.of("differences"))
    ]


def _by_rule(tally: TurnTally, sides: tuple[PackSet, PackSet]) -> list[dict[str, Any]]:
    titles = {
        rule.rule_id: dict(rule.reasons["warn"].title)
        for packs in sides
        for pack in packs.packs.values()
        for rule in pack.rules
    }
    of: dict[str, list[dict[str, Any]]] = {}
    for row in _differences(tally):
        if row["rule_id"] is not None:
            of.setdefault(row.pop("rule_id"), []).append(row)
    return [
        {"rule_id": rule, "title": titles.get(str(rule)), **count.to_dict(), "differences": of[str(rule)]}
        for (rule,), count in _sorted(tally.of("rules"))
    ]


def _groups(tally: TurnTally, table: str, name: str) -> list[dict[str, Any]]:
    """Turns of each place or app by what they come to; who has most changed turns first."""
    groups: dict[Any, dict[str, Any]] = {}
    for (group, state), count in _sorted(tally.of(table)):
        row = groups.setdefault(group, {name: group, "turns": 0, **dict.fromkeys(STATES, 0), "examples": []})
        row["turns"] += count.turns
        row[str(state)] += count.turns
        if state == CHANGED:
            row["examples"] = count.examples
    return sorted(groups.values(), key=lambda row: (-row[CHANGED], -row["turns"], str(row[name])))
