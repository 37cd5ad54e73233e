"""The names that the loaded packs understand: which there are, which rules read each, and what it means.

For the command line and pages; and `check_names`, which refuses a facts document that names anything else,
because a misspelled feature would look like one that no law speaks of. Pure; decides nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from dragoman.core.decision import OBLIGATION_KINDS
from dragoman.core.facts import EVENTS, Facts, FactsError, nearest
from dragoman.decide.evidence import names as evidence_words
from dragoman.decide.iso3166 import countries
from dragoman.decide.packs import PackSet
from dragoman.decide.rules import Rule

KINDS = (
    "events", "features", "modalities", "evidence", "counters", "roles", "data_classes", "channels",
    "categories", "orders", "obligations", "reason_codes",
)  # fmt: skip
"""What a vocabulary lists, in this order."""

Meaning = Mapping[str, str]
Known = Mapping[str, frozenset[str]]
"""Every name that packs or we know, by kind."""
Read = dict[str, dict[str, list[str]]]
"""Kind, name, ids of the rules that read it."""

_LEAVES = {
    "event": "events", "feature": "features", "modality": "modalities", "role": "roles",
    "data_class": "data_classes", "evidence": "evidence", "counters": "counters", "channel": "channels",
    "category": "categories", "order_kind": "orders",
}  # fmt: skip
_PAYLOAD = {
    "type": "evidence", "mechanism": "evidence", "mechanisms": "evidence", "evidence": "evidence",
    "metric": "counters", "data_class": "data_classes", "forbidden_features": "features",
    "category": "categories", "triggers": "categories", "modality": "modalities",
}  # fmt: skip
_COUNTRY = "<cc>"
_CHECKED = (
    ("feature", "features"), ("modality", "modalities"), ("operator.roles", "roles"),
    ("operator.evidence.", "evidence"), ("operator.counters.", "counters"),
    ("operator.data_locations.", "data_classes"),
)  # fmt: skip
"""Facts whose names are the vocabulary's; a path that ends in a dot is a table of them."""


@cache
def words() -> Mapping[str, Mapping[str, Meaning]]:
    """One line for each name we know, by kind: `packs/vocabulary.toml`, and the evidence's own file."""
    found = tomllib.loads((files("dragoman") / "packs" / "vocabulary.toml").read_text("utf-8"))
    return {**found, "evidence": {k: v for k, v in evidence_words().items() if not _is_of_decisions(k)}}


def vocabulary(packs: PackSet) -> dict[str, Any]:
    """Each kind as a list of `{name, rules[], meaning}`, and `packs`: the ids with version and status."""
    read, told = _read_by(packs), words()
    return {
        "packs": {name: dict(status) for name, status in packs.status.items()},
        **{kind: _entries(read[kind], told.get(kind, {}), packs) for kind in KINDS},
    }


def check_names(facts: Facts, packs: PackSet) -> None:
    """Raise FactsError where the document names what neither packs nor we know, with the nearest name."""
    check_known(facts, known_names(packs))


def check_known(facts: Facts, known: Known) -> None:
    """As `check_names`, for many documents: `known` is what `known_names` gave once."""
    for path, kind, name in named(facts):
        check_name(path, kind, name, known)


def named(facts: Facts) -> Iterator[tuple[str, str, str]]:
    """Each name of the vocabulary that the document uses: where, of which kind, the name."""
    for path, value in facts.values.items():
        kind, name = _naming(path)
        if kind is not None and name is not None:
            yield path, kind, name
        elif kind is not None:
            yield from ((path, kind, one) for one in ((value,) if isinstance(value, str) else value))


@lru_cache(maxsize=4096)
def _naming(path: str) -> tuple[str | None, str | None]:
    """Of which kind the names at a path are, and the name where the path itself ends in it."""
    for prefix, kind in _CHECKED:
        if path == prefix:
            return kind, None
        if prefix.endswith(".") and path.startswith(prefix):
            return kind, path.removeprefix(prefix)
    return None, None


def is_known(kind: str, name: str, known: Known) -> bool:
    """Whether packs or we know the name; of a feature its first part is enough."""
    return name in known[kind] or (kind == "features" and name.partition(":")[0] in known[kind])


def known_names(packs: PackSet) -> Known:
    """Every name by kind, with `<cc>` written out for each country."""
    read, told = _read_by(packs), words()
    return {kind: frozenset(_written_out({*read[kind], *told.get(kind, {})})) for kind in KINDS}


def check_name(path: str, kind: str, name: str, known: Known) -> None:
    """Raise FactsError where the name is not known."""
    if is_known(kind, name, known):
        return
    said = f'"{name}" is not among the {kind} that the loaded packs know'
    raise FactsError(path, f"{said}{nearest(name, known[kind])} (dragoman packs vocabulary lists them)")


def _written_out(found: Iterable[str]) -> Iterator[str]:
    for name in found:
        if _COUNTRY in name:
            yield from (name.replace(_COUNTRY, code.lower()) for code in countries())
        else:
            yield name


def _is_of_decisions(name: str) -> bool:
    """Whether the id only names, in `not_ready`, a fact that is no evidence."""
    return name.endswith(".*") or name.startswith(("operator.", "organisation."))


def _entries(read: Mapping[str, list[str]], told: Mapping[str, Meaning], packs: PackSet) -> list[Any]:
    return [
        {
            "name": name,
            "rules": sorted(set(read.get(name, ()))),
            "meaning": dict(told.get(name) or _meaning(read[name][0], packs)),
        }
        for name in sorted({*read, *told})
    ]


def _meaning(rule_id: str, packs: PackSet) -> Meaning:
    """A name of an operator's own pack is told by the first rule that reads it."""
    rule = packs.rule(rule_id)
    title = rule.reasons["warn"].title if rule else {"en": rule_id, "zh": rule_id}
    return {"en": f"Read by: {title['en']}", "zh": f"相关规则：{title['zh']}"}


def _read_by(packs: PackSet) -> Read:
    read: Read = {kind: {} for kind in KINDS}
    for rule in (rule for pack in packs.packs.values() for rule in pack.rules):
        for kind, name in _names(rule):
            read[kind].setdefault(name, []).append(rule.rule_id)
    for name in EVENTS:
        read["events"].setdefault(name, [])
    for name in OBLIGATION_KINDS:
        read["obligations"].setdefault(name, [])
    for name in packs.channels:
        read["channels"].setdefault(name, [])
    return read


def _names(rule: Rule) -> Iterator[tuple[str, str]]:
    yield "reason_codes", rule.reason_code
    yield from (("obligations", duty.kind) for duty in rule.duties)
    for tree in rule.trees:
        yield from _of_tree(tree)
    yield from _of_payload(rule.payload)


def _of_tree(tree: Any) -> Iterator[tuple[str, str]]:
    if isinstance(tree, list):
        for item in tree:
            yield from _of_tree(item)
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            if key in ("all", "any", "not"):
                yield from _of_tree(value)
            elif key in _LEAVES:
                yield from ((_LEAVES[key], name) for name in _texts(value))


def _of_payload(payload: Any) -> Iterator[tuple[str, str]]:
    """Names in a rule's own table; a `type` that is one text is of a right or a test bank."""
    if isinstance(payload, list | tuple):
        for item in payload:
            yield from _of_payload(item)
    elif isinstance(payload, Mapping):
        for key, value in payload.items():
            if key in _PAYLOAD and not (key == "type" and isinstance(value, str)):
                yield from ((_PAYLOAD[key], name) for name in _texts(value))
            elif isinstance(value, Mapping | list | tuple):
                yield from _of_payload(value)


def _texts(value: Any) -> tuple[str, ...]:
    """A name, a list of names, or the keys of a table."""
    found = (value,) if isinstance(value, str) else value
    return tuple(name for name in found if isinstance(name, str)) if isinstance(found, Iterable) else ()
