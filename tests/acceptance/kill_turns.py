"""SIGKILL of the relay, or of control, at random instants under load of stored turns.

    python tests/acceptance/kill_turns.py --role relay --trials 1000 --results build/kill_turns_relay.json

Checked at each zone's end: every acknowledged turn has its entries and its text, to the letter; no turn is both finished and
interrupted, in the record and in the store together; every interrupted one is shown so; nothing still runs; the same
idempotency key never called the model twice and never gave two answers. Totals add up over several runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from whole_product import Server, environment, pause, start, wait_ready

from dragoman.ledger.logs import entries, shards
from dragoman.ledger.verify import verify_zone
from dragoman.testing.provider import DONE, FakeProvider, Script, chunk

CLIENTS = 5
TRIALS_PER_ZONE = 25
READY_SECONDS = 60.0
SETTLE_SECONDS = 90.0
WORDS = [f"word {n}, " for n in range(12)]
OVER = {"finished", "interrupted"}


@dataclass
class Said:
    """A turn that was acknowledged: its answer arrived to its last byte."""

    conversation: str
    turn: str
    text: str


@dataclass
class Load:
    """Clients that hold conversations until they are told to stop, and ask again by the same key what broke off."""

    server: Server
    key: str
    stop: threading.Event = field(default_factory=threading.Event)
    said: list[Said] = field(default_factory=list)
    answers: dict[str, set[str]] = field(default_factory=dict)
    conversations: set[str] = field(default_factory=set)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        self.stop.clear()
        self.threads = [threading.Thread(target=self._talk, args=(n,)) for n in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def acknowledged_one(self) -> None:
        """Wait for the zone's first answer: a slow machine is to kill something, too."""
        deadline = time.monotonic() + READY_SECONDS
        while not self.said and time.monotonic() < deadline:
            time.sleep(0.02)

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _talk(self, number: int) -> None:
        asked, name, broken = number, None, None
        with self.server.http(self.key) as client:
            while not self.stop.is_set():
                try:
                    if name is None:
                        made = client.post("/v1/conversations", json={})
                        if made.status_code != 201:
                            self.stop.wait(0.05)
                            continue
                        name = made.json()["id"]
                        self.conversations.add(name)
                    if broken is not None and self._ask(client, *broken):
                        broken = None
                        continue
                    asked += 1
                    broken = (name, f"{name}-{asked}-{os.urandom(4).hex()}", asked % 2 == 0)
                    if self._ask(client, *broken):
                        broken = None
                except httpx.TransportError:
                    # Killed under this request: nothing was acknowledged.
                    self.stop.wait(0.02)

    def _ask(self, client: httpx.Client, name: str, text: str, stream: bool) -> bool:
        """One turn; whether there is nothing more to ask of it."""
        model = "fake" if stream else "dragoman"
        body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
        answer = client.post(f"/v1/conversations/{name}/turns", json=body, headers={"idempotency-key": text})
        if answer.status_code != 200:
            assert answer.status_code in {409, 500, 502, 503}, answer.text
            self.stop.wait(0.02)
            return answer.status_code == 500  # the stored error of an interrupted twin: it needs a new key
        if stream and not answer.text.rstrip().endswith("data: [DONE]"):
            return False
        said = _text(answer, stream=stream)
        self.answers.setdefault(text, set()).add(said)
        if "dragoman-replayed" not in answer.headers:
            self.said.append(Said(name, answer.headers["dragoman-turn"], said))
        return True


def _text(answer: httpx.Response, *, stream: bool) -> str:
    if not stream:
        return str(answer.json()["choices"][0]["message"]["content"])
    events = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: {")]
    deltas = [choice["delta"] for event in events for choice in json.loads(event).get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)


class Processes:
    """Relay and control of a zone, started and killed by this script alone: its supervisor sleeps."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        pause(server.child.pid)
        for role in ("relay", "control"):
            os.kill(server.pids[role], signal.SIGKILL)
        self.run("control")
        self.run("relay")

    def run(self, role: str) -> None:
        config = self.server.folder / "dragoman.toml"
        commands = {
            "relay": ["dragoman.relay", "--config", str(self.server.folder / "data" / "run" / "relay.json")],
            "control": ["dragoman.control.run", "--config", str(config)],
        }
        log = (self.server.folder / f"{role}.log").open("ab")
        deadline = time.monotonic() + READY_SECONDS
        self.running[role] = subprocess.Popen(
            [sys.executable, "-P", "-m", *commands[role]], stdout=log, stderr=log, env=environment()
        )
        if "relay" in self.running:
            assert wait_ready(self.server.url, deadline - time.monotonic()), self.told(role)

    def told(self, role: str) -> str:
        return (self.server.folder / f"{role}.log").read_text()[-3000:]

    def kill(self, role: str, number: int = signal.SIGKILL) -> None:
        self.running[role].send_signal(number)
        self.running.pop(role).wait(READY_SECONDS)

    def close(self) -> None:
        for role in ("relay", "control"):
            if role in self.running:
                self.kill(role, signal.SIGTERM)
        os.kill(self.server.child.pid, signal.SIGCONT)
        self.server.stop()


def shown(client: httpx.Client, conversation: str) -> list[dict[str, Any]]:
    """Every turn of a conversation's shown branch."""
    found: list[dict[str, Any]] = []
    query = "?limit=100"
    while True:
        page = client.get(f"/v1/conversations/{conversation}/turns{query}").json()
        found = [*page["data"], *found]
        if not page["has_more"]:
            return found
        query = f"?limit=100&before={page['first_id']}"


def settled(server: Server, load: Load) -> dict[str, dict[str, Any]]:
    """All turns as their owner reads them, once none runs any more."""
    deadline = time.monotonic() + SETTLE_SECONDS
    with server.http(load.key) as client:
        while True:
            turns = {turn["id"]: turn for name in load.conversations for turn in shown(client, name)}
            if all(turn["state"] in OVER for turn in turns.values()):
                return turns
            left = [turn["id"] for turn in turns.values() if turn["state"] not in OVER]
            assert time.monotonic() < deadline, f"still running: {left}"
            time.sleep(0.1)


def check(data: Path, load: Load, turns: dict[str, dict[str, Any]], provider: FakeProvider) -> Counter[str]:
    """What the record, the store and the clients know agrees. Raises AssertionError."""
    results: dict[str, list[str]] = {}
    intents: Counter[str] = Counter()
    for shard in shards(data / "journal"):
        for entry in entries(shard):
            value = entry.value
            if value["kind"] == "intent":
                intents[value["turn"]] += 1
            elif value["kind"] == "result" and "replays" not in value:
                results.setdefault(value["turn"], []).append(value["status"])
    for one in load.said:
        turn = turns[one.turn]
        assert (intents[one.turn], results.get(one.turn)) == (1, ["finished"]), one.turn
        assert turn["state"] == "finished", one.turn
        assert turn["answer"]["choices"][0]["message"]["content"] == one.text, one.turn
    for name, turn in turns.items():
        said = results.get(name, [])
        assert len(said) <= 1, (name, said)
        assert intents[name] == len(said), (name, said)
        if turn["state"] == "interrupted":
            assert said in ([], ["interrupted"]), (name, said)
        else:
            assert said == [turn["status"]], (name, said, turn["status"])
    with sqlite3.connect(f"file:{data / 'zone.db'}?mode=ro", uri=True) as raw:
        kept = dict(raw.execute("SELECT turn, state FROM turns WHERE conversation IS NOT NULL"))
    assert set(kept) == set(turns), "all of them are shown"
    assert set(kept.values()) <= OVER
    assert [text for text, answers in load.answers.items() if len(answers) > 1] == [], "one key, one answer"
    asked = Counter(body["messages"][-1]["content"] for body in provider.seen)
    assert [text for text, n in asked.items() if n > 1] == [], "one key, one call"
    verdict = verify_zone(data)
    assert verdict.sound, verdict.findings
    return Counter(turn["state"] for turn in turns.values())


def run_zone(folder: Path, role: str, trials: int, seed: int) -> Counter[str]:
    """Kill a process of a fresh zone `trials` times; how many turns ended how, and were acknowledged."""
    rng = random.Random(seed)
    provider = FakeProvider(
        Script([chunk({"content": w}) for w in WORDS] + [chunk({}, finish="stop"), DONE], gap=0.02)
    )
    server = start(
        folder,
        f'[providers.fake]\nbase_url = "{provider.url}"\n[models.fake]\nprovider = "fake"\nmodel = "up"\n'
        "[edge]\nrequests_per_minute = 1_000_000\n",
    )
    key = server.dragoman("keys", "create", "--tenant", "default", "--title", "load")["text"]
    processes = Processes(server)
    load = Load(server, key)
    try:
        for _ in range(trials):
            load.begin()
            load.acknowledged_one()
            time.sleep(rng.uniform(0.05, 0.8))
            processes.kill(role)
            if role == "control":
                time.sleep(rng.uniform(0, 0.3))
            processes.run(role)
            load.end()
        # What an ended relay left is settled by the next one's start.
        processes.kill("relay", signal.SIGTERM)
        processes.run("relay")
        turns = settled(server, load)
        processes.kill("relay", signal.SIGTERM)
        counted = check(folder / "data", load, turns, provider)
    finally:
        processes.close()
        provider.close()
    assert load.said, "nothing was acknowledged: nothing was tried"
    return counted + Counter(acknowledged=len(load.said))


def main() -> None:
    """Run trials and add them to the results file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--role", choices=("relay", "control"), required=True)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args()
    given.results.parent.mkdir(parents=True, exist_ok=True)
    totals = Counter(json.loads(given.results.read_text()) if given.results.exists() else {})
    while totals["trials"] < given.trials:
        seed = given.seed if given.seed is not None else random.SystemRandom().getrandbits(32)
        trials = min(TRIALS_PER_ZONE, given.trials - totals["trials"])
        with tempfile.TemporaryDirectory() as folder:
            totals += run_zone(Path(folder), given.role, trials, seed)
        totals["trials"] += trials
        given.results.write_text(json.dumps({**totals, "lost": 0}) + "\n", encoding="utf-8")
        print(json.dumps({**totals, "lost": 0, "seed": seed}), flush=True)


if __name__ == "__main__":
    main()
