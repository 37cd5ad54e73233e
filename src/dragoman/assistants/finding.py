"""What a person looks for, and where it stands in a text, by the terms of the analyser. Pure.

A word is found in its usual forms, a Chinese character in either script; characters of a script without
spaces are found where they stand in a row. The index narrows down, the text decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dragoman._native import analyse
from dragoman.assistants.texts import invalid

QUERY_CHARS = 200
"""LIMIT: characters of what is looked for."""
WANTED = 10
"""LIMIT: words, and rows of characters, of what is looked for."""
TEXT_CHARS = 100_000
"""LIMIT: characters of a question, and of an answer, that are searched: its beginning."""
NARROWING = 4
"""Terms that the index is asked for; the text is asked for all of them."""
BEFORE = 40
AFTER = 120
"""Characters of an excerpt before and after where its first hit begins."""
_CHUNK = 4_096
_OVERLAP = 512
"""Characters of a long text that are read at once, and again with those that follow."""
_AROUND = 80
_TRIES = 4
"""Places where it stands literally that are looked at before the whole text is."""
_EDGE = 16
"""How far an excerpt's ends move to a blank."""
_HALF = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"\s+")

Span = tuple[int, int]
"""Start and end of a hit in code points."""
Term = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A word, or a row of characters: its terms as they follow each other, and as it was written."""

    terms: tuple[str, ...]
    literal: str


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for: everything wanted, in one item."""

    wanted: tuple[Wanted, ...]
    narrowing: tuple[str, ...]
    """Terms for the index, those first that say most."""


@dataclass(slots=True)
class Budget:
    """What one search may still do."""

    left: int
    """Characters of long texts to take apart."""
    seen: int
    """Characters to load, and to look through as they are written for each word: a fraction of that work."""

    @property
    def spent(self) -> bool:
        """Whether what was not found may stand there nevertheless."""
        return self.left <= 0 or self.seen <= 0


class Searched:
    """The part of a text that is searched, in lower case once for all that is looked for."""

    def __init__(self, text: str) -> None:
        self.text = text[:TEXT_CHARS]

    @cached_property
    def low(self) -> str | None:
        """None where its characters would be others in number."""
        low = self.text.lower()
        return low if len(low) == len(self.text) else None


def terms_of(text: str) -> list[Term]:
    """The analyser's terms; half of a surrogate pair separates."""
    try:
        return analyse(text)
    except UnicodeEncodeError:
        return analyse(_HALF.sub("\ufffd", text))


def query_of(given: str) -> Query:
    """What somebody wrote into the box, read. Raises RefusedError 400 naming `q`."""
    if len(given) > QUERY_CHARS:
        raise invalid("q", f"at most {QUERY_CHARS} characters", f"不得超过 {QUERY_CHARS} 个字符")
    wanted = tuple(dict.fromkeys(_wanted(given)))
    if not wanted:
        raise invalid(
            "q", "at least one letter, digit or character to look for", "须包含至少一个字母、数字或汉字"
        )
    if len(wanted) > WANTED:
        raise invalid("q", f"at most {WANTED} words to look for", f"查找的词不得超过 {WANTED} 个")
    terms = dict.fromkeys(term for one in wanted for term in one.terms)
    narrowing = sorted(terms, key=lambda term: -len(term.encode()))[:NARROWING]
    return Query(wanted, tuple(narrowing))


def _wanted(given: str) -> list[Wanted]:
    """Words one by one; characters that stand in a row as one."""
    rows: list[list[Term]] = []
    for term in terms_of(given):
        if rows and _goes_on(rows[-1], term):
            rows[-1].append(term)
        else:
            rows.append([term])
    return [Wanted(tuple(term for term, _, _ in row), given[row[0][1] : row[-1][2]]) for row in rows]


def _goes_on(row: Sequence[Term], term: Term) -> bool:
    """Whether a term belongs to the row before it: the analyser gives a character, its pair, the next one."""
    last = row[-1]
    pair = len(term[0]) == 2 and term[0][0] == last[0] and term[1] == last[1]
    return pair or (len(row) > 1 and term[0] == last[0][-1] and term[2] == last[2])


def place_of(searched: Searched, wanted: Wanted, budget: Budget) -> Span | None:
    """Where it stands first, or first as it was written; None where it does not, or the budget is spent."""
    budget.seen -= len(searched.text)
    if budget.spent:
        return None
    return _literal(searched, wanted) or _read(searched.text, wanted, budget)


def _literal(searched: Searched, wanted: Wanted) -> Span | None:
    """Where it stands as it was written: a look around there is much less than reading a long text."""
    text, low, literal = searched.text, searched.low, wanted.literal.lower()
    if low is None:
        return None
    at = -1
    for _ in range(_TRIES):
        at = low.find(literal, at + 1)
        if at < 0:
            return None
        found = _within(text, max(0, at - _AROUND), at + len(literal) + _AROUND, wanted)
        if found is not None:
            return found
    return None


def _read(text: str, wanted: Wanted, budget: Budget) -> Span | None:
    for begin in range(0, max(1, len(text) - _OVERLAP), _CHUNK - _OVERLAP):
        if budget.left <= 0:
            return None
        part = text[begin : begin + _CHUNK]
        budget.left -= len(part)
        found = _within(text, begin, begin + _CHUNK, wanted)
        if found is not None:
            return found
    return None


def _within(text: str, begin: int, end: int, wanted: Wanted) -> Span | None:
    """Where it stands in a part of a text; a word that the part's ends may have cut does not count."""
    terms = terms_of(text[begin:end])
    for start, stop in _spans(terms, wanted):
        whole = (start > 0 or begin == 0) and (begin + stop < end or end >= len(text))
        if whole:
            return begin + start, begin + stop
    return None


def _spans(terms: Sequence[Term], wanted: Wanted) -> Iterator[Span]:
    """Every place where its terms follow each other. A pair binds its characters, so that no row is torn."""
    first, count = wanted.terms[0], len(wanted.terms)
    for at, (term, start, _) in enumerate(terms):
        if term == first and tuple(one[0] for one in terms[at : at + count]) == wanted.terms:
            yield start, max(one[2] for one in terms[at : at + count])


def excerpt(text: str, around: Span, query: Query) -> list[dict[str, Any]]:
    """Some of a text in pieces, those that were looked for marked; blanks and ends of lines are one blank."""
    begin, end = _cut(text, around)
    part = text[begin:end]
    terms = terms_of(part)
    spans = sorted(span for wanted in query.wanted for span in _spans(terms, wanted))
    pieces: list[tuple[str, bool]] = [("…", False)] if begin > 0 else []
    at = 0
    for start, stop in spans:
        pieces += [(part[at : max(at, start)], False), (part[max(at, start) : stop], True)]
        at = max(at, stop)
    pieces += [(part[at:], False), ("…" if end < len(text) else "", False)]
    return _joined(pieces)


def _joined(pieces: Sequence[tuple[str, bool]]) -> list[dict[str, Any]]:
    joined: list[dict[str, Any]] = []
    for text, hit in pieces:
        shown = _BLANK.sub(" ", _HALF.sub("\ufffd", text))
        if not shown:
            continue
        if joined and joined[-1]["hit"] == hit:
            joined[-1]["text"] += shown
        else:
            joined.append({"text": shown, "hit": hit})
    return joined


def _cut(text: str, around: Span) -> Span:
    """The ends of an excerpt, at a blank where one is near."""
    begin = max(0, around[0] - BEFORE)
    end = min(len(text), max(around[0] + AFTER, around[1]))
    if begin > 0:
        blank = text.find(" ", begin, min(begin + _EDGE, around[0]))
        begin = blank + 1 if blank >= 0 else begin
    if end < len(text):
        blank = text.rfind(" ", max(end - _EDGE, around[1]), end)
        end = blank if blank >= 0 else end
    return begin, end
