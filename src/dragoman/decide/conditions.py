"""Condition trees of pack rules, compiled once to closures over three truth values.

Kleene logic: True, False, or None for unknown. A rule applies unless its root is False; a leaf table with
`known = true` counts unknown as False. Compiling reports the events and thresholds a tree mentions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import phonenumbers

from dragoman.core.facts import EVENTS, FIELDS, nearest
from dragoman.decide.context import Context
from dragoman.decide.schema import PackError

Truth = bool | None
Test = Callable[[Context], Truth]
ALL_EVENTS = frozenset(EVENTS)
ADULT = 18  # years; the bands `minor` and `adult` of age_band
MAX_DEPTH = 8  # LIMIT: nesting of a condition tree


@dataclass(frozen=True, slots=True)
class Condition:
    """`test` gives the truth for a context; `events` are those at which it can hold at all."""

    test: Test
    events: frozenset[str] = ALL_EVENTS
    cuts: Mapping[str, frozenset[float]] = field(default_factory=dict)
    paths: frozenset[str] = frozenset()


ALWAYS = Condition(lambda _context: True)


def compile_condition(tree: Any, where: str, depth: int = 0) -> Condition:
    """The tree as closures. Raises PackError naming the place and the nearest known leaf."""
    if not isinstance(tree, Mapping) or not tree:
        raise PackError(f"{where}: a condition is a table with at least one leaf")
    if depth > MAX_DEPTH:
        raise PackError(f"{where}: conditions are nested deeper than {MAX_DEPTH}")
    known = tree.get("known", False)
    if not isinstance(known, bool) or set(tree) == {"known"}:
        raise PackError(f"{where}: known is true or false and stands beside a leaf")
    parts = [_part(key, tree[key], where, depth) for key in tree if key != "known"]
    whole = parts[0] if len(parts) == 1 else _all(parts)
    return _known(whole) if known else whole


def _part(key: str, value: Any, where: str, depth: int) -> Condition:
    if key in ("all", "any"):
        if not isinstance(value, list) or not value:
            raise PackError(f"{where}: {key} is a list of conditions")
        parts = [compile_condition(item, where, depth + 1) for item in value]
        return _all(parts) if key == "all" else _any(parts)
    if key == "not":
        return _not(compile_condition(value, where, depth + 1))
    if key not in _LEAVES:
        raise PackError(f"{where}: {key} is no condition{nearest(key, [*_LEAVES, 'all', 'any', 'not'])}")
    try:
        return _LEAVES[key](value)
    except (TypeError, ValueError) as error:
        raise PackError(f"{where}: condition {key}: {error}") from error


def _merged(parts: Iterable[Condition]) -> dict[str, frozenset[float]]:
    cuts: dict[str, frozenset[float]] = {}
    for part in parts:
        for path, values in part.cuts.items():
            cuts[path] = cuts.get(path, frozenset()) | values
    return cuts


def _paths(parts: Iterable[Condition]) -> frozenset[str]:
    return frozenset().union(*(part.paths for part in parts))


def _all(parts: list[Condition]) -> Condition:
    tests = tuple(part.test for part in parts)

    def test(context: Context) -> Truth:
        result: Truth = True
        for one in tests:
            truth = one(context)
            if truth is False:
                return False
            if truth is None:
                result = None
        return result

    events = ALL_EVENTS.intersection(*(part.events for part in parts))
    return Condition(test, events, _merged(parts), _paths(parts))


def _any(parts: list[Condition]) -> Condition:
    tests = tuple(part.test for part in parts)

    def test(context: Context) -> Truth:
        result: Truth = False
        for one in tests:
            truth = one(context)
            if truth is True:
                return True
            if truth is None:
                result = None
        return result

    events = frozenset().union(*(part.events for part in parts))
    return Condition(test, events, _merged(parts), _paths(parts))


def _not(part: Condition) -> Condition:
    inner = part.test

    def test(context: Context) -> Truth:
        truth = inner(context)
        return None if truth is None else not truth

    return Condition(test, ALL_EVENTS, part.cuts, part.paths)


def _known(part: Condition) -> Condition:
    inner = part.test
    return Condition(lambda context: inner(context) is True, part.events, part.cuts, part.paths)


def _names(value: Any) -> frozenset[str]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(i, str) for i in items):
        raise ValueError("is a text or a list of texts")
    return frozenset(items)


def _closed(path: str, wanted: frozenset[str]) -> None:
    kind = FIELDS[path]
    if "|" in kind:
        for name in wanted - set(kind.split("|")):
            raise ValueError(f'"{name}" is not one of {kind}{nearest(name, kind.split("|"))}')


def _event(value: Any) -> Condition:
    wanted = _names(value)
    _closed("event", wanted)

    def test(context: Context) -> Truth:
        return context.event in wanted

    return Condition(test, wanted, {}, frozenset({"event"}))


def _member(path: str) -> Callable[[Any], Condition]:
    def make(value: Any) -> Condition:
        wanted = _names(value)
        _closed(path, wanted)

        def test(context: Context) -> Truth:
            fact = context.get(path)
            return None if fact is None else fact in wanted

        return Condition(test, paths=frozenset({path}))

    return make


def _overlap(path: str) -> Callable[[Any], Condition]:
    def make(value: Any) -> Condition:
        wanted = _names(value)

        def test(context: Context) -> Truth:
            fact = context.get(path)
            return None if fact is None else not wanted.isdisjoint(fact)

        return Condition(test, paths=frozenset({path}))

    return make


def feature_matches(fact: str | None, wanted: frozenset[str]) -> Truth:
    """`companion` covers `companion:x`; a fact that leaves the kind out may be any kind."""
    if fact is None:
        return None
    if fact in wanted or fact.partition(":")[0] in wanted:
        return True
    return None if fact in _families(wanted) else False


@lru_cache(maxsize=1024)
def _families(wanted: frozenset[str]) -> frozenset[str]:
    """What the wanted names begin with, up to each of their colons."""
    return frozenset(name[:at] for name in wanted for at, char in enumerate(name) if char == ":")


def _feature(value: Any) -> Condition:
    wanted = _names(value)
    return Condition(
        lambda context: feature_matches(context.get("feature"), wanted), paths=frozenset({"feature"})
    )


def _category(value: Any) -> Condition:
    wanted = _names(value)
    within = tuple(f"{name}." for name in sorted(wanted))

    def test(context: Context) -> Truth:
        fact = context.get("content.category")
        if fact is None:
            return None
        return fact in wanted or fact.startswith(within)

    return Condition(test, paths=frozenset({"content.category"}))


def _flag(path: str, absent: Truth = None) -> Callable[[Any], Condition]:
    def make(value: Any) -> Condition:
        if not isinstance(value, bool):
            raise ValueError("is true or false")  # noqa: TRY004 - caught as a fault of the pack

        def test(context: Context) -> Truth:
            fact = context.get(path)
            if fact is None:
                fact = absent
            return None if fact is None else fact is value

        return Condition(test, paths=frozenset({path}))

    return make


_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
}  # fmt: skip


def _bounds(path: str, value: Any, absent: float | None = None) -> Condition:
    if not isinstance(value, Mapping) or not value or not set(value) <= set(_COMPARE):
        raise ValueError("is a table of lt, lte, gt or gte")
    limits = []
    for name, limit in value.items():
        if isinstance(limit, bool) or not isinstance(limit, int | float):
            raise ValueError(f"{name} is a number")  # noqa: TRY004 - as above
        limits.append((_COMPARE[name], limit))

    def test(context: Context) -> Truth:
        fact = context.get(path)
        if fact is None:
            fact = absent
        if fact is None:
            return None
        for compare, limit in limits:  # noqa: SIM110 - a generator takes as long as the comparison
            if not compare(fact, limit):
                return False
        return True

    # A band edge b means "b and above is another band": strict bounds cut just above their limit.
    edges = {limit + (name in ("lte", "gt")) for name, limit in value.items()}
    return Condition(test, cuts={path: frozenset(edges)}, paths=frozenset({path}))


def _range(path: str) -> Callable[[Any], Condition]:
    return lambda value: _bounds(path, value)


def _age_band(value: Any) -> Condition:
    wanted = _names(value)
    if not wanted <= {"minor", "adult"}:
        raise ValueError("is minor or adult")
    if wanted == {"minor", "adult"}:
        return ALWAYS
    return _bounds("age", {"lt": ADULT} if "minor" in wanted else {"gte": ADULT})


def _counters(value: Any) -> Condition:
    if not isinstance(value, Mapping) or not value:
        raise ValueError("is a table of counter names")
    parts = [_bounds(f"operator.counters.{name}", bounds, absent=0) for name, bounds in value.items()]
    return _all(parts)


def _evidence(value: Any) -> Condition:
    names = tuple(sorted(_names(value)))
    paths = frozenset(f"operator.evidence.{name}" for name in names)
    return Condition(lambda context: any(context.holds(name) for name in names), paths=paths)


def _agreement(value: Any) -> Condition:
    wanted = _names(value)
    # An absent agreement is missing, not unknown.
    return Condition(lambda context: context.get("agreement.id") in wanted, paths=frozenset({"agreement.id"}))


def _data_class(value: Any) -> Condition:
    wanted = tuple(sorted(_names(value)))
    paths = frozenset(f"operator.data_locations.{name}" for name in wanted)

    def test(context: Context) -> Truth:
        stored = [context.get(f"operator.data_locations.{name}") is not None for name in wanted]
        return True if any(stored) else None

    return Condition(test, paths=paths)


def _home(value: Any) -> Condition:
    """Whether the person belongs there by residence or by the country of the phone, wherever they are now."""
    wanted = _names(value)

    def test(context: Context) -> Truth:
        residence = context.get("residence")
        if residence in wanted or not wanted.isdisjoint(context.phone_regions):
            return True
        return None if residence is None else False

    return Condition(test, paths=frozenset({"residence", "phone", "phone_verified"}))


def _calling_code(value: Any) -> Condition:
    """Whether the number is of one of these country codes, as `"39"`; a number that is not known may be."""
    wanted = _names(value)
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    for code in wanted:
        if not (code.isascii() and code.isdigit() and int(code) in codes and code == str(int(code))):
            raise ValueError(f'"{code}" is no country code; write its digits, without a plus sign')

    def test(context: Context) -> Truth:
        regions = context.phone_regions
        if not regions:
            return None
        return any(str(phonenumbers.country_code_for_region(region)) in wanted for region in regions)

    return Condition(test, paths=frozenset({"phone", "phone_verified"}))


def _capability(value: Any) -> Condition:
    wanted = _names(value)

    def test(context: Context) -> Truth:
        offered = context.capabilities(context.get("channel"))
        return None if offered is None else not wanted.isdisjoint(offered)

    return Condition(test, paths=frozenset({"channel"}))


def leaf_shapes() -> Mapping[str, str]:
    """What each leaf takes: `flag`, `range`, `ranges` (a table of them) or `texts`; found by trying."""
    return {name: _shape(make) for name, make in sorted(_LEAVES.items())}


def _shape(make: Callable[[Any], Condition]) -> str:
    tries: Mapping[str, Any] = {"flag": True, "range": {"gte": 1}, "ranges": {"name": {"gte": 1}}}
    for shape, value in tries.items():
        try:
            make(value)
        except (TypeError, ValueError):
            continue
        return shape
    return "texts"


_LEAVES: dict[str, Callable[[Any], Condition]] = {
    "event": _event,
    "role": _overlap("operator.roles"),
    "feature": _feature,
    "modality": _overlap("modality"),
    "audience": _member("audience"),
    "age_band": _age_band,
    "age": _range("age"),
    "age_source": _member("age_source"),
    "guardian_consent": _flag("guardian_consent.given", absent=False),
    "legal_basis": _member("legal_basis"),
    "seat": _member("operator.seat"),
    "data_class": _data_class,
    "home": _home,
    "calling_code": _calling_code,
    "channel_capability": _capability,
    "counters": _counters,
    "evidence": _evidence,
    "agreement": _agreement,
    "category": _category,
    "realistic": _flag("media.realistic"),
    "human_review": _flag("publication.human_review"),
    "editorial_responsibility": _flag("publication.editorial_responsibility"),
    "public_interest": _flag("publication.public_interest"),
    "model_use": _member("operator.model_use"),
    "opinion_capability": _flag("opinion_capability"),
    "direction": _member("content.direction"),
    "automated": _flag("content.automated"),
    "aigc_label": _member("media.aigc_label"),
    "detector_hit": _flag("media.detector_hit"),
    "user_declared": _flag("media.user_declared"),
    "container": _member("media.container"),
    "channel": _member("channel"),
    "order_kind": _member("order.kind"),
    "unlabelled": _flag("request.unlabelled"),
    "turn_index": _range("turn.index"),
    "continuous_minutes": _range("turn.continuous_minutes"),
}
