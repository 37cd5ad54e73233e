"""Recorded decisions with the turns they decided, out of a ledger's entries or a file of facts documents.

A ledger is read twice: one decision's entry serves many turns, so `Turns` counts first and then gives the
decisions. Streams; in memory is one small record per decision that served a turn. Reads no file itself.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

DECISIONS_MOST = 4_000_000
"""LIMIT: recorded decisions that served a turn, in one replay; about 400 bytes each."""

Line = tuple[str, int, bytes]
"""Where an entry stands and its JSON: log and index, or file and line."""


class RecordError(Exception):
    """What was recorded cannot be read; the message names log or file, entry or line, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Span:
    """Turns of one decision between two dates of the packs.

    `at`: the instant to decide as of, ms UTC, or None where the document says it; `turn`: the first of them,
    where turns have ids.
    """

    turns: int
    at: int | None
    turn: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded facts document. `raw`: a decision's entry, or where it is no `entry` a facts document."""

    id: str
    raw: bytes
    entry: bool
    spans: tuple[Span, ...]


class Turns:
    """How many turns each decision decided.

    `moments`: instants (sorted, ms UTC) at which something dated in the packs changes; a decision whose turns
    lie on both sides of one is decided for each side. Turns of simulated facts are only counted.
    """

    def __init__(self, moments: Sequence[int] = ()) -> None:
        self._moments = moments
        self._spans: dict[str, dict[int, list[Any]]] = {}
        self._open: set[str] = set()
        self.simulated = 0
        self.total = 0

    def count(self, lines: Iterable[Line]) -> Iterator[int]:
        """The first pass; gives the number of entries read so far now and then. Raises RecordError."""
        for number, (log, index, raw) in enumerate(lines, 1):
            if b'"kind":"intent"' in raw or b'"kind":"result"' in raw:
                self._take(log, index, raw)
            if number % 10_000 == 0:
                yield number

    def _take(self, log: str, index: int, raw: bytes) -> None:
        entry = entry_of(log, index, raw)
        kind, turn = entry.get("kind"), entry.get("turn")
        if kind == "result" and turn in self._open:
            self._open.discard(turn)  # the end of a turn that was counted
            return
        if kind == "intent":
            self._open.add(str(turn))
        elif kind != "result":
            return
        # A result without an intent is a turn as well: refused by its plan, or a repeated one.
        if entry.get("simulated") is True:
            self.simulated += 1
            return
        decision, at = entry.get("decision"), entry.get("at")
        if not isinstance(decision, str) or not isinstance(at, int) or not isinstance(turn, str):
            raise RecordError(f"{log}, entry {index}: this {kind} does not say turn, decision and time")
        self.total += 1
        spans = self._spans.get(decision)
        if spans is None:
            if len(self._spans) >= DECISIONS_MOST:
                raise RecordError(f"{log}, entry {index}: more than {DECISIONS_MOST} decisions served a turn")
            spans = self._spans[decision] = {}
        span = spans.setdefault(bisect_right(self._moments, at), [0, at, turn])
        span[0] += 1

    def rows(self, lines: Iterable[Line]) -> Iterator[Row]:
        """The second pass: each decision that served a turn, once. Raises RecordError."""
        for log, index, raw in lines:
            if b'"kind":"decision"' not in raw:
                continue
            entry = entry_of(log, index, raw)
            name = entry.get("decision")
            if entry.get("kind") != "decision" or not isinstance(name, str):
                continue
            spans = self._spans.pop(name, None)
            if spans is None:
                continue
            as_of = entry.get("as_of")
            if not isinstance(as_of, int):
                raise RecordError(f"{log}, entry {index}: decision {name} does not say as of when")
            own = bisect_right(self._moments, as_of)
            yield Row(
                name,
                raw,
                True,
                tuple(Span(n, as_of if at == own else first, turn) for at, (n, first, turn) in spans.items()),
            )

    def left(self) -> Iterator[tuple[str, int, str]]:
        """After the second pass: decisions of which no entry was found, their turns, and the first."""
        for name, spans in self._spans.items():
            yield name, sum(span[0] for span in spans.values()), next(iter(spans.values()))[2]


def documents(lines: Iterable[Line]) -> Iterator[Row]:
    """Facts documents, one a line, each one turn; empty lines are none."""
    for file, number, raw in lines:
        if raw.strip():
            yield Row(f"{file}:{number}", raw, False, (Span(1, None, None),))


def entry_of(log: str, index: int, raw: bytes) -> dict[str, Any]:
    """The JSON object that stands there. Raises RecordError."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{log}, entry {index} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise RecordError(f"{log}, entry {index} is no JSON object")
    return value
