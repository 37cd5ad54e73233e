"""The accessor of a tenant's rows: the only way to a query on a tenant's table.

It binds the tenant before anything else can be asked, so a forgotten condition cannot show another's rows.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

COUNTER_MAX = 2**53 - 1
"""LIMIT: the most a counter holds; two of it still fit the database's integers."""


class TenantRows:
    """A tenant's rows of any table, on one connection."""

    def __init__(self, connection: sa.Connection, tenant: str) -> None:
        self._connection = connection
        self._tenant = tenant

    def select(
        self, table: sa.Table, *where: sa.ColumnElement[bool], order: Any = None, limit: int = 1000
    ) -> list[sa.Row[Any]]:
        """Rows of the tenant that meet every condition, at most `limit`."""
        query = sa.select(table).where(table.c.tenant == self._tenant, *where).limit(limit)
        return list(self._connection.execute(query if order is None else query.order_by(order)))

    def one(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
        """The first such row, or None."""
        rows = self.select(table, *where, limit=1)
        return rows[0] if rows else None

    def insert(self, table: sa.Table, **values: Any) -> None:
        """Add a row; IntegrityError where its key exists."""
        self._connection.execute(sa.insert(table).values(tenant=self._tenant, **values))

    def insert_missing(self, table: sa.Table, rows: list[dict[str, Any]]) -> int:
        """Add rows whose key is not there yet; how many were added. The first insert wins."""
        if not rows:
            return 0
        statement = sqlite.insert(table).on_conflict_do_nothing()
        added = 0
        for row in rows:
            added += self._connection.execute(statement, {"tenant": self._tenant, **row}).rowcount
        return added

    def update(self, table: sa.Table, *where: sa.ColumnElement[bool], **values: Any) -> int:
        """Change the rows that meet every condition; how many."""
        statement = sa.update(table).where(table.c.tenant == self._tenant, *where).values(**values)
        return self._connection.execute(statement).rowcount

    def delete(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
        """Remove the rows that meet every condition; how many."""
        return self._connection.execute(
            sa.delete(table).where(table.c.tenant == self._tenant, *where)
        ).rowcount

    def add_up(self, table: sa.Table, key: dict[str, Any], amounts: dict[str, int]) -> None:
        """Insert a row of counters, or add to the one with this key; a counter stops at COUNTER_MAX."""
        statement = sqlite.insert(table).values(tenant=self._tenant, **key, **amounts)
        statement = statement.on_conflict_do_update(
            index_elements=[table.c.tenant, *(table.c[name] for name in key)],
            set_={
                name: sa.func.min(table.c[name] + statement.excluded[name], COUNTER_MAX) for name in amounts
            },
        )
        self._connection.execute(statement)


def rows_of(connection: sa.Connection, tenant: str) -> TenantRows:
    """A tenant's rows on this connection."""
    if not tenant:
        raise ValueError("a tenant is always named")
    return TenantRows(connection, tenant)
