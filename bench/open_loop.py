"""Latency at a fixed rate of arrivals, counted from the intended start, and what a system adds to it.

Each window of a system is taken beside one of the load straight at the fake provider at the same rate.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import windows
from systems import System
from windows import Window

FIXED_RATE = 500.0
KINDS = {"plain": False, "s20": True}
"""Model and whether it streams: for a stream the first token counts, else the whole answer."""
TOO_NEAR = 0.95
"""A rate above this share of a system's peak is not asked of it: the queue would only grow."""


@dataclass(frozen=True)
class Plan:
    """How long, how often, and who hears of refused windows."""

    programs: Path
    provider: System
    seconds: float
    repeats: int
    refused: Callable[[str, Window], None]


def measure(plan: Plan, system: System, peak: float) -> dict[str, Any]:
    """Both kinds at half the system's own peak and at 500 a second, where it can carry that."""
    found: dict[str, Any] = {"peak_per_second": round(peak, 1)}
    for model, stream in KINDS.items():
        # The peak is of plain requests; a stream of twenty chunks costs several times as much.
        own = _stream_peak(plan, system, model) if stream else peak
        found[model] = {"peak_per_second": round(own, 1)}
        for label, rate in (("half_peak", own / 2), ("fixed", FIXED_RATE)):
            if rate > own * TOO_NEAR:
                found[model][label] = {"rate": rate, "not_carried": True}
                continue
            found[model][label] = _at(plan, system, model, stream=stream, rate=rate)
            print(f"open loop  {system.name}  {model}  {found[model][label]}", flush=True)
    return found


def _stream_peak(plan: Plan, system: System, model: str) -> float:
    load = {
        "model": system.prefix + model,
        "stream": True,
        "connections": 64,
        "seconds": plan.seconds / 2,
        "expect_chars": 80,
        "warm": 2,
    }
    window = windows.run(plan.programs, system, plan.provider, load)
    if window.refused:
        plan.refused(f"peak of {model}", window)
    return window.per_second


def _at(plan: Plan, system: System, model: str, *, stream: bool, rate: float) -> dict[str, Any]:
    direct: list[dict[str, float]] = []
    through: list[dict[str, float]] = []
    for _ in range(plan.repeats):
        for who, taken in ((plan.provider, direct), (system, through)):
            window = windows.open_loop(
                plan.programs, who, plan.provider, model=model, stream=stream, rate=rate, seconds=plan.seconds
            )
            if window.refused:
                plan.refused(f"{model} at {rate:.0f}/s", window)
            else:
                taken.append(window.report["first_token_ms" if stream else "total_ms"])
    if not direct or not through:
        return {"rate": round(rate, 1), "refused": True}
    return summary(direct, through, rate)


def summary(direct: list[dict[str, float]], through: list[dict[str, float]], rate: float) -> dict[str, Any]:
    """Medians over the windows of p50 and p99, and their differences: what the system adds."""
    p50, p99 = (statistics.median(w[q] for w in through) for q in ("p50", "p99"))
    base50, base99 = (statistics.median(w[q] for w in direct) for q in ("p50", "p99"))
    return {
        "rate": round(rate, 1),
        "p50_ms": round(p50, 3),
        "p99_ms": round(p99, 3),
        "added_p50_ms": round(p50 - base50, 3),
        "added_p99_ms": round(p99 - base99, 3),
        "windows": len(through),
    }
