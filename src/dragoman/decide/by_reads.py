"""Verdicts kept by the facts they rest on: a decision depends on nothing that it did not read.

For `replay`. What an equal reading gave holds for every facts document that agrees in what was read, at any
instant up to the next date that was considered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")

KEPT_MOST = 50_000
"""LIMIT: verdicts kept at once."""
_NEAR = ("event", "residence", "address_country", "phone", "offered_markets", "model")
"""Facts that nearly decide which others are read: only verdicts that agree in them are looked through."""


@dataclass(slots=True)
class _Held(Generic[T]):
    since: int
    until: int | None
    value: T


class ByReads(Generic[T]):
    """What was found, by the values of the facts that were read for it."""

    def __init__(self) -> None:
        self._near: dict[tuple[Any, ...], dict[tuple[str, ...], dict[tuple[Any, ...], _Held[T]]]] = {}
        self._count = 0

    def get(self, values: Mapping[str, Any], at: int) -> tuple[T, int | None] | None:
        """What holds for these facts at an instant, and until when."""
        for paths, table in self._near.get(_picked(values, _NEAR), {}).items():
            held = table.get(_picked(values, paths))
            if held is not None and held.since <= at and (held.until is None or at < held.until):
                return held.value, held.until
        return None

    def put(
        self, values: Mapping[str, Any], read: Iterable[str], at: int, until: int | None, value: T
    ) -> None:
        """Keep what was found by reading these facts at an instant, and until when it holds."""
        if self._count >= KEPT_MOST:
            self._near.clear()
            self._count = 0
        self._count += 1
        paths = tuple(sorted(read))
        tables = self._near.setdefault(_picked(values, _NEAR), {})
        tables.setdefault(paths, {})[_picked(values, paths)] = _Held(at, until, value)


def _picked(values: Mapping[str, Any], paths: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple([values.get(path) for path in paths])
