"""How long one decision takes, uncached: `python bench/decide.py [--documents 2000] [--rounds 7]`.

All shipped packs are loaded. The facts are those of the golden cases, every file of them, widened by places of
other cases until 1, 2 or 4 countries are in play. All of them are decided in turn, for several rounds; nothing
is answered from a plan. As others may work on the machine, it tells the figures of all decisions, those of each
document's best round, and the same of a fixed piece of plain Python that is timed after every decision.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from dragoman.core.facts import Facts
from dragoman.decide.cases import case_facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet, baseline_document, load_packs
from dragoman.decide.places import phone_regions
from dragoman.decide.world import World

PLACES = (1, 2, 4)
TARGET_US = 200
"""What the 99th hundredth may take, microseconds."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument(
        "--documents", type=int, default=2000, help="decisions timed for each number of places"
    )
    options.add_argument("--rounds", type=int, default=7, help="times each document is decided")
    options.add_argument("--seed", type=int, default=7)
    chosen = options.parse_args()
    packs = load_packs()
    world = World.from_packs(packs)
    given = case_documents(packs)
    drawn = random.Random(chosen.seed)
    result: dict[str, Any] = {
        "packs": len(packs.packs),
        "rules": sum(len(pack.rules) for pack in packs.packs.values()),
        "cases": len(given),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
    for facts in given:  # what a running control has done: the packs' rosters are made
        decide(facts, packs, world)
    for count in PLACES:
        documents = [widened(drawn.choice(given), given, count, drawn) for _ in range(chosen.documents)]
        result[f"{count} in play"] = timed(
            lambda facts: decide(facts, packs, world), documents, chosen.rounds
        )
    result["load after"] = round(os.getloadavg()[0], 2)
    print(json.dumps(result, indent=1))
    late = [count for count in PLACES if result[f"{count} in play"]["best"]["p99 us"] > TARGET_US]
    if late:
        sys.exit(f"p99 of a decision, undisturbed, took more than {TARGET_US} us with {late} places in play")


def case_documents(packs: PackSet) -> list[Facts]:
    """The facts of every golden case that can be met with the shipped packs."""
    baseline = baseline_document()
    return [case_facts(case, baseline) for case in packs.cases]


def widened(facts: Facts, others: Sequence[Facts], count: int, drawn: random.Random) -> Facts:
    """The same facts with exactly `count` countries in play where they name no more: the rest as markets."""
    markets = dict.fromkeys(facts.values.get("offered_markets", ()))
    while len(in_play(facts) | set(markets)) < count:
        other = drawn.choice(others).values.get("residence")
        if other is not None:
            markets[other] = None
    return facts.replaced({"offered_markets": tuple(markets)})


def in_play(facts: Facts) -> set[str]:
    """Countries of residence, address, markets and phone."""
    found = {facts.values.get("residence"), facts.values.get("address_country")} - {None}
    phone = facts.values.get("phone")
    return found | set(facts.values.get("offered_markets", ())) | set(phone_regions(phone) if phone else ())


def plain_python() -> int:
    """A control: about 100 microseconds of dictionary and integer work that no change of the engine alters."""
    seen: dict[int, int] = {}
    for number in range(1000):
        seen[number & 63] = seen.get(number & 63, 0) + number
    return len(seen)


def timed(act: Callable[[Any], object], values: Sequence[Any], rounds: int) -> dict[str, dict[str, float]]:
    """Act on all values, round after round, the control after each: hundredths in microseconds of CPU and clock."""
    wall: list[list[float]] = []
    used: list[list[float]] = []
    control: list[list[float]] = []
    gc.collect()
    for _ in range(rounds):
        times: tuple[list[float], ...] = ([], [], [])
        for value in values:
            cpu, begun = time.thread_time_ns(), time.perf_counter_ns()
            act(value)
            ended, done = time.perf_counter_ns(), time.thread_time_ns()
            plain_python()
            for kept, took in zip(
                times, (ended - begun, done - cpu, time.thread_time_ns() - done), strict=True
            ):
                kept.append(took / 1e3)
        for series, kept in zip((wall, used, control), times, strict=True):
            series.append(kept)
    return {
        "best": hundredths([min(one) for one in zip(*wall, strict=True)]),
        "clock": hundredths(list(chain(*wall))),
        "CPU": hundredths(list(chain(*used))),
        "control, best": hundredths([min(one) for one in zip(*control, strict=True)]),
        "control, CPU": hundredths(list(chain(*control))),
    }


def hundredths(times: Sequence[float]) -> dict[str, float]:
    """The 50th and the 99th."""
    cuts = statistics.quantiles(times, n=100)
    return {"p50 us": round(cuts[49], 1), "p99 us": round(cuts[98], 1), "timed": len(times)}


if __name__ == "__main__":
    main()
