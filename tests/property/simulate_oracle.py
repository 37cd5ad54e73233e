"""A slow replay in plain Python: every single turn decided from its own facts, twice; nothing is kept or shared.

It knows neither entries nor bands, representatives, spans or processes, and compares decision documents, not the
values that `simulate` counts.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from recorded_zone import Told

from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.replay import Asked


def counted(turns: list[Told], asked: Asked) -> dict[str, Counter[Any]]:
    """Turns by state, by changed outcomes, by rule, by place and by app."""
    out: dict[str, Counter[Any]] = {
        name: Counter() for name in ("states", "outcomes", "rules", "places", "apps")
    }
    for turn in turns:
        before = decide(Facts(turn.at, turn.facts.values), asked.old.packs, asked.old.world)
        at = turn.at if asked.as_of is None else asked.as_of
        after = decide(Facts(at, turn.facts.values), asked.new.packs, asked.new.world)
        one, other = _binding(before), _binding(after)
        state = "same" if one == other else "changed"
        out["states"][state] += 1
        place = turn.facts.values.get("residence") or turn.facts.values.get("address_country")
        out["places"][place, state] += 1
        out["apps"][turn.facts.values.get("app"), state] += 1
        if state == "changed":
            out["outcomes"][before.outcome, after.outcome] += 1
            rules = {row[0] for row in one["rows"] ^ other["rows"]}
            out["rules"].update(rules)
    return out


def _binding(decision: Decision) -> dict[str, Any]:
    """What binds somebody: outcome, scope, reasons and duties by rule, what is asked for, open providers."""
    document = decision.to_dict()
    rows = {(one["rule_id"], "reason", one["code"], one["effect"]) for one in document["reasons"]}
    for duty in document["obligations"]:
        duty.pop("deadline", None)
        rows.add((duty["rule_id"], "duty", json.dumps(duty, sort_keys=True, default=str)))
    permitted = {name: sorted(ways) for name, ways in decision.permitted.items()} if decision.allowed else {}
    return {
        "rows": frozenset(rows),
        "plain": [document[name] for name in ("outcome", "scope", "step_up", "not_ready")],
        "permitted": permitted,
    }
