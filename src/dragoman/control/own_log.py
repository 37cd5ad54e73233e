"""Control's own log, which is the zone's registry: acts and admissions go from the outbox into the journal.

Runs on a thread of its own. An act is in the outbox from its transaction on, so a crash between journal and
mark repeats at most the marking: what is in the log already is recognised by its item.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from dragoman import _native
from dragoman.canonical import canonical
from dragoman.errors import UnavailableError
from dragoman.events import EdgeFailed, OutboxWritten, emit, fault_place
from dragoman.ledger.logs import find_shard
from dragoman.stores.outbox import Outbox, Pending

RETRY_SECONDS = 0.5
"""How long after a failure it is tried again."""
READ_ENTRIES = 1_000


class OwnLog:
    """Carries the outbox into the journal."""

    def __init__(self, folder: Path, outbox: Outbox, zone: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._journal = _native.Journal(folder, zone)
        except _native.JournalError as fault:
            raise UnavailableError(f"{folder}: {fault.args[-1]}") from fault
        self._folder = folder
        self._outbox = outbox
        self._stopping = False
        self._news = threading.Event()
        self._thread = threading.Thread(target=self._run, name="own-log", daemon=True)

    def start(self) -> None:
        """Recognise what was written before a crash, then carry."""
        self._recognise()
        self._thread.start()

    def stop(self) -> None:
        """Carry what is left, sign, and close."""
        self._stopping = True
        self._news.set()
        self._thread.join()
        self._journal.close()

    def entered(self) -> None:
        """Called by the writer after a commit that left an entry; never waits."""
        self._news.set()

    def carry(self) -> int:
        """Write one batch of pending acts; how many."""
        pending = self._outbox.pending()
        if pending:
            first = self._journal.append_many([canonical(one.entry) for one in pending])
            self._outbox.mark([(one, first + offset) for offset, one in enumerate(pending)])
            emit(OutboxWritten(len(pending)))
        return len(pending)

    def _run(self) -> None:
        done = self._carry_all()
        while not self._stopping:
            self._news.wait(None if done else RETRY_SECONDS)
            self._news.clear()
            done = self._carry_all()
        self._carry_all()

    def _carry_all(self) -> bool:
        """The thread's edge: what could not be written stays in the outbox and is tried again (False)."""
        try:
            while self.carry():
                continue
        except Exception as fault:  # noqa: BLE001 - the edge
            emit(EdgeFailed("own_log", type(fault).__name__, fault_place(fault)))
            return False
        return True

    def _recognise(self) -> None:
        """Mark what stands in the log already; where a new one began, first what stands in the one before."""
        known, log = self._outbox.log(), self._journal.log_id
        if known is None:
            self._outbox.note_log(log)
        elif known != log:
            before = find_shard(self._folder, known)
            if before is not None:
                kept = _native.LogReader(before)
                self._mark_found(lambda at: kept.read(at, READ_ENTRIES))
            self._outbox.begin_log(log)
        self._mark_found(lambda at: self._journal.read(at, READ_ENTRIES))

    def _mark_found(self, read: Callable[[int], list[tuple[int, bytes]]]) -> None:
        waiting = {one.item: one for one in self._outbox.pending()}
        at = self._outbox.newest_index() + 1
        found: list[tuple[Pending, int]] = []
        while waiting and (entries := read(at)):
            for index, raw in entries:
                one = waiting.pop(str(json.loads(raw).get("item")), None)
                if one is not None:
                    found.append((one, index))
            at = entries[-1][0] + 1
        if found:
            self._outbox.mark(found)
