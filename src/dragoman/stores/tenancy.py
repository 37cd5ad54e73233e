"""The accessor of a tenant's rows: the only way to a query on a tenant's table.

It binds the tenant before anything else can be asked, so a forgotten condition cannot show another's rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from dragoman.stores.prepared import Prepared

COUNTER_MAX = 2**53 - 1
"""LIMIT: the most a counter holds; two of it still fit the database's integers."""


def prepared_select(
    table: sa.Table,
    *where: sa.ColumnElement[bool],
    columns: Sequence[str] = (),
    order: Any = None,
    limit: Any = 1,
) -> Prepared:
    """Rows of the tenant that meet every condition; `limit` may be a parameter."""
    chosen: list[Any] = [table.c[name] for name in columns] or [table]
    query = sa.select(*chosen).where(table.c.tenant == sa.bindparam("tenant"), *where).limit(limit)
    return Prepared(query if order is None else query.order_by(order))


def prepared_count(table: sa.Table, *where: sa.ColumnElement[bool]) -> Prepared:
    """How many rows of the tenant meet every condition (`n`), counted by the database up to `most`."""
    found = sa.select(table.c.tenant).where(table.c.tenant == sa.bindparam("tenant"), *where)
    counted = found.limit(sa.bindparam("most")).subquery()
    return Prepared(sa.select(sa.func.count().label("n")).select_from(counted))


def prepared_insert(table: sa.Table) -> Prepared:
    """A row; its columns are the parameters."""
    return Prepared(sa.insert(table))


@cache
def prepared_update(table: sa.Table, row: str, columns: tuple[str, ...]) -> Prepared:
    """New values for columns of the row whose key `row` is the parameter `of_row`. Made once each."""
    # Parameters named as columns would be taken for values of the row.
    here = (table.c.tenant == sa.bindparam("of_tenant"), table.c[row] == sa.bindparam("of_row"))
    values = {name: sa.bindparam(f"new_{name}", type_=table.c[name].type) for name in columns}
    return Prepared(sa.update(table).where(*here).values(values), "of_tenant")


def prepared_put(table: sa.Table, key: Sequence[str], changed: Sequence[str]) -> Prepared:
    """A row, or where its key is there its changed columns."""
    statement = sqlite.insert(table)
    put = statement.on_conflict_do_update(
        index_elements=[table.c.tenant, *(table.c[name] for name in key)],
        set_={name: statement.excluded[name] for name in changed},
    )
    return Prepared(put)


def prepared_add_up(
    table: sa.Table, key: Sequence[str], amounts: Sequence[str], rows: Sequence[Mapping[str, Any]] = ()
) -> Prepared:
    """A row of counters, or where its key is there what they are more by; a counter stops at COUNTER_MAX.

    Its columns are the parameters; or `rows` are some at once, whose columns but the tenant name them.
    """
    statement = sqlite.insert(table)
    if rows:
        tenant: sa.BindParameter[str] = sa.bindparam("tenant")
        statement = statement.values([{"tenant": tenant, **one} for one in rows])
    sums = {name: sa.func.min(table.c[name] + statement.excluded[name], COUNTER_MAX) for name in amounts}
    index = [table.c.tenant, *(table.c[name] for name in key)]
    counted = statement.on_conflict_do_update(index_elements=index, set_=sums)
    return Prepared(counted, columns_given=not rows)


def prepared_climb(
    table: sa.Table, row: str, parent: str, weight: str, columns: Sequence[str] = ()
) -> Prepared:
    """The row `start` and its ancestors, newest first, as long as those below weigh no more than `budget`.

    At most `most` rows. The climb itself reads only the three columns named.
    """
    tenant: sa.BindParameter[str] = sa.bindparam("tenant")
    first = table.alias("first")
    path = (
        sa.select(
            first.c[row].label("row"),
            first.c[parent].label("parent"),
            first.c[weight].label("total"),
            sa.literal(1).label("n"),
        )
        .where(first.c.tenant == tenant, first.c[row] == sa.bindparam("start"))
        .cte("path", recursive=True)
    )
    up = table.alias("up")
    path = path.union_all(
        sa.select(up.c[row], up.c[parent], path.c.total + up.c[weight], path.c.n + 1)
        .where(up.c.tenant == tenant, up.c[row] == path.c.parent)
        .where(path.c.total <= sa.bindparam("budget"), path.c.n < sa.bindparam("most"))
    )
    chosen: list[Any] = [table.c[name] for name in columns] or [table]
    joined = sa.select(*chosen).join(path, table.c[row] == path.c.row).where(table.c.tenant == tenant)
    return Prepared(joined.order_by(path.c.n))


def prepared_descend(table: sa.Table, row: str, parent: str, group: str, order: str) -> Prepared:
    """The end (`row`) of the branch that goes on from `start` by the newest child, in group `inside`."""
    tenant: sa.BindParameter[str] = sa.bindparam("tenant")
    child = table.alias("child")

    def newest(of: Any) -> Any:
        query = sa.select(child.c[row]).where(
            child.c.tenant == tenant, child.c[group] == sa.bindparam("inside")
        )
        return query.where(child.c[parent] == of).order_by(child.c[order].desc()).limit(1).scalar_subquery()

    down = sa.select(sa.bindparam("start", type_=sa.Text).label("row"), sa.literal(0).label("n")).cte(
        "down", recursive=True
    )
    down = down.union_all(sa.select(newest(down.c.row), down.c.n + 1).where(newest(down.c.row).is_not(None)))
    return Prepared(sa.select(down.c.row).order_by(down.c.n.desc()).limit(1))


class TenantRows:
    """A tenant's rows of any table, on one connection."""

    def __init__(self, connection: sa.Connection, tenant: str) -> None:
        self._connection = connection
        self._tenant = tenant

    def of_zone(self, zone: str) -> TenantRows:
        """The rows of the zone itself, on the same connection: for what stands beside a tenant's rows."""
        return TenantRows(self._connection, zone)

    def select(
        self, table: sa.Table, *where: sa.ColumnElement[bool], order: Any = None, limit: int = 1000
    ) -> list[sa.Row[Any]]:
        """Rows of the tenant that meet every condition, at most `limit`."""
        query = sa.select(table).where(table.c.tenant == self._tenant, *where).limit(limit)
        return list(self._connection.execute(query if order is None else query.order_by(order)))

    def run(self, prepared: Prepared, values: Mapping[str, Any]) -> Sequence[Any]:
        """Run a prepared statement on the tenant's rows; what it selects, else nothing."""
        return prepared.run(self._connection, {**values, prepared.tenant: self._tenant})

    def plain(self, prepared: Prepared, values: Mapping[str, Any]) -> Sequence[Any]:
        """The same, as the driver gives it: without names."""
        return prepared.plain(self._connection, {**values, prepared.tenant: self._tenant})

    def pick(
        self,
        table: sa.Table,
        columns: Sequence[sa.ColumnElement[Any]],
        *where: sa.ColumnElement[bool],
        limit: int = 1000,
    ) -> list[sa.Row[Any]]:
        """Columns of the rows of the tenant that meet every condition, at most `limit`."""
        query = sa.select(*columns).where(table.c.tenant == self._tenant, *where).limit(limit)
        return list(self._connection.execute(query))

    def one(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
        """The first such row, or None."""
        rows = self.select(table, *where, limit=1)
        return rows[0] if rows else None

    def insert(self, table: sa.Table, **values: Any) -> None:
        """Add a row; IntegrityError where its key exists."""
        self._connection.execute(sa.insert(table).values(tenant=self._tenant, **values))

    def insert_all(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Add rows by one call of the driver; IntegrityError where a key exists."""
        if rows:
            self._connection.execute(sa.insert(table), [{"tenant": self._tenant, **row} for row in rows])

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


def rows_of(connection: sa.Connection, tenant: str) -> TenantRows:
    """A tenant's rows on this connection."""
    if not tenant:
        raise ValueError("a tenant is always named")
    return TenantRows(connection, tenant)
