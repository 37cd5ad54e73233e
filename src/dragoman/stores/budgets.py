"""Limits as set, what is spent of each bucket, and what each run of a relay holds of it.

INVARIANT: a grant is given in the transaction that counts it, and what is spent arrives in the transaction
of the journal's cursor: neither a crash nor a repeated message counts anything twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from dragoman.core.accounts import Act
from dragoman.core.budgets import Allotted, Ask, BucketState, Opening, Spend
from dragoman.settings_limits import Limit
from dragoman.stores import schema
from dragoman.stores.acts import record
from dragoman.stores.database import AFTER_COMMIT, Database
from dragoman.stores.prepared import Prepared
from dragoman.stores.schema import OF_A_MINUTE, ZONE_TENANT
from dragoman.stores.tenancy import COUNTER_MAX, prepared_add_up, prepared_select, rows_of

LIST_LIMIT = 10_000
"""LIMIT: rows of one listing."""
KEPT_MS = 40 * 86_400_000
"""LIMIT: how long a bucket is kept after its window: a relay may bring its journal late."""
MINUTE_KEPT_MS = 2 * 3_600_000
"""LIMIT: the same for the window of a minute, of which there may be many: relays ask for a window until ten
minutes after it, a turn lasts an hour at most, and what spends later changes nothing any more."""
SWEPT_AT_ONCE = 2_000
"""LIMIT: old buckets removed in one transaction."""

_OVER = prepared_select(
    schema.relay_runs,
    schema.relay_runs.c.log == sa.bindparam("name"),
    schema.relay_runs.c.ends <= sa.bindparam("upto"),
    columns=("start",),
    limit=LIST_LIMIT,
)

_STARTS = prepared_select(
    schema.relay_runs, schema.relay_runs.c.log == sa.bindparam("name"), columns=("start",), limit=LIST_LIMIT
)
_ADD_SPENT = prepared_add_up(schema.buckets, ("bucket",), ("spent",))
_held_of = schema.allotments.c
_ADD_SETTLED = Prepared(
    sa.update(schema.allotments)
    .where(_held_of.tenant == sa.bindparam("of_tenant"), _held_of.bucket == sa.bindparam("of_bucket"))
    .where(_held_of.log == sa.bindparam("of_log"), _held_of.start == sa.bindparam("of_start"))
    .values(settled=sa.func.min(_held_of.settled + sa.bindparam("amount"), COUNTER_MAX)),
    "of_tenant",
)

Grant = Callable[[Ask, int], int]
"""How much an ask gets, of what is taken of its bucket already."""


@dataclass(frozen=True, slots=True)
class _Run:
    log: str
    start: int


def stored_limits(file: Path) -> list[Limit]:
    """The limits that were set, of a zone's file that nobody need have open. It reads only."""
    if not file.is_file():
        return []
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as raw:
        if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'limits'").fetchone() is None:
            return []
        return [Limit.model_validate_json(row[0]) for row in raw.execute("SELECT document FROM limits")]


class Budgets:
    """Limits, buckets and allotments in the zone's database; every write is durable when it resolves."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def limits(self) -> Sequence[Limit]:
        """Every limit that was set."""
        query = sa.select(schema.limits.c.document).order_by(schema.limits.c.limit).limit(LIST_LIMIT)
        rows = self._database.read(lambda c: c.execute(query).scalars().all())
        return [Limit.model_validate_json(document) for document in rows]

    def set_limit(self, owner: str, limit: Limit, at: int, act: Act, forget: Callable[[], None]) -> None:
        """Keep a limit of an owner (a tenant, or the zone) in place of the one with its id."""

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(schema.limits).where(schema.limits.c.limit == limit.id))
            rows_of(c, owner).insert(
                schema.limits, limit=limit.id, document=limit.model_dump_json(), changed_at=at
            )
            c.info.setdefault(AFTER_COMMIT, []).append(forget)
            record(c, self._zone, act)

        self._database.write(work)

    def remove_limit(self, name: str, act: Act, forget: Callable[[], None]) -> bool:
        """Remove a limit; False where there was none."""

        def work(c: sa.Connection) -> bool:
            removed = c.execute(sa.delete(schema.limits).where(schema.limits.c.limit == name)).rowcount > 0
            if removed:
                c.info.setdefault(AFTER_COMMIT, []).append(forget)
                record(c, self._zone, act)
            return removed

        return self._database.write(work)

    def allot(self, opening: Opening, asks: Sequence[Ask], grant: Grant) -> Future[list[Allotted] | None]:
        """Take what a run of a relay returns and give what it asks for; None for a run that is over."""

        def work(c: sa.Connection) -> list[Allotted] | None:
            if not _opened(c, opening):
                return None
            return [_allotted(c, opening, ask, grant) for ask in asks]

        return self._database.submit(work)

    def states(self, tenant: str | None = None, limit: str | None = None) -> list[BucketState]:
        """Buckets with what is spent and held, newest windows first."""
        held = sa.func.coalesce(sa.func.sum(_held()), 0)
        buckets, allotments = schema.buckets, schema.allotments
        joined = buckets.outerjoin(
            allotments,
            sa.and_(allotments.c.tenant == buckets.c.tenant, allotments.c.bucket == buckets.c.bucket),
        )
        query = (
            sa.select(
                buckets.c.tenant, buckets.c.bucket, buckets.c.limit, buckets.c.ends, buckets.c.spent, held
            )
            .select_from(joined)
            .group_by(buckets.c.tenant, buckets.c.bucket)
            .order_by(buckets.c.ends.desc(), buckets.c.bucket)
            .limit(LIST_LIMIT)
        )
        if tenant is not None:
            query = query.where(buckets.c.tenant == tenant)
        if limit is not None:
            query = query.where(buckets.c.limit == limit)
        return self._database.read(lambda c: [BucketState(*row) for row in c.execute(query)])

    def forget_over(self, now: int, stopping: Callable[[], bool] = lambda: False) -> int:
        """Remove buckets whose windows are long over, in steps, a transaction each; how many."""
        forgotten = 0
        while not stopping():
            some = self._database.write(lambda c: _forget_some(c, now))
            forgotten += some
            if some < SWEPT_AT_ONCE:
                break
        return forgotten


def _forget_some(c: sa.Connection, now: int) -> int:
    table = schema.buckets
    due: dict[str, list[str]] = defaultdict(list)
    minutes = (table.c.ends < now - MINUTE_KEPT_MS, OF_A_MINUTE)
    for where in (minutes, (table.c.ends < now - KEPT_MS,)):
        left = SWEPT_AT_ONCE - sum(len(one) for one in due.values())
        for tenant, bucket in c.execute(sa.select(table.c.tenant, table.c.bucket).where(*where).limit(left)):
            due[tenant].append(bucket)
    for tenant, buckets in due.items():
        for rows in (schema.allotments, table):
            rows_of(c, tenant).delete(rows, rows.c.bucket.in_(buckets))
    return sum(len(one) for one in due.values())


def settle(c: sa.Connection, log: str, spends: Iterable[Spend]) -> None:
    """Count what results spent, in the transaction that moves the log's cursor past them."""
    runs: list[int] | None = None
    for spend in spends:
        if runs is None:
            runs = _starts(c, log)
        start = max((at for at in runs if at <= spend.index), default=None)
        rows = rows_of(c, spend.tenant)
        bucket = {"bucket": spend.bucket, "limit": spend.limit, "ends": spend.ends, "spent": spend.amount}
        rows.run(_ADD_SPENT, bucket)
        if start is not None:
            held = {"of_bucket": spend.bucket, "of_log": log, "of_start": start, "amount": spend.amount}
            rows.run(_ADD_SETTLED, held)


def release(c: sa.Connection, log: str, upto: int) -> None:
    """Give back what ended runs of a log held, once its entries before `upto` are all projected."""
    runs, table = schema.relay_runs, schema.allotments
    over = rows_of(c, ZONE_TENANT).run(_OVER, {"name": log, "upto": upto})
    for run in over:
        c.execute(sa.delete(table).where(table.c.log == log, table.c.start == run.start))
        rows_of(c, ZONE_TENANT).delete(runs, runs.c.log == log, runs.c.start == run.start)


def _opened(c: sa.Connection, opening: Opening) -> bool:
    """Know the run; end those before it. False for a run that a later one has followed."""
    zone, runs = rows_of(c, ZONE_TENANT), schema.relay_runs
    starts = _starts(c, opening.log)
    if starts and max(starts) > opening.start:
        return False
    if opening.start not in starts:
        row = {"log": opening.log, "start": opening.start, "ends": None, "at": opening.at}
        zone.insert_missing(runs, [row])
    ended = {opening.log: opening.start}
    if _cursor(c, opening.log) >= opening.start:
        # What an earlier log left open has its results in this one, before this run's own entries.
        ended.update({log: end for log, end in opening.earlier if _cursor(c, log) >= end})
    for log, end in ended.items():
        open_ = (runs.c.log == log, runs.c.ends.is_(None))
        mine = (runs.c.start < opening.start,) if log == opening.log else ()
        if zone.update(runs, *open_, *mine, ends=end):
            release(c, log, _cursor(c, log))
    return True


def _allotted(c: sa.Connection, opening: Opening, ask: Ask, grant: Grant) -> Allotted:
    run = _Run(opening.log, opening.start)
    rows, table = rows_of(c, ask.tenant), schema.allotments
    rows.insert_missing(
        schema.buckets, [{"bucket": ask.bucket, "limit": ask.limit, "ends": ask.ends, "spent": 0}]
    )
    key = {"bucket": ask.bucket, "log": run.log, "start": run.start}
    rows.insert_missing(table, [{**key, "granted": 0, "returned": 0, "settled": 0}])
    held = rows.one(table, *_of(run, ask.bucket))
    granted = 0 if held is None else int(held.granted)
    # Each side's number only grows, so a message that comes late or twice changes nothing.
    granted_before = max(granted, ask.granted)
    returned = min(max(0 if held is None else int(held.returned), ask.returned), granted_before)
    rows.update(table, *_of(run, ask.bucket), granted=granted_before, returned=returned)
    bucket = rows.one(schema.buckets, schema.buckets.c.bucket == ask.bucket)
    spent = 0 if bucket is None else int(bucket.spent)
    taken = spent + _all_held(c, ask)
    # What the relay does not know of yet was granted to a question whose answer it never got.
    more = grant(ask, taken) if granted_before == ask.granted else 0
    if more:
        rows.update(table, *_of(run, ask.bucket), granted=granted_before + more)
    return Allotted(ask.bucket, granted_before, granted_before + more, returned, taken + more)


def _all_held(c: sa.Connection, ask: Ask) -> int:
    table = schema.allotments
    query = sa.select(sa.func.coalesce(sa.func.sum(_held()), 0))
    query = query.where(table.c.tenant == ask.tenant, table.c.bucket == ask.bucket)
    return int(c.execute(query).scalar_one())


def _held() -> sa.ColumnElement[int]:
    table = schema.allotments
    return sa.func.max(table.c.granted - table.c.returned - table.c.settled, 0)


def _of(run: _Run, bucket: str) -> tuple[sa.ColumnElement[bool], ...]:
    table = schema.allotments
    return (table.c.bucket == bucket, table.c.log == run.log, table.c.start == run.start)


def _starts(c: sa.Connection, log: str) -> list[int]:
    return [int(row.start) for row in rows_of(c, ZONE_TENANT).run(_STARTS, {"name": log})]


def _cursor(c: sa.Connection, log: str) -> int:
    table = schema.journal_cursor
    row = rows_of(c, ZONE_TENANT).one(table, table.c.log == log)
    return 0 if row is None else int(row.next)


def document_of(limit: Limit) -> dict[str, object]:
    """A limit as an entry of the ledger and a listing show it: what is set, without what is not."""
    shown: dict[str, object] = json.loads(limit.model_dump_json(exclude_none=True))
    return shown
