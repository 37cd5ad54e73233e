"""The wall clock jumps by 400 days and back, under running processes and across their restarts: what was revoked stays
revoked, ids stay unique, the record stays in order and verifies.

    python tests/acceptance/clock_jumps.py --rounds 5
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from recorded import CHAT_STREAM, CHAT_WHOLE, PAGE, Product, product_under_faults
from recorder import Asking, Exchange

from dragoman.ledger.logs import entries, shards
from dragoman.ledger.verify import verify_zone

DAY = 86_400
JUMPS = (400 * DAY, 0, -400 * DAY, 0, 1, -1)
"""Seconds from the true time, one after the other; the last two are a leap second and its absence."""
SECONDS = 60.0


def ask(product: Product, key: str, what: str = "whole") -> Exchange:
    """One exchange, read to its end."""
    route = {"whole": CHAT_WHOLE, "stream": CHAT_STREAM, "page": PAGE}[what]
    return Asking(route, product.server.port, key, SECONDS).close()


def restart(product: Product, role: str) -> None:
    """Kill a process; the supervisor starts it again."""
    killed = product.pid(role)
    os.kill(killed, signal.SIGKILL)
    until = time.monotonic() + 2 * SECONDS
    while product.pid(role) == killed:
        assert time.monotonic() < until, f"{role} was not started again"
        time.sleep(0.05)
    product.wait_well()


def after_jump(product: Product, at: str, revoked: str) -> dict[str, Any]:
    """What holds after a jump, without and with new processes."""
    answered = {
        what: ask(product, product.server.key, what).ended() is not None
        for what in ("whole", "stream", "page")
    }
    refused = ask(product, revoked).status
    return {"at": at, **answered, "revoked": refused}


def one_round(product: Product, revoked: str) -> list[dict[str, Any]]:
    """Every jump: under the running pair, then with a new relay and a new control."""
    found = []
    for jump in JUMPS:
        product.orders.give(wall_seconds=jump)
        found.append(after_jump(product, f"{jump:+d} s", revoked))
        if abs(jump) > 1 or found[-1]["at"] == "+0 s":
            for role in ("relay", "control"):
                restart(product, role)
                found.append(after_jump(product, f"{jump:+d} s, new {role}", revoked))
    return found


def judge(data: Path, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """The record after all jumps, and every step that was not as it should be."""
    ids, order, last = [], [], dict[str, int]()
    at: list[int] = []
    for shard in shards(data / "journal"):
        for entry in entries(shard):
            if entry.index != last.get(entry.log, -1) + 1:
                order.append((entry.log, entry.index))
            last[entry.log] = entry.index
            if entry.value["kind"] == "intent":
                ids.append(entry.value["turn"])
                at.append(entry.value["at"])
    verdict = verify_zone(data)
    wrong = [s for s in steps if not (s["whole"] and s["stream"] and s["page"]) or s["revoked"] != 401]
    return {
        "steps": len(steps),
        "wrong": wrong,
        "turns": len(ids),
        "days_between_entries": (max(at) - min(at)) // (1000 * DAY),
        "ids_doubled": len(ids) - len(set(ids)),
        "out_of_order": len(order),
        "logs": len(last),
        "record_sound": verdict.sound,
        "findings": [str(finding) for finding in verdict.findings],
    }


def passed(found: dict[str, Any]) -> bool:
    """Whether the jumps were made, and did no harm."""
    jumped = found["days_between_entries"] >= (max(JUMPS) - min(JUMPS)) // DAY
    harm = found["wrong"] or found["ids_doubled"] or found["out_of_order"] or not found["record_sound"]
    return jumped and not harm


def run(folder: Path, rounds: int) -> dict[str, Any]:
    """Jump about on a fresh zone."""
    steps: list[dict[str, Any]] = []
    with product_under_faults(folder) as product:
        made = product.server.dragoman("keys", "create")
        revoked = made["text"]
        assert ask(product, revoked).status == 200, "the control: it works before it is revoked"
        product.server.dragoman("keys", "revoke", made["key"])
        for _ in range(rounds):
            steps += one_round(product, revoked)
    return judge(folder / "data", steps)


def main() -> int:
    """Jump and judge; exit 1 where harm was done."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), given.rounds)
    print(json.dumps(found))
    return int(not passed(found))


if __name__ == "__main__":
    sys.exit(main())
