"""Control's own log when another one begins: acts stand once, whichever log they stand in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman import _native
from dragoman.control.own_log import OwnLog
from dragoman.core.accounts import Act
from dragoman.ledger.logs import entries, shards
from dragoman.stores.acts import record
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate
from dragoman.stores.outbox import Outbox


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "zone.db")
    made = Database(tmp_path / "zone.db")
    yield made
    made.close()


def act(database: Database, name: str) -> None:
    database.write(lambda c: record(c, "local", Act("ten_local_a", {"act": name})))


def sealed(registry: Path) -> None:
    """As a restore leaves it: the log sealed, its key not there."""
    shard = shards(registry)[-1]
    head = json.loads(_native.ledger_head(shard))["checkpoint"]
    seal = {"size": head["size"], "root": f"sha256:{head['root']}", "open": []}
    (shard / "sealed").write_text(json.dumps(seal))
    for key in (registry / "keys").iterdir():
        key.unlink()


def written(registry: Path) -> list[list[str]]:
    """The acts of each log, in order."""
    return [[e.value["act"] for e in entries(s) if e.value["kind"] == "action"] for s in shards(registry)]


def served(registry: Path, outbox: Outbox) -> None:
    log = OwnLog(registry, outbox, "local")
    log.start()
    log.stop()


def test_acts_of_a_sealed_log_are_not_written_again(database: Database, tmp_path: Path) -> None:
    registry, outbox = tmp_path / "registry", Outbox(database)
    for name in ("one", "two"):
        act(database, name)
    served(registry, outbox)
    act(database, "three")
    served(registry, outbox)
    # The snapshot was taken before the mark, the log after the entry.
    database.write(
        lambda c: c.exec_driver_sql("UPDATE outbox SET log_index = NULL WHERE entry LIKE '%three%'")
    )
    assert [one.entry["act"] for one in outbox.pending()] == ["three"]
    sealed(registry)
    act(database, "four")
    served(registry, outbox)
    assert outbox.pending() == []
    assert written(registry) == [["one", "two", "three"], ["four"]]
    # A crash in the new log, whose indexes are lower than the old one's: recognised there.
    database.write(lambda c: c.exec_driver_sql("UPDATE outbox SET log_index = NULL WHERE log_index >= 0"))
    served(registry, outbox)
    assert written(registry) == [["one", "two", "three"], ["four"]]
    assert outbox.pending() == []
