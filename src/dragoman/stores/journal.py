"""The cursor of each relay's log and what its entries mean for the zone's tables, in one transaction.

INVARIANT: an entry is projected exactly once, because its rows and the cursor's step commit together.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from dragoman.core.budgets import Spend
from dragoman.ids import now_ms
from dragoman.stores import schema
from dragoman.stores.acts import enter
from dragoman.stores.budgets import release, settle
from dragoman.stores.database import Database
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import prepared_add_up, prepared_put, prepared_select, rows_of


@dataclass(frozen=True, slots=True)
class Opened:
    """A log that announced itself: its id, verifier key, checkpoint origin, and when (ms UTC)."""

    log: str
    key: str
    origin: str
    at: int


@dataclass(frozen=True, slots=True)
class Projected:
    """What a batch means: entries, usage rows, logs to admit to the zone's registry, what was clamped."""

    entries: int
    usage: tuple[Usage, ...]
    opened: tuple[Opened, ...] = ()
    clamped: int = 0
    spends: tuple[Spend, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a batch adds to one row of daily usage.

    `unknown` counts turns whose usage nobody stated, `unpriced` called ones whose price nobody knows; `spend`
    is in millionths of the currency's unit.
    """

    tenant: str
    day: str
    key: str
    app: str
    model: str
    provider: str
    upstream: str
    currency: str
    turns: int
    input: int
    cached: int
    output: int
    unknown: int
    spend: int
    unpriced: int


USAGE_KEY = ("day", "key", "app", "model", "provider", "upstream", "currency")
USAGE_SUMS = ("turns", "input", "cached", "output", "unknown", "spend", "unpriced")

_CURSOR = prepared_select(
    schema.journal_cursor, schema.journal_cursor.c.log == sa.bindparam("name"), columns=("next",)
)
_PUT_CURSOR = prepared_put(schema.journal_cursor, ("log",), ("next",))
_ADD_USAGE = prepared_add_up(schema.usage_daily, USAGE_KEY, USAGE_SUMS)


class JournalCursors:
    """Cursors by log."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def next(self, log: str) -> int:
        """The index expected next of a log; 0 for a new one."""
        return self._database.read(lambda c: _next(c, log))

    def advance(self, log: str, first: int, batch: Projected) -> Future[tuple[bool, int]]:
        """Begin to project a batch that starts at `first`; resolves to (taken, next) once durable.

        Not taken where `first` is not the cursor: the relay starts again at `next`.
        """

        def work(c: sa.Connection) -> tuple[bool, int]:
            expected = _next(c, log)
            if first != expected:
                return False, expected
            for row in batch.usage:
                added = {name: getattr(row, name) for name in (*USAGE_KEY, *USAGE_SUMS)}
                rows_of(c, row.tenant).run(_ADD_USAGE, added)
            for opened in batch.opened:
                entry = {"kind": "registry", "event": "log_admitted", **asdict(opened)}
                enter(c, self._zone, ZONE_TENANT, entry, now_ms())
            settle(c, log, batch.spends)
            rows_of(c, ZONE_TENANT).run(_PUT_CURSOR, {"log": log, "next": first + batch.entries})
            release(c, log, first + batch.entries)
            return True, first + batch.entries

        return self._database.submit(work)


def _next(connection: sa.Connection, log: str) -> int:
    found = rows_of(connection, ZONE_TENANT).run(_CURSOR, {"name": log})
    return int(found[0].next) if found else 0
