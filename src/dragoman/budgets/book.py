"""Every limit in force: the file's and those an administrator set; which of them a question or a key meets.

Asked by the planner and by `/principal`; it holds no numbers of what is used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from dragoman.budgets.buckets import is_shown
from dragoman.settings_limits import Limit, Rate

TAG = "limits"
"""What plans and principals carry, and a change of limits drops."""


class LimitStore(Protocol):
    """Where an administrator's limits are kept."""

    def limits(self) -> Sequence[Limit]:
        """All of them."""


class NoLimits:
    """A store without limits."""

    def limits(self) -> Sequence[Limit]:
        """None."""
        return ()


class Book:
    """The limits in force. `of_file` gives those of the reading in use."""

    def __init__(
        self, of_file: Callable[[], tuple[Sequence[Limit], Sequence[Rate]]], store: LimitStore
    ) -> None:
        self._of_file = of_file
        self._store = store
        self._lock = threading.Lock()
        self._stored: tuple[Limit, ...] | None = None

    def forget(self) -> None:
        """An administrator changed a limit."""
        with self._lock:
            self._stored = None

    def limits(self) -> tuple[Limit, ...]:
        """All limits; one of the file wins over a stored one of the same id."""
        of_file = tuple(self._of_file()[0])
        names = {limit.id for limit in of_file}
        return (*of_file, *(limit for limit in self._kept() if limit.id not in names))

    def limit(self, name: str) -> Limit | None:
        """A limit by its id."""
        return next((limit for limit in self.limits() if limit.id == name), None)

    def is_of_file(self, name: str) -> bool:
        """Whether the file holds a limit of this id."""
        return any(limit.id == name for limit in self._of_file()[0])

    def for_plan(self, question: Mapping[str, Any], slug: str | None) -> list[Limit]:
        """The limits that a turn of this question meets, whoever of the tenant asks."""
        met = (limit for limit in self.limits() if limit.key is None and _meets(limit, question, slug))
        return [limit for limit in met if not (limit.each == "app" and not question["app"])]

    def of_key(self, key: str) -> dict[str, Any]:
        """The limits and rates of one key alone, as `/principal` carries them."""
        return {
            "budgets": [limit_document(limit) for limit in self.limits() if limit.key == key],
            "rates": [rate_document(rate) for rate in self._of_file()[1] if rate.key == key],
        }

    def rates_for_plan(self, question: Mapping[str, Any], slug: str | None) -> list[dict[str, Any]]:
        """The rates that a turn of this question meets."""
        rates = (rate for rate in self._of_file()[1] if rate.key is None)
        return [
            rate_document(r) for r in rates if _of_tenant(r.tenant, question, slug) and _of(r.model, question)
        ]

    def _kept(self) -> tuple[Limit, ...]:
        with self._lock:
            if self._stored is None:
                self._stored = tuple(self._store.limits())
            return self._stored


def limit_document(limit: Limit) -> dict[str, Any]:
    """A limit as plans and principals carry it (docs/wire.md)."""
    return {
        "limit": limit.id,
        "each": limit.each,
        "owned": limit.tenant is not None or limit.key is not None,
        "model": limit.model,
        "unit": limit.unit,
        "currency": limit.currency,
        "per": limit.per,
        "most": limit.most,
        "shown": is_shown(limit),
    }


def rate_document(rate: Rate) -> dict[str, Any]:
    """A rate as plans and principals carry it."""
    return {
        "rate": rate.id,
        "each": rate.each,
        "model": rate.model,
        "unit": rate.unit,
        "most": rate.most,
        "burst": rate.burst or rate.most,
    }


def doubled(tables: Iterable[Limit | Rate]) -> list[str]:
    """Ids that more than one table has."""
    seen: set[str] = set()
    return [one.id for one in tables if one.id in seen or seen.add(one.id)]  # type: ignore[func-returns-value]


def _meets(limit: Limit, question: Mapping[str, Any], slug: str | None) -> bool:
    of_app = limit.app is None or limit.app == question["app"]
    return of_app and _of(limit.model, question) and _of_tenant(limit.tenant, question, slug)


def _of(model: str | None, question: Mapping[str, Any]) -> bool:
    return model is None or model == question["model"]


def _of_tenant(tenant: str | None, question: Mapping[str, Any], slug: str | None) -> bool:
    return tenant is None or tenant in {question["tenant"], slug}
