"""Which mutants of the packs no golden case finds: `python tests/golden/mutate_packs.py [--packs hk,mo] [--results FILE]`.

Changes each rule's dates by a day, its numbers by one, its lists by a member, its flags, enforcement and
`on_missing` (`pack_mutants`), and runs the cases that the pack has a part in until one fails. A mutant that
does not load is counted apart. The last line is JSON; fails where a pack of `COMPLETE` has a survivor.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from pack_mutants import Mutant, mutants

from dragoman.decide.cases import Case, case_facts, run_case
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet, baseline_document, load_packs, pack_of
from dragoman.decide.schema import PackError
from dragoman.decide.world import World

ROOT = Path(__file__).resolve().parents[2]
PACKS = ROOT / "src" / "dragoman" / "packs"
COMPLETE = (
    "br", "eu", "gb", "hk", "in", "it", "jp", "kr", "mo", "ru", "sg", "tw", "us", "us-ca", "us-co", "us-ct", "us-ga", "us-hi",
    "us-ia", "us-id", "us-il", "us-me", "us-nv", "us-ny", "us-or", "us-tx", "us-ut", "us-wa", "vn",
    "self-hosted-llama-multimodal", "alibaba-dashscope-api", "baidu-qianfan-api", "minimax-api", "moonshot-api", "tencent-hunyuan-api",
    "volcengine-doubao-api", "zhipu-api",
    "alipay", "dingtalk", "dueros", "feishu", "kakaotalk", "line", "slack", "telegram", "wechat-mini-program", "wechat-official-account",
    "wecom", "wecom-customer-service", "weixin-mini-program", "weixin-official-account", "whatsapp",
)  # fmt: skip
"""Packs of which no mutant may survive."""
KILLED, REFUSED, SURVIVED = "killed", "refused", "survived"


@dataclass(frozen=True)
class Bench:
    """The packs as shipped, their documents by id, and for each case the packs that had a part in it."""

    packs: PackSet
    world: World
    baseline: dict[str, Any]
    documents: dict[str, dict[str, Any]]
    cases: Sequence[tuple[Case, frozenset[str]]]

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


def run(chosen: Sequence[str]) -> dict[str, Any]:
    """Every mutant of these packs (all where empty): figures by pack and kind, and who survived."""
    over = bench()
    unknown = set(chosen) - set(over.documents)
    if unknown:
        sys.exit(f"no pack is called {', '.join(sorted(unknown))}; there are {', '.join(over.documents)}")
    by_pack: dict[str, Counter[str]] = {}
    by_kind: dict[str, Counter[str]] = {}
    survivors = []
    for pack in chosen or over.documents:
        for mutant in mutants(over.documents[pack]):
            fate = over.fate(mutant)
            by_pack.setdefault(pack, Counter())[fate] += 1
            by_kind.setdefault(mutant.kind, Counter())[fate] += 1
            if fate == SURVIVED:
                survivors.append(
                    {"pack": pack, "rule": mutant.rule, "kind": mutant.kind, "what": mutant.what}
                )
        print(f"{pack}: {dict(by_pack.get(pack, {}))}", flush=True)
    total = sum(by_pack.values(), Counter())
    return {
        "cases": len(over.cases),
        "mutants": total[KILLED] + total[SURVIVED],
        "killed": total[KILLED],
        "survived": total[SURVIVED],
        "refused": total[REFUSED],
        "killed_percent": _percent(total),
        "packs": {name: {**_figures(count)} for name, count in by_pack.items()},
        "kinds": {name: {**_figures(count)} for name, count in sorted(by_kind.items())},
        "survivors": survivors,
    }


def _figures(count: Counter[str]) -> dict[str, Any]:
    return {"killed": count[KILLED], "survived": count[SURVIVED], "percent": _percent(count)}


def _percent(count: Counter[str]) -> float:
    tried = count[KILLED] + count[SURVIVED]
    return round(100 * count[KILLED] / tried, 2) if tried else 100.0


def main() -> None:
    """Run, tell the survivors, write the results, and fail where a complete pack has one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packs", default="", help="ids, comma-separated; without it all")
    parser.add_argument("--results", type=Path, help="where the whole JSON goes")
    asked = parser.parse_args()
    begun = time.monotonic()
    found = run([name for name in asked.packs.split(",") if name])
    found["seconds"] = round(time.monotonic() - begun, 1)
    found["complete"] = list(COMPLETE)
    for one in found["survivors"]:
        print(f"survived: {one['pack']} {one['rule'] or ''} {one['kind']}: {one['what']}")
    if asked.results:
        asked.results.parent.mkdir(parents=True, exist_ok=True)
        asked.results.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps({key: value for key, value in found.items() if key != "survivors"}))
    if any(one["pack"] in COMPLETE for one in found["survivors"]):
        sys.exit("a mutant of a complete pack survived")


if __name__ == "__main__":
    main()
