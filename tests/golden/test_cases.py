"""Every golden case of the shipped packs, one test each."""

from __future__ import annotations

import pytest

from dragoman.decide.cases import Case, run_case
from dragoman.decide.engine import decide
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.world import World

PACKS = load_packs()
WORLD = World.from_packs(PACKS)
BASELINE = baseline_document()


@pytest.mark.parametrize("case", PACKS.cases, ids=lambda case: f"{case.where.split('/')[-1]}-{case.name}")
def test_case(case: Case) -> None:
    assert run_case(case, BASELINE, lambda facts: decide(facts, PACKS, WORLD)) == []
