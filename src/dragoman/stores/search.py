"""The index of a person's own conversations in the zone's database: the port `core.search`.

INVARIANT: a part's items are all packed and its postings stand, or none is and there are no postings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from dragoman.core.search import BUCKETS, PART, SLOT, SearchItem, SearchRows, SearchText, without
from dragoman.stores.database import Database
from dragoman.stores.prepared import Prepared
from dragoman.stores.search_tables import AGAIN, NOTED, PACKED, search_items, search_postings
from dragoman.stores.tenancy import TenantRows, prepared_put, prepared_select, rows_of
from dragoman.stores.turn_tables import conversations, turns

T = TypeVar("T")

_MANY = 100_000
"""LIMIT: items of one conversation with its title; more than it may have turns."""

_items = search_items.c
# Written out: the database takes a partial index only where it sees that it covers the rows.
_WAITING = _items.state < sa.literal_column("2")
_OPEN = _items.state < sa.literal_column("3")
_COLUMNS = SearchItem._fields
_MINE = _items.principal == sa.bindparam("who")

_ENTER = Prepared(sqlite.insert(search_items).on_conflict_do_nothing())
_NEWEST = prepared_select(search_items, _MINE, columns=("n", "state"), order=_items.n.desc())
_PLACE = prepared_select(
    search_items,
    _items.conversation == sa.bindparam("conversation"),
    _items.item == sa.bindparam("item"),
    columns=("principal", "n"),
)
_OPEN_ITEMS = prepared_select(
    search_items,
    _MINE,
    sa.bindparam("below") > _items.n,
    _OPEN,
    columns=_COLUMNS,
    order=_items.n.desc(),
    limit=sa.bindparam("most"),
)
_POSTINGS = prepared_select(
    search_postings,
    search_postings.c.principal == sa.bindparam("who"),
    search_postings.c.bucket == sa.bindparam("bucket"),
    search_postings.c.part >= sa.bindparam("first"),
    search_postings.c.part <= sa.bindparam("last"),
    sa.func.instr(search_postings.c.words, sa.bindparam("key")) > 0,
    columns=("part", "words"),
    order=search_postings.c.part.desc(),
    limit=_MANY,
)
_ITEM = prepared_select(search_items, _MINE, _items.n == sa.bindparam("n"), columns=_COLUMNS)
_INSIDE = (_MINE, _items.n >= sa.bindparam("first"), _items.n <= sa.bindparam("last"))
_PART = prepared_select(search_items, *_INSIDE, _OPEN, columns=_COLUMNS, order=_items.n, limit=PART)
_UNREAD = prepared_select(search_items, *_INSIDE, _WAITING, columns=_COLUMNS, order=_items.n, limit=PART)
_NUMBERS = prepared_select(search_items, *_INSIDE, _OPEN, columns=("n",), limit=PART)
_NOTE = Prepared(
    sa.update(search_items)
    .where(_items.tenant == sa.bindparam("of_tenant"), _items.principal == sa.bindparam("who"))
    .where(_items.n == sa.bindparam("at"), _items.item == sa.bindparam("same"), _WAITING)
    .values(state=sa.literal_column(str(NOTED)), words=sa.bindparam("read")),
    "of_tenant",
)
_TEXT = prepared_select(turns, turns.c.turn == sa.bindparam("name"), columns=SearchText._fields)
_TITLE = prepared_select(
    conversations,
    conversations.c.conversation == sa.bindparam("name"),
    conversations.c.principal != sa.literal_column("''"),  # one that is being removed is nobody's
    columns=("title", "created_at"),
)
_SOME_POSTINGS = prepared_select(
    search_postings,
    search_postings.c.principal == sa.bindparam("who"),
    columns=("bucket", "part"),
    order=sa.text("bucket, part"),
    limit=sa.bindparam("most"),
)
_SOME_ITEMS = prepared_select(search_items, _MINE, columns=("n",), order=_items.n, limit=sa.bindparam("most"))
_PUT_POSTINGS = prepared_put(search_postings, ("principal", "bucket", "part"), ("words",))


class SqlSearchRows:
    """A tenant's index on one connection."""

    def __init__(self, rows: TenantRows) -> None:
        self.rows = rows

    def enter(self, principal: str, conversation: str, item: str) -> None:
        """A new item: it will be read."""
        found = self.rows.run(_NEWEST, {"who": principal})
        n = found[0].n + 1 if found else 0
        if n % PART and found[0].state == PACKED:
            self._unpack(principal, n // PART)  # all that came after this part is erased: it goes on
        values = {"principal": principal, "n": n, "conversation": conversation, "item": item, "state": 0}
        self.rows.run(_ENTER, values)

    def leave(self, conversation: str, item: str | None = None) -> None:
        """Erase an item, or all of a conversation, from the index; what shares a part stays in it."""
        here = [_items.conversation == conversation]
        if item is not None:
            here.append(_items.item == item)
        self._leave(here, self.rows.pick(search_items, (_items.principal, _items.n), *here, limit=_MANY))

    def leave_some(self, conversation: str, parts: int) -> bool:
        """Erase a conversation from so many parts of the index; whether more of it may be left."""
        here = _items.conversation == conversation
        found = self.rows.pick(search_items, (_items.principal, _items.n), here, limit=_MANY)
        some = sorted({row.n // PART for row in found})[:parts]
        if some:
            until = some[-1] * PART + PART - 1
            self._leave([here, _items.n <= until], [row for row in found if row.n <= until])
            return any(row.n > until for row in found)
        return False

    def _leave(self, here: list[sa.ColumnElement[bool]], found: Sequence[Any]) -> None:
        """Erase items from the texts of their parts, and themselves."""
        slots: dict[tuple[str, int], bytearray] = {}
        for row in found:
            slots.setdefault((row.principal, row.n // PART), bytearray()).append(SLOT + row.n % PART)
        for (principal, part), marks in sorted(slots.items()):
            self._strip(principal, part, bytes(marks))
        if found:
            self.rows.delete(search_items, *here)

    def _strip(self, principal: str, part: int, marks: bytes) -> None:
        """Take items out of a part's texts, so that nobody has to read the others' again."""
        kept = search_postings.c
        one = (kept.principal == principal, kept.bucket.in_(range(BUCKETS + 1)), kept.part == part)
        for row in self.rows.pick(search_postings, (kept.bucket, kept.words), *one, limit=BUCKETS + 1):
            text = without(row.words, marks)
            here = (kept.principal == principal, kept.bucket == row.bucket, kept.part == part)
            if not text:
                self.rows.delete(search_postings, *here)
            elif text != row.words:
                self.rows.update(search_postings, *here, words=text)

    def _unpack(self, principal: str, part: int) -> None:
        mine = search_postings.c.principal == principal
        gone = self.rows.delete(
            search_postings,
            mine,
            search_postings.c.bucket.in_(range(BUCKETS + 1)),
            search_postings.c.part == part,
        )
        if gone:
            inside = _items.n.between(part * PART, part * PART + PART - 1)
            self.rows.update(search_items, _items.principal == principal, inside, state=AGAIN)

    def forget(self, principal: str, most: int) -> int:
        """Erase a person from the index, at most so many rows at once; how many."""
        mine, kept = search_postings.c.principal == principal, search_postings.c
        found = self.rows.run(_SOME_POSTINGS, {"who": principal, "most": most})
        if found:
            last = sa.tuple_(kept.bucket, kept.part) <= sa.tuple_(found[-1].bucket, found[-1].part)
            return self.rows.delete(search_postings, mine, last)
        until = self.rows.run(_SOME_ITEMS, {"who": principal, "most": most})
        if not until:
            return 0
        return self.rows.delete(search_items, _items.principal == principal, _items.n <= until[-1].n)

    def newest(self, principal: str) -> int:
        """The number of a person's newest item; -1 where there is none."""
        found = self.rows.run(_NEWEST, {"who": principal})
        return int(found[0].n) if found else -1

    def place(self, principal: str, item: str) -> int | None:
        """The number of a person's item."""
        text = self.text(item)
        conversation = text.conversation if text else item
        found = self.rows.run(_PLACE, {"conversation": conversation, "item": item})
        return int(found[0].n) if found and found[0].principal == principal else None

    def open_items(self, principal: str, below: int, most: int) -> list[SearchItem]:
        """Items with a number under `below` that are in no part, newest first."""
        found = self.rows.run(_OPEN_ITEMS, {"who": principal, "below": below, "most": most})
        return [SearchItem._make(row) for row in found]

    def postings(
        self, principal: str, bucket: int, key: bytes, parts: tuple[int, int]
    ) -> Sequence[tuple[int, bytes]]:
        """(part, words) of a bucket in which the key stands, of the parts from first to last."""
        values = {"who": principal, "bucket": bucket, "key": key, "first": parts[0], "last": parts[1]}
        return self.rows.plain(_POSTINGS, values)

    def packed(self, principal: str, n: int) -> SearchItem | None:
        """An item by its number."""
        found = self.rows.run(_ITEM, {"who": principal, "n": n})
        return SearchItem._make(found[0]) if found else None

    def text(self, turn: str) -> SearchText | None:
        """What is searched of a turn."""
        found = self.rows.run(_TEXT, {"name": turn})
        return SearchText._make(found[0]) if found and found[0].conversation is not None else None

    def title(self, conversation: str) -> tuple[str | None, int] | None:
        """A conversation's title, and when it was created, ms UTC."""
        found = self.rows.run(_TITLE, {"name": conversation})
        return (found[0].title, found[0].created_at) if found else None

    def count_of_part(self, principal: str, first: int, last: int) -> int:
        """How many items numbered from `first` to `last` are in no part."""
        return len(self.rows.run(_NUMBERS, {"who": principal, "first": first, "last": last}))

    def items_of_part(
        self, principal: str, first: int, last: int, *, unread: bool = False
    ) -> list[SearchItem]:
        """Items numbered from `first` to `last` that are in no part, in order; those alone that wait."""
        values = {"who": principal, "first": first, "last": last}
        found = self.rows.run(_UNREAD if unread else _PART, values)
        return [SearchItem._make(row) for row in found]

    def note(self, principal: str, item: SearchItem) -> None:
        """Keep an item's words, if it is still the same item and waits for them."""
        self.rows.run(_NOTE, {"who": principal, "at": item.n, "same": item.item, "read": item.words})

    def pack(
        self, principal: str, part: int, items: Sequence[SearchItem], words: Mapping[int, bytes]
    ) -> None:
        """Put a part into the index; nothing is done where its items are others by now."""
        first, last = part * PART, part * PART + PART - 1
        now = self.items_of_part(principal, first, last)
        if [(one.n, one.item) for one in now] != [(one.n, one.item) for one in items]:
            return
        for bucket in sorted(words):
            values = {"principal": principal, "bucket": bucket, "part": part, "words": words[bucket]}
            self.rows.run(_PUT_POSTINGS, values)
        mine = _items.principal == principal
        self.rows.update(search_items, mine, _items.n.between(first, last), state=PACKED, words=None)


class SqlSearch:
    """The zone's index."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self, most: int) -> list[tuple[str, str, int]]:
        """(tenant, principal, number) of items to be read: new ones first, then those that stood before."""
        columns = (_items.tenant, _items.principal, _items.n)
        query = sa.select(*columns).where(_WAITING).order_by(_items.state, *columns).limit(most)
        return self._database.read(lambda c: [tuple(row) for row in c.execute(query)])

    def count_waiting(self) -> int:
        """How many items are to be read."""
        query = sa.select(sa.func.count()).select_from(search_items).where(_WAITING)
        return int(self._database.read(lambda c: c.execute(query).scalar()) or 0)

    def submit(self, tenant: str, work: Callable[[SearchRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlSearchRows(rows_of(c, tenant))))

    def read(self, tenant: str, work: Callable[[SearchRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
        return self._database.read(lambda c: work(SqlSearchRows(rows_of(c, tenant))))
