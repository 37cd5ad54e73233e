"""A zone's record of many turns for tests: real decisions on random facts, written as control and relay do.

One entry per log and decision, made when the first turn asks; refused turns have no intent. The facts of each
turn are kept whole beside it, so that a plain replay can ask what was really decided.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decide_facts import FACTS
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from dragoman import _native
from dragoman.canonical import canonical, digest
from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.generalise import generalise
from dragoman.decide.packs import PackSet
from dragoman.decide.replay import Side
from dragoman.decide.world import Offer, World

SEGMENT = 256 * 1024
DAY = 86_400_000
START = 1_767_225_600_000
"""2026-01-01, ms UTC."""
MODELS = {
    "gpt": (Offer("main", "openai-api"), Offer("spare", "google-gemini-api")),
    "dragoman": (Offer("local", None),),
}
WORLD = World.of("local", MODELS)


@dataclass(frozen=True)
class Told:
    """A turn as it was: its facts, not generalised, and when."""

    facts: Facts
    at: int


def random_facts(count: int, seed: int) -> list[Facts]:
    """Facts around the places where shipped rules change their mind."""
    found: list[Facts] = []

    @seeded(seed)
    @settings(
        max_examples=count, database=None, phases=[Phase.generate], deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(FACTS)
    def draw(facts: Facts) -> None:
        found.append(facts)

    draw()
    source = random.Random(seed)
    models = [None, "gpt", "gpt", "dragoman"]
    apps = [None, "app_one", "app_two"]
    return [one.replaced({"model": source.choice(models), "app": source.choice(apps)}) for one in found]


def entry_of(decision: Decision, facts: Facts, packs: PackSet) -> tuple[str, dict[str, Any]]:
    """Id and ledger entry of a decision, as the planner makes them."""
    general = generalise(facts, packs)
    name = "dec_local_" + digest([decision.id, general]).removeprefix("sha256:")[:32]
    entry = {
        "v": 1, "kind": "decision", "decision": name, "at": facts.as_of, "tenant": "ten", "zone": "local",
        "as_of": facts.as_of, "outcome": decision.outcome, "facts": general, "packs": {},
        "reasons": [{"code": one.code, "rule_id": one.rule_id} for one in decision.reasons],
        "obligations": [{"kind": one.kind, "rule_id": one.rule_id} for one in decision.obligations],
        "read": list(decision.read),
    }  # fmt: skip
    return name, entry


def turn_entries(n: int, name: str, at: int, **more: Any) -> list[dict[str, Any]]:
    """Intent and result of turn n."""
    here = {"v": 1, "turn": f"trn_local_{n}", "decision": name, "tenant": "ten", **more}
    return [
        {**here, "kind": "intent", "at": at, "attempts": ["main"]},
        {**here, "kind": "result", "at": at + 1, "status": "finished"},
    ]


def make_record(data: Path, documents: list[Facts], turns: int, side: Side, seed: int) -> list[Told]:
    """A journal of turns over two years, each on one of the documents; closed. Gives what really was asked."""
    source, told, entered = random.Random(seed), [], set()
    journal = _native.Journal(data / "journal", "local", segment_bytes=SEGMENT)
    times = sorted(START + source.randrange(700 * DAY) for _ in range(turns))
    for n, at in enumerate(times):
        facts = Facts(at, source.choice(documents).values)
        decision = decide(facts, side.packs, side.world)
        name, entry = entry_of(decision, facts, side.packs)
        simulated = source.random() < 0.02
        more = {"simulated": True} if simulated else {}
        if simulated:
            name = f"{name}s"
        found = turn_entries(n, name, at, **more)
        if not decision.allowed and source.random() < 0.5:
            found = [{**found[1], "status": "denied"}]
        if name not in entered:
            entered.add(name)
            found.insert(0, {**entry, "decision": name, **more})
        journal.append_many([canonical(one) for one in found])
        if not simulated:
            told.append(Told(facts, at))
    journal.close()
    return told


def overlay(folder: Path, name: str, *changes: tuple[str, str]) -> Path:
    """An overlay with one shipped pack, changed as texts; each text must stand there."""
    shipped = Path(__file__).resolve().parents[2] / "src" / "dragoman" / "packs" / name
    text = shipped.read_text("utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, "utf-8")
    return folder
