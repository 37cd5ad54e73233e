"""A person's rows on their way from one zone to another: which, read in pages, and put in again.

What moves stands in `stores.moved`; what does not, with its reason, in `policy/moving.toml`. Ids stay as they
are, so that what the ledger of the first zone says of them stays true; the person's own becomes one of the
new zone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from dragoman.core.accounts import Act, Change
from dragoman.ids import now_ms
from dragoman.stores.acts import publish, record
from dragoman.stores.conversations import ARRIVED, ARRIVING
from dragoman.stores.database import ERASED, Database
from dragoman.stores.moved import BY_NAME, MOVED, RUNNING, Moved, Row, StrangeRowError, encoded, made
from dragoman.stores.people_tables import people
from dragoman.stores.schema import decisions, keys, principals, zone_meta
from dragoman.stores.search import SqlSearchRows
from dragoman.stores.search_tables import search_items
from dragoman.stores.tenancy import TenantRows, rows_of
from dragoman.stores.turn_tables import claims, conversations, turns
from dragoman.stores.turns import MOVING, leaving

INDEXED_AT_ONCE = 200
"""LIMIT: turns entered for the search in one transaction."""
CONVERSATIONS = 100_000
"""LIMIT: conversations of one person; more than one may have."""
_NAMED = (
    *(one.table.c[one.owner] for one in MOVED if one.owner and not one.shared),
    *(table.c.principal for table in (principals, claims, keys)),
)
"""Columns that name whom a row is of; not those of `shared` rows, which stay where somebody was erased."""


class NumberTakenError(Exception):
    """Somebody else has an account with the number."""


class NotArrivingError(Exception):
    """Nobody is on the way in by this file. `other`: by which file somebody of the name is."""

    def __init__(self, other: str | None) -> None:
        super().__init__(other)
        self.other = other


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
                RUNNING, turns.c.tenant == tenant, turns.c.principal == person
            )
            return found, int(c.execute(running).scalar_one())

        return self._database.read(work)

    def page(self, tenant: str, person: str, table: str, after: str) -> tuple[list[Row], str | None]:
        """Rows of a table behind a key, in the order of keys; the key to go on behind, None at the end."""
        moved = BY_NAME[table]
        key = moved.table.c[moved.key]
        query = (
            sa.select(*moved.columns)
            .where(moved.table.c.tenant == tenant, moved.mine(tenant, person), key > after)
            .order_by(key)
            .limit(moved.at_once)
        )
        found = self._database.read(lambda c: [dict(row) for row in c.execute(query).mappings()])
        rows = [{name: encoded(value) for name, value in row.items()} for row in found]
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

    def arrives(self, tenant: str, person: str) -> str | None:
        """By which file a person is on the way in; None where by none."""
        mark = zone_meta.c.name == ARRIVING + person
        row = self._database.read(lambda c: rows_of(c, tenant).one(zone_meta, mark))
        return None if row is None else str(row.value)

    def is_named(self, principal: str) -> bool:
        """Whether anything here is of a principal, of any tenant and kind: a guest's, a person's, a key's."""
        query = sa.select(sa.or_(*(sa.exists().where(column == principal) for column in _NAMED)))
        return bool(self._database.read(lambda c: c.execute(query).scalar_one()))

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

        Puts nothing in and raises NotArrivingError, or StrangeRowError where one is of no table that moves,
        or refers to what is not this person's.
        """
        parts = [made(table, row, person) for table, row in rows]

        def work(c: sa.Connection) -> int:
            mine = rows_of(c, tenant)
            _arriving(mine, person, file)
            added = sum(mine.insert_missing(one.table, [row]) for one, row in parts)
            _own_alone(c, tenant, person, parts)
            return added

        try:
            return self._database.write(work)
        except sa.exc.IntegrityError as fault:
            raise StrangeRowError("a row refers to one that is not there") from fault

    def index(self, tenant: str, person: str) -> None:
        """Have everything that can be found of a person read into the index, in the order of time."""
        while self._database.write(lambda c: _entered(rows_of(c, tenant), person)):
            continue

    def finish(self, tenant: str, row: Row, file: str, told: Row) -> None:
        """Make the person, with all that moved: from here on it can come in. `told` is kept for a repeat.

        Raises NotArrivingError; NumberTakenError; StrangeRowError where a turn goes on another's.
        """
        person = str(row["person"])

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, tenant)
            _arriving(rows, person, file)
            if rows.one(people, people.c.phone == row["phone"]) is not None:
                raise NumberTakenError
            _own_branches(c, tenant, person)
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


def _own_alone(c: sa.Connection, tenant: str, person: str, parts: Sequence[tuple[Moved, Row]]) -> None:
    """Raise StrangeRowError unless the rows that were put in are there as this person's."""
    for one in MOVED:
        named = {row[one.key] for of, row in parts if of is one}
        if not named or one.table is decisions:  # what names a decision comes behind it
            continue
        key = one.table.c[one.key]
        own = sa.select(sa.func.count(key.distinct())).where(
            one.table.c.tenant == tenant, key.in_(named), one.mine(tenant, person)
        )
        if c.execute(own).scalar_one() != len(named):
            raise StrangeRowError(f"a row of {one.table.name} belongs to somebody else")


def _own_branches(c: sa.Connection, tenant: str, person: str) -> None:
    """Raise StrangeRowError where a turn, or a conversation's newest, is of another conversation."""
    other = turns.alias("other")
    for one, reference in ((turns, turns.c.parent), (conversations, conversations.c.head)):
        query = sa.select(one.c.conversation).where(
            one.c.tenant == tenant,
            one.c.principal == person,
            other.c.tenant == tenant,
            other.c.turn == reference,
            other.c.conversation.is_distinct_from(one.c.conversation),
        )
        if c.execute(query.limit(1)).first() is not None:
            raise StrangeRowError(f"a row of {one.name} goes on from a turn of another conversation")


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
