"""Stored turns through the whole product: what they add to the provider and to a stateless turn, and what they cost.

    python bench/stored_turns.py --rates 20 60 --seconds 10 --repeats 3

Open loop: requests start at a fixed rate and latency counts from that start. Windows are interleaved: straight at
the fake provider, a stateless turn, a turn of a conversation. `late_p99_ms` is the load's own: where it is not well
below what is measured, the machine was busy and the figures say little.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import rig
import systems
import windows
from systems import System
from windows import Window

CONNECTIONS = 16
EXPECT_CHARS = 80
MODELS = {"plain": False, "s20": True}
"""Model and whether it streams: for a stream the first token counts beside the whole answer."""


def conversations(system: System, many: int) -> list[str]:
    """Paths of new conversations."""
    connection = http.client.HTTPConnection(system.address, timeout=30)
    headers = {"content-type": "application/json", **dict(system.headers)}
    paths = []
    for _ in range(many):
        connection.request("POST", "/v1/conversations", "{}", headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.CREATED:
            raise SystemExit(f"a conversation was refused with {answer.status}: {body[:300]!r}")
        paths.append(f"/v1/conversations/{json.loads(body)['id']}/turns")
    connection.close()
    return paths


class Bench:
    """Provider and product, and the three ways to ask."""

    def __init__(self, folder: Path, given: argparse.Namespace) -> None:
        self.given = given
        self.programs = rig.build()
        self.provider = systems.start_provider(self.programs, folder)
        self.product = systems.start_dragoman(systems.Rig(self.programs, folder, self.provider))
        self.paths = folder / "paths"
        self.paths.write_text("\n".join(conversations(self.product, given.conversations)), encoding="utf-8")

    def stop(self) -> None:
        self.product.tree.stop()
        self.provider.tree.stop()

    def window(self, way: str, model: str, rate: float | None) -> Window:
        """One window; raises SystemExit where an answer was wrong, for such figures say nothing."""
        system = self.provider if way == "direct" else self.product
        load: dict[str, Any] = {
            "model": model,
            "stream": MODELS[model],
            "connections": CONNECTIONS,
            "seconds": self.given.seconds,
            "rate": rate,
            "warm": 3,
            "expect_chars": EXPECT_CHARS,
        }
        if way == "stored":
            load["paths"] = str(self.paths)
        found = windows.run(self.programs, system, self.provider, load)
        if found.refused:
            raise SystemExit(f"{way} {model} at {rate or 'its peak'}: {found.refused}")
        return found

    def at(self, model: str, rate: float) -> dict[str, Any]:
        """All three ways at a rate, interleaved; medians over the repeats."""
        taken: dict[str, list[Window]] = {"direct": [], "stateless": [], "stored": []}
        for _ in range(self.given.repeats):
            for way, windows_of in taken.items():
                windows_of.append(self.window(way, model, rate))
        row: dict[str, Any] = {"model": model, "rate": round(rate, 1), "load": os.getloadavg()[0]}
        for way, windows_of in taken.items():
            row[way] = summary(windows_of)
        for of in ("direct", "stateless"):
            row[f"added_to_{of}"] = {
                q: round(row["stored"][q] - row[of][q], 2) for q in ("p50_ms", "p99_ms", "first_p99_ms")
            }
        return row


def summary(taken: list[Window]) -> dict[str, Any]:
    """Medians over windows: latency of the whole answer and of its first token, CPU of each process."""

    def median(kind: str, quantile: str) -> float:
        return round(statistics.median(one.report[kind].get(quantile, 0.0) for one in taken), 2)

    roles = {role for one in taken for role in one.roles}
    return {
        "p50_ms": median("total_ms", "p50"),
        "p99_ms": median("total_ms", "p99"),
        "first_p99_ms": median("first_token_ms", "p99"),
        "late_p99_ms": median("late_ms", "p99"),
        "cpu_ms": {
            role: round(statistics.median(one.roles[role] for one in taken), 3) for role in sorted(roles)
        },
    }


def main() -> int:
    """Measure, print a line for each rate, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=512, help="how many are asked in turn")
    parser.add_argument("--rates", type=float, nargs="*", default=[20.0, 60.0], help="turns a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("build/stored_turns.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dragoman-bench-") as folder:
        bench = Bench(Path(folder), given)
        try:
            rows = [measured(bench, model) for model in MODELS]
        finally:
            bench.stop()
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    worst = max(row["added_to_direct"]["p99_ms"] for one in rows for row in one["rates"])
    cpu = max(row["stored"]["cpu_ms"]["control"] for one in rows for row in one["rates"])
    print(json.dumps({"added_p99_ms_most": worst, "control_cpu_ms_most": cpu, "results": str(given.results)}))
    return 0


def measured(bench: Bench, model: str) -> dict[str, Any]:
    """A model's peak, and its latency at the rates asked for and at half of that peak."""
    peak = bench.window("stored", model, None)
    found: dict[str, Any] = {"model": model, "peak_per_second": round(peak.per_second, 1)}
    found["peak_cpu_ms"] = {role: round(ms, 3) for role, ms in peak.roles.items()}
    print(json.dumps(found), flush=True)
    rates = [rate for rate in bench.given.rates if rate < peak.per_second]
    found["rates"] = []
    for rate in sorted({*rates, peak.per_second / 2}):
        found["rates"].append(bench.at(model, rate))
        print(json.dumps(found["rates"][-1]), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
