"""Every golden case of the shipped packs, one test a file: there are thousands, and most take less than a millisecond."""

from __future__ import annotations

from collections import defaultdict

import pytest

from dragoman.decide.cases import Case, run_case
from dragoman.decide.engine import decide
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.world import World

PACKS = load_packs()
WORLD = World.from_packs(PACKS)
BASELINE = baseline_document()
BY_FILE: dict[str, list[Case]] = defaultdict(list)
for one in PACKS.cases:
    BY_FILE[one.where.partition(":")[0].rpartition("/")[2]].append(one)


@pytest.mark.parametrize("file", BY_FILE)
def test_cases(file: str) -> None:
    wrong = {
        f"{case.where} ({case.name})": said
        for case in BY_FILE[file]
        if (said := run_case(case, BASELINE, lambda facts: decide(facts, PACKS, WORLD)))
    }
    assert wrong == {}
