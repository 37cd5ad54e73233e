"""A few seconds of the soak, and that its judgement finds what grows, what is missing and what is doubled."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from footprint import slope
from soak import Samples, Tally, compare, run


def test_mixed_traffic_is_recorded_answer_by_answer(tmp_path: Path) -> None:
    found = run(tmp_path, 6.0, peak_seconds=2.0, every=2.0)
    assert found["wrong"] == []
    assert found["answers"] == found["results"] > 20
    assert found["stopped"] == 0


def line(per_hour: float, spread: float) -> list[tuple[float, float]]:
    rng = random.Random(7)
    return [(t, 100 + per_hour * t / 3600 + rng.gauss(0, spread)) for t in range(0, 7200, 10)]


def test_what_grows_is_found_and_noise_is_not() -> None:
    grows, flat = slope(line(5.0, 1.0)), slope(line(0.0, 1.0))
    assert grows.low > 4 > 0
    assert flat.low < 0 < flat.high < 0.5
    samples = Samples({}, {"relay_mb": line(5.0, 1.0), "control_mb": line(0.0, 1.0)})
    _, wrong = samples.judged(7200.0)
    assert len(wrong) == 1
    assert "relay_mb grows" in wrong[0]
    with pytest.raises(ValueError, match="say nothing"):
        slope(line(0.0, 1.0)[:29])


def test_a_missing_a_doubled_and_a_foreign_result_are_found() -> None:
    tally = Tally(turns=Counter(a=1, b=1), pages=1)
    intents, results = Counter(a=1, b=1, page=1), Counter(a=1, b=1, page=1)
    assert compare(tally, intents, results) == []
    assert compare(tally, intents, results - Counter(b=1))
    assert compare(tally, intents, results + Counter(b=1))
    assert compare(tally, intents, results + Counter(c=1))
    assert compare(tally, intents + Counter(d=1), results)
