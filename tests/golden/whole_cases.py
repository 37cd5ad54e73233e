"""The table `whole.jsonl`: what one hit of each rule comes to as a whole, written by the slow reference.

`python tests/golden/whole_cases.py` writes it anew, from the packs' TOML, the golden cases and `decide_oracle`,
which shares nothing with the engine. A line: case, outcome, every reason (code, effect), every duty (kind, rule,
enforcement, standing), and of the case's own rule the citation. A change of law shows as a change of lines.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

import decide_oracle

from dragoman.decide.cases import Case, case_facts
from dragoman.decide.packs import baseline_document, load_packs

TABLE = Path(__file__).parent / "whole.jsonl"


def document(case: Case) -> dict[str, Any]:
    """A case's facts as a nested document, as the reference reads it."""
    facts = case_facts(case, baseline_document())
    out: dict[str, Any] = {"as_of": facts.as_of}
    for path, value in facts.values.items():
        parts = path.split(".")
        if path.startswith("operator.evidence."):
            record = {k: v for k, v in (("number", value.number), ("expires", value.expires)) if v}
            out.setdefault("operator", {}).setdefault("evidence", {})[path.split(".", 2)[2]] = record
            continue
        node = out
        for part in parts[:-1]:
            node = node.setdefault(part, {})
        node[parts[-1]] = list(value) if isinstance(value, tuple) else value
    return out


def hits(cases: tuple[Case, ...]) -> dict[str, list[Case]]:
    """For each rule the cases that say it gives a reason, but none where the model itself is refused."""
    out: dict[str, list[Case]] = {}
    for case in cases:
        if case.rule_id is not None and case.expect.get("reason_codes") and case.given.get("model") is None:
            out.setdefault(case.rule_id, []).append(case)
    return out


def citations(packs: list[dict[str, Any]]) -> dict[str, list[str]]:
    """For each rule the title, article and address of its first source, as the files have them."""
    out = {}
    for pack in packs:
        sources = {source["id"]: source for source in pack.get("sources", ())}
        for rule in pack.get("rules", ()):
            source = sources[rule["source_refs"][0]]
            out[rule["rule_id"]] = [source["title"], source.get("article", ""), source.get("url", "")]
    return out


def lines() -> Iterator[dict[str, Any]]:
    """One line for each rule, of the case of its first hit."""
    raw = decide_oracle.load()
    cited = citations(raw)
    for rule_id, cases in sorted(hits(load_packs().cases).items()):
        if rule_id not in cited:
            continue
        found = decide_oracle.expected(document(cases[0]), raw)
        yield {
            "rule": rule_id,
            "case": cases[0].name,
            "outcome": found["outcome"],
            "reasons": sorted(map(list, found["reasons"])),
            "duties": sorted(map(list, found["duties"])),
            "cites": cited[rule_id],
        }


def write() -> int:
    """Write the table; how many lines."""
    made = [json.dumps(line, ensure_ascii=False) for line in lines()]
    TABLE.write_text("\n".join(made) + "\n", "utf-8")
    return len(made)


if __name__ == "__main__":
    print(write())
