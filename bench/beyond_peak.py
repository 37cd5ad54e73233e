"""Asks Dragoman for more than the processor carries: `python bench/beyond_peak.py [--seconds N]`.

Peak in a closed loop, then an open loop at 70 % of it and at multiples, refusals counted beside answers. All programs share
the machine, so the multiples are of a peak that the load's own work lowers; they say whether it sheds, not how well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import rig
import systems

MODEL = "plain"
HISTORY_BYTES = 262_144
"""A long history to be scanned: a turn costs the relay many times what asking costs the load."""
TIMES = (0.7, 1.5, 2.0, 3.0)
CONNECTIONS = 2_000
BOUND = 2.0
"""How many times the p99 of normal load an admitted stream may take."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--model", default=MODEL)
    options = parser.parse_args()
    programs = rig.build()
    with tempfile.TemporaryDirectory(prefix="dragoman-overload-") as folder:
        provider = systems.start_provider(programs, Path(folder))
        try:
            system = systems.start_dragoman(systems.Rig(programs, Path(folder), provider))
            try:
                found = measure(programs, system, options.model, options.seconds)
            finally:
                system.tree.stop()
        finally:
            provider.tree.stop()
    print(json.dumps(found))
    return int(not found["passed"])


def measure(programs: Path, system: systems.System, model: str, seconds: float) -> dict[str, Any]:
    """The peak and each window; the machine's load average says whether it was alone."""
    peak = _load(programs, system, model, {"connections": 64, "seconds": seconds, "warm": 5})["per_second"]
    found: dict[str, Any] = {"model": model, "peak": round(peak, 1), "load_average": os.getloadavg()[0]}
    for times in TIMES:
        load = {
            "connections": CONNECTIONS,
            "seconds": seconds,
            "rate": times * peak,
            "refusals": True,
            "ramp": 4e3,
        }
        report = _load(programs, system, model, load | {"warm": 1})
        found[f"{times}x"] = {
            "goodput": round(report["answered"] / seconds, 1),
            "admitted_p50_ms": report["total_ms"]["p50"],
            "admitted_p99_ms": report["total_ms"]["p99"],
            "refused": report["refused_ms"]["n"],
            "refused_p99_ms": report["refused_ms"]["p99"],
            "sent_late_p99_ms": report["late_ms"]["p99"],
            "errors": report["error_kinds"],
            "relay_rss_mb": round(max(system.tree.rss_mb().values()), 1),
        }
        print(json.dumps(found[f"{times}x"]), file=sys.stderr, flush=True)
    normal, over = found["0.7x"], [found[f"{times}x"] for times in TIMES if times > 1]
    found["passed"] = all(
        o["admitted_p99_ms"] <= BOUND * max(normal["admitted_p99_ms"], 50) and not o["errors"] for o in over
    )
    return found


def _load(programs: Path, system: systems.System, model: str, load: dict[str, Any]) -> dict[str, Any]:
    config = {
        "address": system.address,
        "path": system.path,
        "headers": system.headers,
        "model": system.prefix + model,
        "history_bytes": HISTORY_BYTES,
        **load,
    }
    done = subprocess.run(
        [str(programs / "load"), json.dumps(config)], capture_output=True, text=True, check=True
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


if __name__ == "__main__":
    sys.exit(main())
