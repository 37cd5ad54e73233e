"""Memory and open files of a process over time, and whether they grow: least squares with its interval."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import dataclass
from pathlib import Path

EVERY_SECONDS = 0.5
PAGE = os.sysconf("SC_PAGE_SIZE")
NORMAL_95 = 1.96


def rss_mb(pid: int) -> float:
    """Resident memory of a process, megabytes. Raises OSError where it is gone."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def open_files(pid: int) -> int:
    """Descriptors a process has open. Raises OSError where it is gone."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


class Sampled:
    """The memory of `pid` (None: of nobody), sampled on a thread until `end`."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._samples: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        if pid:
            self._samples.append(rss_mb(pid))
            self._thread.start()

    def _run(self) -> None:
        while self._pid and not self._stop.wait(EVERY_SECONDS):
            self._samples.append(rss_mb(self._pid))

    def end(self) -> dict[str, float]:
        """Megabytes at first, at most and at last."""
        self._stop.set()
        if not self._pid:
            return {"first": 0.0, "most": 0.0, "last": 0.0}
        self._thread.join()
        found = self._samples
        return {"first": round(found[0], 1), "most": round(max(found), 1), "last": round(found[-1], 1)}


@dataclass(frozen=True)
class Slope:
    """A line through samples: growth in an hour, its 95 % interval, and the mean."""

    per_hour: float
    low: float
    high: float
    mean: float


def slope(samples: list[tuple[float, float]]) -> Slope:
    """The line through (seconds, value). The interval allows for neighbours in time being alike: residuals are
    averaged in blocks, and the blocks count as the observations. Raises ValueError with fewer than 30 samples."""
    if len(samples) < 30:
        raise ValueError(f"{len(samples)} samples say nothing of a slope")
    size = max(1, len(samples) // 30)
    blocks = [samples[at : at + size] for at in range(0, len(samples) - size + 1, size)]
    points = [
        (sum(t for t, _ in block) / len(block), sum(v for _, v in block) / len(block)) for block in blocks
    ]
    n = len(points)
    t_mean, v_mean = sum(t for t, _ in points) / n, sum(v for _, v in points) / n
    spread = sum((t - t_mean) ** 2 for t, _ in points)
    rise = sum((t - t_mean) * (v - v_mean) for t, v in points) / spread
    left = sum((v - v_mean - rise * (t - t_mean)) ** 2 for t, v in points)
    error = NORMAL_95 * math.sqrt(left / (n - 2) / spread)
    return Slope(rise * 3600, (rise - error) * 3600, (rise + error) * 3600, v_mean)
