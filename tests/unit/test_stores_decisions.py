"""Kept decisions found by time, outcome, reason, rule, pack, person and turn; what is forgotten is found no more."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dragoman.stores import decision_index, schema
from dragoman.stores import migrate as migrations
from dragoman.stores.database import Database
from dragoman.stores.decision_index import PAGE, DecisionSearch, Sought, enter
from dragoman.stores.retention import RetentionRows
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import rows_of
from dragoman.stores.turn_tables import conversations, turns

NOON = 1_795_000_000_000


def document(
    name: str, outcome: str = "ALLOW", codes: tuple[str, ...] = (), packs: tuple[str, ...] = ("sg",)
) -> Any:
    reasons = [{"code": code, "rule_id": f"xx.{code.lower()}", "effect": "deny"} for code in codes]
    return {"id": name, "outcome": outcome, "reasons": reasons, "packs": {one: {} for one in packs}}


def keep(database: Database, at: int, made: Any, tenant: str = "ten_a") -> None:
    def work(connection: sa.Connection) -> None:
        rows = rows_of(connection, tenant)
        rows.insert_missing(
            schema.decisions, [{"decision": made["id"], "at": at, "document": json.dumps(made)}]
        )
        enter(rows.of_zone(ZONE_TENANT), tenant, at, made)

    database.write(work)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrations.migrate(tmp_path / "zone.db")
    with closing(Database(tmp_path / "zone.db")) as opened:

        def tenants(connection: sa.Connection) -> None:
            for tenant in ("ten_a", "ten_b"):
                row = {"slug": tenant, "title": tenant, "state": "active", "created_at": 1, "changed_at": 1}
                rows_of(connection, tenant).insert(schema.tenants, **row)

        opened.write(tenants)
        yield opened


def names(database: Database, **sought: Any) -> list[str]:
    return [row["decision"] for row in DecisionSearch(database).find(Sought(**sought)).rows]


def test_each_mark_and_all_together_in_order_of_time(database: Database) -> None:
    keep(database, NOON, document("dec_1", "DENY", ("A", "B"), ("eu", "sg")))
    keep(database, NOON + 5, document("dec_2", "DENY", ("A",)))
    keep(database, NOON + 5, document("dec_3"), "ten_b")
    assert names(database) == ["dec_3", "dec_2", "dec_1"]
    assert names(database, marks=("outcome:DENY",)) == ["dec_2", "dec_1"]
    assert names(database, marks=("code:A", "pack:eu")) == ["dec_1"]
    assert names(database, marks=("rule:xx.b",)) == ["dec_1"]
    assert names(database, marks=("code:A", "outcome:ALLOW")) == []
    assert names(database, marks=("code:a",)) == [], "codes are told apart by case"
    assert names(database, since=NOON + 1) == ["dec_3", "dec_2"]
    assert names(database, until=NOON + 5) == ["dec_1"]
    assert names(database, since=NOON, until=NOON + 6, marks=("code:A",)) == ["dec_2", "dec_1"]
    assert names(database, decision="dec_3") == ["dec_3"]
    assert names(database, decision="dec_9") == []
    rows = DecisionSearch(database).find(Sought()).rows
    assert [(row["tenant"], row["at"]) for row in rows] == [
        ("ten_b", NOON + 5),
        ("ten_a", NOON + 5),
        ("ten_a", NOON),
    ]


def test_what_is_kept_again_is_entered_once(database: Database) -> None:
    for at in (NOON, NOON + 900):
        keep(database, at, document("dec_1", "DENY", ("A",)))
    keep(database, NOON, document("dec_1", "DENY", ("A",)), "ten_b")
    assert names(database, marks=("code:A",)) == ["dec_1", "dec_1"], "of two tenants"
    assert database.read(lambda c: c.execute(sa.select(schema.decision_index.c.n)).scalars().all()) == [
        NOON * 4_096,
        NOON * 4_096 + 1,
    ]


def test_a_millisecond_that_is_full_goes_on_in_the_next(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decision_index, "PLACES", 2)
    for n in range(5):
        keep(database, NOON, document(f"dec_{n}"))
    assert names(database) == [f"dec_{n}" for n in (4, 3, 2, 1, 0)]


def test_pages_go_on_without_gap_or_repeat(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(2 * PAGE + 3):
        keep(database, NOON + n, document(f"dec_{n}", codes=("A", "B") if n % 2 else ("A",)))
    search = DecisionSearch(database)
    for marks, wanted in (((), 2 * PAGE + 3), (("code:A",), 2 * PAGE + 3), (("code:A", "code:B"), PAGE + 1)):
        for looked in (decision_index.LOOKED_AT, 3):
            monkeypatch.setattr(decision_index, "LOOKED_AT", looked)
            seen: list[str] = []
            before: int | None = None
            for _ in range(200):
                found = search.find(Sought(marks=marks, before=before))
                seen += [row["decision"] for row in found.rows]
                before = found.next
                if before is None:
                    break
            assert len(seen) == len(set(seen)) == wanted, (marks, looked)
            assert seen == sorted(seen, key=lambda one: -int(one[4:]))


def turn(
    connection: sa.Connection, tenant: str, name: str, conversation: str, who: str, decision: str
) -> None:
    values = {column.name: "x" for column in turns.c if not column.nullable and column.name != "tenant"}
    numbers = ("seq", "depth", "tokens", "size", "at", "deadline_ms", "changed_at")
    values |= {"turn": name, "principal": who, "decision": decision, "stream": False, "has_text": False}
    rows_of(connection, tenant).insert(
        turns, **{**values, **dict.fromkeys(numbers, 1)}, conversation=conversation
    )


def test_a_turn_and_a_person_lead_to_their_decisions_alone(database: Database) -> None:
    for n, tenant in ((1, "ten_a"), (2, "ten_a"), (1, "ten_b")):
        keep(database, NOON + n, document(f"dec_{n}", "DENY" if n == 2 else "ALLOW"), tenant)

    def work(connection: sa.Connection) -> None:
        for tenant, who in (("ten_a", "prn_1"), ("ten_b", "prn_2")):
            row = {
                "conversation": f"cnv_{who}",
                "principal": who,
                "turns": 1,
                "metadata": "{}",
                "pinned": False,
            }
            rows_of(connection, tenant).insert(conversations, **row, created_at=1, changed_at=1)
        turn(connection, "ten_a", "trn_1", "cnv_prn_1", "prn_1", "dec_1")
        turn(connection, "ten_a", "trn_2", "cnv_prn_1", "prn_1", "dec_2")
        turn(connection, "ten_b", "trn_3", "cnv_prn_2", "prn_2", "dec_1")

    database.write(work)
    search = DecisionSearch(database)
    assert names(database, turn="trn_2") == ["dec_2"]
    assert names(database, turn="trn_2", principal="prn_2") == []
    assert names(database, principal="prn_1") == ["dec_2", "dec_1"]
    assert names(database, principal="prn_1", marks=("outcome:DENY",)) == ["dec_2"]
    assert names(database, principal="prn_1", decision="dec_1") == ["dec_1"]
    assert [row["tenant"] for row in search.find(Sought(principal="prn_2")).rows] == ["ten_b"]
    assert names(database, principal="prn_9") == names(database, turn="trn_9") == []
    told = search.one("ten_a", "dec_2")
    assert told is not None
    assert [one["turn"] for one in told["turns"]] == ["trn_2"]
    assert search.one("ten_b", "dec_2") is None, "of another tenant"


def test_what_retention_removes_leaves_the_index(database: Database) -> None:
    keep(database, NOON, document("dec_1", "DENY", ("A",)))
    keep(database, NOON + 9, document("dec_2", "DENY", ("A",)))
    keep(database, NOON + 9, document("dec_1", "DENY", ("A",)), "ten_b")
    assert RetentionRows(database, "local").step("decisions", NOON + 1, []).gone == 1
    assert names(database, marks=("code:A",)) == ["dec_1", "dec_2"]
    numbers = database.read(lambda c: set(c.execute(sa.select(schema.decision_marks.c.n)).scalars()))
    assert numbers == database.read(lambda c: set(c.execute(sa.select(schema.decision_index.c.n)).scalars()))
    assert len(numbers) == 2


def test_an_upgrade_enters_what_is_kept_already(tmp_path: Path) -> None:
    file = tmp_path / "zone.db"
    migrations.upgrade(file, "0010")
    made = document("dec_1", "DENY", ("A", "B"), ("eu", "sg"))
    with closing(sqlite3.connect(file)) as raw:
        raw.execute(
            "INSERT INTO tenants (tenant, slug, title, state, created_at, changed_at) VALUES ('ten_a', 'a', 'A', 'active', 1, 1)"
        )
        raw.executemany(
            "INSERT INTO decisions (tenant, decision, at, document) VALUES ('ten_a', ?, ?, ?)",
            [("dec_1", NOON, json.dumps(made)), ("dec_2", NOON, json.dumps(document("dec_2")))],
        )
        raw.commit()
    migrations.migrate(file)
    with closing(Database(file)) as database:
        assert names(database) == ["dec_2", "dec_1"]
        marks = sa.select(schema.decision_marks.c.mark).where(schema.decision_marks.c.n == NOON * 4_096)
        assert sorted(database.read(lambda c: c.execute(marks).scalars().all())) == decision_index.marks_of(
            made
        )
