"""The whole of a decision, for one hit of each rule: outcome, reasons, duties with enforcement, citation."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from whole_cases import TABLE, hits

from dragoman.core.decision import Decision
from dragoman.decide.cases import case_facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.world import World

LEAST = 200
PACKS = load_packs()
WORLD = World.from_packs(PACKS)
LINES = [json.loads(line) for line in TABLE.read_text("utf-8").splitlines()]
HITS = hits(PACKS.cases)


def decided(line: dict[str, Any]) -> Decision:
    (case, *_) = [case for case in HITS[line["rule"]] if case.name == line["case"]]
    return decide(case_facts(case, baseline_document()), PACKS, WORLD)


def differences(line: dict[str, Any], decision: Decision) -> dict[str, Any]:
    own = [r.citation for r in decision.reasons if r.rule_id == line["rule"]]
    found = {
        "outcome": decision.outcome,
        "reasons": sorted({(r.code, r.effect) for r in decision.reasons}),
        "duties": sorted({(o.kind, o.rule_id, o.enforcement, o.standing) for o in decision.obligations}),
        "cites": [own[0].source, own[0].article, own[0].url] if own and own[0] else None,
    }
    plain = json.loads(json.dumps(found))
    return {key: (value, line[key]) for key, value in plain.items() if value != line[key]}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["rule"])
def test_the_whole_of_a_hit(line: dict[str, Any]) -> None:
    assert differences(line, decided(line)) == {}


def test_there_are_enough_and_each_says_everything() -> None:
    assert len(LINES) >= LEAST
    assert len({line["rule"] for line in LINES}) == len(LINES)
    assert all(line["reasons"] and line["cites"][0] for line in LINES)
    assert sum(bool(line["duties"]) for line in LINES) > LEAST


def test_control_a_decision_that_lacks_one_thing_differs() -> None:
    line = next(line for line in LINES if line["rule"] == "cn.companion.reminder")
    decision = decided(line)
    assert differences(line, replace(decision, outcome="ALLOW")).keys() == {"outcome"}
    assert differences(line, replace(decision, obligations=decision.obligations[1:])).keys() == {"duties"}
    others = tuple(r for r in decision.reasons if r.rule_id != line["rule"])
    assert differences(line, replace(decision, reasons=others)).keys() == {"reasons", "cites"}
    uncited = tuple(replace(r, citation=None) for r in decision.reasons)
    assert differences(line, replace(decision, reasons=uncited)).keys() == {"cites"}
