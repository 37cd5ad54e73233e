"""The zone's file, opened by one process: a lock, one writing connection, query-only readers.

Writes are functions run inside BEGIN IMMEDIATE and committed with `synchronous=FULL` before their future
resolves. This module never holds SQL of a table; `tenancy.rows_of` is the accessor for a tenant's rows.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from dragoman.errors import UnavailableError
from dragoman.stores.prepared import Prepared

T = TypeVar("T")
Write = Callable[[sa.Connection], T]

READERS = 4
"""LIMIT: query-only connections kept open."""
BUSY_MS = 5_000
"""How long a statement waits for a lock, which only a backup tool could hold."""
CHECKPOINT_PAGES = 8_000
"""Pages of the write-ahead log after which the writer moves them into the file: 32 MB. Every write that comes
meanwhile waits, so it is seldom: at the library's 1,000 it was every sixtieth turn."""
AFTER_COMMIT = "after_commit"
"""Functions a write leaves on its connection's info: run on the writer's thread after the commit and before
anybody hears of it, to forget what memory holds of the rows."""
PUBLISHED = "published"
"""Set on a connection's info by a write that published a change."""
ENTERED = "entered"
"""Set on a connection's info by a write that left an entry for control's journal."""
ERASED = "erased"
"""Set on a connection's info by a write that erased texts: the log of pages that held them is emptied too."""
EMPTY_MS = 100
"""How long emptying that log waits for readers before it is put off."""
EMPTY_AGAIN_S = 1.0
"""When it is tried again."""
GROUP = 64
"""LIMIT: writes that share one transaction and its sync."""
WRITE_QUEUE = 10_000
"""LIMIT: writes waiting; beyond it callers are refused at once. Each thread that asks may pass it by one."""
LOCK_WAIT_S = 3.0
"""How long a zone's lock is waited for: a child that who was killed had forked holds it until its exec."""
LOCK_AGAIN_S = 0.05


class ZoneTakenError(UnavailableError):
    """Another process holds a zone's lock."""


_BEGIN_IMMEDIATE = Prepared(sa.text("BEGIN IMMEDIATE"))
_COMMIT = Prepared(sa.text("COMMIT"))
_ROLLBACK = Prepared(sa.text("ROLLBACK"))
_BEGIN = Prepared(sa.text("BEGIN"))
_SAVEPOINT = Prepared(sa.text("SAVEPOINT one"))
_ROLLBACK_TO = Prepared(sa.text("ROLLBACK TO one"))
_RELEASE = Prepared(sa.text("RELEASE one"))


class ZoneLock:
    """An exclusive lock on a zone's data folder, held while the process lives."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.open(folder / "zone.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + LOCK_WAIT_S
        while not self._taken():
            if time.monotonic() > until:
                os.close(self._file)
                raise ZoneTakenError(
                    f"{folder}: another process serves this zone's data. "
                    "Stop it, or point zone.data elsewhere"
                )
            time.sleep(LOCK_AGAIN_S)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

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
        sa.event.listen(self._reader_engine, "connect", _prepare_reader)
        sa.event.listen(self._reader_engine, "begin", _begin_deferred)
        self.on_publish: Callable[[], None] | None = None
        """Called on the writer's thread after a commit in which a change was published."""
        self.on_entry: Callable[[], None] | None = None
        """The same, after a commit that left an entry for control's journal."""
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="zone-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Write[T]) -> Future[T]:
        """Queue a write; the future resolves after its commit is durable, or with what it raised.

        `work` runs again where another write of its group left changes and raised: what it does outside the
        database goes into AFTER_COMMIT.
        """
        if self._queue.qsize() >= WRITE_QUEUE:
            raise UnavailableError("the database has too many writes waiting; try again")
        future: Future[T] = Future()
        self._queue.put(_Queued(work, future))
        return future

    def write(self, work: Write[T]) -> T:
        """`submit`, and wait."""
        return self.submit(work).result()

    def read(self, work: Write[T]) -> T:
        """Run a query-only function on a snapshot."""
        with self._reader_engine.begin() as connection:
            return work(connection)

    def waiting(self) -> int:
        """How many writes are queued."""
        return self._queue.qsize()

    def snapshot(self, target: Path) -> None:
        """Copy the file as of one instant while writes go on; `target` must not exist. Takes its time."""
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(target)) as copy, self._reader_engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            raw.backup(copy, pages=-1)  # type: ignore[union-attr]  # one step: a single read transaction
            copy.execute("PRAGMA journal_mode=DELETE").close()

    def close(self) -> None:
        """Finish queued writes, checkpoint, and close every connection."""
        self._queue.put(None)
        self._thread.join()
        self._reader_engine.dispose()
        self._writer_engine.dispose()

    def _run(self) -> None:
        with self._writer_engine.connect() as connection:
            erased = Erased(connection)
            while (group := self._next(erased.due)) is not None:
                self._attempt(connection, group)
                erased.seen(connection.info.pop(ERASED, False))
                for one in group:
                    one.tell()
            _empty_log(connection, BUSY_MS)

    def _next(self, timeout: float | None) -> list[_Queued] | None:
        """The writes that wait, at most a group; none after `timeout` seconds; None at the end."""
        try:
            first = None if self._ended else self._queue.get(timeout=timeout)
        except queue.Empty:
            return []
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP and not self._queue.empty():
            one = self._queue.get()
            if one is None:
                self._ended = True
                break
            group.append(one)
        return [one for one in group if one.future.set_running_or_notify_cancel()]

    def _attempt(self, connection: sa.Connection, group: list[_Queued]) -> None:
        """Run a group in one transaction; where that is lost, each write in one of its own.

        Order after a commit: memory forgets, relays hear, the callers go on.
        """
        if len(group) > 1 and _commit(connection, group):
            self._tell_listeners(connection, group)
            return
        for one in group:
            if _commit(connection, [one]):
                self._tell_listeners(connection, [one])

    def _tell_listeners(self, connection: sa.Connection, group: list[_Queued]) -> None:
        """What follows a commit. The writer's edge: a fault there goes to the callers, whose writes stand."""
        try:
            for function in [function for one in group for function in one.forget]:
                function()
            flags = {flag for one in group for flag in one.flags}
            if PUBLISHED in flags and self.on_publish is not None:
                self.on_publish()
            if ENTERED in flags and self.on_entry is not None:
                self.on_entry()
            if ERASED in flags:
                connection.info[ERASED] = True
        except BaseException as error:  # noqa: BLE001 - handed whole to the callers that asked for the writes
            for one in group:
                one.error = one.error or error


class Erased:
    """Has erased texts leave the log of pages too: at once, or as soon as no reader is in the way."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self.due: float | None = None
        """Seconds after which it is tried again; None where nothing is left to do."""

    def seen(self, erased: bool) -> None:
        """Called after each group."""
        if erased or self.due is not None:
            self.due = None if _empty_log(self._connection, EMPTY_MS) else EMPTY_AGAIN_S


class _Queued:
    """A write that waits, and what came of it."""

    __slots__ = ("error", "flags", "forget", "future", "result", "work")

    def __init__(self, work: Write[Any], future: Future[Any]) -> None:
        self.work = work
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self.forget: list[Callable[[], None]] = []
        self.flags: set[str] = set()

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Note what came of it; only the last attempt counts."""
        self.result, self.error = result, error
        self.forget, self.flags = [], set()

    def tell(self) -> None:
        """Resolve the caller's future."""
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _LostError(Exception):
    """The transaction of a group is gone: the database undid all of it."""


def _commit(connection: sa.Connection, group: list[_Queued]) -> bool:
    """Run a group and commit it. The writer's edge: what a write raises goes to its caller.

    False where nothing of the group stands. A write that raised after it had changed something has the group
    run again with a savepoint before each, which are two statements more than most writes have. What the
    library notes of transactions is not asked: it would cost each write more than what begins and ends one.
    """
    try:
        _BEGIN_IMMEDIATE.run(connection, {})
        if not all(_run_one(connection, one) for one in group):
            if len(group) == 1:
                _undo(connection)
                return False
            _ROLLBACK.run(connection, {})
            _BEGIN_IMMEDIATE.run(connection, {})
            for one in group:
                _run_apart(connection, one)
        _check_open(connection)
        _COMMIT.run(connection, {})
    except BaseException as error:  # noqa: BLE001 - handed whole to the callers that asked for the writes
        for one in group:
            one.settle(None, error.__cause__ or error if isinstance(error, _LostError) else error)
        _undo(connection)
        return False
    finally:
        _take(connection)
    return True


def _undo(connection: sa.Connection) -> None:
    """Undo what a transaction that failed has left open; or, where that fails, leave it to the next."""
    with contextlib.suppress(_LostError, SQLAlchemyError):  # the callers have their error already
        _check_open(connection)
        _ROLLBACK.run(connection, {})


def _run_one(connection: sa.Connection, one: _Queued) -> bool:
    """Run one write of a group; False where it raised and has left changes behind."""
    before = _changes(connection)
    try:
        one.settle(one.work(connection), None)
        one.forget, one.flags = _take(connection)
    except BaseException as error:
        one.settle(None, error)
        _take(connection)
        if not _is_open(connection):  # the next write would commit by itself
            raise _LostError from error
        return _changes(connection) == before
    return True


def _run_apart(connection: sa.Connection, one: _Queued) -> None:
    """The same; where it raises, its own changes alone are undone."""
    _SAVEPOINT.run(connection, {})
    if not _run_one(connection, one):
        _ROLLBACK_TO.run(connection, {})
    _RELEASE.run(connection, {})


def _changes(connection: sa.Connection) -> int:
    """Rows that this connection has ever inserted, changed or removed."""
    return int(connection.connection.dbapi_connection.total_changes)  # type: ignore[union-attr]


def _take(connection: sa.Connection) -> tuple[list[Callable[[], None]], set[str]]:
    """What a write left on the connection's info, taken off it."""
    info = connection.info
    if not info:
        return [], set()
    flags = {name for name in (PUBLISHED, ENTERED, ERASED) if info.pop(name, False)}
    return info.pop(AFTER_COMMIT, []), flags


def _is_open(connection: sa.Connection) -> bool:
    """Whether the database itself has a transaction: a full disk may have ended it."""
    raw = connection.connection.dbapi_connection
    return raw is not None and raw.in_transaction


def _check_open(connection: sa.Connection) -> None:
    if not _is_open(connection):
        raise _LostError


def _empty_log(connection: sa.Connection, wait_ms: int) -> bool:
    """Move the log of pages into the file and cut it to nothing; False where a reader was in the way."""
    raw = connection.connection.dbapi_connection
    if raw is None:
        return False
    cursor = raw.cursor()  # the driver's own: a checkpoint cannot run inside a transaction
    try:
        cursor.execute(f"PRAGMA busy_timeout={wait_ms}")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        row = cursor.fetchone()
        return row is not None and not row[0]
    except sqlite3.Error:
        return False
    finally:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.close()


def _prepare_writer(raw: Any, _record: Any) -> None:
    raw.isolation_level = None  # the driver's own transactions would start deferred; ours start IMMEDIATE
    for statement in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        f"busy_timeout={BUSY_MS}",
    ):
        raw.execute(f"PRAGMA {statement}").close()


def _prepare_reader(raw: Any, _record: Any) -> None:
    raw.isolation_level = None
    for statement in ("query_only=ON", f"busy_timeout={BUSY_MS}"):
        raw.execute(f"PRAGMA {statement}").close()


def _begin_deferred(connection: sa.Connection) -> None:
    _BEGIN.run(connection, {})
