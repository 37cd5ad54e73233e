"""SIGKILL of the relay at random instants under load: no acknowledged turn without its entries, the record verifies.

    python tests/acceptance/kill_relay.py --trials 1000 --results kills.json

An answer counts as acknowledged when its last byte (of a stream: `[DONE]`) arrived. Totals in the results file add up
over several runs, so that a long proof can be interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from whole_product import Server, environment, pause, start, wait_ready

from dragoman.ledger.logs import entries, shards
from dragoman.ledger.proofs import Receipt, parse_receipt
from dragoman.ledger.verify import verify_zone

CLIENTS = 6
TRIALS_PER_ZONE = 25
READY_SECONDS = 120.0
FIRST_SECONDS = 60.0


@dataclass
class Load:
    """Clients that ask until they are told to stop, and what they were answered in full."""

    server: Server
    stop: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[Receipt] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def wait_for_one(self) -> None:
        """Until an answer is acknowledged, for at most FIRST_SECONDS: a busy machine may need them."""
        until = time.monotonic() + FIRST_SECONDS
        while not self.acknowledged and time.monotonic() < until:
            time.sleep(0.01)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, number: int) -> None:
        asked = number
        with self.server.http() as client:
            while not self.stop.is_set():
                asked += 1
                body = {
                    "model": "dragoman",
                    "messages": [{"role": "user", "content": "How do I return a lamp?"}],
                }
                try:
                    answer = client.post("/v1/chat/completions", json={**body, "stream": asked % 2 == 0})
                except httpx.TransportError:
                    # The relay was killed under this request: nothing was acknowledged.
                    self.stop.wait(0.02)
                    continue
                whole = asked % 2 == 1 or answer.text.rstrip().endswith("data: [DONE]")
                if answer.status_code == 200 and whole:
                    self.acknowledged.append(parse_receipt(answer.headers["dragoman-receipt"]))


def _run_relay(server: Server) -> subprocess.Popen[bytes]:
    config = next((server.folder / "data").rglob("relay.json"))
    log = (server.folder / "relay.log").open("ab")
    relay = subprocess.Popen(
        [sys.executable, "-m", "dragoman.relay", "--config", str(config)],
        stderr=log,
        stdout=log,
        env=environment(),
    )
    if wait_ready(server.url, READY_SECONDS):
        return relay
    relay.kill()
    raise AssertionError((server.folder / "relay.log").read_text()[-3000:])


def _check(server: Server, acknowledged: list[Receipt]) -> None:
    """Each acknowledged turn has its intent where the receipt says, and exactly one result; the zone verifies."""
    data = server.folder / "data"
    kinds: Counter[tuple[str, str]] = Counter()
    intents: dict[str, tuple[str, int]] = {}
    for shard in shards(data / "journal"):
        for entry in entries(shard):
            value = entry.value
            kinds[value["kind"], value.get("turn", "")] += 1
            if value["kind"] == "intent":
                intents[value["turn"]] = (entry.log, entry.index)
    for receipt in acknowledged:
        assert intents.get(receipt.turn) == (receipt.log, receipt.index), f"{receipt.turn} has no intent"
        assert kinds["result", receipt.turn] == 1, (
            f"{receipt.turn} has {kinds['result', receipt.turn]} results"
        )
    doubled = [turn for (kind, turn), n in kinds.items() if kind in {"intent", "result"} and n > 1]
    assert doubled == []
    verdict = verify_zone(data)
    assert verdict.sound, verdict.findings


def run_zone(folder: Path, trials: int, seed: int) -> int:
    """Kill the relay of a fresh zone `trials` times; the number of acknowledged turns. Raises AssertionError."""
    rng = random.Random(seed)
    server = start(folder)
    acknowledged: list[Receipt] = []
    # The supervisor sleeps, so that this script alone restarts the relay.
    pause(server.child.pid)
    try:
        os.kill(server.pids["relay"], signal.SIGKILL)
        for trial in range(trials):
            relay = _run_relay(server)
            load = Load(server)
            load.begin()
            if trial % 2:
                load.wait_for_one()
            time.sleep(rng.uniform(0.02, 0.6))
            relay.kill()
            relay.wait()
            load.end()
            acknowledged += load.acknowledged
        relay = _run_relay(server)
        relay.send_signal(signal.SIGTERM)
        relay.wait(READY_SECONDS)
        _check(server, acknowledged)
    finally:
        os.kill(server.child.pid, signal.SIGCONT)
        server.stop()
    return len(acknowledged)


def main() -> None:
    """Run trials and add them to the results file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=Path("kill_relay.json"))
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    given.results.parent.mkdir(parents=True, exist_ok=True)
    totals = (
        json.loads(given.results.read_text()) if given.results.exists() else {"trials": 0, "acknowledged": 0}
    )
    while totals["trials"] < given.trials:
        seed = given.seed if given.seed is not None else random.SystemRandom().getrandbits(32)
        trials = min(TRIALS_PER_ZONE, given.trials - totals["trials"])
        with tempfile.TemporaryDirectory() as folder:
            totals["acknowledged"] += run_zone(Path(folder), trials, seed)
        totals["trials"] += trials
        totals["lost"] = 0
        given.results.write_text(json.dumps(totals) + "\n", encoding="utf-8")
        print(json.dumps({**totals, "seed": seed}), flush=True)


if __name__ == "__main__":
    main()
