"""What the presets of "asking as" come to: as written by hand from the law, and docs/presets.md says the same."""

from __future__ import annotations

import copy
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from test_docs_site import _tool

sys.path.append(str(Path(__file__).parents[1] / "golden"))
from preset_cells import GOLDEN, effects, expected

presets = _tool("presets")
INSTALLS = tuple(presets.INSTALLS)
WRITTEN = [
    (install, preset, model)
    for install in INSTALLS
    for preset, both in GOLDEN[install].items()
    for model in both["models"]
]
Cells = dict[tuple[str, str, str], Any]


@pytest.fixture(scope="module")
def cells() -> Cells:
    """What the program comes to, by install, preset and model."""
    return {
        (install, preset.id, model): cell
        for install in INSTALLS
        for preset, model, cell in presets.cells(install)
    }


def differing(cell: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Members of a cell that are not as expected, as (found, expected)."""
    return {name: (cell[name], value) for name, value in wanted.items() if cell[name] != value}


def test_every_preset_is_there_with_every_model(cells: Cells) -> None:
    assert len(cells) == 72
    assert sorted(cells) == sorted(WRITTEN)


@pytest.mark.parametrize(("install", "preset", "model"), WRITTEN)
def test_a_cell_is_as_written_by_hand(cells: Cells, install: str, preset: str, model: str) -> None:
    cell = cells[install, preset, model]
    assert differing(asdict(cell), expected(install, preset, model)) == {}
    assert {rule: cell.effects[rule] for rule in cell.refused_by} == effects(install, preset, model)
    for rule, reason in cell.reasons.items():
        if reason.citation is not None:
            assert [reason.citation.source, reason.citation.article] == GOLDEN["sources"][rule]
    assert set(cell.refused_by) | set(cell.due) | set(cell.standing) <= {
        "operator.label_always",
        *GOLDEN["sources"],
    }


def test_a_wrong_program_and_a_wrong_expectation_are_noticed(cells: Cells) -> None:
    """Negative control."""
    wanted = expected("ready", "shanghai", "local")
    found = asdict(cells["ready", "shanghai", "local"])
    for name, value in (
        ("outcome", "ALLOW"),
        ("shown", ["cn.label.text"]),
        ("due", []),
        ("carried", "shown"),
    ):
        assert list(differing({**found, name: value}, wanted)) == [name]
    other = copy.deepcopy(wanted)
    other["refused_by"]["cn.gate.icp"] = ["CN_GATE_ICP"]
    assert "refused_by" in differing(found, other)


def test_the_page_is_as_it_would_be_made() -> None:
    assert presets.PAGE.read_text(encoding="utf-8") == presets.page(), "run: python tools/presets.py"
