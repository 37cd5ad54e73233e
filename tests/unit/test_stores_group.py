"""The writer's groups: writes that wait share a transaction, and each still stands or falls alone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dragoman.errors import UnavailableError
from dragoman.stores.database import AFTER_COMMIT, ERASED, GROUP, PUBLISHED, Database

WAIT = 60


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with sqlite3.connect(tmp_path / "x.db") as raw:
        raw.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT)")
    database = Database(tmp_path / "x.db")
    yield database
    database.close()


def held(database: Database) -> threading.Event:
    """Keep the writer busy until the event is set, so that what is submitted meanwhile waits together."""
    entered, go = threading.Event(), threading.Event()

    def work(_: sa.Connection) -> None:
        entered.set()
        go.wait(WAIT)

    database.submit(work)
    assert entered.wait(WAIT)
    return go


def insert(n: int, text: str = "") -> Any:
    return lambda c: c.execute(sa.text("INSERT INTO t VALUES (:n, :t)"), {"n": n, "t": text}).rowcount


def rows(database: Database) -> list[int]:
    return database.read(lambda c: [row.n for row in c.execute(sa.text("SELECT n FROM t ORDER BY n"))])


def ends(database: Database) -> list[str]:
    """The statements that begin or end transactions of the writer from now on, as the database runs them."""
    seen: list[str] = []

    def note(statement: str) -> None:
        if statement.partition(" ")[0] in {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"}:
            seen.append(statement)

    database.write(lambda c: c.connection.dbapi_connection.set_trace_callback(note))  # type: ignore[union-attr]
    seen.clear()
    return seen


def test_what_waits_is_committed_together(database: Database) -> None:
    seen = ends(database)
    go = held(database)
    futures = [database.submit(insert(n)) for n in range(GROUP + 1)]
    go.set()
    assert [future.result(WAIT) for future in futures] == [1] * (GROUP + 1)
    assert rows(database) == list(range(GROUP + 1))
    once = ["BEGIN IMMEDIATE", "COMMIT"]
    assert seen == once * 3, "the one that kept the writer, a full group, the one left"


def test_a_write_that_raises_ends_its_transaction(database: Database) -> None:
    seen = ends(database)

    def half(connection: sa.Connection) -> None:
        insert(1)(connection)
        raise KeyError("half")

    with pytest.raises(KeyError):
        database.write(half)
    assert seen == ["BEGIN IMMEDIATE", "ROLLBACK"]
    assert database.write(insert(2)) == 1
    assert seen[2:] == ["BEGIN IMMEDIATE", "COMMIT"], "the control: one that stands"
    assert rows(database) == [2]


def test_a_commit_that_is_refused_leaves_nothing_open(database: Database) -> None:
    """A reference that leads nowhere is found by COMMIT, which leaves the transaction as it was."""

    def make(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE u (n REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)")

    def refer(n: int) -> Any:
        return lambda c: c.execute(sa.text("INSERT INTO u VALUES (:n)"), {"n": n}).rowcount

    database.write(make)
    seen = ends(database)
    with pytest.raises(sa.exc.IntegrityError):
        database.write(refer(7))
    assert seen == ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"]
    go = held(database)
    futures = [database.submit(work) for work in (insert(1), refer(7), refer(1), insert(2))]
    go.set()
    faults = [future.exception(WAIT) for future in futures]
    assert [isinstance(fault, sa.exc.IntegrityError) for fault in faults] == [False, True, False, False]
    assert rows(database) == [1, 2]
    assert database.read(lambda c: c.execute(sa.text("SELECT n FROM u")).scalars().all()) == [1]


def test_a_write_that_fails_undoes_itself_alone(database: Database) -> None:
    go = held(database)

    def half(connection: sa.Connection) -> None:
        insert(100)(connection)
        connection.info.setdefault(AFTER_COMMIT, []).append(lambda: told.append("half"))
        connection.info[PUBLISHED] = True
        raise KeyError("half")

    told: list[str] = []
    database.on_publish = lambda: told.append("published")
    before, failing, doubled, after = (database.submit(w) for w in (insert(1), half, insert(1), insert(2)))
    go.set()
    assert before.result(WAIT) == after.result(WAIT) == 1
    with pytest.raises(KeyError):
        failing.result(WAIT)
    with pytest.raises(sa.exc.IntegrityError):
        doubled.result(WAIT)
    assert rows(database) == [1, 2]
    assert told == []


def test_only_a_write_that_leaves_changes_and_raises_costs_savepoints(database: Database) -> None:
    seen = ends(database)

    def refuse(_: sa.Connection) -> None:
        raise KeyError("before it changed anything")

    def half(connection: sa.Connection) -> None:
        insert(100)(connection)
        raise KeyError("half")

    apart = ["SAVEPOINT one", "RELEASE one"]
    again = ["ROLLBACK", "BEGIN IMMEDIATE", *apart, "SAVEPOINT one", "ROLLBACK TO one", "RELEASE one", *apart]
    for first, failing, between in ((1, refuse, []), (3, half, again)):
        go = held(database)
        seen.clear()
        futures = [database.submit(work) for work in (insert(first), failing, insert(first + 1))]
        go.set()
        assert [isinstance(one.exception(WAIT), KeyError) for one in futures] == [False, True, False]
        assert seen == ["COMMIT", "BEGIN IMMEDIATE", *between, "COMMIT"], (
            "the first ends what kept the writer"
        )
    assert rows(database) == [1, 2, 3, 4]


def test_listeners_hear_after_the_commit_and_before_the_caller(database: Database) -> None:
    go = held(database)
    order: list[str] = []

    def work(connection: sa.Connection) -> None:
        insert(1)(connection)
        connection.info.setdefault(AFTER_COMMIT, []).append(lambda: order.append(f"forget {rows(database)}"))
        connection.info[PUBLISHED] = True

    database.on_publish = lambda: order.append("publish")
    futures = [database.submit(work), database.submit(insert(2))]
    futures[0].add_done_callback(lambda _: order.append("caller"))
    go.set()
    for future in futures:
        future.result(WAIT)
    assert order == ["forget [1, 2]", "publish", "caller"]


def test_a_listener_that_fails_leaves_the_write_standing_once(database: Database) -> None:
    go = held(database)

    def work(connection: sa.Connection) -> None:
        insert(5)(connection)
        connection.info.setdefault(AFTER_COMMIT, []).append(fail)

    def fail() -> None:
        raise RuntimeError("listener")

    futures: list[Future[Any]] = [database.submit(work), database.submit(insert(6))]
    go.set()
    for future in futures:
        with pytest.raises(RuntimeError):
            future.result(WAIT)
    assert rows(database) == [5, 6]


def test_a_full_database_loses_no_neighbour(database: Database) -> None:
    pages = database.read(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    database.write(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages + 20}").scalar_one())
    go = held(database)
    big = "x" * 400_000
    futures = [database.submit(w) for w in (insert(1), insert(2, big), insert(3), insert(4, big), insert(5))]
    go.set()
    faults = [future.exception(WAIT) for future in futures]
    assert ["full" in str(fault) for fault in faults] == [False, True, False, True, False]
    done = [n for n, fault in enumerate(faults, 1) if fault is None]
    assert done == [1, 3, 5]
    assert rows(database) == done
    database.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=100000").scalar_one())
    assert database.write(insert(2, big)) == 1


def test_a_transaction_that_is_lost_is_done_again_one_by_one(database: Database) -> None:
    go = held(database)
    ran: list[int] = []

    def losing(connection: sa.Connection) -> None:
        ran.append(1)
        connection.exec_driver_sql("ROLLBACK")
        raise RuntimeError("lost")

    futures = [database.submit(w) for w in (insert(1), losing, insert(2))]
    go.set()
    assert futures[0].result(WAIT) == futures[2].result(WAIT) == 1
    with pytest.raises(RuntimeError):
        futures[1].result(WAIT)
    assert rows(database) == [1, 2]
    assert len(ran) == 2


def test_erased_text_leaves_every_file(database: Database, tmp_path: Path) -> None:
    marker = "unmistakable " * 50
    database.write(insert(1, marker))

    def there() -> bool:
        return any(b"unmistakable" in file.read_bytes() for file in tmp_path.glob("x.db*"))

    assert there(), "the control"

    def erase(connection: sa.Connection) -> None:
        connection.exec_driver_sql("DELETE FROM t")
        connection.info[ERASED] = True

    # A reader in the way puts it off; the write does not wait for it, and it is done when the reader is gone.
    with database._reader_engine.begin() as reader:
        reader.exec_driver_sql("SELECT * FROM t").all()
        database.write(erase)
        assert there()
    database.write(insert(2))
    for _ in range(WAIT * 10):
        if not there():
            break
        threading.Event().wait(0.1)
    assert not there()


def test_a_full_queue_refuses(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    go = held(database)
    monkeypatch.setattr("dragoman.stores.database.WRITE_QUEUE", 2)
    kept = [database.submit(insert(n)) for n in range(2)]
    with pytest.raises(UnavailableError):
        database.submit(insert(9))
    go.set()
    assert [one.result(WAIT) for one in kept] == [1, 1]
