"""Verified sign-ups: a code asked for, sent through a gateway on loopback, given back, the person durable. Over HTTP, in stage `public`.

`python bench/signup.py --count 2000` with the development environment. A proxy on this machine tells the clients' addresses, 127.0.0.0/8,
each within its limits; numbers are synthetic, of countries whose law keeps nobody out of this zone. A sample goes on to a first turn and
to its own placement. `--minutes 30` has them come on a launch curve: six days of it, each with its busy hours, in so many minutes; whoever
finds all connections taken waits, and that is counted. What is stated per tenth: rate, processor time of relay and control per sign-up, memory, size of the database.
The generator and the gateway run beside the service, on the same cores. Limits that the run raises are printed with the result.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import phonenumbers
import processes

from dragoman.accounts.pepper import open_pepper
from dragoman.admin.people import NewPasskey, People
from dragoman.decide.packs import load_packs
from dragoman.ids import new_id
from dragoman.stores.admins import SqlAdmins
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate
from dragoman.testing.ports import free_port
from dragoman.testing.sms import FakeSms

ROOT = Path(__file__).resolve().parent.parent
PER_ADDRESS = 40
"""Sign-ups of one address in the run: within what one may ask in an hour."""
PER_PREFIX = 400
LEAST_ADDRESSES = 5_000
DAYS = 6
"""Of the launch that is told of: a million people in six days."""
SWING = 0.3
"""How much more than the mean come in the busiest hour of a day."""
THRESHOLDS = (100_000, 1_000_000)
"""Registered people at which the run's own pack changes its mind: what laws have, put where one run passes it."""
RAISED = {"country_per_hour": 200_000, "country_per_day": 1_000_000}
"""Of `[sms]`: what an operator raises before a launch. Everything else is as shipped."""
RESIDENCE = "IN"
"""Where everybody says to live, so that a law counts them."""
START_S = 60.0
SEED = 7


@dataclass
class Run:
    """What is asked of whom, and what came of it."""

    port: int
    sms: FakeSms
    done: int = 0
    again: int = 0
    late: float = 0.0
    """Seconds that somebody waited for a free connection, at most."""
    failed: Counter[str] = field(default_factory=Counter)
    sampled: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)


class Link:
    """One kept connection of the proxy: HTTP/1.1, one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, client: str, body: Any = None, cookie: str = ""
    ) -> tuple[int, Any, str]:
        """Status, document and session cookie of an answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        raw = b"" if body is None else json.dumps(body).encode()
        own = f"cookie: dragoman_session={cookie}\r\norigin: https://localhost\r\n" if cookie else ""
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\n{own}"
            f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n".encode()
            + raw
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        if "content-length" in fields:
            data = await reader.readexactly(int(fields["content-length"]))
        else:
            data = await self._chunks(reader)
        given = next((line for line in lines if line.lower().startswith("set-cookie: dragoman_session=")), "")
        session = given.partition("=")[2].partition(";")[0]
        return int(lines[0].split(" ")[1]), json.loads(data) if data[:1] == b"{" else data, session

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        parts = []
        while size := int((await reader.readline()).strip() or b"0", 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readline()
        return b"".join(parts)


def numbers(count: int) -> Iterator[str]:
    """Valid mobile numbers, no prefix more often than its budget, of countries that no pack covers."""
    covered = set(load_packs().by_country)
    draw = random.Random(SEED)
    regions = sorted(set(phonenumbers.SUPPORTED_REGIONS) - covered)
    plans = [
        example
        for region in regions
        if len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[phonenumbers.country_code_for_region(region)]) == 1
        and (example := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
        and len(str(example.national_number)) >= 8
    ]
    seen: set[str] = set()
    used: Counter[str] = Counter()
    given = 0
    for plan in itertools.cycle(plans):
        code, digits = plan.country_code, str(plan.national_number)
        text = digits[:1] + "".join(str(draw.randrange(10)) for _ in digits[1:])
        number = phonenumbers.PhoneNumber(country_code=code, national_number=int(text))
        whole, prefix = f"+{code}{text}", f"+{code}{text[:3]}"
        if whole in seen or used[prefix] >= PER_PREFIX:
            continue
        if phonenumbers.number_type(number) != phonenumbers.PhoneNumberType.MOBILE:
            continue
        seen.add(whole)
        used[prefix] += 1
        given += 1
        yield whole
        if given == count:
            return


def arrivals(count: int, seconds: float) -> Iterator[float]:
    """When each of so many comes, in seconds from the start: a wave for each day, no more at its end than begun."""
    steps = 20_000
    rate = [1 - SWING * math.cos(2 * math.pi * DAYS * (n + 0.5) / steps) for n in range(steps)]
    come, whole = 0.0, sum(rate)
    given = 0
    for n, one in enumerate(rate):
        come += one / whole * count
        while given < count and given < come:
            yield n / steps * seconds
            given += 1
    yield from [seconds] * (count - given)


def own_pack(folder: Path) -> None:
    """India's pack with the threshold of registered people at two others."""
    shipped = (files("dragoman") / "packs" / "jurisdictions" / "in.toml").read_text("utf-8")
    old = "in_registered = { gte = 5000000 }"
    assert shipped.count(old) == 1
    (folder / "own" / "jurisdictions").mkdir(parents=True)
    changed = shipped.replace(old, f"in_registered = {{ gte = {THRESHOLDS[0]}, lt = {THRESHOLDS[1]} }}")
    (folder / "own" / "jurisdictions" / "in.toml").write_text(changed, encoding="utf-8")


def zone(folder: Path, sms: FakeSms) -> tuple[processes.Tree, int]:
    """A zone of stage `public` behind a proxy of this machine, that somebody administers."""
    data = folder / "data"
    data.mkdir(mode=0o700)
    migrate(data / "zone.db")
    database = Database(data / "zone.db")
    people = People(SqlAdmins(database, "local"), open_pepper(data / "secrets" / "pepper"), "local")
    invited = people.invite("cli", "operator")
    people.enrol(invited.text, new_id("adm", "local"), NewPasskey("cred", "key", 0, "bench"))
    database.close()
    port = free_port()
    raised = "\n".join(f"{name} = {value}" for name, value in RAISED.items())
    own_pack(folder)
    (folder / "dragoman.toml").write_text(
        f"""packs_dir = "own"
[deployment]
stage = "public"
[zone]
data = "data"
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{free_port()}"
public_url = "https://localhost"
[edge]
trusted_proxies = ["127.0.0.1/32"]
guest_turns_per_minute = 1000000
[admin]
listen = "off"
[sms]
url = "{sms.url}"
{raised}
""",
        encoding="utf-8",
    )
    program = Path(sys.executable).with_name("dragoman")
    tree = processes.start("dragoman", [str(program), "serve", "--json"], folder=folder)
    return tree, port


async def ready(tree: processes.Tree, port: int) -> None:
    """Wait until the relay says so."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and tree.alive():
        try:
            if (await Link(port).ask("GET", "/readyz", "127.9.9.9"))[0] == 200:
                return
        except (OSError, asyncio.IncompleteReadError):
            pass  # not listening yet
        await asyncio.sleep(0.1)
    raise SystemExit(f"it did not start:\n{tree.tail()}")


async def one(link: Link, run: Run, phone: str, client: str, sample: bool) -> None:
    """A person: asks, reads its message, gives the code back; of the sample a first turn and its placement."""
    began = time.perf_counter()
    status, asked, _ = await link.ask("POST", "/v1/signup/phone", client, {"phone": phone})
    if status == 503 and asked["error"]["code"] == "code_unsent":
        # The gateway did not answer in time: whoever waits for a code asks once more.
        run.again += 1
        status, asked, _ = await link.ask("POST", "/v1/signup/phone", client, {"phone": phone})
    if status != 202:
        run.failed[f"phone {asked['error']['code']}"] += 1
        return
    code = run.sms.code(phone)
    said = {"challenge": asked["id"], "code": code, "least_age": 18, "residence": RESIDENCE}
    status, made, cookie = await link.ask("POST", "/v1/signup/verify", client, said)
    if status != 200:
        run.failed[f"verify {made['error']['code']}"] += 1
        return
    run.done += 1
    run.waits.append(time.perf_counter() - began)
    if sample:
        turn = {"model": "dragoman", "messages": [{"role": "user", "content": "May I return a lamp?"}]}
        run.sampled[(await link.ask("POST", "/v1/chat/completions", client, turn, cookie))[0]] += 1
        run.sampled[(await link.ask("GET", "/v1/me/placement", client, None, cookie))[0]] += 1


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Names and sizes of what lies there; what is replaced meanwhile is left out."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield path.name, path.stat().st_size


def measured(
    tree: processes.Tree, folder: Path, run: Run, began: float, cpu: float, before: int
) -> dict[str, Any]:
    """A row of the table, of what was done since the one before."""
    done, seconds = run.done - before, time.monotonic() - began
    files = list(_files(folder / "data"))
    waits = sorted(run.waits) or [0.0]
    run.waits = []
    return {
        "done": run.done,
        "per_s": round(done / seconds, 1),
        "cpu_ms_each": round((tree.cpu_ms() - cpu) / max(1, done), 3),
        "p50_ms": round(waits[len(waits) // 2] * 1000, 1),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1),
        "rss_mb": tree.rss_mb(),
        "database_mb": round(sum(size for name, size in files if name.startswith("zone.db")) / 1e6, 1),
        "bytes_each": round(sum(size for _, size in files) / max(1, run.done)),
        "failed": sum(run.failed.values()),
    }


async def drive(
    args: argparse.Namespace, tree: processes.Tree, folder: Path, run: Run
) -> list[dict[str, Any]]:
    """Have everybody sign up, over so many connections; a row for each tenth."""
    await ready(tree, run.port)
    phones = list(numbers(args.count))
    times = arrivals(args.count, args.minutes * 60) if args.minutes else itertools.repeat(0.0)
    places = max(LEAST_ADDRESSES, -(-args.count // PER_ADDRESS))
    rows: list[dict[str, Any]] = []
    everybody = iter(zip(itertools.count(), phones, times, strict=False))
    start = time.monotonic()
    mark = {"began": start, "cpu": tree.cpu_ms(), "done": 0.0}

    async def worker() -> None:
        link = Link(run.port)
        for n, phone, due in everybody:
            if due > time.monotonic() - start:
                await asyncio.sleep(due - time.monotonic() + start)
            elif due:
                run.late = max(run.late, time.monotonic() - start - due)
            at = n % places
            client = f"127.{1 + at // 65_536}.{at // 256 % 256}.{at % 256}"
            await one(link, run, phone, client, n % args.every == 0)
            if (n + 1) % max(1, args.count // 10) == 0:
                rows.append(measured(tree, folder, run, mark["began"], mark["cpu"], int(mark["done"])))
                print(json.dumps(rows[-1]), flush=True)
                mark.update(began=time.monotonic(), cpu=tree.cpu_ms(), done=float(run.done))

    await asyncio.gather(*(worker() for _ in range(args.connections)))
    return rows


def main() -> None:
    """Run it, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--minutes", type=float, default=0, help="of the launch curve; 0: all at once")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--every", type=int, default=100, help="one in so many goes on to a turn")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="d") as name, closing(FakeSms()) as sms:
        folder = Path(name)
        tree, port = zone(folder, sms)
        run = Run(port, sms)
        try:
            began = time.monotonic()
            rows = asyncio.run(drive(args, tree, folder, run))
            seconds = time.monotonic() - began
            with tree.log.open(encoding="utf-8") as log:
                changes = sum('"change_published"' in line for line in log)
        finally:
            tree.stop()
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        result = {
            "commit": commit.stdout.strip(),
            "cores": os.cpu_count(),
            "count": args.count,
            "verified": run.done,
            "asked_again": run.again,
            "failed": dict(run.failed),
            "sampled": {str(status): count for status, count in run.sampled.items()},
            "seconds": round(seconds, 1),
            "waited_at_most_s": round(run.late, 1),
            "changes_published": changes,
            "messages": len(sms.sent()) if args.count <= 200_000 else sms.posts,
            "raised": RAISED,
            "tenths": rows,
        }
        print(json.dumps(result, indent=1))
        if run.done != args.count:
            raise SystemExit("not everybody signed up")


if __name__ == "__main__":
    main()
