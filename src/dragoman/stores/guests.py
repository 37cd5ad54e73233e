"""Guests looked through to be forgotten: the port `core.accounts.GuestRows` over the zone's database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import sqlalchemy as sa

from dragoman.core.accounts import GuestRecord
from dragoman.stores.database import Database
from dragoman.stores.schema import appeals, interventions, principals, zone_meta
from dragoman.stores.tenancy import TenantRows, rows_of
from dragoman.stores.turn_tables import claims, conversations, notices_shown, uses
from dragoman.stores.turns import ERASING

GUEST = "guest"
STATEMENTS_MS = 14 * 86_400_000
"""How far from a guest's first row what was done to its turns can be: a cookie's life of a week, doubled."""


class SqlGuests:
    """The zone's guests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def kept_before(self, at: int, after: str, most: int) -> Sequence[GuestRecord]:
        """Guests first kept before `at` (ms UTC), in the order of their principals, those behind `after`."""
        query = (
            sa.select(principals)
            .where(principals.c.principal > after, principals.c.kind == GUEST, principals.c.created_at < at)
            .order_by(principals.c.principal)
            .limit(most)
        )
        found = self._database.read(lambda c: c.execute(query).mappings().all())
        return [
            GuestRecord(row["tenant"], row["principal"], row["class"], row["created_at"]) for row in found
        ]

    def free(self, guests: Sequence[GuestRecord]) -> list[str]:
        """Of these the principals of those who own nothing that is kept."""
        if not guests:
            return []

        def work(c: sa.Connection) -> list[str]:
            explained = _explained(c, guests)
            due = defaultdict(list)
            for guest in guests:
                if guest.principal not in explained:
                    due[guest.tenant].append(guest.principal)
            return [one for tenant, names in due.items() for one in _free(rows_of(c, tenant), names)]

        return self._database.read(work)

    def forget(self, guests: Sequence[GuestRecord]) -> int:
        """Remove those who own nothing that is kept, with what rules remember of their use; how many."""
        explained = self._database.read(lambda c: _explained(c, guests))
        due = defaultdict(list)
        for guest in guests:
            if guest.principal not in explained:
                due[guest.tenant].append(guest.principal)
        return sum(
            self._database.write(lambda c, t=tenant, p=names: _forget(rows_of(c, t), p))  # type: ignore[misc]
            for tenant, names in due.items()
        )


def _explained(connection: sa.Connection, guests: Sequence[GuestRecord]) -> set[str]:
    """Of these those who own a statement of reasons: found by time, for no index leads from them to it."""
    first, last = min(one.created_at for one in guests), max(one.created_at for one in guests)
    query = (
        sa.select(interventions.c.principal)
        .distinct()
        .where(
            interventions.c.at >= first - STATEMENTS_MS,
            interventions.c.at <= last + STATEMENTS_MS,
            interventions.c.principal.in_([one.principal for one in guests]),
        )
    )
    return set(connection.execute(query).scalars())


def _free(rows: TenantRows, names: Sequence[str]) -> list[str]:
    owns = [
        _has(table, table.c.principal == principals.c.principal) for table in (conversations, claims, appeals)
    ]
    erasing = _has(zone_meta, zone_meta.c.name == ERASING + principals.c.principal)
    these = (principals.c.principal.in_(names), principals.c.kind == GUEST)
    free = rows.pick(principals, (principals.c.principal,), *these, ~sa.or_(*owns, erasing), limit=len(names))
    return [row.principal for row in free]


def _forget(rows: TenantRows, names: Sequence[str]) -> int:
    gone = _free(rows, names)
    for table in (uses, notices_shown):
        rows.delete(table, table.c.principal.in_(gone))
    return rows.delete(principals, principals.c.principal.in_(gone))


def _has(table: sa.Table, of: sa.ColumnElement[bool]) -> sa.Exists:
    """Whether a guest's tenant has such a row of its own."""
    return sa.exists().where(table.c.tenant == principals.c.tenant, of)
