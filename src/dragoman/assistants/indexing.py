"""Reads what can be found into the index, beside turns: a part of one person's items at a time.

Texts are read and taken apart on a snapshot; the writer only gets what came of it. Until a part is whole its
items' words stand with them. PART and WORDS_BYTES bound a part, whatever the texts are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dragoman.assistants.finding import TEXT_CHARS, terms_of
from dragoman.assistants.postings import packed, words_text
from dragoman.assistants.search import fields_of
from dragoman.core.search import PART, SearchItem, SearchRows


@dataclass(frozen=True, slots=True)
class ReadPart:
    """What was read of a part. `words`: its texts by bucket where the part is whole, else None."""

    principal: str
    part: int
    items: tuple[SearchItem, ...]
    """All of a whole part, of another those that waited; with their words."""
    words: dict[int, bytes] | None


def parts_of(rows: SearchRows, waiting: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The parts of items that wait, given by person and number; and parts before them that were left open."""
    parts: dict[tuple[str, int], None] = {}
    for principal, n in waiting:
        part = n // PART
        if (principal, part) in parts:
            continue
        if part and rows.count_of_part(principal, (part - 1) * PART, part * PART - 1):
            parts[principal, part - 1] = None
        parts[principal, part] = None
    return list(parts)


def read_part(rows: SearchRows, principal: str, part: int) -> ReadPart:
    """Read a part. It is whole once it is full, or a later one was begun."""
    first, last = part * PART, part * PART + PART - 1
    whole = rows.newest(principal) > last or rows.count_of_part(principal, first, last) == PART
    items = tuple(
        item if item.words is not None else item._replace(words=_words(rows, item))
        for item in rows.items_of_part(principal, first, last, unread=not whole)
    )
    words = packed({item.n - first: item.words or "" for item in items}) if whole and items else None
    return ReadPart(principal, part, items, words)


def keep_parts(rows: SearchRows, read: Iterable[ReadPart]) -> None:
    """Keep what was read, of what is still there. A part that has changed meanwhile is read again."""
    for one in read:
        same = [item for item in one.items if _is_same(rows, item)]
        if one.words is None:
            for item in same:
                rows.note(one.principal, item)
        elif len(same) == len(one.items):
            rows.pack(one.principal, one.part, one.items, one.words)


def _is_same(rows: SearchRows, item: SearchItem) -> bool:
    """Whether an item says what it said when it was read: a title may have changed, a turn does not."""
    return item.item != item.conversation or item.words == _words(rows, item)


def _words(rows: SearchRows, item: SearchItem) -> str:
    """The different terms of an item's texts."""
    if item.item == item.conversation:
        titled = rows.title(item.conversation)
        texts = [titled[0] or ""] if titled else []
    else:
        text = rows.text(item.item)
        texts = [said for _, said in fields_of(text)] if text else []
    return words_text(term for said in texts for term, _, _ in terms_of(said[:TEXT_CHARS]))
