"""Control's own acts on their way to its journal: written in the act's transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dragoman.stores import schema
from dragoman.stores.database import Database
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import prepared_update, rows_of

BATCH = 200
"""LIMIT: acts carried to the journal at once."""
LOG_NAME = "registry_log"
"""The row of `zone_meta` that names the log in which acts have their indexes."""
EARLIER_LOG = -1
"""The index of an act that stands in an earlier log."""

_MARK = prepared_update(schema.outbox, "item", ("log_index",))


@dataclass(frozen=True, slots=True)
class Pending:
    """An act that is not in the journal yet."""

    tenant: str
    item: str
    entry: dict[str, Any]


class Outbox:
    """The zone's pending acts, oldest first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self) -> list[Pending]:
        """At most one batch of acts that are not in the journal."""
        table = schema.outbox
        query = (
            sa.select(table)
            .where(table.c.log_index.is_(None))
            .order_by(table.c.at, table.c.item)
            .limit(BATCH)
        )
        rows = self._database.read(lambda c: list(c.execute(query)))
        return [Pending(row.tenant, row.item, dict(json.loads(row.entry))) for row in rows]

    def newest_index(self) -> int:
        """The highest index of the log that an act is known to stand at; -1 before the first."""
        query = sa.select(sa.func.coalesce(sa.func.max(schema.outbox.c.log_index), -1))
        return int(self._database.read(lambda c: c.execute(query).scalar_one()))

    def log(self) -> str | None:
        """The log that indexes are of; None before the first start that noted one."""
        where = schema.zone_meta.c.name == LOG_NAME
        row = self._database.read(lambda c: rows_of(c, ZONE_TENANT).one(schema.zone_meta, where))
        return None if row is None else str(row.value)

    def begin_log(self, log: str) -> None:
        """From now on indexes are of another log; acts in earlier ones keep a mark without a place."""

        def work(c: sa.Connection) -> None:
            table, zone = schema.outbox, rows_of(c, ZONE_TENANT)
            c.execute(sa.update(table).where(table.c.log_index.is_not(None)).values(log_index=EARLIER_LOG))
            zone.delete(schema.zone_meta, schema.zone_meta.c.name == LOG_NAME)
            zone.insert(schema.zone_meta, name=LOG_NAME, value=log)

        self._database.write(work)

    def note_log(self, log: str) -> None:
        """Note whose indexes stand there already."""
        row = {"name": LOG_NAME, "value": log}
        self._database.write(lambda c: rows_of(c, ZONE_TENANT).insert_missing(schema.zone_meta, [row]))

    def mark(self, written: list[tuple[Pending, int]]) -> None:
        """Note at which index of the log each act stands; durable when it returns."""

        def work(c: sa.Connection) -> None:
            for pending, index in written:
                rows_of(c, pending.tenant).run(_MARK, {"of_row": pending.item, "new_log_index": index})

        self._database.write(work)
