"""Overload sheds: what is taken in stays fast, the rest is refused at once, and after it all is as before (P5).

    python tests/acceptance/overload.py --seconds 60

The real product with a provider of fixed delay, whose turns are bounded by `zone.turns`. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import whole_product
from arrivals import Target, figures, peak, window
from footprint import Sampled

from dragoman.testing.provider import JSON, FakeProvider, Script, whole

DELAY_SECONDS = 0.1
TURNS = 16
TIMES = (2, 5, 10)
NORMAL = 0.7
"""The load that is called normal, as a share of what can be answered."""
REFUSED_SECONDS = 0.05
GOODPUT = 0.9
BACK_SECONDS = 5.0
RSS_MB = 256.0
"""The relay's cap: idle it has to stay under 60."""
REFUSED_MORE = 0.02
"""By how much the share of refusals at normal load may exceed that of before."""


@dataclass(frozen=True)
class Rig:
    """What is measured, and the process whose memory counts."""

    target: Target
    pid: int | None
    clients: int = TURNS


def _provide(port: Connection) -> None:
    provider = FakeProvider(
        Script([whole("A lamp goes back by post.")], content_type=JSON, gap=DELAY_SECONDS)
    )
    port.send(provider.url)
    port.recv()
    provider.close()


def measure(
    rig: Rig, seconds: float, times: tuple[int, ...] = TIMES, back: float = BACK_SECONDS
) -> dict[str, Any]:
    """Peak, normal load, each overload with the time after it; every figure that the verdict needs."""
    memory = Sampled(rig.pid)
    peak(rig.target, 2, min(2.0, seconds))
    most = peak(rig.target, rig.clients, seconds)
    normal = window(rig.target, NORMAL * most, seconds)
    found: dict[str, Any] = {
        "seconds": seconds,
        "peak": round(most, 1),
        "normal": figures(normal),
        "over": {},
    }
    for number, factor in enumerate(times, 2):
        over = window(rig.target, factor * most, seconds, seed=number)
        after = window(rig.target, NORMAL * most, back + seconds / 2, seed=100 + number)
        found["over"][factor] = {**figures(over), "after": figures(after.after(back))}
    found["rss_mb"] = memory.end()
    return found


def verdict(found: dict[str, Any], refused_seconds: float = REFUSED_SECONDS) -> list[str]:
    """What is not as promised."""
    normal, wrong = found["normal"], []
    if normal["faults"]:
        wrong.append(f"faults at normal load: {normal['faults']}")
    for factor, over in found["over"].items():
        at = f"at {factor} times the peak"
        after = over["after"]
        checks = {
            f"{at}: admitted p99 {over['admitted_p99_ms']} ms": over["admitted_p99_ms"]
            <= 2 * normal["admitted_p99_ms"],
            f"{at}: refused p99 {over['refused_p99_ms']} ms": over["refused_p99_ms"] < 1000 * refused_seconds,
            f"{at}: goodput {over['goodput']} of {found['peak']}": over["goodput"] >= GOODPUT * found["peak"],
            f"{at}: nothing was refused": over["refused"] > 0,
            f"{at}: faults {over['faults']}": not over["faults"],
            f"after {factor} times: p99 {after['admitted_p99_ms']} ms": after["admitted_p99_ms"]
            <= 2 * normal["admitted_p99_ms"],
            f"after {factor} times: {_share(after)} refused": _share(after) <= _share(normal) + REFUSED_MORE,
            f"after {factor} times: faults {after['faults']}": not after["faults"],
        }
        wrong += [what for what, holds in checks.items() if not holds]
    if found["rss_mb"]["most"] > RSS_MB:
        wrong.append(f"the relay took {found['rss_mb']['most']} MB")
    return wrong


def _share(part: dict[str, Any]) -> float:
    return round(part["refused"] / max(1, part["asked"]), 4)


def product(
    seconds: float,
    times: tuple[int, ...] = TIMES,
    back: float = BACK_SECONDS,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Measure a fresh Dragoman."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    provider = spawn.Process(target=_provide, args=(theirs,), daemon=True)
    provider.start()
    theirs.close()  # or a provider that never came up would be waited for without end
    with tempfile.TemporaryDirectory(dir=folder) as data:
        body = f"""
            [providers.slow]
            kind = "openai"
            base_url = "{ours.recv()}"
            [models.slow]
            provider = "slow"
            model = "m"
            """
        server = whole_product.start(Path(data), body, DRAGOMAN_ZONE__TURNS=str(TURNS))
        asked = {"model": "slow", "messages": [{"role": "user", "content": "How do I return a lamp?"}]}
        try:
            rig = Rig(Target(server.port, server.key, json.dumps(asked).encode()), server.pids["relay"])
            return measure(rig, seconds, times, back)
        finally:
            server.stop()
            ours.send(None)
            provider.join(10)


def main() -> int:
    """Measure and judge; exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    begun = time.monotonic()
    found = product(given.seconds)
    wrong = verdict(found)
    print(json.dumps({**found, "wrong": wrong, "took_s": round(time.monotonic() - begun)}))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
