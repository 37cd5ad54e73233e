"""`POST /journal`: the only feed of usage. Each entry is taken once by (log, index)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

from dragoman import _native
from dragoman.control.questions import malformed
from dragoman.events import JournalClamped, JournalProjected, emit
from dragoman.stores.journal import JournalCursors, Opened, Projected, Usage
from dragoman.stores.tenancy import COUNTER_MAX

_EPOCH = date(1970, 1, 1)
_LAST_DAY = (date.max - _EPOCH).days


class JournalFeed:
    """Takes batches of relays' journals."""

    def __init__(self, cursors: JournalCursors) -> None:
        self._cursors = cursors

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
    for (tenant, key, asked, provider, _model, day, _status), amounts in sums["usage"]:
        shown = min(max(day, 0), _LAST_DAY)
        kept = [min(amount, COUNTER_MAX) for amount in amounts]
        clamped += shown != day or kept != list(amounts)
        one = Usage(tenant, (_EPOCH + timedelta(days=shown)).isoformat(), key, asked, provider, *kept)
        held = rows.get(name := (tenant, one.day, key, asked, provider))
        rows[name] = one if held is None else _added(held, one)
    opened = []
    for opener, verifier, origin, at in sums["opened"]:
        clamped += (said := min(max(at, 0), COUNTER_MAX)) != at
        opened.append(Opened(opener, verifier, origin, said))
    return Projected(sums["entries"], tuple(rows.values()), tuple(opened), clamped)


def _added(a: Usage, b: Usage) -> Usage:
    return replace(
        a,
        turns=min(a.turns + b.turns, COUNTER_MAX),
        input=min(a.input + b.input, COUNTER_MAX),
        output=min(a.output + b.output, COUNTER_MAX),
        unknown=min(a.unknown + b.unknown, COUNTER_MAX),
    )
