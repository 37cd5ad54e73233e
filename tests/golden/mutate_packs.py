"""Which mutants of the packs no golden case finds: `python tests/golden/mutate_packs.py [--packs hk,mo] [--results FILE] [--again]`.

Changes each rule's dates by a day, its numbers by one, its lists by a member, its flags, enforcement and
`on_missing` (`pack_mutants`), and runs the cases that the pack has a part in until one fails. A mutant that
does not load is counted apart. Each pack's figures are kept in FILE as soon as they are there, and taken from it
while packs, cases, engine and mutator are the same. The last line is JSON; fails where a mutant survives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from pack_mutants import Capabilities, Mutant, mutants

from dragoman.decide.cases import Case, case_facts, run_case
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet, baseline_document, load_packs, pack_of
from dragoman.decide.schema import PackError
from dragoman.decide.world import World

ROOT = Path(__file__).resolve().parents[2]
PACKS = ROOT / "src" / "dragoman" / "packs"
KILLED, REFUSED, SURVIVED = "killed", "refused", "survived"


@dataclass(frozen=True)
class Bench:
    """The packs as shipped, their documents by id, and for each case the packs that had a part in it."""

    packs: PackSet
    world: World
    baseline: dict[str, Any]
    documents: dict[str, dict[str, Any]]
    cases: Sequence[tuple[Case, frozenset[str]]]

    def mutants(self, pack: str) -> Iterator[Mutant]:
        """Every mutant of this pack that could change a decision."""
        return mutants(self.documents[pack], Capabilities.of(self.documents.values()))

    def fate(self, mutant: Mutant) -> str:
        """`refused` where it does not load, `killed` where a case fails, else `survived`."""
        try:
            changed = pack_of(mutant.document, "", self.packs.packs[mutant.pack].origin)
            packs = PackSet.of([changed if p.id == mutant.pack else p for p in self.packs.packs.values()])
        except PackError:
            return REFUSED
        found = any(
            run_case(case, self.baseline, lambda facts: decide(facts, packs, self.world))
            for case in self._concerned(mutant)
        )
        return KILLED if found else SURVIVED

    def _concerned(self, mutant: Mutant) -> Iterable[Case]:
        """The rule's own cases first, then the others in which the pack had a part, or all where it could get one.

        A provider's terms can get no further part in the cases of a law's rule: those name no model of it.
        """
        own = [case for case, _ in self.cases if mutant.rule is not None and case.rule_id == mutant.rule]
        yield from own
        anywhere = mutant.rule is None and self.packs.packs[mutant.pack].kind == "jurisdiction"
        for case, parts in self.cases:
            mine = mutant.rule is not None and case.rule_id == mutant.rule
            if not mine and (
                anywhere or mutant.pack in parts or (mutant.rule is None and case.rule_id is None)
            ):
                yield case


def bench() -> Bench:
    """Load everything once; every case must hold before anything is mutated."""
    packs, baseline = load_packs(), baseline_document()
    world = World.from_packs(packs)
    cases = []
    for case in packs.cases:
        decision = decide(case_facts(case, baseline), packs, world)
        assert run_case(case, baseline, lambda _: decision) == [], case.where  # noqa: B023 - called at once
        cases.append((case, frozenset(decision.packs)))
    documents = {}
    for folder in ("jurisdictions", "providers", "channels"):
        for file in sorted((PACKS / folder).glob("*.toml")):
            documents[file.stem] = tomllib.loads(file.read_text("utf-8"))
    return Bench(packs, world, baseline, documents, cases)


def stamp() -> str:
    """SHA-256 over all that a mutant's fate depends on: packs, cases, engine, mutator."""
    files = [
        *PACKS.rglob("*.toml"),
        *(ROOT / "src" / "dragoman" / "decide").glob("*.py"),
        *(Path(__file__).with_name(name) for name in ("mutate_packs.py", "pack_mutants.py")),
    ]
    files += [ROOT / "src" / "dragoman" / "core" / name for name in ("facts.py", "decision.py")]
    seen = hashlib.sha256()
    for file in sorted(files):
        seen.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return seen.hexdigest()


def try_all(over: Bench, pack: str) -> dict[str, Any]:
    """Every mutant of this pack: figures, by kind too, and who survived."""
    kinds: dict[str, Counter[str]] = {}
    survivors = []
    for mutant in over.mutants(pack):
        fate = over.fate(mutant)
        kinds.setdefault(mutant.kind, Counter())[fate] += 1
        if fate == SURVIVED:
            survivors.append({"pack": pack, "rule": mutant.rule, "kind": mutant.kind, "what": mutant.what})
    return {"kinds": kinds, "survivors": survivors}


def run(chosen: Sequence[str], results: Path | None, *, again: bool) -> dict[str, Any]:
    """Every mutant of these packs (all where empty): figures by pack and kind, and who survived."""
    over, now = bench(), stamp()
    unknown = set(chosen) - set(over.documents)
    if unknown:
        sys.exit(f"no pack is called {', '.join(sorted(unknown))}; there are {', '.join(over.documents)}")
    kept = json.loads(results.read_text("utf-8")) if results and results.exists() else {}
    tried: dict[str, Any] = kept.get("tried", {}) if kept.get("stamp") == now and not again else {}
    for pack in chosen or over.documents:
        if pack in tried:
            continue
        tried[pack] = try_all(over, pack)
        print(f"{pack}: {dict(sum(map(Counter, tried[pack]['kinds'].values()), Counter()))}", flush=True)
        if results:
            _keep(results, {"stamp": now, "tried": tried})
    found = {pack: tried[pack] for pack in chosen or over.documents}
    by_pack = {pack: sum(map(Counter, one["kinds"].values()), Counter()) for pack, one in found.items()}
    by_kind: dict[str, Counter[str]] = {}
    for one in found.values():
        for kind, count in one["kinds"].items():
            by_kind.setdefault(kind, Counter()).update(count)
    total = sum(by_pack.values(), Counter())
    return {
        "cases": len(over.cases),
        **_figures(total),
        "refused": total[REFUSED],
        "packs": {name: _figures(count) for name, count in by_pack.items()},
        "kinds": {name: _figures(count) for name, count in sorted(by_kind.items())},
        "survivors": [survivor for one in found.values() for survivor in one["survivors"]],
        "stamp": now,
        "tried": tried,
    }


def _keep(results: Path, document: dict[str, Any]) -> None:
    results.parent.mkdir(parents=True, exist_ok=True)
    whole = results.with_suffix(".part")
    whole.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    whole.replace(results)


def _figures(count: Counter[str]) -> dict[str, Any]:
    tried = count[KILLED] + count[SURVIVED]
    return {
        "mutants": tried,
        "killed": count[KILLED],
        "survived": count[SURVIVED],
        "percent": _percent(count),
    }


def _percent(count: Counter[str]) -> float:
    tried = count[KILLED] + count[SURVIVED]
    return round(100 * count[KILLED] / tried, 2) if tried else 100.0


def main() -> None:
    """Run, tell the survivors, write the results, and fail where a complete pack has one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", default="", help="ids, comma-separated; without it all")
    parser.add_argument("--results", type=Path, help="where the whole JSON goes")
    parser.add_argument(
        "--again", action="store_true", help="try even what was tried with the same packs and code"
    )
    asked = parser.parse_args()
    begun = time.monotonic()
    found = run([name for name in asked.packs.split(",") if name], asked.results, again=asked.again)
    found["seconds"] = round(time.monotonic() - begun, 1)
    for one in found["survivors"]:
        print(f"survived: {one['pack']} {one['rule'] or ''} {one['kind']}: {one['what']}")
    if asked.results:
        _keep(asked.results, found)
    print(
        json.dumps({key: value for key, value in found.items() if key not in ("survivors", "tried", "stamp")})
    )
    if found["survivors"]:
        sys.exit(f"{len(found['survivors'])} mutants survived")


if __name__ == "__main__":
    main()
