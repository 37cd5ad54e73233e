"""Control's share of a stored turn: CPU and latency of its three messages, and whether either grows with what is stored.

    python bench/conversations.py --conversations 10000 --turns 100 --results build/conversations.json

A control of its own, on its real sockets, in a process of its own. The store is filled with copies of a conversation
that went through the rules. Measured at several sizes: three messages of a turn (open, closing, finished), one after the
other for CPU, and at a steady open-loop rate for latency; branches of 100 turns, with the history that fits.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "integration"))

from sqlalchemy import select
from turns_control import Relay, Unix, answer_record, new_key, person

from dragoman.assistants import conversations as rules
from dragoman.assistants.opening import open_turn
from dragoman.assistants.turns import close_turn, finish_turn
from dragoman.control import turn_messages
from dragoman.control.app import Control
from dragoman.core.turns import Residual
from dragoman.ids import new_id, now_ms
from dragoman.stores import turn_tables as tables

SAID = "The lamp can be returned within fourteen days, with the receipt, to any of our shops. " * 4
AT_ONCE = 1_000
WORKERS = 16


def serve(folder: str, pipe: Any) -> None:
    """A control; answers `cpu`, `fill` and `stop`."""
    file = Path(folder) / "dragoman.toml"
    file.write_text('[deployment]\nseat = "SG"\n[zone]\ndata = "d"\n', encoding="utf-8")
    control = Control(file)
    control.start()
    pipe.send("ready")
    while (asked := pipe.recv()) != "stop":
        if asked == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(used.ru_utime + used.ru_stime)
        else:
            pipe.send(fill(control, *asked))
    control.stop()
    pipe.send("stopped")


def fill(control: Control, who: dict[str, Any], many: int, turns: int) -> list[str]:
    """Store conversations of so many turns: one through the rules, the others as copies of its rows."""
    relay = Relay(Path(), who)
    store = control.core.conversations
    one = rules.Person(who["tenant"], who["principal"], who["key"])
    nothing = Residual([], None, (), "dec_local_" + "0" * 32, None, None)
    names = [new_id("cnv", "local")]

    def first(rows: Any) -> None:
        rules.create(rows, one, names[0], rules.Wanted(title="A lamp"), None, now_ms())
        for _ in range(turns):
            message = relay.message(names[0], "How do I return a lamp that I bought last week?")
            opening = turn_messages.opening(message, lambda _: 8192)
            open_turn(rows, opening, now_ms(), lambda *_: nothing)
            record = json.dumps(answer_record(SAID))
            digest = relay.digest(opening.turn, record)
            body = {"digest": digest, "answer": record, "result": relay.result(opening.turn)}
            close_turn(rows, opening.turn, body, now_ms())
            finish_turn(rows, opening.turn, digest, now_ms())

    store.submit(one.tenant, first).result()

    def copies(connection: Any, at_once: int) -> None:
        here = {"conversation": names[0]}
        head = dict(connection.execute(select(tables.conversations).filter_by(**here)).mappings().one())
        body = [dict(row) for row in connection.execute(select(tables.turns).filter_by(**here)).mappings()]
        made, said = [], []
        for _ in range(at_once):
            name, known = new_id("cnv", "local"), {None: None}
            for row in body:
                known[row["turn"]] = new_id("trn", "local")
                changed = {field: known[row[field]] for field in ("turn", "parent", "first")}
                said.append({**row, "conversation": name, **changed})
            made.append({**head, "conversation": name, "head": known[head["head"]]})
            names.append(name)
        connection.execute(tables.conversations.insert(), made)
        connection.execute(tables.turns.insert(), said)

    while len(names) < many:
        some = min(50, many - len(names))
        control.core.database.write(lambda c, some=some: copies(c, some))
    return names


class Lean:
    """Keep-alive connections to plan.sock, as the relay has them."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.connection = Unix(relay.run / "plan.sock")

    def call(self, method: str, path: str, body: Any) -> Any:
        self.connection.request(method, path, json.dumps(body), {"dragoman-wire": "1"})
        answer = self.connection.getresponse()
        data = answer.read()
        assert answer.status in {200, 204}, data
        return json.loads(data) if data else None

    def turn(self, conversation: str) -> tuple[float, float]:
        """One turn; milliseconds of its three messages, and of opening it alone."""
        message = self.relay.message(conversation, "And what if I lost the receipt?")
        record = json.dumps(answer_record(SAID))
        turn = message["turn"]
        digest = self.relay.digest(turn, record)
        tenant = message["tenant"]
        closing = {"state": "closing", "tenant": tenant, "digest": digest, "answer": record}
        closing["result"] = self.relay.result(turn)
        begun = time.perf_counter()
        opened = self.call("POST", "/turns", message)
        open_ms = (time.perf_counter() - begun) * 1000
        assert opened["state"] == "opened"
        self.call("PUT", f"/turns/{turn}/outcome", closing)
        self.call("PUT", f"/turns/{turn}/outcome", {"state": "finished", "tenant": tenant, "digest": digest})
        self.relay.salts.pop(turn)
        return (time.perf_counter() - begun) * 1000, open_ms


def alone(pipe: Any, relay: Relay, names: list[str], turns: int) -> dict[str, float]:
    """Turns one after the other: CPU of control for each."""
    lean = Lean(relay)
    for name in names[:20]:
        lean.turn(name)
    pipe.send("cpu")
    before = pipe.recv()
    waits = [lean.turn(names[at * 37 % len(names)])[0] for at in range(turns)]
    pipe.send("cpu")
    used = (pipe.recv() - before) * 1000 / turns
    return {"cpu_ms": round(used, 3), "p50_ms": round(statistics.median(waits), 2)}


def steady(relay: Relay, names: list[str], rate: float, seconds: float) -> dict[str, float]:
    """Turns that begin at a steady rate whatever the earlier ones do; what the three messages add."""
    waits: list[float] = []
    lock = threading.Lock()
    planned = iter(range(int(rate * seconds)))
    begun = time.perf_counter() + 0.1

    def worker(number: int) -> None:
        lean = Lean(relay)
        own = names[number::WORKERS]
        while True:
            with lock:
                at = next(planned, None)
            if at is None:
                return
            due = begun + at / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            lean.turn(own[at % len(own)])
            with lock:
                waits.append((time.perf_counter() - due) * 1000)

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waits.sort()
    return {
        "rate": rate,
        "p50_ms": round(waits[len(waits) // 2], 2),
        "p99_ms": round(waits[int(len(waits) * 0.99)], 2),
        "most_ms": round(waits[-1], 2),
    }


def main() -> None:
    """Fill step by step, measure at each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--measured", type=int, default=300)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--results", type=Path, default=Path("build/conversations.json"))
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        child = spawn.Process(target=serve, args=(folder, theirs))
        child.start()
        pipe.recv()
        run = Path(folder) / "d" / "run"
        who = person(run, new_key(run)["text"])
        relay = Relay(run, who)
        names: list[str] = []
        rows = []
        for step in range(given.steps):
            more = given.conversations * (step + 1) // given.steps - len(names)
            # Each step has a person of its own: the limit of conversations is per person.
            begun = time.perf_counter()
            while more > 0:
                some = min(AT_ONCE, more)
                pipe.send((who, some, given.turns))
                names += pipe.recv()
                more -= some
            row: dict[str, Any] = {"conversations": len(names), "turns": len(names) * given.turns}
            row["filled_s"] = round(time.perf_counter() - begun, 1)
            row["alone"] = alone(pipe, relay, names, given.measured)
            row["steady"] = steady(relay, names, given.rate, given.seconds)
            row["file_mb"] = (Path(folder) / "d" / "zone.db").stat().st_size >> 20
            rows.append(row)
            print(json.dumps(row), flush=True)
        pipe.send("stop")
        pipe.recv()
        child.join()
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
