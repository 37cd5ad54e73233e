"""Packs as people look through them: heads, rules and terms by place, kind and words, and the cases of each.

For pages and their API. Reads packs, changes nothing, decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.decide.cases import Case
from dragoman.decide.iso3166 import countries, subdivisions
from dragoman.decide.packs import Pack, PackSet
from dragoman.decide.provider import Provider
from dragoman.decide.shown import rule_document
from dragoman.decide.worded import EFFECTS

TERMS = "provider"
"""The kind of a provider's term is this, a dot, and the name of the check."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for. `place`: ISO 3166 or a pack; `kind`: of rules; `text`: words, all of them."""

    place: str = ""
    kind: str = ""
    text: str = ""

    def __bool__(self) -> bool:
        return bool(self.place or self.kind or self.text)


def heads(packs: PackSet) -> list[dict[str, Any]]:
    """Every pack in a line: what it is of, its review, and how many rules of which certainty."""
    return [
        {
            "id": pack.id, "kind": pack.kind, "version": pack.version, "status": pack.status,
            "title": dict(pack.title), "iso": list(pack.iso), "parent": pack.parent,
            "review": dict(pack.review), "origin": pack.origin, "rules": len(pack.rules) or len(_terms(pack)),
            "certainty": _marks(pack),
        }
        for pack in packs.packs.values()
    ]  # fmt: skip


def kinds(packs: PackSet) -> list[str]:
    """The kinds of rules and of terms that the loaded packs have."""
    found = {row["kind"] for pack in packs.packs.values() for row in _rows(pack)}
    return sorted(found)


def is_place(packs: PackSet, place: str) -> bool:
    """Whether a pack or ISO 3166 knows it."""
    return place in packs.packs or place in countries() or place in subdivisions()


def found(packs: PackSet, wanted: Wanted) -> list[dict[str, Any]]:
    """Rules and terms with condition, effect and sources in words; all of them where nothing is wanted."""
    words = wanted.text.casefold().split()
    return [
        row
        for pack in packs.packs.values()
        if not wanted.place or _covers(pack, wanted.place, packs)
        for row in _rows(pack)
        if (not wanted.kind or row["kind"] == wanted.kind) and _has(row, words)
    ]


def one(packs: PackSet, pack_id: str, rule_id: str) -> dict[str, Any] | None:
    """A rule or term with its cases, or None."""
    pack = packs.packs.get(pack_id)
    rows = _rows(pack) if pack is not None else ()
    row = next((row for row in rows if row["rule_id"] == rule_id), None)
    if row is None:
        return None
    return {**row, "cases": [case_document(case) for case in packs.cases if case.rule_id == rule_id]}


def case_document(case: Case) -> dict[str, Any]:
    """A golden case: what is given beside the baseline, and what must and must not come out."""
    return {
        "name": case.name, "as_of": case.as_of, "given": dict(case.given), "unknown": list(case.unknown),
        "expect": dict(case.expect),
    }  # fmt: skip


def _covers(pack: Pack, place: str, packs: PackSet) -> bool:
    """A whole country has its parts' packs too, and a part that of its country."""
    if place in packs.packs:
        return place in (pack.id, pack.parent)
    return any(code == place or code[:2] == place or code == place[:2] for code in pack.iso)


def _rows(pack: Pack) -> Iterator[dict[str, Any]]:
    for rule in pack.rules:
        yield {**rule_document(rule, pack), "effect_in_words": dict(EFFECTS[rule.on_missing])}
    yield from _terms(pack)


def _terms(pack: Pack) -> list[dict[str, Any]]:
    """A provider's terms in the shape of rules: they have no dates and no condition of their own."""
    provider = pack.provider
    if provider is None:
        return []
    return [_term(pack, provider, check) for check in provider.cites]


def _term(pack: Pack, provider: Provider, check: str) -> dict[str, Any]:
    return {
        "rule_id": f"{pack.id}.{check}", "pack": pack.id, "kind": f"{TERMS}.{check}",
        "title": dict(provider.title), "text": dict(provider.title), "applies_in_words": None,
        "effective_from": None, "effective_to": None, "binds_older_systems_from": None, "enforcement": None,
        "on_missing": None, "effect_in_words": None, "certainty": provider.certainty[check], "code": None,
        "asks": {}, "sources": [{"id": check, **provider.cites[check].to_dict()}],
    }  # fmt: skip


def _has(row: Mapping[str, Any], words: list[str]) -> bool:
    if not words:
        return True
    texts = [row["rule_id"], row["kind"], row["code"] or "", *row["title"].values(), *row["text"].values()]
    texts += [str(source[key]) for source in row["sources"] for key in ("source", "article", "url")]
    whole = " ".join(texts).casefold()
    return all(word in whole for word in words)


def _marks(pack: Pack) -> dict[str, int]:
    marks = [rule.certainty for rule in pack.rules] or [row["certainty"] for row in _terms(pack)]
    return {mark: marks.count(mark) for mark in ("V", "v", "g", "?") if mark in marks}
