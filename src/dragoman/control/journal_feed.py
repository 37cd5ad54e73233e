"""`POST /journal`: the only feed of usage. Each entry is taken once by (log, index)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dragoman.control.questions import journal_lines
from dragoman.events import JournalProjected, emit
from dragoman.stores.journal import JournalCursors, Usage

Project = Callable[[bytes], tuple[int, list[Usage]]]
"""A batch's bytes to how many entries it holds and what they add to daily usage."""


class JournalFeed:
    """Takes batches of relays' journals."""

    def __init__(self, cursors: JournalCursors, project: Project) -> None:
        self._cursors = cursors
        self._project = project

    def next(self, log: str) -> int:
        """The index expected next of a log."""
        return self._cursors.next(log)

    async def take(self, log: str, first: int, batch: bytes) -> tuple[bool, int]:
        """Project a batch that begins at `first`; (taken, next) once durable."""
        count, usage = self._project(batch)
        taken, position = await asyncio.wrap_future(self._cursors.advance(log, first, count, usage))
        if taken:
            emit(JournalProjected(log, position))
        return taken, position


def project_lines(batch: bytes) -> tuple[int, list[Usage]]:
    """What a batch of entries means for daily usage. Raises RefusedError 400 for a line that is no entry."""
    entries = journal_lines(batch)
    return len(entries), _sums(entry for entry in entries if entry["kind"] == "result")


def _sums(results: Iterable[Mapping[str, Any]]) -> list[Usage]:
    rows: dict[tuple[str, ...], Usage] = {}
    for entry in results:
        one = _usage(entry)
        key = (one.tenant, one.day, one.key, one.model, one.provider)
        held = rows.get(key)
        rows[key] = one if held is None else _added(held, one)
    return list(rows.values())


def _added(a: Usage, b: Usage) -> Usage:
    return replace(
        a,
        turns=a.turns + b.turns,
        input=a.input + b.input,
        output=a.output + b.output,
        unknown=a.unknown + b.unknown,
    )


def _usage(entry: Mapping[str, Any]) -> Usage:
    used = entry.get("usage") or {}
    known = bool(used.get("known"))
    return Usage(
        tenant=str(entry["tenant"]),
        day=datetime.fromtimestamp(int(entry["at"]) / 1000, UTC).date().isoformat(),
        key=str(entry.get("key") or ""),
        model=str(entry.get("asked") or ""),
        provider=str(entry.get("provider") or ""),
        turns=1,
        input=int(used.get("input") or 0),
        output=int(used.get("output") or 0),
        unknown=0 if known else 1,
    )
