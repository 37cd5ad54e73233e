"""Appeals in the zone's database: the port `core.appeals.AppealStore`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, fields
from typing import TypeVar

import sqlalchemy as sa

from dragoman.core.appeals import AppealRecord, AppealRows
from dragoman.stores.conversations import SqlConversationRows
from dragoman.stores.database import Database
from dragoman.stores.schema import appeals, decisions, interventions

T = TypeVar("T")

_COLUMNS = tuple(appeals.c[one.name] for one in fields(AppealRecord))


class SqlAppealRows(SqlConversationRows):
    """A tenant's appeals on one connection."""

    def turn_of_intervention(self, intervention: str, principal: str) -> str | None:
        """The turn of an intervention that concerned this person."""
        own = (interventions.c.intervention == intervention, interventions.c.principal == principal)
        found = self.rows.one(interventions, *own)
        return None if found is None else str(found.turn)

    def has_decision(self, decision: str) -> bool:
        """Whether a decision of this id is kept for the tenant: it names no person."""
        return self.rows.one(decisions, decisions.c.decision == decision) is not None

    def appeal(self, name: str) -> AppealRecord | None:
        """An appeal of the tenant, whoever's it is."""
        return self._one(appeals.c.appeal == name)

    def appeal_about(self, principal: str, about: str) -> AppealRecord | None:
        """A person's appeal about something."""
        return self._one(appeals.c.principal == principal, appeals.c.about == about)

    def appeals(self, principal: str, before: str | None, most: int) -> list[AppealRecord]:
        """A person's appeals, newest first; those older than the id `before`."""
        where = [appeals.c.principal == principal]
        if before is not None:
            where.append(appeals.c.appeal < before)
        found = self.rows.select(appeals, *where, order=appeals.c.appeal.desc(), limit=most)
        return [_record(row) for row in found]

    def count_appeals(self, principal: str | None, since: int, most: int) -> int:
        """How many appeals a person, or all without a key (None), have sent since (ms UTC), up to `most`."""
        whose = appeals.c.key.is_(None) if principal is None else appeals.c.principal == principal
        return len(self.rows.pick(appeals, (appeals.c.appeal,), whose, appeals.c.at > since, limit=most))

    def add_appeal(self, record: AppealRecord) -> None:
        """Keep a new appeal."""
        self.rows.insert(appeals, **asdict(record))

    def _one(self, *where: sa.ColumnElement[bool]) -> AppealRecord | None:
        found = self.rows.one(appeals, *where)
        return None if found is None else _record(found)


class SqlAppeals:
    """The zone's appeals."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def submit(self, tenant: str, work: Callable[[AppealRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlAppealRows(c, tenant, self._zone)))

    def read(self, tenant: str, work: Callable[[AppealRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
        return self._database.read(lambda c: work(SqlAppealRows(c, tenant, self._zone)))


def _record(row: sa.Row[tuple[object, ...]]) -> AppealRecord:
    return AppealRecord(*(getattr(row, column.name) for column in _COLUMNS))
