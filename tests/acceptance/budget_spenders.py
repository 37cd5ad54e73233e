"""Many spenders at once against one limit, while both processes are killed and clients leave: spent ≤ limit, always.

    python tests/acceptance/budget_spenders.py --spenders 200 --rounds 50 --results budget.json

The provider keeps a meter of its own. Checked after each run: what it would bill is within every limit; each
acknowledged turn is recorded with exactly what the meter says of its call; all other turns count at least as much as
the meter; control's buckets equal the sum of the record. `--check-then-act` runs the same spenders against a gateway
that looks before it spends and counts after: it must overspend.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from whole_product import Server, environment, pause, start

from dragoman.ledger.logs import entries, shards
from dragoman.ledger.proofs import parse_receipt
from dragoman.testing.metered import MeteredProvider

OUTPUT = 100
"""`max_output_tokens` of the model; clients ask for more, for less, or do not say."""
PRICE = (2_000_000, 6_000_000)
"""Millionths of a euro per million tokens: 2 per token in, 6 per token out."""
KNOWN = {"200", "429", "503", "left", "lost", "none"}
"""What a spender may meet: answered, refused by a limit, no contact while a process is down, cut."""
READY_SECONDS = 60.0
DEADLINE_SECONDS = 90.0
PATIENCE_SECONDS = 1.0
"""How long a spender waits after a refusal, at most."""
ATTEMPTS = 5
"""How often a spender asks for one turn that it does not get."""

ENVIRONMENT = {"DRAGOMAN_ZONE__ALLOTMENT_MS": "400"}
"""Allotments that expire all the time."""

CONFIG = """
[providers.metered]
base_url = "{url}"
[models.big]
provider = "metered"
model = "big-1"
max_output_tokens = {output}
[[limits]]
id = "tokens"
unit = "tokens"
per = "month"
most = {tokens}
[[limits]]
id = "money"
unit = "money"
currency = "EUR"
per = "month"
most = {money}
[[limits]]
id = "requests"
each = "key"
unit = "requests"
per = "month"
most = {requests}
[[prices]]
provider = "metered"
model = "big-1"
currency = "EUR"
input = {price[0]}
output = {price[1]}
"""


@dataclass
class Limits:
    tokens: int
    money: int
    requests: int

    def of(self, limit: str) -> int:
        return int(getattr(self, limit))


@dataclass
class Told:
    """What the spenders saw: statuses, and the receipts of answers that arrived whole, by the call's name."""

    statuses: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    receipts: dict[str, str] = field(default_factory=dict)


async def ask(port: int, key: str, name: str, dice: random.Random, told: Told) -> bool:
    """One request, and whether it was taken; a part of the streams is left in the middle."""
    body: dict[str, Any] = {
        "model": "big",
        "messages": [{"role": "user", "content": name + " " + "x" * dice.randint(0, 40)}],
    }
    asked = dice.choice([None, 5, OUTPUT, 10 * OUTPUT])
    if asked is not None:
        body[dice.choice(["max_tokens", "max_completion_tokens"])] = asked
    body["stream"] = dice.random() < 0.5
    leaves = body["stream"] and dice.random() < 0.2
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\nconnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(head.encode() + data)
        got = await reader.read(600 if leaves else 1 << 20)
        while not leaves and (more := await reader.read(1 << 16)):
            got += more
    finally:
        writer.close()
    answer, _, rest = got.partition(b"\r\n\r\n")
    status = answer.split(b" ")[1].decode() if answer else "none"
    told.statuses["left" if leaves and status == "200" else status] += 1
    whole = b"data: [DONE]" in rest if body["stream"] else rest.endswith(b"}") or b"\r\n0\r\n" in rest
    if status == "200" and whole and not leaves:
        fields = dict(line.split(": ", 1) for line in answer.decode().split("\r\n")[1:])
        told.receipts[name] = (
            parse_receipt(fields["dragoman-receipt"]).turn if "dragoman-receipt" in fields else ""
        )
    return status == "200"


async def spend(port: int, key: str, spenders: int, rounds: int, seed: int, told: Told) -> None:
    """`spenders` at once, each asking `rounds` times in a row. A killed relay refuses connections for a while."""

    async def one(number: int) -> None:
        dice = random.Random(seed * 1_000_003 + number)
        for turn in range(rounds):
            for attempt in range(ATTEMPTS):
                taken = False
                try:
                    name = f"s{number}r{turn}a{attempt}"
                    taken = await asyncio.wait_for(ask(port, key, name, dice, told), DEADLINE_SECONDS)
                except (OSError, TimeoutError, IndexError):
                    told.statuses["lost"] += 1
                if taken:
                    break
                await asyncio.sleep(dice.random() * PATIENCE_SECONDS)

    await asyncio.gather(*(one(number) for number in range(spenders)))


class Product:
    """A zone whose two processes this script starts and kills itself; its supervisor sleeps."""

    def __init__(self, folder: Path, body: str) -> None:
        self.server: Server = start(folder, body, **ENVIRONMENT)
        self.key = str(self.server.dragoman("keys", "create", "--title", "spender")["text"])  # type: ignore[call-overload,index]
        pause(self.server.child.pid)
        for pid in self.server.pids.values():
            os.kill(pid, signal.SIGKILL)
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        for role in ("control", "relay"):
            self.begin(role)
        self.ready()

    def begin(self, role: str) -> None:
        folder = self.server.folder
        arguments = {
            "control": [
                "-m",
                "dragoman.control.run",
                "--config",
                str(folder / "dragoman.toml"),
                "--log-level",
                "error",
            ],
            "relay": ["-m", "dragoman.relay", "--config", str(next((folder / "data").rglob("relay.json")))],
        }[role]
        log = (folder / f"{role}.log").open("ab")
        self.children[role] = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(**ENVIRONMENT),
        )

    def ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            for role, child in list(self.children.items()):
                if child.poll() is not None:  # control's lock may still be held by the one that was killed
                    time.sleep(0.05)
                    self.begin(role)
            try:
                if httpx.get(f"{self.server.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.02)
        raise AssertionError(
            "".join((self.server.folder / f"{r}.log").read_text()[-1500:] for r in self.children)
        )

    def kill(self, role: str) -> None:
        self.children[role].kill()
        self.children[role].wait()
        self.begin(role)

    def stop(self) -> None:
        for role in ("relay", "control"):
            self.children[role].send_signal(signal.SIGTERM)
            try:
                self.children[role].wait(READY_SECONDS)
            except subprocess.TimeoutExpired:
                self.children[role].kill()
        os.kill(self.server.child.pid, signal.SIGKILL)
        os.kill(self.server.child.pid, signal.SIGCONT)
        self.server.child.wait()


async def chaos(product: Product, stop: asyncio.Event, dice: random.Random) -> int:
    """Kill one of the two at random instants until told to stop; how often."""
    kills = 0
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), dice.uniform(1.0, 4.0))
        except TimeoutError:
            role = dice.choice(["relay", "relay", "control"])
            await asyncio.to_thread(product.kill, role)
            kills += 1
            await asyncio.to_thread(product.ready)
    return kills


async def under_chaos(product: Product, spenders: int, rounds: int, seed: int, told: Told) -> int:
    stop = asyncio.Event()
    killing = asyncio.create_task(chaos(product, stop, random.Random(seed)))
    await spend(product.server.port, product.key, spenders, rounds, seed, told)
    stop.set()
    return await killing


def results(product: Product) -> tuple[dict[str, Any], int]:
    """Every result by its turn, and how many entries the relay's log has."""
    found, count = {}, 0
    for shard in shards(product.server.folder / "data" / "journal"):
        for entry in entries(shard):
            count += 1
            if entry.value["kind"] == "result":
                assert entry.value["turn"] not in found, "two results of one turn"
                found[entry.value["turn"]] = entry.value
    return found, count


def settled(product: Product) -> dict[str, tuple[int, int]]:
    """Spent and held of each bucket, once control has read the whole log and nothing is held."""
    file = product.server.folder / "data" / "zone.db"
    deadline = time.monotonic() + READY_SECONDS
    while True:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)) as raw:
            raw.execute("BEGIN")  # one snapshot: control goes on counting
            rows = raw.execute("SELECT bucket, spent FROM buckets").fetchall()
            held = dict(
                raw.execute(
                    "SELECT bucket, SUM(MAX(granted - returned - settled, 0)) FROM allotments GROUP BY bucket"
                ).fetchall()
            )
            read = raw.execute("SELECT COALESCE(SUM(next), 0) FROM journal_cursor").fetchone()[0]
        if read >= results(product)[1] and not any(held.values()):
            return {bucket: (spent, held.get(bucket, 0)) for bucket, spent in rows}
        assert time.monotonic() < deadline, f"not settled: read {read}, held {held}"
        time.sleep(0.2)


def check(product: Product, provider: MeteredProvider, limits: Limits, told: Told) -> dict[str, int]:
    """What the head of this file promises. Raises AssertionError."""
    buckets = settled(product)
    recorded, _ = results(product)
    by_bucket: dict[str, int] = defaultdict(int)
    for entry in recorded.values():
        for line in entry.get("budget", ()):
            assert line["spent"] <= line["reserved"], entry
            by_bucket[line["bucket"]] += line["spent"]
    assert dict(by_bucket) == {name: spent for name, (spent, _) in buckets.items() if spent}, (
        f"buckets are not the record: {dict(by_bucket)}, {buckets}"
    )
    for name, (spent, _) in buckets.items():
        assert spent <= limits.of(name.split(":")[0]), f"{name}: {spent}"
    calls = {call.name: call for call in provider.calls}
    windows = len({name.split(":")[1] for name in buckets})
    assert len(provider.calls) == len(calls), "a turn was sent twice"
    assert provider.metered() <= limits.tokens * windows, "the provider's meter is beyond the limit"
    for name, turn in told.receipts.items():
        entry, call = recorded[turn], calls[name]
        said = {line["bucket"].split(":")[0]: line["spent"] for line in entry["budget"]}
        money = -(-(call.input * PRICE[0] + call.output * PRICE[1]) // 1_000_000)
        assert (said["tokens"], said["money"]) == (call.input + call.output, money), (entry, call)
        assert entry["cost"] == {"amount": money, "currency": "EUR"}, entry
    spent = sum(amount for name, amount in by_bucket.items() if name.startswith("tokens:"))
    odd = {status: n for status, n in told.statuses.items() if status not in KNOWN}
    assert not odd, f"unexpected: {odd}"
    assert told.receipts, f"nothing was answered: {dict(told.statuses)}"
    assert provider.metered() <= spent, "the meter says more than is counted"
    return {
        "tried": sum(told.statuses.values()), "answered": len(told.receipts), "left": told.statuses["left"],
        "refused": told.statuses["429"], "unavailable": told.statuses["503"], "lost": told.statuses["lost"], "metered": provider.metered(), "spent": spent,
        "limit": limits.tokens,
    }  # fmt: skip


def run_zone(folder: Path, spenders: int, rounds: int, seed: int, *, kills: bool = True) -> dict[str, int]:
    """One zone from start to settling; figures of it. Raises AssertionError."""
    # About half of what is asked for can be paid.
    asked = spenders * rounds
    limits = Limits(
        tokens=max(15_000, asked * 25), money=max(75_000, asked * 110), requests=max(50, asked // 2)
    )
    provider = MeteredProvider(seed)
    body = CONFIG.format(url=provider.url, output=OUTPUT, price=PRICE, **vars(limits))
    product = Product(folder, body)
    told = Told()
    try:
        if kills:
            killed = asyncio.run(under_chaos(product, spenders, rounds, seed, told))
        else:
            killed = 0
            asyncio.run(spend(product.server.port, product.key, spenders, rounds, seed, told))
        product.ready()
        return {**check(product, provider, limits, told), "kills": killed}
    finally:
        product.stop()
        provider.close()


async def _naive(provider: MeteredProvider, limit: int, spenders: int, rounds: int) -> int:
    """The same spenders at a gateway that checks, calls, and counts afterwards: what the meter says in the end."""
    spent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal spent
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = json.loads(await reader.readexactly(length))
        body.pop("stream", None)
        data = json.dumps({**body, "max_tokens": OUTPUT}).encode()
        if spent >= limit:
            writer.write(b"HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n")
        else:
            there, back = await asyncio.open_connection("127.0.0.1", provider.port)
            back.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(data), data))
            answer = await there.readuntil(b"\r\n\r\n")
            size = int(answer.split(b"content-length: ")[1].split(b"\r\n")[0])
            spent += json.loads(await there.readexactly(size))["usage"]["total_tokens"]
            back.close()
            writer.write(answer + b" " * size)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    await spend(port, "none", spenders, rounds, 1, Told())
    server.close()
    return provider.metered()


def check_then_act(spenders: int, rounds: int) -> tuple[int, int]:
    """What the negative control spends, and its limit."""
    provider = MeteredProvider(1, pause=0.05)
    limit = max(2_000, spenders * rounds * 40)
    try:
        return asyncio.run(_naive(provider, limit, spenders, rounds)), limit
    finally:
        provider.close()


def main() -> None:
    """Run zones until the count is reached, and add them up in the results file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spenders", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=8, help="of each spender in one zone")
    parser.add_argument(
        "--requests", type=int, default=9_600, help="answered, left or refused in all; 64 x 1,000 x 3 at 5 %%"
    )
    parser.add_argument("--results", type=Path, default=Path("budget_spenders.json"))
    parser.add_argument("--check-then-act", action="store_true")
    given = parser.parse_args()
    if given.check_then_act:
        spent, limit = check_then_act(given.spenders, given.rounds)
        print(json.dumps({"spent": spent, "limit": limit, "over": spent > limit}))
        return
    given.results.parent.mkdir(parents=True, exist_ok=True)
    totals = json.loads(given.results.read_text()) if given.results.exists() else {"zones": 0, "decided": 0}
    while totals["decided"] < given.requests:
        seed = random.SystemRandom().getrandbits(32)
        with tempfile.TemporaryDirectory() as folder:
            figures = run_zone(Path(folder), given.spenders, given.rounds, seed)
        figures["decided"] = figures["answered"] + figures["left"] + figures["refused"]
        for name, amount in {**figures, "zones": 1}.items():
            totals[name] = totals.get(name, 0) + amount
        totals["overspent"] = 0
        given.results.write_text(json.dumps(totals) + "\n", encoding="utf-8")
        print(json.dumps({**totals, "seed": seed}), flush=True)


if __name__ == "__main__":
    main()
