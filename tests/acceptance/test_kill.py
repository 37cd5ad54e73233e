"""A few kills of the relay under load; `kill_relay.py` runs a thousand."""

from __future__ import annotations

from pathlib import Path

from kill_relay import run_zone


def test_a_killed_relay_loses_no_acknowledged_turn(tmp_path: Path) -> None:
    assert run_zone(tmp_path, 6, seed=1) > 0
