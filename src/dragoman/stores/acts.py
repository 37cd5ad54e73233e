"""Acts in their own transaction: the change relays hear, and the outbox row for control's journal.

INVARIANT: `seq` is assigned by the one writer inside the transaction of the act, so a lower seq is always
committed before a higher one is visible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from dragoman.core.accounts import Act, Change
from dragoman.ids import new_id, now_ms
from dragoman.stores.database import ENTERED, PUBLISHED
from dragoman.stores.schema import ZONE_TENANT, changes, outbox
from dragoman.stores.tenancy import prepared_insert, rows_of

CHANGES_KEPT = 5_000
"""LIMIT: changes kept for relays that lag; an older `after` gets a reset."""

_ENTER = prepared_insert(outbox)


def record(connection: sa.Connection, zone: str, act: Act) -> None:
    """Write the act's change and its ledger entry beside what the caller writes."""
    at = now_ms()
    enter(connection, zone, act.tenant, {"kind": "action", **act.entry}, at)
    if act.change is not None:
        publish(connection, act.change, at)


def enter(connection: sa.Connection, zone: str, tenant: str, entry: Mapping[str, Any], at: int) -> None:
    """Put an entry on its way to control's journal; `item` lets a repeated carrying be recognised."""
    item = new_id("out", zone, at)
    whole = {"v": 1, "at": at, "tenant": tenant, "zone": zone, "item": item, **entry}
    rows_of(connection, tenant).run(
        _ENTER, {"item": item, "at": at, "entry": json.dumps(whole), "log_index": None}
    )
    connection.info[ENTERED] = True


def publish(connection: sa.Connection, change: Change, at: int) -> int:
    """Append a change; its seq."""
    seq = newest_seq(connection) + 1
    rows = rows_of(connection, ZONE_TENANT)
    notice = json.dumps(dict(change.notice)) if change.notice else None
    rows.insert(
        changes, seq=seq, at=at, tags=json.dumps(list(change.tags)), effect=change.effect, notice=notice
    )
    rows.delete(changes, changes.c.seq <= seq - CHANGES_KEPT)
    connection.info[PUBLISHED] = True
    return seq


def newest_seq(connection: sa.Connection) -> int:
    """The newest seq, 0 before the first change."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(changes.c.seq), 0))).scalar_one())


def changes_after(connection: sa.Connection, seq: int) -> list[tuple[int, Change]]:
    """Changes after a seq, oldest first."""
    found = rows_of(connection, ZONE_TENANT).select(
        changes, changes.c.seq > seq, order=changes.c.seq, limit=CHANGES_KEPT
    )
    return [(row.seq, _change(row)) for row in found]


def _change(row: sa.Row[tuple[object, ...]]) -> Change:
    notice = json.loads(row.notice) if row.notice else None
    return Change(tuple(json.loads(row.tags)), row.effect, notice)
