"""Mutants of packs: the same document with one date, number, list, flag, enforcement or `on_missing` changed.

What cannot change a decision is left out: texts, sources, marks of certainty, a vendor's wire, what `INERT`
names and what `_without_effect` explains. Copies the document only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from dragoman.core.facts import EVENTS, FIELDS
from dragoman.decide.kinds import KINDS
from dragoman.decide.provider import BASES
from dragoman.decide.rules import ENFORCEMENT, ON_MISSING
from dragoman.decide.schema import countries

Path = tuple[str | int, ...]

OUTSIDE = "NO"
"""A country that no jurisdiction pack covers: what a list of countries gets that it should not have."""
FOREIGN = "zz_other"
"""A name that no list of a pack has."""
STEP = 0.01  # what a share is moved by; whole numbers and dates move by one
TEXTS = frozenset({
    "rule_id", "kind", "source_refs", "certainty", "citation_certainty", "reason_code", "title", "text",
    "locale_text", "cites", "wire", "list_url", "list_format", "list_note",
})  # fmt: skip
MAPS = frozenset({"consent_age_by", "field_map", "resources_by_region", "container_by_mime"})
"""Tables that are lists of pairs: each pair is dropped, one is added."""
INERT = frozenset({("identity", "methods"), ("signals", "required")})
"""Kind and field where a member without a meaning changes nothing."""
UNSEEN = frozenset({("content", "min_size")})
"""Kind and field that the engine never sees: how long the operator's own list has to be."""
OFFERED_TO = frozenset({"residence", "offered_to"})
"""Two bases of a provider's terms that ask for the same place: with the one, the other adds nothing."""
EPOCH = date(1970, 1, 1)
"""Before it facts have no time, so that nothing depends on an earlier date."""
ELSE = {
    "event": EVENTS, "feature": ("assistant", "customer_service", "companion"),
    "modality": ("text", "image", "audio", "video"), "role": ("ai_provider", "ai_deployer"),
    "legal_basis": ("contract", "consent"), "category": ("hate", "privacy"), "order_kind": ("lawful_order",),
    "audience": tuple(FIELDS["audience"].split("|")), "direction": tuple(FIELDS["content.direction"].split("|")),
    "model_use": tuple(FIELDS["operator.model_use"].split("|")),
    "aigc_label": tuple(FIELDS["media.aigc_label"].split("|")), "basis": tuple(BASES.split("|")),
    "calling_code": ("47",), "seat": (OUTSIDE,), "home": (OUTSIDE,), "iso": (OUTSIDE,), "phone_regions": (OUTSIDE,), "consent_age_by": (OUTSIDE,),
    "collect_in": (OUTSIDE,), "store_in": (OUTSIDE,), "age_source": ("declared",),
    "channel_capability": ("visible_text", "first_turn_notice"), "capabilities": ("mini_program", "mobile_app"),
}  # fmt: skip
"""What may be added to a list of this name. Of events, closed lists and a provider's places each is tried."""
EACH = frozenset(
    {"event", "modality", "audience", "direction", "model_use", "aigc_label", "basis", "capabilities"}
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`kind`: date, number, list, flag, enforcement or on_missing; `rule` None: of the pack as a whole."""

    pack: str
    rule: str | None
    kind: str
    what: str
    original: dict[str, Any]
    path: Path
    value: Any

    @property
    def document(self) -> dict[str, Any]:
        """The pack's document with the change."""
        copy = deepcopy(self.original)
        if self.path:
            _at(copy, self.path[:-1])[self.path[-1]] = self.value
        return copy


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Those that the loaded channels have, and those that the conditions of loaded rules ask for.

    Where a channel has what no rule asks for, or a rule asks for what no channel has, the decision is the same
    without it; both come into play with the other.
    """

    offered: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()

    @staticmethod
    def of(documents: Iterable[dict[str, Any]]) -> Capabilities:
        """What these packs have and ask for."""
        offered: set[str] = set()
        asked: set[str] = set()
        for document in documents:
            offered.update(document.get("channel", {}).get("capabilities", ()))
            for rule in document.get("rules", ()):
                asked.update(_named("channel_capability", rule.get("applies_when", {})))
        return Capabilities(frozenset(offered), frozenset(asked))


def _named(leaf: str, tree: Any) -> Iterator[str]:
    """Every value of this leaf in a condition tree."""
    for item in tree if isinstance(tree, list) else ():
        yield from _named(leaf, item)
    for key, value in tree.items() if isinstance(tree, dict) else ():
        if key == leaf:
            yield from [value] if isinstance(value, str) else value
        elif isinstance(value, dict | list):
            yield from _named(leaf, value)


def mutants(document: dict[str, Any], capabilities: Capabilities) -> Iterator[Mutant]:
    """Every mutant of one pack."""
    pack = document["pack"]["id"]
    places: list[tuple[Path, str | None]] = [
        (("rules", n), r["rule_id"]) for n, r in enumerate(document.get("rules", ()))
    ]
    places += [((name,), None) for name in ("provider", "channel") if name in document]
    for place, rule in places:
        table = _at(document, place)
        for path, kind, value in _changes(table, place):
            if _without_effect(table, path, _at(document, path), value, capabilities):
                continue
            what = f"{_told(path[len(place) :])} → {_short(value)}"
            yield Mutant(pack, rule, kind, what, document, path, value)
    for kind, value in _lists(document["pack"].get("iso"), "iso"):
        yield Mutant(pack, None, kind, f"iso → {_short(value)}", document, ("pack", "iso"), value)


def _without_effect(
    table: dict[str, Any], path: Path, old: Any, new: Any, capabilities: Capabilities
) -> bool:
    """Whether no decision can be another, for a reason that the pack itself or the other packs give."""
    name = path[-1]
    if (table.get("kind"), name) in UNSEEN:
        return True
    if name == "complete":
        # A list that leaves no place open says no to every other one, whether it calls itself complete or not.
        return not table.get("open_codes")
    if not isinstance(old, list):
        return False
    changed = set(map(str, old)) ^ set(map(str, new))
    if name == "capabilities":
        had = not capabilities.asked.isdisjoint(old)  # one will do, so that a further one adds nothing
        return changed.isdisjoint(capabilities.asked) or (had and len(new) > len(old))
    if name == "channel_capability":
        return changed.isdisjoint(capabilities.offered)
    if name == "basis":
        return changed <= OFFERED_TO and not OFFERED_TO.isdisjoint(set(old) & set(new))
    if len(new) < len(old):
        return False
    if name == "event":
        # A notice of a first turn or a sign-up is due there alone, whatever further events are named.
        return table.get("notice", {}).get("trigger") in ("first_turn", "session", "signup")
    # What else is forbidden is not asked where the condition names the features it is about.
    return name == "forbidden_features" and "feature" in table.get("applies_when", {})


def _changes(table: dict[str, Any], at: Path) -> Iterator[tuple[Path, str, Any]]:
    kind = table.get("kind", "")
    for key, value in table.items():
        if key == "enforcement":
            yield from (((*at, key), key, other) for other in ENFORCEMENT.split("|") if other != value)
        elif key == "on_missing":
            others = dict.fromkeys((*KINDS[kind].on_missing, "warn"))
            yield from (
                ((*at, key), key, other) for other in others if other != value and other in ON_MISSING
            )
        elif key not in TEXTS or (key == kind and isinstance(value, dict)):
            yield from _of(value, (*at, key), kind)


def _of(value: Any, at: Path, kind: str) -> Iterator[tuple[Path, str, Any]]:
    name = str(at[-1])
    if isinstance(value, bool):
        yield at, "flag", not value
    elif isinstance(value, date) and value < EPOCH:
        return
    elif isinstance(value, date):
        yield from ((at, "date", value + timedelta(days=step)) for step in (-1, 1))
    elif isinstance(value, int):
        yield from ((at, "number", value + step) for step in (-1, 1) if value + step >= 0)
    elif isinstance(value, float):
        yield from ((at, "number", round(value + step, 4)) for step in (-STEP, STEP))
    elif isinstance(value, list):
        yield from _of_list(value, at, kind)
    elif isinstance(value, dict):
        if name in MAPS:
            yield from ((at, "list", other) for other in _pairs(value, name))
        for key, item in value.items():
            if key not in TEXTS:
                yield from _of(item, (*at, key), kind)


def _of_list(value: list[Any], at: Path, kind: str) -> Iterator[tuple[Path, str, Any]]:
    name = str(at[-1])
    if name in ("all", "any"):
        for number, item in enumerate(value):
            yield from _of(item, (*at, number), kind)
    elif value and isinstance(value[0], dict):
        for number, item in enumerate(value):
            yield at, "list", [*value[:number], *value[number + 1 :]]
            yield from _of(item, (*at, number), kind)
    else:
        yield from ((at, *change) for change in _lists(value, name, inert=(kind, name) in INERT))


def _lists(value: list[Any] | None, name: str, *, inert: bool = False) -> Iterator[tuple[str, list[Any]]]:
    """Each member dropped, and one that is not there added."""
    if value is None:
        return
    for number in range(len(value)):
        yield "list", [*value[:number], *value[number + 1 :]]
    if not inert:
        yield from (("list", [*value, other]) for other in _others(value, name))


def _others(value: list[Any], name: str) -> list[Any]:
    if name in ("territory_allow", "open_codes", "licence_territory_exclude"):
        return sorted(countries() - set(value))
    if name == "subdivision_exclude":
        return ["UA-30"]
    absent = [other for other in ELSE.get(name, (FOREIGN,)) if other not in value]
    return absent if name in EACH else absent[:1]


def _pairs(value: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    for gone in value:
        yield {key: item for key, item in value.items() if key != gone}
    other = ELSE.get(name, (FOREIGN,))[0]
    if other not in value:
        items = list(value.values())
        # One that would be noticed: an age above all others.
        example = max(items) + 1 if all(isinstance(item, int) for item in items) else items[0]
        yield {**value, other: example}


def _at(document: Any, path: Path) -> Any:
    for part in path:
        document = document[part]
    return document


def _told(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 100 else f"{text[:40]} … {text[-40:]}"
