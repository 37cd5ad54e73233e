"""`POST /journal`: the only feed of usage. Each entry is taken once by (log, index)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

from dragoman import _native
from dragoman.control.questions import malformed
from dragoman.events import JournalProjected, emit
from dragoman.stores.journal import JournalCursors, Opened, Projected, Usage

_EPOCH = date(1970, 1, 1)


class JournalFeed:
    """Takes batches of relays' journals."""

    def __init__(self, cursors: JournalCursors) -> None:
        self._cursors = cursors

    def next(self, log: str) -> int:
        """The index expected next of a log."""
        return self._cursors.next(log)

    async def take(self, log: str, first: int, batch: bytes) -> tuple[bool, int]:
        """Project a batch that begins at `first`; (taken, next) once durable."""
        taken, position = await asyncio.wrap_future(self._cursors.advance(log, first, project(batch, first)))
        if taken:
            emit(JournalProjected(log, position))
        return taken, position


def project(batch: bytes, first: int) -> Projected:
    """What a batch of entries, one a line, means. Raises RefusedError 400 naming the line."""
    try:
        sums = _native.project(batch, first)
    except ValueError as fault:
        raise malformed(str(fault)) from None
    rows: dict[tuple[str, ...], Usage] = {}
    for (tenant, key, asked, provider, _model, day, _status), amounts in sums["usage"]:
        one = Usage(tenant, (_EPOCH + timedelta(days=day)).isoformat(), key, asked, provider, *amounts)
        held = rows.get(name := (tenant, one.day, key, asked, provider))
        rows[name] = one if held is None else _added(held, one)
    return Projected(
        sums["entries"], tuple(rows.values()), tuple(Opened(*opened) for opened in sums["opened"])
    )


def _added(a: Usage, b: Usage) -> Usage:
    return replace(
        a,
        turns=a.turns + b.turns,
        input=a.input + b.input,
        output=a.output + b.output,
        unknown=a.unknown + b.unknown,
    )
