"""`POST /journal`: the only feed of usage. Each entry is taken once by (log, index)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

from dragoman import _native
from dragoman.budgets.buckets import parse
from dragoman.control.questions import malformed
from dragoman.core.budgets import Spend
from dragoman.core.projection import Projection
from dragoman.events import BudgetOverrun, JournalClamped, JournalProjected, emit
from dragoman.stores.journal import USAGE_SUMS, JournalCursors, Opened, Projected, Usage
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import COUNTER_MAX

_EPOCH = date(1970, 1, 1)
_LAST_DAY = (date.max - _EPOCH).days


class JournalFeed:
    """Takes batches of relays' journals."""

    def __init__(self, cursors: JournalCursors, told: Callable[[bytes], None] = lambda _: None) -> None:
        """`told` hears of each batch that was taken; it does not wait."""
        self._cursors = cursors
        self._told = told

    def next(self, log: str) -> int:
        """The index expected next of a log."""
        return self._cursors.next(log)

    async def take(self, log: str, first: int, batch: bytes) -> tuple[bool, int]:
        """Project a batch that begins at `first`; (taken, next) once durable."""
        projected = project(batch, first)
        taken, position = await asyncio.wrap_future(self._cursors.advance(log, first, projected))
        if taken and projected.clamped:
            emit(JournalClamped(log, position, projected.clamped))
        if taken:
            emit(JournalProjected(log, position))
            self._told(batch)
        return taken, position


def project(batch: bytes, first: int) -> Projected:
    """What a batch of entries, one a line, means. Raises RefusedError 400 naming the line.

    A number that no table can hold is clamped and counted: refused, the batch would come again for ever.
    """
    try:
        sums = _native.project(batch, first)
    except ValueError as fault:
        raise malformed(str(fault)) from None
    rows: dict[tuple[str, ...], Usage] = {}
    clamped = 0
    for (tenant, key, app, asked, provider, model, day, _status, currency), amounts in sums["usage"]:
        shown = min(max(day, 0), _LAST_DAY)
        kept = [min(amount, COUNTER_MAX) for amount in amounts]
        clamped += shown != day or kept != list(amounts)
        date_ = (_EPOCH + timedelta(days=shown)).isoformat()
        name = (tenant, date_, key, app, asked, provider, model, currency)
        one = Usage(*name, *kept)
        held = rows.get(name)
        rows[name] = one if held is None else _added(held, one)
    opened = []
    for opener, verifier, origin, at in sums["opened"]:
        clamped += (said := min(max(at, 0), COUNTER_MAX)) != at
        opened.append(Opened(opener, verifier, origin, said))
    spends, odd = _spends(sums)
    return Projected(sums["entries"], tuple(rows.values()), tuple(opened), clamped + odd, spends)


def _spends(sums: Projection) -> tuple[tuple[Spend, ...], int]:
    """What results spent of buckets, and how many of them no table can hold."""
    spends, odd = [], 0
    for tenant, name, index, amount, over in sums["spends"]:
        try:
            bucket = parse(name)
        except ValueError:
            odd += 1
            continue
        if over:
            emit(BudgetOverrun(bucket.limit, name, amount))
        owner = ZONE_TENANT if bucket.is_zone else tenant
        kept = min(amount, COUNTER_MAX)
        odd += kept != amount
        spends.append(Spend(owner, name, bucket.limit, bucket.window.ends, index, kept))
    return tuple(spends), odd


def _added(a: Usage, b: Usage) -> Usage:
    sums = {name: min(getattr(a, name) + getattr(b, name), COUNTER_MAX) for name in USAGE_SUMS}
    return replace(a, **sums)
