"""Cold start to first answer and idle memory: `python bench/cold_start.py`. Goals: 3 s, relay 60 MB, control 200 MB.

Starts `dragoman serve` in an empty folder, asks the offline assistant, and does so several times.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import processes
import systems

GOAL_S = 3.0
GOAL_RELAY_MB = 60.0
GOAL_CONTROL_MB = 200.0
LOCAL_MODEL = "dragoman"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    taken = [once() for _ in range(options.times)]
    seconds = [t["seconds"] for t in taken]
    relay, control = (max(t[part] for t in taken) for part in ("relay_mb", "control_mb"))
    found = {
        "seconds": seconds,
        "median_s": statistics.median(seconds),
        "relay_mb": relay,
        "control_mb": control,
        "processes": taken[-1]["processes"],
        "passed": statistics.median(seconds) <= GOAL_S
        and relay <= GOAL_RELAY_MB
        and control <= GOAL_CONTROL_MB,
    }
    print(json.dumps(found, indent=1))
    return int(not found["passed"])


def once() -> dict[str, Any]:
    """One start in a new folder: seconds to the first whole answer, and memory when quiet."""
    with tempfile.TemporaryDirectory(prefix="dragoman-cold-") as folder:
        begun = time.monotonic()
        system = systems.start_local(Path(folder), LOCAL_MODEL)
        seconds = time.monotonic() - begun
        try:
            system.tree.quiet()
            rss = system.tree.rss_mb()
            roles = {role: round(processes.rss_mb(pid), 1) for role, pid in system.roles.items()}
        finally:
            system.tree.stop()
    return {
        "seconds": round(seconds, 2),
        "relay_mb": roles["relay"],
        "control_mb": roles["control"],
        "processes": rss,
    }


if __name__ == "__main__":
    sys.exit(main())
