"""Reads a table of questions and answers: CSV by RFC 4180, strictly; where it is broken, at which place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dragoman.knowledge.faults import FaultError, refused

QUESTION_COLUMNS = ("question", "问题", "問題")
ANSWER_COLUMNS = ("answer", "答案", "回答")

_QUOTED = re.compile(r'"((?:[^"]+|"")*+)"')
"""Possessive: a quotation mark that is never closed costs one pass."""
_BARE = re.compile(r"[^,\n]*")


@dataclass(frozen=True, slots=True)
class Cell:
    """A field of a table and the code point of its text where it begins."""

    text: str
    start: int


def questions(text: str) -> Iterator[tuple[str, str]]:
    """(question, answer) of each row that has both. Raises FaultError for what is no such table."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    rows = _rows(text)
    names = [cell.text.strip().lower() for cell in next(rows, [])]
    question, answer = (
        next((names.index(name) for name in wanted if name in names), None)
        for wanted in (QUESTION_COLUMNS, ANSWER_COLUMNS)
    )
    if question is None or answer is None:
        raise refused("csv_columns")
    for row in rows:
        if any(cell.text.strip() for cell in row[len(names) :]):
            raise _at("csv_surplus", text, row[len(names)].start)
        said = [cell.text for cell in row] + [""] * (len(names) - len(row))
        if said[question].strip() and said[answer].strip():
            yield said[question], said[answer]


def _rows(text: str) -> Iterator[list[Cell]]:
    """Rows of fields; lines without anything are none."""
    at, row = 0, list[Cell]()
    while at < len(text) or row:
        quoted = text.startswith('"', at)
        found = (_QUOTED if quoted else _BARE).match(text, at)
        if found is None:
            raise _at("csv_quote", text, at)
        end = found.end()
        row.append(Cell(found[1].replace('""', '"') if quoted else found[0], at))
        if end < len(text) and text[end] not in ",\n":
            raise _at("csv_after_quote", text, end)
        at = end + 1
        if end >= len(text) or text[end] == "\n":
            if len(row) > 1 or quoted or row[0].text:
                yield row
            row = []


def _at(code: str, text: str, place: int) -> FaultError:
    line = text.count("\n", 0, place) + 1
    return refused(code, line=line, column=place - text.rfind("\n", 0, place))
