"""Rows that are old enough looked through and removed, in steps, a transaction each; and how far a run is.

What is old enough the caller says (`policy.retention`). A place is where a walk through a class goes on: a
list that JSON can hold, empty at its beginning.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dragoman.core.accounts import Act
from dragoman.stores.acts import record
from dragoman.stores.conversations import EVIDENCE_AT_ONCE, NOBODY
from dragoman.stores.database import ERASED, Database
from dragoman.stores.decision_index import leave
from dragoman.stores.guests import GUEST, SqlGuests
from dragoman.stores.people_tables import evidence, evidence_files
from dragoman.stores.schema import (
    ZONE_TENANT,
    admin_invites,
    admin_sessions,
    admin_tokens,
    appeals,
    decisions,
    interventions,
    principals,
    statements,
    usage_daily,
    zone_meta,
)
from dragoman.stores.tenancy import rows_of
from dragoman.stores.turn_tables import conversations, turns

Place = list[Any]
Conditions = tuple[sa.ColumnElement[bool], ...]

AT_ONCE = 200
"""LIMIT: rows looked at in one step."""
RUN = "retention"
"""The row of `zone_meta` that says how far a run is, or when the last one ended."""


@dataclass(frozen=True)
class Aged:
    """A table whose rows go when they are old enough and nothing holds them.

    `at`: since when a row ages, null while it does not; `bound`: an instant (ms UTC) as `at` has it, `moment`
    back; `free`: what must hold besides, for rows of a tenant; `beside`: columns that name a row in tables
    whose rows go with it. `at_once`: 1 where several rows have one place, which then go together; few where
    rows are large.
    """

    name: sa.Column[str]
    at: sa.ColumnElement[Any]
    free: Callable[[str], Conditions] = lambda _tenant: ()
    beside: tuple[sa.Column[str], ...] = ()
    bound: Callable[[int], Any] = lambda before: before
    moment: Callable[[Any], int] = int
    at_once: int = AT_ONCE
    leave: Callable[[sa.Connection, str, Sequence[str]], None] = lambda _c, _tenant, _names: None
    """What goes with rows of a tenant, while they are still there."""

    @property
    def table(self) -> sa.Table:
        """The table of the rows."""
        table: sa.Table = self.name.table
        return table


def _unnamed(tenant: str) -> Conditions:
    named = sa.exists().where(turns.c.tenant == tenant, turns.c.decision == decisions.c.decision)
    return (~named, decisions.c.decision.not_in(_objected(tenant)))


def _over(tenant: str) -> Conditions:
    kept = sa.exists().where(turns.c.tenant == tenant, turns.c.turn == interventions.c.turn)
    return (~kept, interventions.c.intervention.not_in(_objected(tenant)))


def _objected(tenant: str) -> sa.Select[Any]:
    return sa.select(appeals.c.about).where(appeals.c.tenant == tenant)


def _last_day(before: int) -> str:
    """The last day (UTC) that is over at an instant."""
    return (datetime.fromtimestamp(before / 1000, UTC).date() - timedelta(days=1)).isoformat()


def _day_over(day: str) -> int:
    """The instant (ms UTC) at which a day is over."""
    return int((datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1)).timestamp() * 1000)


AGED: Mapping[str, tuple[Aged, ...]] = {
    "decisions": (Aged(decisions.c.decision, decisions.c.at, _unnamed, leave=leave),),
    "interventions": (
        Aged(interventions.c.intervention, interventions.c.at, _over, (statements.c.intervention,)),
    ),
    "appeals": (Aged(appeals.c.appeal, sa.func.max(appeals.c.at, sa.func.coalesce(appeals.c.answer_by, 0))),),
    "evidence": (
        Aged(
            evidence.c.evidence,
            sa.func.coalesce(evidence.c.decided_at, evidence.c.at),
            beside=(evidence_files.c.evidence,),
            at_once=EVIDENCE_AT_ONCE,
        ),
    ),
    "sign_ins": (
        Aged(admin_sessions.c.session, admin_sessions.c.seen_at),
        Aged(admin_invites.c.invite, sa.func.coalesce(admin_invites.c.used_at, admin_invites.c.expires_at)),
        Aged(admin_tokens.c.token, sa.func.coalesce(admin_tokens.c.revoked_at, admin_tokens.c.expires_at)),
    ),
    "usage": (Aged(usage_daily.c.day, usage_daily.c.day, bound=_last_day, moment=_day_over, at_once=1),),
}
"""Classes whose rows nothing but their age and what names them keeps. An appeal ages from the day by which an
answer was promised; evidence, from the day it was decided on, or handed in where it waits; what an
administrator came in by, from the day it ended."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is kept of a class: how many rows, since when the oldest ages (ms UTC), how many are due."""

    kept: int
    oldest: int | None
    due: int


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did: how many rows went, and where to go on; None at the end of the class."""

    gone: int
    place: Place | None


class RetentionRows:
    """The zone's rows by their age."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone
        self._guests = SqlGuests(database)

    def look(self, name: str, before: int | None) -> Look:
        """Count a class; `before` (ms UTC): rows that old are due, none where it is None."""
        if name == "conversations":
            aged = Aged(conversations.c.conversation, conversations.c.changed_at, _somebodys)
        elif name == "guests":
            aged = Aged(principals.c.principal, principals.c.created_at, _guest)
        else:
            looks = [self._database.read(lambda c, a=one: _look(c, a, before)) for one in AGED[name]]  # type: ignore[misc]
            oldest = [one.oldest for one in looks if one.oldest is not None]
            return Look(
                sum(one.kept for one in looks), min(oldest, default=None), sum(one.due for one in looks)
            )
        found = self._database.read(lambda c: _look(c, aged, before))
        return found if name != "guests" else Look(found.kept, found.oldest, self._guests_due(before))

    def _guests_due(self, before: int | None) -> int:
        due, after = 0, ""
        while before is not None:
            looked = self._guests.kept_before(before + 1, after, AT_ONCE)
            due += len(self._guests.free(looked))
            if len(looked) < AT_ONCE:
                break
            after = looked[-1].principal
        return due

    def step(self, name: str, before: int, place: Place) -> Step:
        """Remove what is due of the next rows of a class. Durable when it returns."""
        if name == "guests":
            looked = self._guests.kept_before(before + 1, place[0] if place else "", AT_ONCE)
            gone = self._guests.forget(looked) if looked else 0
            return Step(gone, [looked[-1].principal] if len(looked) == AT_ONCE else None)
        which, after = (place[0], place[1:]) if place else (0, [])
        one = AGED[name][which]
        rows = self._database.read(lambda c: _due(c, one, before, after))
        of_tenants = defaultdict(list)
        for _, tenant, row in rows:
            of_tenants[tenant].append(row)
        gone = 0
        for tenant, names in of_tenants.items():
            if self._database.read(lambda c, t=tenant, n=names: _free(c, one, t, n, before)):  # type: ignore[misc]
                gone += self._database.write(lambda c, t=tenant, n=names: _remove(c, one, t, n, before))  # type: ignore[misc]
        if len(rows) == one.at_once:
            return Step(gone, [which, *rows[-1]])
        return Step(gone, [which + 1] if which + 1 < len(AGED[name]) else None)

    def quiet(self, before: int, place: Place) -> tuple[list[tuple[str, str]], Place | None]:
        """(tenant, conversation) of somebody's last changed by then, of the next ones; and where to go on."""
        key = (conversations.c.tenant, conversations.c.conversation)
        chosen = (*key, conversations.c.changed_at, conversations.c.principal)
        query = sa.select(*chosen).where(sa.tuple_(*key) > (place or ("", ""))).order_by(*key).limit(AT_ONCE)
        looked = self._database.read(lambda c: list(c.execute(query)))
        due = [
            (row.tenant, row.conversation)
            for row in looked
            if row.changed_at <= before and row.principal != NOBODY
        ]
        return due, [*looked[-1][:2]] if len(looked) == AT_ONCE else None

    def run(self) -> dict[str, Any]:
        """How far the run is that is on its way, or `finished`: when the last one ended (ms UTC)."""
        row = self._database.read(lambda c: rows_of(c, ZONE_TENANT).one(zone_meta, zone_meta.c.name == RUN))
        return {} if row is None else dict(json.loads(row.value))

    def keep_run(self, run: Mapping[str, Any], entry: Mapping[str, Any] | None = None) -> None:
        """Keep how far a run is; with `entry`, the act by which it ended."""

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, ZONE_TENANT)
            rows.delete(zone_meta, zone_meta.c.name == RUN)
            rows.insert(zone_meta, name=RUN, value=json.dumps(dict(run)))
            if entry is not None:
                record(c, self._zone, Act(ZONE_TENANT, entry, None))
                c.info[ERASED] = True

        self._database.write(work)


def _somebodys(_tenant: str) -> Conditions:
    return (conversations.c.principal != NOBODY,)


def _guest(_tenant: str) -> Conditions:
    return (principals.c.kind == GUEST,)


def _look(c: sa.Connection, one: Aged, before: int | None) -> Look:
    kept, due, oldest = 0, 0, None
    for tenant in c.execute(sa.select(one.table.c.tenant).distinct()).scalars().all():
        mine = sa.select(sa.func.count(), sa.func.min(one.at)).where(
            one.table.c.tenant == tenant, one.at.is_not(None)
        )
        if one.name is principals.c.principal:
            mine = mine.where(*one.free(tenant))
        count, first = c.execute(mine).one()
        kept += count
        if first is not None:
            moment = one.moment(first)
            oldest = moment if oldest is None else min(oldest, moment)
        if before is not None:
            these = (one.table.c.tenant == tenant, one.at <= one.bound(before), *one.free(tenant))
            due += c.execute(sa.select(sa.func.count()).select_from(one.table).where(*these)).scalar_one()
    return Look(kept, oldest, due)


def _due(c: sa.Connection, one: Aged, before: int, after: Sequence[Any]) -> list[tuple[Any, ...]]:
    """(at, tenant, name) of the next rows that are old enough, held or not."""
    place = (one.at, one.table.c.tenant, one.name)
    query = sa.select(*place).where(one.at <= one.bound(before))
    if after:
        query = query.where(sa.tuple_(*place) > tuple(after))
    return [tuple(row) for row in c.execute(query.order_by(*place).limit(one.at_once))]


def _free(c: sa.Connection, one: Aged, tenant: str, names: Sequence[str], before: int) -> list[str]:
    these = (one.name.in_(names), one.at <= one.bound(before), *one.free(tenant))
    return [row[0] for row in rows_of(c, tenant).pick(one.table, (one.name,), *these, limit=-1)]


def _remove(c: sa.Connection, one: Aged, tenant: str, names: Sequence[str], before: int) -> int:
    rows, free = rows_of(c, tenant), _free(c, one, tenant, names, before)
    one.leave(c, tenant, free)
    for column in one.beside:
        rows.delete(column.table, column.in_(free))
    return rows.delete(one.table, one.name.in_(free))
