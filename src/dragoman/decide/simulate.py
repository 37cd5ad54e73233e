"""`simulate`: recorded decisions once more, under other packs or as of another date. No model is called.

Read this file for the order: count turns per decision, decide each distinct facts document under both sets of
packs, add up, report. Deciding goes on in forked processes: rules are closures that no pickle carries.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from dragoman.decide.packs import PackSet
from dragoman.decide.provider import LIST_CLOSED_DAYS, LIST_WARN_DAYS
from dragoman.decide.recorded import Line, RecordError, Row, Turns, documents
from dragoman.decide.replay import WITHOUT_ENTRY, Asked, Replay, Replayed, Side, Verdict
from dragoman.decide.simulation_report import report
from dragoman.decide.turn_tally import TurnTally

BATCH = 256
"""Rows that a process gets at once."""
WAITING = 4
"""LIMIT: batches under way for each process; the reader waits for the oldest."""

Tell = Callable[[str, int, int], None]
"""Progress: `counting` with entries read and 0, or `deciding` with turns done and their number."""


@dataclass(frozen=True, slots=True)
class Source:
    """What was recorded. `lines` gives it anew at each call; `ledger`: entries, else facts documents."""

    name: str
    ledger: bool
    lines: Callable[[], Iterable[Line]]


def simulate(
    source: Source,
    asked: Asked,
    processes: int = 1,
    tell: Tell = lambda _stage, _done, _whole: None,
) -> dict[str, Any]:
    """The report (`docs/simulate.md`). Raises RecordError for what cannot be read."""
    turns = Turns(_moments(asked.old, asked.new if asked.as_of is None else asked.old))
    if source.ledger:
        for read in turns.count(source.lines()):
            tell("counting", read, 0)
        rows = turns.rows(source.lines())
    else:
        rows = documents(source.lines())
    whole = TurnTally()
    for tally in _decided(rows, Replay(asked), processes):
        whole.add(tally)
        tell("deciding", whole.turns(), turns.total)
    for name, missing, first in turns.left():
        whole.take(name, Replayed(Verdict(WITHOUT_ENTRY), missing, first, None, None, None))
    return report(whole, asked, source.name, turns.simulated)


def _moments(*sides: Side) -> list[int]:
    """Every instant at which something dated in the packs changes."""
    found: set[int] = set()
    for packs in (side.packs for side in sides):
        found.update(chain.from_iterable(one.moments for one in packs.schedules.values()))
        found.update(_lists(packs))
    return sorted(found)


def _lists(packs: PackSet) -> Iterator[int]:
    for provider in packs.providers().values():
        if provider.territory_allow is not None:
            yield from (provider.snapshot_at(days) for days in (LIST_WARN_DAYS, LIST_CLOSED_DAYS))


def _decided(rows: Iterable[Row], replay: Replay, processes: int) -> Iterator[TurnTally]:
    """Tallies of the rows, in their order."""
    chosen = iter(rows)
    batches = iter(lambda: list(islice(chosen, BATCH)), [])
    if processes <= 1:
        yield from (_tally(replay, batch) for batch in batches)
        return
    waiting: deque[Future[TurnTally]] = deque()
    # The replay is handed over by the fork itself; `initargs` would have to be pickled under any other start.
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), _begin, (replay,))
    try:
        for batch in batches:
            waiting.append(pool.submit(_batch, batch))
            if len(waiting) >= WAITING * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise RecordError("a deciding process was ended from outside; is there too little memory?") from error
    finally:
        pool.shutdown(cancel_futures=True)


_replay: Replay | None = None
"""In a deciding process: what it decides with."""


def _begin(replay: Replay) -> None:
    global _replay  # set once, at the start of a process of its own
    _replay = replay


def _batch(rows: list[Row]) -> TurnTally:
    if _replay is None:
        raise RuntimeError("this process was not begun")
    return _tally(_replay, rows)


def _tally(replay: Replay, rows: list[Row]) -> TurnTally:
    tally = TurnTally()
    for row in rows:
        for one in replay.row(row):
            tally.take(row.id, one)
    return tally
