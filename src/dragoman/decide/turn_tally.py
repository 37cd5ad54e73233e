"""Turns counted by what they come to under changed packs. Tallies of parts add up to that of the whole.

Filled by `simulate` in each of its processes and added in the order of the record, so that the same record
gives the same report whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.decide.changes import Difference
from dragoman.decide.replay import CHANGED, STATES, Replayed

EXAMPLES = 3
"""LIMIT: examples kept of each thing that is counted."""
GROUPS_MOST = 2_000
"""LIMIT: rows of one table; what comes later is counted under `OTHERS`."""
OTHERS = "…"


@dataclass(slots=True)
class Count:
    """Turns and decisions, and the first few: `{decision, turn}`."""

    turns: int = 0
    decisions: int = 0
    examples: list[dict[str, str | None]] = field(default_factory=list)

    def add(self, turns: int, decisions: int, examples: list[dict[str, str | None]]) -> None:
        """More of the same."""
        self.turns += turns
        self.decisions += decisions
        self.examples += examples[: EXAMPLES - len(self.examples)]

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"turns": self.turns, "decisions": self.decisions, "examples": self.examples}


Key = tuple[Any, ...]
Table = dict[Key, Count]


@dataclass(slots=True)
class TurnTally:
    """Tables by name. Of `places` and `apps` the keys are (name, state), else what the report says."""

    tables: dict[str, Table] = field(default_factory=dict)

    def take(self, name: str, one: Replayed) -> None:
        """One span of a recorded decision."""
        verdict = one.verdict
        of = (one.turns, 1, [{"decision": name, "turn": one.turn}])
        self.put("states", (verdict.state,), of)
        self.put("places", (one.place, verdict.state), of)
        self.put("apps", (one.app, verdict.state), of)
        for fact in verdict.unread:
            self.put("unread", (fact,), of)
        if verdict.before is not None and one.recorded not in (None, verdict.before):
            self.put("recorded_otherwise", (one.recorded, verdict.before), of)
        if verdict.state == CHANGED and verdict.change is not None:
            self.put("outcomes", (verdict.change.before, verdict.change.after), of)
            self._differences(verdict.change.differences, of)
        elif verdict.why:
            self.put(verdict.state, (verdict.why,), of)

    def _differences(self, found: tuple[Difference, ...], of: tuple[int, int, Any]) -> None:
        for one in found:
            self.put("differences", (one,), of)
        rules = dict.fromkeys(one.rule_id for one in found if one.rule_id is not None)
        for rule in rules:
            self.put("rules", (rule,), of)
        for pack in dict.fromkeys(rule.partition(".")[0] for rule in rules):
            self.put("packs", (pack,), of)

    def put(self, table: str, key: Key, of: tuple[int, int, list[dict[str, str | None]]]) -> None:
        """Count under a key of a table."""
        rows = self.tables.setdefault(table, {})
        count = rows.get(key)
        if count is None:
            if len(rows) >= GROUPS_MOST:
                key = (OTHERS, *key[1:])
            count = rows.setdefault(key, Count())
        count.add(*of)

    def add(self, other: TurnTally) -> None:
        """Everything that another tally counted, later in the record."""
        for name, rows in other.tables.items():
            for key, count in rows.items():
                self.put(name, key, (count.turns, count.decisions, count.examples))

    def of(self, table: str) -> Mapping[Key, Count]:
        """A table, empty where nothing was counted."""
        return self.tables.get(table, {})

    def turns(self, *states: str) -> int:
        """Turns that came to any of these states, all without one."""
        return sum(
            count.turns for (state,), count in self.of("states").items() if state in (states or STATES)
        )
