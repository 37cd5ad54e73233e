"""Reads daily usage. It never writes: `stores.journal` does, with the cursor."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from dragoman.stores import schema
from dragoman.stores.database import Database

ROWS = 1_000_000
"""LIMIT: rows read for one report."""


class UsageRows:
    """Daily usage of the zone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(
        self, first: str, last: str, tenant: str | None = None, key: str | None = None
    ) -> list[dict[str, Any]]:
        """Rows of days from first to last, of everybody, of a tenant, or of one key of it."""
        table = schema.usage_daily
        query = sa.select(table).where(table.c.day >= first, table.c.day <= last).limit(ROWS)
        if tenant is not None:
            query = query.where(table.c.tenant == tenant)
        if key is not None:
            query = query.where(table.c.key == key)
        return self._database.read(lambda c: [dict(row) for row in c.execute(query).mappings()])
