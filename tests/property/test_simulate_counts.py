"""`simulate` against a plain replay of every turn, on random records and changed packs."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from recorded_zone import DAY, START, WORLD, make_record, overlay, random_facts
from simulate_oracle import counted

from dragoman.control.recorded_source import source_of
from dragoman.decide.packs import PackSet, load_packs
from dragoman.decide.replay import Asked, Side
from dragoman.decide.simulate import simulate

CASES = int(os.environ.get("DRAGOMAN_CASES", "250"))
SEEDS = [20_261_126, int(os.environ.get("DRAGOMAN_SEED", random.SystemRandom().randrange(2**32)))]

CHANGES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "nothing": (),
    "a date": (
        ("jurisdictions/cn.toml", "effective_from = 2025-09-01", "effective_from = 2026-09-01"),
        ("jurisdictions/eu.toml", "until = 2026-12-02", "until = 2027-06-01"),
    ),
    "an interval": (("jurisdictions/cn.toml", "interval_min = 120", "interval_min = 180"),),
    "a list": tuple(("providers/openai-api.toml", f'"{code}",', "") for code in ("DE", "FR", "JP", "SG")),
    "an effect": (("jurisdictions/us-ny.toml", "effective_from = 2025-11-05", "effective_from = 2027-02-01"),),
}  # fmt: skip


@pytest.fixture(scope="module")
def packs() -> PackSet:
    return load_packs()


def changed(folder: Path, name: str) -> PackSet:
    for pack, old, new in CHANGES[name]:
        where = folder / pack
        if where.exists():
            text = where.read_text("utf-8")
            assert old in text
            where.write_text(text.replace(old, new, 1), "utf-8")
        else:
            overlay(folder, pack, (old, new))
    folder.mkdir(exist_ok=True)
    return load_packs(folder)


def table(rows: list[dict[str, Any]], *names: str) -> dict[Any, int]:
    return {
        tuple(row[name] for name in names) if len(names) > 1 else row[names[0]]: row["turns"] for row in rows
    }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("as_of", [None, START + 400 * DAY])
def test_counts_are_those_of_a_plain_replay(
    change: str, as_of: int | None, seed: int, packs: PackSet, tmp_path: Path
) -> None:
    side = Side(packs, WORLD)
    turns = make_record(tmp_path / "zone", random_facts(60, seed), CASES, side, seed)
    asked = Asked(side, Side(changed(tmp_path / "next", change), WORLD), as_of)
    told = simulate(source_of(tmp_path / "zone"), asked, processes=2)
    real = counted(turns, asked)
    assert told["turns"]["all"] == len(turns), seed
    assert told["turns"]["open"] == 0, seed
    assert {k: told["turns"][k] for k in ("same", "changed")} == {
        k: real["states"][k] for k in ("same", "changed")
    }, seed
    assert table(told["outcomes"], "before", "after") == dict(real["outcomes"]), seed
    assert table(told["by_rule"], "rule_id") == dict(real["rules"]), seed
    for name, key in (("by_place", "place"), ("by_app", "app")):
        rows = {(row[key], state): row[state] for row in told[name] for state in ("same", "changed")}
        assert {k: n for k, n in rows.items() if n} == dict(real[f"{key}s"]), seed
    if change == "nothing" and as_of is None:
        assert told["turns"]["changed"] == 0
        assert told["by_rule"] == []
    if seed == SEEDS[0] and change in ("a list", "a date") and as_of is None:
        assert told["turns"]["changed"] > 0


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_number_of_processes_changes_nothing(processes: int, packs: PackSet, tmp_path: Path) -> None:
    side = Side(packs, WORLD)
    make_record(tmp_path / "zone", random_facts(40, 7), 800, side, 7)
    asked = Asked(side, side, START + 500 * DAY)
    one, other = (simulate(source_of(tmp_path / "zone"), asked, processes=count) for count in (1, processes))
    assert one == other
    assert one["turns"]["changed"] > 0
