"""Finds kept decisions by when they were first kept, outcome, reason code, rule, pack, person or turn.

A decision is entered in the transaction that keeps it and leaves in the one that forgets it. The index holds
names of the packs and numbers, nothing of a person; who asked is found by the turns that are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dragoman.stores.database import Database
from dragoman.stores.prepared import Prepared
from dragoman.stores.schema import ZONE_TENANT, decision_index, decision_marks, decisions, tenants
from dragoman.stores.tenancy import TenantRows, prepared_insert, prepared_select, rows_of
from dragoman.stores.turn_tables import conversations, turns

PLACES = 4_096
"""How many decisions one millisecond has numbers for; the next one goes on with those of the next."""
PAGE = 25
"""LIMIT: decisions of one page."""
LOOKED_AT = 10_000
"""LIMIT: decisions that one search compares; a further page goes on from there."""
AT_ONCE = 500
"""Names looked up in one query."""
COUNTED = 2_000
"""How far the rarity of a mark is counted, to begin with the rarest."""
TURNS_OF_PERSON = 1_000
"""LIMIT: newest turns of a person by which their decisions are found."""
TURNS_SHOWN = 20
"""LIMIT: turns that are told for one decision."""
LAST = 2**62
"""After every number."""
OUTCOME, CODE, RULE, PACK = "outcome", "code", "rule", "pack"

_ENTERED = prepared_select(
    decision_index,
    decision_index.c.decision == sa.bindparam("name"),
    decision_index.c.owner == sa.bindparam("of"),
    columns=("n",),
)
_LAST = prepared_select(
    decision_index,
    decision_index.c.n >= sa.bindparam("first"),
    decision_index.c.n < sa.bindparam("next"),
    columns=("n",),
    order=decision_index.c.n.desc(),
)
_NUMBER: Prepared = prepared_insert(decision_index)


def marks_of(document: Mapping[str, Any]) -> list[str]:
    """What a decision document is found by."""
    found = {f"{OUTCOME}:{document['outcome']}"}
    for reason in document["reasons"]:
        found |= {f"{CODE}:{reason['code']}", f"{RULE}:{reason['rule_id']}"}
    return sorted(found | {f"{PACK}:{name}" for name in document["packs"]})


def enter(zone: TenantRows, owner: str, at: int, document: Mapping[str, Any]) -> None:
    """Enter a decision of a tenant, kept at an instant (ms UTC); one that is there stays as it is."""
    name = document["id"]
    if zone.run(_ENTERED, {"name": name, "of": owner}):
        return
    first = at * PLACES
    last = zone.run(_LAST, {"first": first, "next": first + PLACES})
    while last and last[0].n == first + PLACES - 1:
        first += PLACES
        last = zone.run(_LAST, {"first": first, "next": first + PLACES})
    n = last[0].n + 1 if last else first
    zone.run(_NUMBER, {"n": n, "owner": owner, "decision": name})
    zone.insert_all(decision_marks, [{"mark": mark, "n": n} for mark in marks_of(document)])


def leave(connection: sa.Connection, owner: str, names: Sequence[str]) -> None:
    """Take decisions that are still kept out of the index, before they are forgotten."""
    zone, own = rows_of(connection, ZONE_TENANT), rows_of(connection, owner)
    here = (decision_index.c.decision.in_(names), decision_index.c.owner == owner)
    numbers = {row.decision: row.n for row in zone.select(decision_index, *here, limit=len(names))}
    columns = (decisions.c.decision, decisions.c.document)
    for row in own.pick(decisions, columns, decisions.c.decision.in_(list(numbers)), limit=len(names)):
        marks = decision_marks.c.mark.in_(marks_of(json.loads(row.document)))
        zone.delete(decision_marks, marks, decision_marks.c.n == numbers[row.decision])
    zone.delete(decision_index, *here)


@dataclass(frozen=True, slots=True)
class Sought:
    """What is looked for; times in ms UTC, `until` not among them. `before`: where a page goes on."""

    since: int | None = None
    until: int | None = None
    marks: tuple[str, ...] = ()
    decision: str = ""
    turn: str = ""
    principal: str = ""
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Decisions, the newest first: `n`, `tenant`, `decision`, `at`, document. `next`: where to go on."""

    rows: list[dict[str, Any]]
    next: int | None


class DecisionSearch:
    """Over one zone's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, sought: Sought) -> Found:
        """A page of what is kept."""
        return self._database.read(lambda connection: _find(connection, sought))

    def one(self, tenant: str, name: str) -> dict[str, Any] | None:
        """A kept decision: document, grounds or None, when it was last made, turns that name it."""
        return self._database.read(lambda connection: _one(rows_of(connection, tenant), name))


def _find(connection: sa.Connection, sought: Sought) -> Found:
    low = 0 if sought.since is None else sought.since * PLACES
    high = LAST if sought.until is None else sought.until * PLACES
    if sought.before is not None:
        high = min(high, sought.before)
    numbers, go_on = _numbers(connection, sought, low, high)
    rows = _rows(connection, numbers[:PAGE])
    more = numbers[PAGE - 1] if len(numbers) > PAGE else go_on
    return Found(rows, more)


def _numbers(connection: sa.Connection, sought: Sought, low: int, high: int) -> tuple[list[int], int | None]:
    """Numbers that match, newest first, a page and one; and where to go on, where not all was compared."""
    if sought.turn or sought.principal or sought.decision:
        return _of_names(connection, sought, low, high), None
    zone, index = ZONE_TENANT, decision_index.c
    if not sought.marks:
        query = sa.select(index.n).where(index.tenant == zone, index.n >= low, index.n < high)
        return list(connection.execute(query.order_by(index.n.desc()).limit(PAGE + 1)).scalars()), None
    rarest, *others = sorted(sought.marks, key=lambda mark: _count(connection, mark, low, high))
    marked = _marked(rarest, low, high)
    edge = connection.execute(marked.order_by(decision_marks.c.n.desc()).offset(LOOKED_AT).limit(1)).scalar()
    if edge is not None:
        marked = _marked(rarest, edge + 1, high)
    query = marked.where(*(_has(mark) for mark in others)).order_by(decision_marks.c.n.desc())
    found = list(connection.execute(query.limit(PAGE + 1)).scalars())
    return found, None if edge is None else edge + 1


def _of_names(connection: sa.Connection, sought: Sought, low: int, high: int) -> list[int]:
    """Numbers of decisions that are named by themselves, by a turn or by a person's turns."""
    names = set(_named(connection, sought))
    index = decision_index.c
    numbers: list[int] = []
    wanted = sorted({name for _, name in names})
    for at in range(0, len(wanted), AT_ONCE):
        query = sa.select(index.owner, index.decision, index.n).where(
            index.tenant == ZONE_TENANT, index.decision.in_(wanted[at : at + AT_ONCE])
        )
        numbers += [
            row.n
            for row in connection.execute(query)
            if low <= row.n < high and ((row.owner, row.decision) in names or (None, row.decision) in names)
        ]
    return _with(connection, sorted(numbers, reverse=True), sought.marks)[: PAGE + 1]


def _named(connection: sa.Connection, sought: Sought) -> Iterable[tuple[str | None, str]]:
    """Owner (None: whichever) and name of decisions; every condition that is given holds."""
    every = sa.select(tenants.c.tenant)
    query = sa.select(turns.c.tenant, turns.c.decision)
    if sought.turn:
        query = query.where(turns.c.tenant.in_(every), turns.c.turn == sought.turn)
        if sought.principal:
            query = query.where(turns.c.principal == sought.principal)
    elif sought.principal:
        own = sa.and_(
            turns.c.tenant == conversations.c.tenant, turns.c.conversation == conversations.c.conversation
        )
        query = query.join(conversations, own).where(
            conversations.c.tenant.in_(every), conversations.c.principal == sought.principal
        )
        query = query.order_by(conversations.c.conversation.desc(), turns.c.seq.desc())
    else:
        return [(None, sought.decision)]
    found = [(row.tenant, row.decision) for row in connection.execute(query.limit(TURNS_OF_PERSON))]
    return [one for one in found if not sought.decision or one[1] == sought.decision]


def _count(connection: sa.Connection, mark: str, low: int, high: int) -> int:
    counted = _marked(mark, low, high).limit(COUNTED).subquery()
    return int(connection.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one())


def _marked(mark: str, low: int, high: int) -> sa.Select[Any]:
    here = decision_marks.c
    return sa.select(here.n).where(
        here.tenant == ZONE_TENANT, here.mark == mark, here.n >= low, here.n < high
    )


def _has(mark: str) -> sa.ColumnElement[bool]:
    """That a decision found by one mark has another."""
    other = decision_marks.alias()
    same = (other.c.tenant == ZONE_TENANT, other.c.mark == mark, other.c.n == decision_marks.c.n)
    return sa.exists(sa.select(other.c.n).where(*same))


def _with(connection: sa.Connection, numbers: Sequence[int], marks: Sequence[str]) -> list[int]:
    """Those numbers that have every mark, in their order."""
    kept = list(numbers)
    for mark in marks:
        here = decision_marks.c
        query = sa.select(here.n).where(here.tenant == ZONE_TENANT, here.mark == mark, here.n.in_(kept))
        has = set(connection.execute(query).scalars()) if kept else set()
        kept = [n for n in kept if n in has]
    return kept


def _rows(connection: sa.Connection, numbers: Sequence[int]) -> list[dict[str, Any]]:
    index = decision_index
    same = sa.and_(decisions.c.tenant == index.c.owner, decisions.c.decision == index.c.decision)
    query = (
        sa.select(index.c.n, index.c.owner, index.c.decision, decisions.c.at, decisions.c.document)
        .join(decisions, same)
        .where(index.c.tenant == ZONE_TENANT, index.c.n.in_(numbers))
        .order_by(index.c.n.desc())
    )
    return [
        {
            "n": row.n,
            "tenant": row.owner,
            "decision": row.decision,
            "at": row.n // PLACES,
            "last_at": row.at,
            "document": json.loads(row.document),
        }
        for row in connection.execute(query)
    ]


def _one(rows: TenantRows, name: str) -> dict[str, Any] | None:
    found = rows.one(decisions, decisions.c.decision == name)
    if found is None:
        return None
    columns = (turns.c.turn, turns.c.at, turns.c.status)
    named = rows.pick(turns, columns, turns.c.decision == name, limit=TURNS_SHOWN)
    return {
        "document": json.loads(found.document),
        "grounds": json.loads(found.grounds) if found.grounds else None,
        "at": found.at,
        "turns": [{"turn": row.turn, "at": row.at, "status": row.status} for row in named],
    }
