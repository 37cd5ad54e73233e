"""A person finds its own conversations by words in their titles, questions and answers, newest first.

Over the port `core.search`. The index narrows down, the texts decide, so that nothing is shown
that does not stand there now. Bounded: a page may end before it is full and say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dragoman.assistants import answers
from dragoman.assistants.conversations import Person
from dragoman.assistants.finding import Budget, Query, Searched, Span, excerpt, place_of
from dragoman.assistants.postings import EVERY, bucket_of, key_of, number_of, slots_of, words_text
from dragoman.assistants.texts import invalid
from dragoman.assistants.titles import question_of
from dragoman.assistants.turns import admit
from dragoman.core.conversations import ConversationRows
from dragoman.core.search import PART, SearchItem, SearchRows, SearchText
from dragoman.ids import kind_of

LOOKED_AT = 200
"""LIMIT: items whose text is read for one page of hits."""
READ_CHARS = 400_000
"""LIMIT: characters of long texts that are read for one page of hits."""
SEEN_CHARS = 8_000_000
"""LIMIT: characters that are loaded for one page, or looked through for a word as they are written."""
OPEN_ITEMS = 512
"""LIMIT: items outside of the index that a search goes through, the newest."""
UNREAD = 32
"""LIMIT: of these, items that nobody has read yet: after an upgrade, or just now."""
_WINDOWS = (4, 16, 64, 256)
"""Parts that are asked for at once: a common word is found in the first few."""
_EVERY_WORDS = words_text([EVERY])

Field = tuple[str, str]
"""Where a text stands (`title`, `question`, `answer`), and the text."""


def found(
    rows: ConversationRows, person: Person, query: Query, after: str | None, limit: int
) -> dict[str, Any]:
    """A page of hits; `after` is the `last_id` of the page before. Raises RefusedError 400, 403."""
    admit(rows, person.principal)
    return _found(rows.search, person, query, after, limit)


def _found(rows: SearchRows, person: Person, query: Query, after: str | None, limit: int) -> dict[str, Any]:
    walk = _Walk(rows, person.principal, query, _below(rows, person, after))
    budget = Budget(READ_CHARS, SEEN_CHARS)
    hits: list[dict[str, Any]] = []
    seen: set[str] = set()
    stopped: str | None = None
    before: str | None = None
    complete = True
    for looked, item in enumerate(walk.items(), 1):
        hit = _hit(rows, item, query, budget)
        if hit is None and budget.spent:
            # Not read to its end: the next page begins with it, unless it is too much for one page alone.
            stopped, complete = before or item.item, before is not None
            break
        # A title that stands with a turn of its conversation says nothing more.
        if hit is not None and not (hit["turn"] is None and item.conversation in seen):
            if len(hits) == limit:
                stopped = hits[-1]["id"]
                break
            hits.append(hit)
            seen.add(item.conversation)
        if looked == LOOKED_AT or budget.spent:
            stopped = item.item
            break
        before = item.item
    first, last = (hits[0]["id"], hits[-1]["id"]) if hits else (None, None)
    return {
        "object": "list",
        "data": hits,
        "first_id": first,
        "last_id": stopped or last,
        "has_more": stopped is not None,
        "complete": walk.complete and complete,
    }


def _below(rows: SearchRows, person: Person, after: str | None) -> int:
    """The number under which the page's items are."""
    if after is None:
        return rows.newest(person.principal) + 1
    place = rows.place(person.principal, after) if kind_of(after) in {"trn", "cnv"} else None
    if place is None:
        raise invalid("after", "no such hit any more; search anew", "该结果已不存在，请重新搜索")
    return place


class _Walk:
    """A person's items that the index names for a query, newest first."""

    def __init__(self, rows: SearchRows, principal: str, query: Query, below: int) -> None:
        self._rows = rows
        self._principal = principal
        self._query = query
        self._below = below
        self.complete = True
        """False where items stand outside of the index that are too many to go through."""

    def items(self) -> Iterator[SearchItem]:
        """Parts by windows that grow, and what is in no part yet where its number stands."""
        waiting = self._open()
        last = (self._below - 1) // PART
        for parts in self._windows(last):
            first = last - parts + 1
            inside = (max(0, first), last)
            numbers = self._packed(inside) | self._every(inside) | {n for n in waiting if n >= first * PART}
            for n in sorted(numbers, reverse=True):
                item = waiting.get(n) or self._rows.packed(self._principal, n)
                if item is not None:
                    yield item
            last = first - 1

    @staticmethod
    def _windows(last: int) -> Iterator[int]:
        at = 0
        while last >= 0:
            parts = _WINDOWS[min(at, len(_WINDOWS) - 1)]
            yield parts
            last -= parts
            at += 1

    def _open(self) -> dict[int, SearchItem]:
        """Items in no part in which the words stand, and the newest of those that nobody has read."""
        every = self._rows.open_items(self._principal, self._below, OPEN_ITEMS + 1)
        wanted = [f" {term} " for one in self._query.wanted for term in one.terms]
        kept: dict[int, SearchItem] = {}
        unread = 0
        for item in every[:OPEN_ITEMS]:
            if item.words is None:
                unread += 1
                if unread > UNREAD:
                    continue
            elif item.words != _EVERY_WORDS and not all(word in item.words for word in wanted):
                continue
            kept[item.n] = item
        self.complete = len(every) <= OPEN_ITEMS and unread <= UNREAD
        return kept

    def _every(self, parts: tuple[int, int]) -> set[int]:
        """Numbers of items of these parts of whose words the index has none."""
        return self._numbers(self._slots(EVERY, parts))

    def _slots(self, term: str, parts: tuple[int, int]) -> dict[int, frozenset[int]]:
        key = key_of(term)
        return slots_of(self._rows.postings(self._principal, bucket_of(term), key, parts), key)

    def _packed(self, parts: tuple[int, int]) -> set[int]:
        """Numbers of items of these parts in which the terms of the index stand."""
        common: dict[int, frozenset[int]] | None = None
        for term in self._query.narrowing:
            here = self._slots(term, parts)
            if common is not None:
                here = {part: both for part in here if (both := here[part] & common.get(part, frozenset()))}
            common = here
            if not common:
                return set()
        return self._numbers(common or {})

    def _numbers(self, found: Mapping[int, frozenset[int]]) -> set[int]:
        return {
            n
            for part, slots in found.items()
            for n in (number_of(part, slot) for slot in slots)
            if n < self._below
        }


def _hit(rows: SearchRows, item: SearchItem, query: Query, budget: Budget) -> dict[str, Any] | None:
    """The item as a hit, where everything that is looked for stands in it."""
    titled = rows.title(item.conversation)
    if titled is None:
        return None
    title, at = titled
    fields: list[Field] = [("title", title or "")]
    turn = None
    if item.item != item.conversation:
        text = rows.text(item.item)
        if text is None:
            return None
        budget.seen -= len(text.asked or "") + len(text.answer or "")
        turn, at, fields = item.item, text.at, fields_of(text)
    stands = _stands(fields, query, budget)
    if stands is None:
        return None
    where, text_there, span = stands
    return {
        "id": item.item,
        "object": "conversation.hit",
        "conversation": item.conversation,
        "title": title,
        "turn": turn,
        "created_at": at // 1000,
        "where": where,
        "excerpt": excerpt(text_there, span, query),
    }


def _stands(fields: list[Field], query: Query, budget: Budget) -> tuple[str, str, Span] | None:
    """The first place of what was named first; None where something is missing."""
    first: tuple[str, str, Span] | None = None
    searched = [(where, text, Searched(text)) for where, text in fields]
    for wanted in query.wanted:
        for where, text, beginning in searched:
            span = place_of(beginning, wanted, budget)
            if span is not None:
                first = first or (where, text, span)
                break
        else:
            return None
    return first


def fields_of(text: SearchText) -> list[Field]:
    """What was asked and what was answered. Labels and notices are not searched: they are everywhere."""
    record = json.loads(text.answer) if text.answer else {}
    return [
        ("question", question_of(text.asked)),
        ("answer", answers.content_of(record)),
    ]
