"""A disk that refuses, at every place of a turn's three messages: nothing acknowledged is lost, nothing half is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("turns_faults.py")


def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["failed"] > 50, "the control: it did fail"
    assert told["done"] > 50
    assert set(told["steps"]) == {"create", "open", "closing", "finished"}, "at every step"
