"""What a batch of a relay's journal means for the zone's tables, also where its numbers are too large for them."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman import events
from dragoman.control.journal_feed import JournalFeed, project
from dragoman.stores import schema
from dragoman.stores.database import Database
from dragoman.stores.journal import JournalCursors
from dragoman.stores.migrate import migrate
from dragoman.stores.tenancy import COUNTER_MAX, rows_of

TENANT = "ten_local_a"
HUGE = 2**64 - 1


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "zone.db")
    database = Database(tmp_path / "zone.db")
    yield database
    database.close()


def batch(*entries: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def result(tokens: int, at: int = 1_790_000_000_000) -> dict[str, Any]:
    usage = {"input": tokens, "output": tokens, "known": True}
    return {"kind": "result", "turn": "t", "tenant": TENANT, "status": "finished", "at": at, "usage": usage}


def test_numbers_that_no_table_holds_are_clamped_and_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(events, "_sink", [(log, 0, "json")])
    feed = JournalFeed(JournalCursors(database, "local"))
    opened = {
        "kind": "registry",
        "event": "log_opened",
        "log": "l",
        "key": "k",
        "origin": "o",
        "at": 2**63 - 1,
    }
    sent = batch(result(HUGE), result(5), result(1, at=2**63 - 1), result(1, at=-(2**63)), opened)
    assert asyncio.run(feed.take("log_a", 0, sent)) == (True, 5)
    assert asyncio.run(feed.take("log_a", 5, batch(result(HUGE)))) == (True, 6)
    told = [json.loads(line) for line in log.getvalue().splitlines() if "journal_clamped" in line]
    assert [(one["next"], one["rows"]) for one in told] == [(5, 4), (6, 1)]
    rows = database.read(lambda c: rows_of(c, TENANT).select(schema.usage_daily))
    assert {(row.day, row.turns, row.input) for row in rows} == {
        ("2026-09-21", 3, COUNTER_MAX),
        ("9999-12-31", 1, 1),
        ("1970-01-01", 1, 1),
    }


def test_a_provider_beyond_the_reservation_is_told_and_an_odd_bucket_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(events, "_sink", [(log, 0, "json")])
    lines = [
        {"bucket": "day:20261126:ten", "reserved": 5, "spent": 9},
        {"bucket": "day:20261126:m/big", "reserved": 5, "spent": 5},
        {"bucket": "no bucket", "reserved": 5, "spent": 5},
    ]
    projected = project(batch({**result(1), "budget": lines}), 7)
    owners = [(spend.tenant, spend.bucket, spend.index, spend.amount) for spend in projected.spends]
    assert owners == [(TENANT, "day:20261126:ten", 7, 9), ("zone", "day:20261126:m/big", 7, 5)]
    assert projected.clamped == 1
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(one["event"], one["limit"], one["spent"]) for one in told] == [("budget_overrun", "day", 9)]


def test_numbers_that_fit_stay_as_they_are() -> None:
    projected = project(batch(result(3), result(4)), 0)
    assert projected.clamped == 0, "the negative control"
    assert [(row.turns, row.input, row.output) for row in projected.usage] == [(2, 7, 7)]
