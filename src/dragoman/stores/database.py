"""The zone's file, opened by one process: a lock, one writing connection, query-only readers.

Writes are functions run inside BEGIN IMMEDIATE and committed with `synchronous=FULL` before their future
resolves. This module never holds SQL of a table; `tenancy.rows_of` is the accessor for a tenant's rows.
"""

from __future__ import annotations

import fcntl
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool

from dragoman.errors import UnavailableError

T = TypeVar("T")
Write = Callable[[sa.Connection], T]

READERS = 4
"""LIMIT: query-only connections kept open."""
BUSY_MS = 5_000
"""How long a statement waits for a lock, which only a backup tool could hold."""
AFTER_COMMIT = "after_commit"
"""Functions a write leaves on its connection's info: run on the writer's thread after the commit and before
anybody hears of it, to forget what memory holds of the rows."""
PUBLISHED = "published"
"""Set on a connection's info by a write that published a change."""
ENTERED = "entered"
"""Set on a connection's info by a write that left an entry for control's journal."""
WRITE_QUEUE = 10_000
"""LIMIT: writes waiting; beyond it callers are refused at once."""


class ZoneLock:
    """An exclusive lock on a zone's data folder, held while the process lives."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(folder / "zone.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise UnavailableError(
                f"{folder}: another process serves this zone's data. Stop it, or point zone.data elsewhere"
            ) from None

    def release(self) -> None:
        """Give the folder back."""
        os.close(self._file)


class Database:
    """The zone's SQLite file. `write` runs a function in a durable transaction, `read` in a snapshot."""

    def __init__(self, file: Path) -> None:
        url = sa.URL.create("sqlite", database=str(file))
        self._writer_engine = sa.create_engine(
            url, poolclass=NullPool, connect_args={"check_same_thread": False}
        )
        self._reader_engine = sa.create_engine(
            url,
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            connect_args={"check_same_thread": False},
        )
        sa.event.listen(self._writer_engine, "connect", _prepare_writer)
        sa.event.listen(self._writer_engine, "begin", _begin_immediate)
        sa.event.listen(self._reader_engine, "connect", _prepare_reader)
        sa.event.listen(self._reader_engine, "begin", _begin_deferred)
        self.on_publish: Callable[[], None] | None = None
        """Called on the writer's thread after a commit in which a change was published."""
        self.on_entry: Callable[[], None] | None = None
        """The same, after a commit that left an entry for control's journal."""
        self._queue: queue.Queue[tuple[Write[Any], Future[Any]] | None] = queue.Queue(maxsize=WRITE_QUEUE)
        self._thread = threading.Thread(target=self._run, name="zone-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Write[T]) -> Future[T]:
        """Queue a write; the future resolves after its commit is durable, or with what it raised."""
        future: Future[T] = Future()
        try:
            self._queue.put_nowait((work, future))
        except queue.Full:
            raise UnavailableError("the database has too many writes waiting; try again") from None
        return future

    def write(self, work: Write[T]) -> T:
        """`submit`, and wait."""
        return self.submit(work).result()

    def read(self, work: Write[T]) -> T:
        """Run a query-only function on a snapshot."""
        with self._reader_engine.begin() as connection:
            return work(connection)

    def close(self) -> None:
        """Finish queued writes, checkpoint, and close every connection."""
        self._queue.put(None)
        self._thread.join()
        self._reader_engine.dispose()
        self._writer_engine.dispose()

    def _run(self) -> None:
        with self._writer_engine.connect() as connection:
            while (item := self._queue.get()) is not None:
                work, future = item
                if not future.set_running_or_notify_cancel():
                    continue
                self._attempt(connection, work, future)
            raw = connection.connection.dbapi_connection
            if raw is not None:  # the driver's own: a checkpoint cannot run inside a transaction
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()

    def _attempt(self, connection: sa.Connection, work: Write[Any], future: Future[Any]) -> None:
        """The writer's edge: what a write raises goes to its caller, and the transaction is undone.

        Order after a commit: memory forgets, relays hear, the caller goes on.
        """
        try:
            with connection.begin():
                result = work(connection)
            for forget in connection.info.get(AFTER_COMMIT, ()):
                forget()
            if connection.info.get(PUBLISHED, False) and self.on_publish is not None:
                self.on_publish()
            if connection.info.get(ENTERED, False) and self.on_entry is not None:
                self.on_entry()
        except BaseException as error:  # noqa: BLE001 - handed whole to the caller that asked for the write
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            connection.info.pop(AFTER_COMMIT, None)
            connection.info.pop(PUBLISHED, None)
            connection.info.pop(ENTERED, None)


def _prepare_writer(raw: Any, _record: Any) -> None:
    raw.isolation_level = None  # the driver's own transactions would start deferred; ours start IMMEDIATE
    for statement in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MS}",
    ):
        raw.execute(f"PRAGMA {statement}").close()


def _prepare_reader(raw: Any, _record: Any) -> None:
    raw.isolation_level = None
    for statement in ("query_only=ON", f"busy_timeout={BUSY_MS}"):
        raw.execute(f"PRAGMA {statement}").close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")
