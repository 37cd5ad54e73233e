"""A person's rows on their way from one zone to another: which, read in pages, and put in again.

What moves stands in MOVED; what does not, with its reason, in `policy/moving.toml`. Ids stay as they are, so
that what the ledger of the first zone says of them stays true; the person's own becomes one of the new zone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dragoman.core.accounts import Act, Change
from dragoman.ids import now_ms
from dragoman.stores.acts import publish, record
from dragoman.stores.conversations import ARRIVED, ARRIVING
from dragoman.stores.database import ERASED, Database
from dragoman.stores.people_tables import evidence, evidence_files, people
from dragoman.stores.schema import appeals, decisions, interventions, statements, zone_meta
from dragoman.stores.search import SqlSearchRows
from dragoman.stores.search_tables import search_items
from dragoman.stores.tenancy import TenantRows, rows_of
from dragoman.stores.turn_tables import conversations, notices_shown, turns, uses
from dragoman.stores.turns import MOVING, leaving

INDEXED_AT_ONCE = 200
"""LIMIT: turns entered for the search in one transaction."""
CONVERSATIONS = 100_000
"""LIMIT: conversations of one person; more than one may have."""
_RUNNING = turns.c.state.in_(("opened", "closing"))
_BLOB = "base64"

Row = dict[str, Any]
"""Values of a row by column; of bytes `{"base64": ...}` on the way."""
Condition = Callable[[str, str], sa.ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Moved:
    """A table of which a person's rows move: by `key`, those that meet `mine(tenant, person)`, some at once.

    `owner` names the person. `left`: columns that do not move; `shared`: rows that are others' too.
    """

    table: sa.Table
    key: str
    mine: Condition
    at_once: int
    owner: str | None = None
    left: frozenset[str] = frozenset()
    shared: bool = False

    @property
    def columns(self) -> list[sa.Column[Any]]:
        """The columns that move."""
        return [one for one in self.table.columns if one.name != "tenant" and one.name not in self.left]


def _own(tenant: str, person: str) -> sa.Select[Any]:
    return sa.select(conversations.c.conversation).where(
        conversations.c.tenant == tenant, conversations.c.principal == person
    )


def _own_turns(column: sa.Column[Any], tenant: str, person: str) -> sa.Select[Any]:
    return sa.select(column).where(turns.c.tenant == tenant, turns.c.conversation.in_(_own(tenant, person)))


def _decided(tenant: str, person: str) -> sa.ColumnElement[bool]:
    about = sa.select(appeals.c.about).where(appeals.c.tenant == tenant, appeals.c.principal == person)
    named = decisions.c.decision
    return named.in_(_own_turns(turns.c.decision, tenant, person)) | named.in_(about)


def _explained(tenant: str, person: str) -> sa.ColumnElement[bool]:
    own = sa.select(interventions.c.intervention).where(
        interventions.c.tenant == tenant, interventions.c.principal == person
    )
    return statements.c.intervention.in_(own)


def _handed_in(tenant: str, person: str) -> sa.ColumnElement[bool]:
    own = sa.select(evidence.c.evidence).where(evidence.c.tenant == tenant, evidence.c.person == person)
    return evidence_files.c.evidence.in_(own)


def _of(column: sa.Column[Any]) -> Condition:
    return lambda _tenant, person: column == person


MOVED = (
    Moved(decisions, "decision", _decided, 50, shared=True),
    Moved(interventions, "intervention", _of(interventions.c.principal), 200, "principal", shared=True),
    Moved(statements, "intervention", _explained, 200, shared=True),
    # A claim is an answer kept for a day, for a repeat at the old zone.
    Moved(
        conversations, "conversation", _of(conversations.c.principal), 200, "principal", frozenset({"claim"})
    ),
    Moved(
        turns,
        "turn",
        lambda tenant, person: turns.c.conversation.in_(_own(tenant, person)) & ~_RUNNING,
        20,
        "principal",
        frozenset({"claim"}),
    ),
    Moved(evidence, "evidence", _of(evidence.c.person), 100, "person"),
    Moved(evidence_files, "evidence", _handed_in, 1),
    Moved(appeals, "appeal", _of(appeals.c.principal), 100, "principal"),
    Moved(uses, "principal", _of(uses.c.principal), 1, "principal"),
    Moved(notices_shown, "notice", _of(notices_shown.c.principal), 500, "principal"),
    # Number and recovery code are digests keyed by the old zone: made anew. The last: it makes the person.
    Moved(
        people,
        "person",
        _of(people.c.person),
        1,
        "person",
        frozenset({"phone", "regions", "kind", "stands_for", "prefix", "country", "recovery"}),
    ),
)
"""In the order in which rows can be put in: what others refer to first. `shared` rows stay in the old zone
for as long as their own retention says, and go along as they are."""
_BY_NAME = {one.table.name: one for one in MOVED}


class StrangeRowError(ValueError):
    """A row that no export of this version holds."""


class NotArrivingError(Exception):
    """Nobody is on the way in by this file. `other`: by which file somebody of the name is."""

    def __init__(self, other: str | None) -> None:
        super().__init__(other)
        self.other = other


def _encoded(value: Any) -> Any:
    return {_BLOB: base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) != {_BLOB}:
            raise StrangeRowError("a value of no kind that is written")
        return base64.b64decode(value[_BLOB], validate=True)
    return value


class Moves:
    """The zone's people on their way out and in."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    # Out.

    def freeze(self, tenant: str, person: str, to: str, notice: Mapping[str, str]) -> None:
        """Mark a person as being moved: refused from here on, what runs is stopped. Once."""

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, tenant)
            value = json.dumps({"to": to})
            if rows.insert_missing(zone_meta, [{"name": MOVING + person, "value": value}]):
                change = Change((f"principal:{person}",), "stop", notice)
                record(c, self._zone, Act(tenant, {"act": "person.moving", "to": to}, change))

        self._database.write(work)

    def moving(self, tenant: str, person: str) -> Row | None:
        """Where a person is being moved to, and by which receipt it is erased."""
        mark = zone_meta.c.name == MOVING + person
        row = self._database.read(lambda c: rows_of(c, tenant).one(zone_meta, mark))
        return None if row is None else dict(json.loads(row.value))

    def stay(self, tenant: str, person: str) -> bool:
        """Give up a move: the person goes on here. False where its erasure has begun: nothing is changed."""

        def work(c: sa.Connection) -> bool:
            rows, mark = rows_of(c, tenant), zone_meta.c.name == MOVING + person
            held = rows.one(zone_meta, mark)
            if leaving(rows, person) == "being_erased" or (held and "receipt" in json.loads(held.value)):
                return False
            if rows.delete(zone_meta, mark):
                publish(c, Change((f"principal:{person}",), "drop"), now_ms())
                record(c, self._zone, Act(tenant, {"act": "person.stays"}))
            return True

        return self._database.write(work)

    def counts(self, tenant: str, person: str) -> tuple[dict[str, int], int]:
        """Rows that would move, by table; and how many turns run."""

        def work(c: sa.Connection) -> tuple[dict[str, int], int]:
            found = {}
            for one in MOVED:
                query = sa.select(sa.func.count()).select_from(one.table)
                query = query.where(one.table.c.tenant == tenant, one.mine(tenant, person))
                found[one.table.name] = int(c.execute(query).scalar_one())
            running = sa.select(sa.func.count()).where(
                _RUNNING, turns.c.tenant == tenant, turns.c.principal == person
            )
            return found, int(c.execute(running).scalar_one())

        return self._database.read(work)

    def page(self, tenant: str, person: str, table: str, after: str) -> tuple[list[Row], str | None]:
        """Rows of a table behind a key, in the order of keys; the key to go on behind, None at the end."""
        moved = _BY_NAME[table]
        key = moved.table.c[moved.key]
        query = (
            sa.select(*moved.columns)
            .where(moved.table.c.tenant == tenant, moved.mine(tenant, person), key > after)
            .order_by(key)
            .limit(moved.at_once)
        )
        found = self._database.read(lambda c: [dict(row) for row in c.execute(query).mappings()])
        rows = [{name: _encoded(value) for name, value in row.items()} for row in found]
        return rows, str(rows[-1][moved.key]) if len(rows) == moved.at_once else None

    def leave(self, tenant: str, person: str, receipt: Row) -> None:
        """Enter that a person is moved, once, before it is erased."""

        def work(c: sa.Connection) -> None:
            rows, mark = rows_of(c, tenant), zone_meta.c.name == MOVING + person
            held = rows.one(zone_meta, mark)
            if held is not None and "receipt" not in json.loads(held.value):
                rows.update(zone_meta, mark, value=json.dumps({**json.loads(held.value), **receipt}))
                record(c, self._zone, Act(tenant, {"act": "person.moved", **receipt}))

        self._database.write(work)

    def left(self, tenant: str, person: str) -> None:
        """The last of it: the mark goes, and what was removed leaves the database's own log too."""

        def work(c: sa.Connection) -> None:
            rows_of(c, tenant).delete(zone_meta, zone_meta.c.name == MOVING + person)
            c.info[ERASED] = True

        self._database.write(work)

    # In.

    def arrived(self, tenant: str, file: str) -> Row | None:
        """What came of a file, by its digest; None where it did not come in whole."""
        mark = zone_meta.c.name == ARRIVED + file
        row = self._database.read(lambda c: rows_of(c, tenant).one(zone_meta, mark))
        return None if row is None else dict(json.loads(row.value))

    def arriving(self, tenant: str, person: str, file: str) -> str:
        """By which file a person is on the way in: this one, where none was before."""

        def work(c: sa.Connection) -> str:
            rows, mark = rows_of(c, tenant), zone_meta.c.name == ARRIVING + person
            rows.insert_missing(zone_meta, [{"name": ARRIVING + person, "value": file}])
            held = rows.one(zone_meta, mark)
            return file if held is None else str(held.value)

        return self._database.write(work)

    def put(self, tenant: str, person: str, file: str, rows: Sequence[tuple[str, Row]]) -> int:
        """Put rows in, as rows of this person; those that are there stay. How many were new.

        Puts nothing in and raises NotArrivingError, or StrangeRowError where one is of no table that moves.
        """
        made = [_made(table, row, person) for table, row in rows]

        def work(c: sa.Connection) -> int:
            mine = rows_of(c, tenant)
            _arriving(mine, person, file)
            return sum(mine.insert_missing(table, [row]) for table, row in made)

        return self._database.write(work)

    def index(self, tenant: str, person: str) -> None:
        """Have everything that can be found of a person read into the index, in the order of time."""
        while self._database.write(lambda c: _entered(rows_of(c, tenant), person)):
            continue

    def finish(self, tenant: str, row: Row, file: str, told: Row) -> None:
        """Make the person, with all that moved: from here on it can come in. `told` is kept for a repeat.

        Raises NotArrivingError.
        """
        person = str(row["person"])

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, tenant)
            _arriving(rows, person, file)
            rows.insert(people, **row)
            rows.delete(zone_meta, zone_meta.c.name == ARRIVING + person)
            rows.insert(zone_meta, name=ARRIVED + file, value=json.dumps(told))
            entry = {"act": "person.arrived", "from": told["from"], "file": f"sha256:{file}"}
            record(c, self._zone, Act(tenant, entry))

        self._database.write(work)


def _arriving(rows: TenantRows, person: str, file: str) -> None:
    """Raise NotArrivingError unless the person is on the way in by this file."""
    held = rows.one(zone_meta, zone_meta.c.name == ARRIVING + person)
    if held is None or held.value != file:
        raise NotArrivingError(None if held is None else str(held.value))


def _made(table: str, row: Row, person: str) -> tuple[sa.Table, Row]:
    """A row of the new zone's. Raises StrangeRowError."""
    moved = _BY_NAME.get(table)
    if moved is None or moved.table is people:
        raise StrangeRowError(f"{table[:40]} is no table that moves")
    return moved.table, owned(moved, row, person)


def owned(moved: Moved, row: Row, person: str) -> Row:
    """A row with its values decoded and its person's new name. Raises StrangeRowError."""
    if set(row) != {one.name for one in moved.columns}:
        raise StrangeRowError(f"a row of {moved.table.name} has other columns than this version's")
    try:
        values = {name: _decoded(value) for name, value in row.items()}
    except ValueError as fault:
        raise StrangeRowError(f"a row of {moved.table.name} holds no bytes where it says so") from fault
    return {**values, **({moved.owner: person} if moved.owner else {})}


def person_row(row: Row, person: str) -> Row:
    """The row of `people` without what is made anew. Raises StrangeRowError."""
    return owned(_BY_NAME[people.name], row, person)


def _entered(rows: TenantRows, person: str) -> int:
    """Enter some turns that are not, oldest first; where none is left, the titles. How many turns."""
    search = SqlSearchRows(rows)
    known = sa.select(search_items.c.item).where(
        search_items.c.tenant == turns.c.tenant, search_items.c.principal == person
    )
    mine = (turns.c.principal == person, turns.c.conversation.is_not(None), turns.c.has_text)
    found = rows.select(
        turns, *mine, turns.c.turn.not_in(known), order=turns.c.changed_at, limit=INDEXED_AT_ONCE
    )
    for row in found:
        search.enter(person, row.conversation, row.turn)
    if not found:
        for row in rows.select(conversations, conversations.c.principal == person, limit=CONVERSATIONS):
            if row.title is not None:
                search.enter(person, row.conversation, row.conversation)
    return len(found)
