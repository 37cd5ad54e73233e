"""The port through which one's own conversations are searched, and the index of them is made. No I/O here.

An item is what can be found: a turn that is over, or a conversation's title. A person's items are numbered
in the order in which they came. `assistants.search` and `assistants.indexing` hold the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")

PART = 128
"""Items of a part: as many as a text has slots for."""
BUCKETS = 256
"""Texts over which a part's words are spread; one more holds the items of too many words."""

SLOT = 0x80
"""The mark of a part's first item. A text is a chain of NUL, word, SOH, marks, and ends with NUL."""


def without(text: bytes, marks: bytes) -> bytes:
    """A part's text without items; empty where none is left."""
    if not any(mark in text for mark in marks):
        return text
    kept = []
    for link in text.split(b"\0"):
        word, _, slots = link.partition(b"\1")
        if slots := slots.translate(None, marks):
            kept.append(b"\0%b\1%b" % (word, slots))
    return b"".join((*kept, b"\0")) if kept else b""


class SearchItem(NamedTuple):
    """An item that is not in a part of the index yet. `words` is None where it was not read.

    `item`: the turn, or the conversation itself for its title.
    """

    n: int
    conversation: str
    item: str
    words: str | None


class SearchText(NamedTuple):
    """What is searched of a turn: its messages without the list's brackets, its answer record; both JSON."""

    conversation: str
    at: int
    asked: str | None
    answer: str | None


class SearchRows(Protocol):
    """A tenant's index inside one transaction."""

    def enter(self, principal: str, conversation: str, item: str) -> None:
        """A new item: it will be read."""

    def leave(self, conversation: str, item: str | None = None) -> None:
        """Erase an item, or all of a conversation, from the index; what shares a part stays in it."""

    def leave_some(self, conversation: str, parts: int) -> bool:
        """Erase a conversation from so many parts of the index; whether more of it may be left."""

    def forget(self, principal: str, most: int) -> int:
        """Erase a person from the index, at most so many rows at once; how many."""

    def newest(self, principal: str) -> int:
        """The number of a person's newest item; -1 where there is none."""

    def place(self, principal: str, item: str) -> int | None:
        """The number of a person's item."""

    def open_items(self, principal: str, below: int, most: int) -> list[SearchItem]:
        """Items with a number under `below` that are in no part, newest first."""

    def postings(
        self, principal: str, bucket: int, key: bytes, parts: tuple[int, int]
    ) -> Sequence[tuple[int, bytes]]:
        """(part, words) of a bucket in which the key stands, of the parts from first to last."""

    def packed(self, principal: str, n: int) -> SearchItem | None:
        """An item by its number."""

    def text(self, turn: str) -> SearchText | None:
        """What is searched of a turn."""

    def title(self, conversation: str) -> tuple[str | None, int] | None:
        """A conversation's title, and when it was created, ms UTC."""

    def count_of_part(self, principal: str, first: int, last: int) -> int:
        """How many items numbered from `first` to `last` are in no part."""

    def items_of_part(
        self, principal: str, first: int, last: int, *, unread: bool = False
    ) -> list[SearchItem]:
        """Items numbered from `first` to `last` that are in no part, in order; those alone that wait."""

    def note(self, principal: str, item: SearchItem) -> None:
        """Keep an item's words, if it is still the same item and waits for them."""

    def pack(
        self, principal: str, part: int, items: Sequence[SearchItem], words: Mapping[int, bytes]
    ) -> None:
        """Put a part into the index; nothing is done where its items are others by now."""


class SearchStore(Protocol):
    """Where the index is kept. A future resolves when its transaction is durable."""

    def waiting(self, most: int) -> list[tuple[str, str, int]]:
        """(tenant, principal, number) of items to be read: new ones first, then those that stood before."""

    def count_waiting(self) -> int:
        """How many items are to be read."""

    def submit(self, tenant: str, work: Callable[[SearchRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""

    def read(self, tenant: str, work: Callable[[SearchRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
