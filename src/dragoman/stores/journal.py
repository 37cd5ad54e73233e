"""The cursor of each relay's log and what its entries mean for the zone's tables, in one transaction.

INVARIANT: an entry is projected exactly once, because its rows and the cursor's step commit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import sqlalchemy as sa

from dragoman.stores import schema
from dragoman.stores.database import Database
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import rows_of


@dataclass(frozen=True, slots=True)
class Usage:
    """What a batch adds to one row of daily usage. `unknown` counts turns whose usage nobody stated."""

    tenant: str
    day: str
    key: str
    model: str
    provider: str
    turns: int
    input: int
    output: int
    unknown: int


class JournalCursors:
    """Cursors by log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, log: str) -> int:
        """The index expected next of a log; 0 for a new one."""
        return self._database.read(lambda c: _next(c, log))

    def advance(self, log: str, first: int, count: int, usage: Sequence[Usage]) -> Future[tuple[bool, int]]:
        """Begin to project `count` entries from `first`; resolves to (taken, next) once durable.

        Not taken where `first` is not the cursor: the relay starts again at `next`.
        """

        def work(c: sa.Connection) -> tuple[bool, int]:
            expected = _next(c, log)
            if first != expected:
                return False, expected
            for row in usage:
                key = {"day": row.day, "key": row.key, "model": row.model, "provider": row.provider}
                amounts = {
                    "turns": row.turns,
                    "input": row.input,
                    "output": row.output,
                    "unknown": row.unknown,
                }
                rows_of(c, row.tenant).add_up(schema.usage_daily, key, amounts)
            zone = rows_of(c, ZONE_TENANT)
            zone.insert_missing(schema.journal_cursor, [{"log": log, "next": 0}])
            zone.update(schema.journal_cursor, schema.journal_cursor.c.log == log, next=first + count)
            return True, first + count

        return self._database.submit(work)


def _next(connection: sa.Connection, log: str) -> int:
    row = rows_of(connection, ZONE_TENANT).one(schema.journal_cursor, schema.journal_cursor.c.log == log)
    return 0 if row is None else int(row.next)
