"""By when an appeal has to be answered: the earlier of what the operator promised and what the law asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.control.loaded import read_all
from dragoman.control.rule_check import compile_rules
from dragoman.policy.clocks import DAY_MS, STATED, Clock, complaint_clock, due

NOW = 1_795_694_400_000  # 2026-11-26
BEFORE = 1_771_200_000_000  # 2026-02-16, before India's rule


def clock(tmp_path: Path, markets: str, now: int = NOW) -> Clock | None:
    file = tmp_path / "dragoman.toml"
    file.write_text(f'[deployment]\nmarkets = {markets}\n[zone]\ndata = "d"\n', encoding="utf-8")
    one = read_all(file, compile_rules)
    return complaint_clock(one.settings, one.packs, one.world, now)


def test_the_law_of_the_markets_sets_the_clock(tmp_path: Path) -> None:
    found = clock(tmp_path, '["IN", "SG"]')
    assert found is not None
    assert (found.days, found.rule_id) == (7, "in.grievance")
    assert found.citation is not None
    assert clock(tmp_path, '["SG"]') is None, "no time is invented"
    assert clock(tmp_path, "[]") == found, "without markets every place counts"
    assert clock(tmp_path, '["IN"]', BEFORE) is None, "not before its day"


@pytest.mark.parametrize(
    ("promised", "law", "wanted"),
    [
        (None, None, None),
        (14 * DAY_MS, None, (14 * DAY_MS, STATED)),
        (None, 7, (7 * DAY_MS, "in.grievance")),
        (14 * DAY_MS, 7, (7 * DAY_MS, "in.grievance")),
        (6 * DAY_MS, 7, (6 * DAY_MS, STATED)),
    ],
)
def test_the_earlier_of_promise_and_law(
    promised: int | None, law: int | None, wanted: tuple[int, str] | None
) -> None:
    found = due(0, promised, None if law is None else Clock(law, "in.grievance", None))
    assert (None if found is None else (found.at, found.rule)) == wanted
