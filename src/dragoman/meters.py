"""How often and how fast the routes of control's listeners answer: fixed buckets, no labels from outside.

A route is named by its table's own path, so that no caller can make a series.
"""

from __future__ import annotations

import bisect
import threading

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of the buckets, seconds."""

_lock = threading.Lock()
_answers: dict[tuple[str, str, int], int] = {}
_times: dict[tuple[str, str], list[float]] = {}


def observe(edge: str, route: str, status: int, seconds: float) -> None:
    """Count one answer of a route."""
    slot = bisect.bisect_left(BOUNDS, seconds)
    with _lock:
        _answers[(edge, route, status)] = _answers.get((edge, route, status), 0) + 1
        held = _times.get((edge, route))
        if held is None:
            held = _times[(edge, route)] = [0.0] * (len(BOUNDS) + 2)
        held[slot] += 1
        held[-1] += seconds


def meters_text() -> str:
    """Prometheus text of all of it."""
    with _lock:
        answers = sorted(_answers.items())
        times = sorted((key, list(held)) for key, held in _times.items())
    lines = ["# TYPE dragoman_control_requests_total counter"]
    for (edge, route, status), count in answers:
        lines.append(
            f'dragoman_control_requests_total{{edge="{edge}",route="{route}",status="{status}"}} {count}'
        )
    lines.append("# TYPE dragoman_control_request_seconds histogram")
    for (edge, route), held in times:
        total = 0
        inside = f'edge="{edge}",route="{route}"'
        for bound, held_count in zip((*map(str, BOUNDS), "+Inf"), held[:-1], strict=True):
            total += round(held_count)
            lines.append(f'dragoman_control_request_seconds_bucket{{{inside},le="{bound}"}} {total}')
        lines.append(f"dragoman_control_request_seconds_sum{{{inside}}} {held[-1]:.6f}")
        lines.append(f"dragoman_control_request_seconds_count{{{inside}}} {total}")
    return "\n".join(lines) + "\n"
