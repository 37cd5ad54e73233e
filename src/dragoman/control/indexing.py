"""The thread that keeps the search of conversations up to date, beside turns and in small steps.

What an upgrade finds there is read by and by: after each step the thread rests as long as the step took.
"""

from __future__ import annotations

import functools
import threading
import time

from sqlalchemy.exc import SQLAlchemyError

from dragoman.assistants.indexing import ReadPart, keep_parts, parts_of, read_part
from dragoman.core.search import SearchStore
from dragoman.errors import DragomanError
from dragoman.events import EdgeFailed, SearchIndexed, emit, fault_place

LOOK_SECONDS = 2.0
"""How often it is looked for new items. A search reads the newest of them itself."""
AT_ONCE = 128
"""LIMIT: items that one step looks up, with those of the parts that become whole by them."""
TOLD_EVERY = 5_000
"""Items of a long run after which it is told how many are left."""


class SearchIndexer:
    """Reads new items, and those that stood before, into the index."""

    def __init__(self, store: SearchStore) -> None:
        self._store = store
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="search-indexer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what waits is read after the next start."""
        self._stopping.set()
        self._thread.join()

    def step(self) -> int:
        """Read some of what waits; how many items that was."""
        done = 0
        waiting = self._store.waiting(AT_ONCE)
        for tenant in dict.fromkeys(row[0] for row in waiting):
            mine = [(principal, n) for owner, principal, n in waiting if owner == tenant]
            done += self._step_of(tenant, mine)
        return done

    def _step_of(self, tenant: str, waiting: list[tuple[str, int]]) -> int:
        """Write each whole part before the next is read; the rest, at most what was looked up, at once."""
        done, rest = 0, list[ReadPart]()
        for principal, part in self._store.read(tenant, lambda rows: parts_of(rows, waiting)):
            read = self._store.read(tenant, functools.partial(read_part, principal=principal, part=part))
            done += len(read.items)
            if read.words is None:
                rest.append(read)
            else:
                self._keep(tenant, [read])
        self._keep(tenant, rest)
        return done

    def _keep(self, tenant: str, read: list[ReadPart]) -> None:
        if read:
            self._store.submit(tenant, lambda rows: keep_parts(rows, read)).result()

    def catch_up(self) -> int:
        """Read all that waits; how many items. A long run is told."""
        total = told = 0
        while not self._stopping.is_set():
            begun = time.monotonic()
            done = self.step()
            total += done
            if not done:
                break
            if total - told >= TOLD_EVERY:
                told = total
                emit(SearchIndexed(total, self._store.count_waiting()))
            self._stopping.wait(time.monotonic() - begun)
        if told:
            emit(SearchIndexed(total, self._store.count_waiting()))
        return total

    def _run(self) -> None:
        """The thread's edge: what could not be done now is tried again with the next look."""
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self.catch_up()
            except (DragomanError, SQLAlchemyError) as fault:
                emit(EdgeFailed("search_indexer", type(fault).__name__, fault_place(fault)))
