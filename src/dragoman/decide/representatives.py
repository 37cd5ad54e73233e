"""Facts that stand for a recorded decision's: the way back from `generalise`.

A recorded number is a band; where a pack cuts inside it, one number of each part stands for the part, and a
replay asks for all of them. A phone is a number of the recorded countries. Nothing about a person comes back.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import phonenumbers

from dragoman.core.facts import Facts, FactsError, kind_of
from dragoman.decide.generalise import cuts_of
from dragoman.decide.places import phone_regions

Cuts = Mapping[str, tuple[float, ...]]

VARIANTS_MOST = 64
"""LIMIT: facts documents that may stand for one recorded decision."""

_BAND = re.compile(r"(\d+(?:\.\d+)?)(?:\+|-<(\d+(?:\.\d+)?))\Z")
_BANDED = frozenset({"age", "number", "count"})
"""Types of facts whose recorded value is a band."""


@dataclass(frozen=True, slots=True)
class Stand:
    """`variants`: one facts document for each way the record can be meant. `split`: facts that leave it open.

    More than `VARIANTS_MOST` ways are none at all.
    """

    variants: tuple[Facts, ...]
    split: tuple[str, ...]


def stand_for(recorded: Mapping[str, Any], as_of: int, cuts: Cuts) -> Stand:
    """Facts that stand for a decision entry's `facts`. Raises FactsError naming what is not understood."""
    leaves: dict[str, Any] = {}
    parts: dict[str, list[float]] = {}
    for path, value in recorded.items():
        kind = kind_of(path)
        if kind in _BANDED:
            numbers = list(_numbers(path, value, kind, cuts))
            leaves[path] = numbers[0]
            if len(numbers) > 1:
                parts[path] = numbers
        else:
            leaves[path] = _leaf(path, value)
    facts = Facts.of_leaves(as_of, leaves)
    if math.prod(len(numbers) for numbers in parts.values()) > VARIANTS_MOST:
        return Stand((), tuple(parts))
    ways = itertools.product(*parts.values())
    variants = tuple(facts.replaced(dict(zip(parts, way, strict=True))) for way in ways)
    return Stand(variants, tuple(parts))


def _numbers(path: str, value: Any, kind: str, cuts: Cuts) -> Iterator[float]:
    """The least number of the band, and the first of each part that a cut makes of it."""
    found = _BAND.match(value) if isinstance(value, str) else None
    if found is None:
        raise FactsError(path, f"is not a recorded band: {value!r}")
    low, high = float(found[1]), float(found[2] or "inf")
    edges = {*cuts.get(path, ()), *cuts_of(path, cuts)}
    for number in (low, *sorted(edge for edge in edges if low < edge < high)):
        yield number if kind == "number" else math.ceil(number)


def _leaf(path: str, value: Any) -> Any:
    if path == "phone":
        return _phone(tuple(value) if isinstance(value, list) else ())
    if path.startswith("operator.evidence."):
        held = isinstance(value, Mapping) and value.get("held") is True
        if not held:
            raise FactsError(path, f"is not recorded evidence: {value!r}")
        return {"expires": value.get("expires")}
    return value


@lru_cache(maxsize=4096)
def _phone(regions: tuple[str, ...]) -> str:
    """A number, or the prefix, that belongs to exactly these countries."""
    codes = {phonenumbers.country_code_for_region(region) for region in regions}
    tried = [f"+{code}" for code in sorted(codes) if code]
    for region in regions[:1]:
        example = phonenumbers.example_number(region)
        if example is not None:
            tried.append(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))
    for number in tried:
        if phone_regions(number) == regions:
            return number
    raise FactsError("phone", f"no number belongs to exactly {', '.join(regions) or 'no country'}")
