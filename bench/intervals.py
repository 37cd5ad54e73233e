"""A ratio of two systems over paired windows, with its 95 % interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# fmt: off
T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)
# fmt: on
"""Student's t at 0.975 for 1, 2, ... 30 degrees of freedom; beyond, 1.96 is used."""


@dataclass(frozen=True)
class Ratio:
    """A geometric mean of paired ratios; low and high are None with fewer than two pairs."""

    value: float
    low: float | None
    high: float | None
    pairs: int

    def text(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(pairs: Sequence[tuple[float, float]]) -> Ratio | None:
    """Of (ours, base) in each pair. The logarithms are averaged, so that a/b and b/a agree. None without a pair."""
    logs = [math.log(ours / base) for ours, base in pairs if ours > 0 and base > 0]
    if not logs:
        return None
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(mean), None, None, len(logs))
    degrees = len(logs) - 1
    t = T_975[degrees - 1] if degrees <= len(T_975) else 1.96
    half = t * statistics.stdev(logs) / math.sqrt(len(logs))
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), len(logs))
