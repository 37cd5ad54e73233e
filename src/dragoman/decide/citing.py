"""Which rules rest on which source, and how surely: the citations of packs, seen from either side.

For the command line and pages. Reads packs and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dragoman.core.decision import Citation
from dragoman.decide.packs import Pack, PackSet

Source = dict[str, Any]


def cited(packs: PackSet, wanted: str | None = None) -> list[Source]:
    """Sources with the rules that rest on each; only those of `wanted` where it is given.

    `wanted` is a rule's id (also a term such as `pack.territory`), `pack/source`, a source's id, or words
    of its title, article or address. Empty where nothing matches.
    """
    found = [source for pack in packs.packs.values() for source in _of_pack(pack)]
    if wanted is None:
        return found
    for chosen in (_by_rule, _by_id, _by_words):
        matches = [source for source in found if chosen(source, wanted)]
        if matches:
            return matches
    return []


def names(packs: PackSet) -> list[str]:
    """Every rule, term and `pack/source` that can be asked for."""
    found = cited(packs)
    return [*(rule["rule_id"] for one in found for rule in one["rules"]), *(one["id"] for one in found)]


def _by_rule(source: Source, wanted: str) -> bool:
    return any(rule["rule_id"] == wanted for rule in source["rules"])


def _by_id(source: Source, wanted: str) -> bool:
    return wanted in (source["id"], source["id"].partition("/")[2])


def _by_words(source: Source, wanted: str) -> bool:
    text = " ".join(str(source[key]) for key in ("title", "article", "url"))
    return wanted.casefold() in text.casefold()


def _of_pack(pack: Pack) -> Iterator[Source]:
    notes = {item["id"]: item for item in pack.document.get("sources", ())}
    for name, citation in pack.sources.items():
        note = notes[name]
        read_on = note.get("retrieved_on")
        yield {
            "id": f"{pack.id}/{name}",
            "pack": pack.id,
            "status": pack.status,
            "title": citation.source,
            "article": citation.article,
            "url": citation.url,
            "lang": note.get("lang"),
            "official": note.get("official"),
            "retrieved_on": read_on.isoformat() if read_on else None,
            "rules": [*_rules(pack, name), *_terms(pack, citation)],
        }


def _rules(pack: Pack, name: str) -> Iterator[dict[str, Any]]:
    for rule in pack.rules:
        if name in rule.source_refs:
            yield {
                "rule_id": rule.rule_id,
                "certainty": rule.certainty,
                "enforcement": rule.enforcement,
                "from": rule.starts_on,
                "title": dict(rule.reasons["warn"].title),
            }


def _terms(pack: Pack, citation: Citation) -> Iterator[dict[str, Any]]:
    if pack.provider is None:
        return
    for check, found in pack.provider.cites.items():
        if found == citation:
            yield {
                "rule_id": f"{pack.id}.{check}",
                "certainty": pack.provider.certainty[check],
                "enforcement": None,
                "from": None,
                "title": dict(pack.provider.title),
            }
