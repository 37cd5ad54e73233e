"""`dragoman simulate` over a ledger of many turns: turns a second, processor time, memory.

    python bench/simulate.py --turns 300000 --results build/simulate.json

A journal is written as the relay writes it, once for each number of distinct facts documents: as many as a service has
kinds of people and requests, and one for each turn, which is the worst there is. The packs change a provider's list and
a rule of every country of the Union, so that every decision is made twice. The verb runs as a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "property"))

from recorded_zone import START, entry_of, overlay, turn_entries

from dragoman import _native
from dragoman.canonical import canonical
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet, load_packs
from dragoman.decide.world import Offer, World

SEED = 20_261_127
GROUP = 512
"""Entries written together."""
MODELS = {"gpt": (Offer("main", "openai-api"),)}
CONFIG = """
[deployment]
seat = "SG"
[providers.main]
kind = "openai"
base_url = "https://models.example/v1"
pack = "openai-api"
[models.gpt]
provider = "main"
model = "big"
"""
PLACES = ("CN", "DE", "FR", "IT", "US", "GB", "JP", "KR", "SG", "IN", "BR", "VN", "TW", "HK", "NG", "MX")
SAME_DAY = 3_600_000
"""Turns lie within an hour, ms, so that no date of a pack lies between them."""


def person(source: random.Random, number: int) -> Facts:
    """Facts of an ordinary turn; the app makes each number's document another one."""
    home = source.choice(PLACES)
    return Facts.parse(
        {
            "as_of": START + 300 * 86_400_000,
            "event": "turn",
            "residence": home,
            "address_country": home if source.random() < 0.9 else source.choice(PLACES),
            "address_kind": source.choice(["residential", "mobile", "vpn"]),
            "identity": {"verified": ["residence"]},
            "account": source.choice(["new", "established"]),
            "age": source.choice([13, 16, 17, 19, 30, 45]),
            "age_source": "declared",
            "model": "gpt",
            "route": "/v1/chat/completions",
            "channel": "api",
            "app": f"app_{number}",
            "feature": source.choice(["assistant", "customer_service", "companion"]),
            "modality": ["text"],
            "audience": "public",
            "operator": {"seat": "SG", "roles": ["ai_provider"], "model_use": "api"},
        }
    )


def write(folder: Path, turns: int, distinct: int, packs: PackSet) -> None:
    """A journal with so many turns, whose decisions rest on so many documents."""
    source, world = random.Random(SEED), World.of("local", MODELS)
    journal = _native.Journal(folder / "journal", "local")
    rows: list[bytes] = []
    names: list[str] = []
    for number in range(turns):
        if number < distinct:
            facts = person(source, number)
            name, entry = entry_of(decide(facts, packs, world), facts, packs)
            names.append(name)
            rows.append(canonical(entry))
        name = names[number % distinct]
        at = START + 300 * 86_400_000 + number * SAME_DAY // turns
        rows += [canonical(row) for row in turn_entries(number, name, at, **PADDING)]
        if len(rows) >= GROUP:
            journal.append_many(rows)
            rows = []
    if rows:
        journal.append_many(rows)
    journal.close()


PADDING = {
    "key": "key_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab",
    "plan": "pln_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab",
    "route": "/v1/chat/completions",
    "rules_in": "sha256:" + "83" * 32,
    "rules_out": "sha256:" + "83" * 32,
    "findings": [],
    "usage": {"input": 30, "known": True, "output": 90},
}
"""What entries of turns hold besides, so that they are as long as real ones."""


def measured(folder: Path, changed: Path, turns: int) -> dict[str, Any]:
    """One run of the verb."""
    (folder / "dragoman.toml").write_text(CONFIG, "utf-8")
    words = [
        "--config",
        str(folder / "dragoman.toml"),
        "--from",
        str(folder),
        "--packs",
        str(changed),
        "--json",
    ]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    said = subprocess.run(
        [sys.executable, "-m", "dragoman.cli", "simulate", *words], check=True, capture_output=True
    )
    spent, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    report = json.loads(said.stdout)
    assert report["turns"]["all"] == turns, report["turns"]
    assert report["turns"]["changed"] > 0, report["turns"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "turns": turns,
        "changed": report["turns"]["changed"],
        "wall_s": round(spent, 2),
        "turns_a_second": round(turns / spent),
        "cpu_s": round(cpu, 2),
        "turns_a_cpu_second": round(turns / cpu),
        "largest_process_mb": after.ru_maxrss >> 10,
        "load": round(os.getloadavg()[0], 1),
        "processors": len(os.sched_getaffinity(0)),
    }


def main() -> None:
    """Write and replay each record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=300_000)
    parser.add_argument("--distinct", type=int, nargs="*", default=[])
    parser.add_argument("--results", type=Path, default=Path("build/simulate.json"))
    given = parser.parse_args()
    packs = load_packs()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        changed = Path(place) / "next"
        overlay(changed, "providers/openai-api.toml", ('"SG", ', ""))
        overlay(changed, "jurisdictions/eu.toml", ("until = 2026-12-02", "until = 2026-12-09"))
        for distinct in given.distinct or [1_000, given.turns // 10, given.turns]:
            folder = Path(place) / str(distinct)
            folder.mkdir()
            write(folder, given.turns, distinct, packs)
            rows[f"{distinct} documents"] = measured(folder, changed, given.turns)
            print(json.dumps({distinct: rows[f"{distinct} documents"]}), flush=True)
    given.results.parent.mkdir(parents=True, exist_ok=True)
    given.results.write_text(json.dumps(rows, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
