"""The tables of the search of one's own conversations: what can be found, and the index of it.

Derived from `turns` and `conversations`: what is removed there is removed here in the same transaction.
"""

from __future__ import annotations

import sqlalchemy as sa

from dragoman.stores.turn_tables import metadata as metadata

AGAIN = 1
NOTED = 2
PACKED = 3
"""States of an item, beside 0, new: to be read again, its words stand with it, they are in a part."""


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.Text, primary_key=True)


search_items = sa.Table(
    "search_items",
    metadata,
    _tenant(),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("conversation", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False),  # a turn, or the conversation itself: its title
    sa.Column("state", sa.BigInteger, nullable=False),
    sa.Column("words", sa.Text),
)

search_postings = sa.Table(
    "search_postings",
    metadata,
    _tenant(),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("bucket", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("part", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("words", sa.LargeBinary, nullable=False),
)

_WAITING = sa.text("state < 2")
_OPEN = sa.text("state < 3")

sa.Index(
    "ix_search_items_conversation",
    search_items.c.tenant,
    search_items.c.conversation,
    search_items.c.item,
    unique=True,
)
sa.Index(
    "ix_search_items_waiting",
    search_items.c.state,
    search_items.c.tenant,
    search_items.c.principal,
    search_items.c.n,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
sa.Index(
    "ix_search_items_open",
    search_items.c.tenant,
    search_items.c.principal,
    search_items.c.n,
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)
