"""What an administrator looks at across tenants: interventions, changes, usage, cursors. Reads only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dragoman.stores import schema
from dragoman.stores.database import Database
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import rows_of

PAGE_ROWS = 100
"""LIMIT: rows of one page of a listing."""
USAGE_ROWS = 1_000
"""LIMIT: rows of a usage table."""


USAGE_KEYS = ("day", "tenant", "model", "currency")
USAGE_SUMS = ("turns", "input", "output", "unknown", "spend", "unpriced")
_ABOUT = (
    *("key", "passkey", "admin", "invite", "token", "session", "intervention", "appeal", "log", "source"),
    "what",
)
"""Members of an entry that say what an act was about, the nearest first."""


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Turns, tokens and spend of a day, tenant, model and currency.

    `unknown`: turns whose usage nobody stated; `spend`: millionths of the currency; `unpriced`: turns without
    a known price.
    """

    day: str
    tenant: str
    model: str
    currency: str
    turns: int
    input: int
    output: int
    unknown: int
    spend: int
    unpriced: int


class Overview:
    """The zone as its administrators see it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def interventions(self, before: int | None = None, limit: int = PAGE_ROWS) -> list[dict[str, Any]]:
        """The newest interventions (before an instant, ms UTC), of every tenant."""
        table = schema.interventions
        columns = [table.c[name] for name in ("tenant", "intervention", "at", "origin", "rule", "action")]
        query = sa.select(*columns).order_by(table.c.at.desc()).limit(min(limit, PAGE_ROWS))
        if before is not None:
            query = query.where(table.c.at < before)
        return self._database.read(lambda c: [dict(row) for row in c.execute(query).mappings()])

    def statement(self, tenant: str, intervention: str) -> dict[str, Any] | None:
        """The statement of reasons of an intervention."""
        where = schema.statements.c.intervention == intervention
        row = self._database.read(lambda c: rows_of(c, tenant).one(schema.statements, where))
        return None if row is None else dict(json.loads(row.document))

    def appeals(self, before: int | None = None) -> list[dict[str, Any]]:
        """The newest appeals (before an instant, ms UTC), of every tenant, without their words."""
        table = schema.appeals
        columns = [
            table.c[name] for name in ("tenant", "appeal", "at", "about", "turn", "state", "answer_by")
        ]
        query = sa.select(*columns).order_by(table.c.at.desc()).limit(PAGE_ROWS)
        if before is not None:
            query = query.where(table.c.at < before)
        return self._database.read(lambda c: [dict(row) for row in c.execute(query).mappings()])

    def appeal(self, tenant: str, name: str) -> dict[str, Any] | None:
        """An appeal as it came; its salt is its owner's."""
        where = schema.appeals.c.appeal == name
        row = self._database.read(lambda c: rows_of(c, tenant).one(schema.appeals, where))
        if row is None:
            return None
        found = {one.name: getattr(row, one.name) for one in schema.appeals.c if one.name != "salt"}
        return {**found, "acknowledged": json.loads(row.acknowledged)}

    def changes(self, limit: int = PAGE_ROWS) -> list[dict[str, Any]]:
        """The newest changes that relays heard of."""
        table = schema.changes
        rows = self._database.read(
            lambda c: rows_of(c, ZONE_TENANT).select(
                table, order=table.c.seq.desc(), limit=min(limit, PAGE_ROWS)
            )
        )
        return [
            {"seq": row.seq, "at": row.at, "effect": row.effect, "tags": json.loads(row.tags)} for row in rows
        ]

    def acts(self, limit: int = PAGE_ROWS) -> list[dict[str, Any]]:
        """The newest acts of control's own ledger: what was done, by whom."""
        table = schema.outbox
        query = sa.select(table).order_by(table.c.item.desc()).limit(min(limit, PAGE_ROWS))
        rows = self._database.read(lambda c: list(c.execute(query)))
        return [_act(json.loads(row.entry), row.log_index) for row in rows]

    def usage(self, since: str) -> list[UsageRow]:
        """Usage from a day on (YYYY-MM-DD, UTC), newest day first, by tenant, model and currency."""
        table = schema.usage_daily
        keys = [table.c[name] for name in USAGE_KEYS]
        sums = [sa.func.sum(table.c[name]) for name in USAGE_SUMS]
        query = (
            sa.select(*keys, *sums)
            .where(table.c.day >= since)
            .group_by(*keys)
            .order_by(table.c.day.desc(), table.c.tenant, table.c.model)
            .limit(USAGE_ROWS)
        )
        rows = self._database.read(lambda c: [tuple(row) for row in c.execute(query)])
        width = len(USAGE_KEYS)
        return [UsageRow(*row[:width], *map(int, row[width:])) for row in rows]

    def cursors(self) -> list[dict[str, Any]]:
        """How far each relay's log has been taken."""
        rows = self._database.read(lambda c: rows_of(c, ZONE_TENANT).select(schema.journal_cursor))
        return [{"log": row.log, "next": row.next} for row in rows]

    def waiting_acts(self) -> int:
        """Acts that are not in control's ledger yet."""
        table = schema.outbox
        query = sa.select(sa.func.count()).select_from(table).where(table.c.log_index.is_(None))
        return int(self._database.read(lambda c: c.execute(query).scalar_one()))


def _act(entry: dict[str, Any], log_index: int | None) -> dict[str, Any]:
    """An entry as a listing shows it, with itself."""
    return {
        "at": entry["at"],
        "tenant": entry["tenant"],
        "act": entry.get("act") or entry.get("event"),
        "by": entry.get("by"),
        "about": next((entry[name] for name in _ABOUT if entry.get(name)), None),
        "log_index": log_index,
        "entry": entry,
    }
