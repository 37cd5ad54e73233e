"""A few kills under stored turns; `kill_turns.py` runs a thousand of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from kill_turns import run_zone


@pytest.mark.parametrize("role", ["relay", "control"])
def test_killed_under_load_no_turn_is_lost(tmp_path: Path, role: str) -> None:
    assert run_zone(tmp_path, role, 2, seed=1)["acknowledged"] > 0
