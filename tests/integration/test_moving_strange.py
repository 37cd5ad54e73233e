"""A file that is signed and yet not what an export writes: what it may not put in, and how it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import test_moving
from signup_client import Visitor
from test_moving import Mover, Town, bring, code, lines, out, rows, settled, write
from typer.testing import CliRunner

from dragoman.control.admin_client import AdminError
from dragoman.operations import moving
from dragoman.operations.cli_people import people
from dragoman.operations.texts import OperationError, say

town, mover = test_moving.town, test_moving.mover  # fixtures
Begun = tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]


@pytest.fixture
def begun(town: Town, mover: Mover) -> Begun:
    """An import that was begun: what each request names, and the file's rows."""
    file, told = out(town, mover)
    head = json.loads(lines(file)[0])
    held = town.new.ask("in", {"head": head, "file": told["sha256"]})
    place = {"tenant": held["tenant"], "person": held["person"], "file": told["sha256"], "head": head}
    return place, [(one["t"], one["r"]) for one in map(json.loads, lines(file)[1:-1])]


def first(found: Begun, table: str) -> dict[str, Any]:
    return next(row for name, row in found[1] if name == table)


def put(town: Town, found: Begun, *rows: tuple[str, dict[str, Any]]) -> int:
    return int(town.new.ask("in/rows", {**found[0], "rows": rows})["added"])


WRONG: list[tuple[str, str, Any]] = [
    ("uses", "began_at", "text"),
    ("uses", "began_at", {"base64": "AAAA"}),
    ("uses", "began_at", True),
    ("uses", "began_at", 1.5),
    ("uses", "began_at", 2**70),
    ("uses", "began_at", None),
    ("uses", "began_at", [1]),
    ("conversations", "pinned", 1),
    ("conversations", "title", {"base64": "AAAA"}),
    ("conversations", "title", {"base64": 7}),
    ("conversations", "title", "\ud800"),
    ("evidence_files", "data", "text"),
    ("turns", "state", "opened"),
    ("turns", "state", "any"),
    ("evidence", "state", "any"),
    ("appeals", "state", "any"),
]


@pytest.mark.parametrize(("table", "column", "value"), WRONG)
def test_a_value_of_another_kind_than_its_column_is_refused(
    town: Town, begun: Begun, table: str, column: str, value: Any
) -> None:
    before = [one for one in begun[1] if one[0] in {"conversations", "evidence"} and one[0] != table]
    row = first(begun, table)
    put(town, begun, *before)
    with pytest.raises(AdminError) as fault:
        put(town, begun, (table, {**row, column: value}))
    assert code(fault) == "file_strange"
    assert put(town, begun, (table, row)) == 1, "the control"


def test_the_account_s_own_values_are_looked_at_too(town: Town, begun: Begun) -> None:
    moving_in = [one for one in begun[1] if one[0] != "people"]
    put(town, begun, *moving_in)
    end = {**begun[0], "tables": {}}
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/end", {**end, "row": {**first(begun, "people"), "created_at": "yesterday"}})
    assert code(fault) == "file_strange"
    assert town.new.ask("in/end", {**end, "row": first(begun, "people")})["recovery_code"], "the control"


def test_rows_that_refer_to_somebody_else_s_are_not_put_in(town: Town, begun: Begun) -> None:
    other = settled(town)
    file, told = out(town, other)
    bring(town, file, told["key"])
    theirs = [(one["t"], one["r"]) for one in map(json.loads, lines(file)[1:-1])]
    foreign = dict(reversed(theirs))
    put(town, begun, *(one for one in begun[1] if one[0] in {"interventions", "conversations", "evidence"}))
    turn = first(begun, "turns")
    known = rows(town.sg, begun[0]["person"])
    for table, changes in (
        ("turns", {"conversation": foreign["turns"]["conversation"]}),
        ("turns", {"conversation": None}),
        ("turns", {"conversation": "cnv_eu_none"}),
    ):
        with pytest.raises(AdminError) as fault:
            put(town, begun, (table, {**turn, **changes}))
        assert code(fault) == "file_strange", changes
    for table in ("conversations", "evidence_files", "interventions"):
        with pytest.raises(AdminError) as fault:
            put(town, begun, (table, foreign[table]))
        assert code(fault) == "file_strange", table
    statement = {"intervention": other.intervention, "at": 1, "document": "{}"}
    with pytest.raises(AdminError) as fault:
        put(town, begun, ("statements", statement))
    assert code(fault) == "file_strange"
    assert rows(town.sg, begun[0]["person"]) == known
    assert put(town, begun, ("turns", turn)) == 1, "the control"


@pytest.mark.parametrize("where", ["parent", "head"])
def test_nobody_goes_on_from_a_turn_of_another_conversation(town: Town, begun: Begun, where: str) -> None:
    other = settled(town)
    file, told = out(town, other)
    bring(town, file, told["key"])
    table = {"parent": "turns", "head": "conversations"}[where]
    spoilt, done = [], False
    for name, row in begun[1]:
        done, now = done or name == table, name == table and not done
        spoilt.append((name, {**row, where: other.turns[0]} if now else row))
    assert done
    put(town, begun, *(one for one in spoilt if one[0] != "people"))
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/end", {**begun[0], "tables": {}, "row": first(begun, "people")})
    assert code(fault) == "file_strange"
    assert "people" not in rows(town.sg, begun[0]["person"])


@pytest.mark.parametrize("what", ["guest", "conversation"])
def test_nobody_comes_in_under_the_name_of_somebody_who_is_there(town: Town, mover: Mover, what: str) -> None:
    file, told = out(town, mover)
    tenant = town.sg.core.guest_tenant().tenant
    if what == "guest":
        values = [(tenant, mover.became, "guest", "default", 1)]
        write(town.sg, "INSERT INTO principals VALUES (?, ?, ?, ?, ?)", values)
    else:
        columns = "tenant, conversation, principal, created_at, changed_at, turns, metadata"
        values = [(tenant, f"cnv_{mover.became}", mover.became, 1, 1, 0, "{}")]
        write(town.sg, f"INSERT INTO conversations ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    with pytest.raises(AdminError) as fault:
        bring(town, file, told["key"])
    assert code(fault) == "name_taken"
    with pytest.raises(AdminError) as fault:
        moving.try_in(town.new, moving.opened(file, told["key"]), None)
    assert code(fault) == "name_taken"
    for table in ("principals", "conversations"):
        write(town.sg, f"DELETE FROM {table} WHERE principal = ?", [(mover.became,)])
    assert bring(town, file, told["key"])[1]["became"] == mover.became, "the control"


def test_a_number_that_is_taken_while_somebody_comes_in_is_answered(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    whole = moving.opened(file, told["key"])
    town.new.ask("in", {"head": whole.head, "file": whole.digest})
    there = Visitor(town.sg.settings.zone.data / "run", town.sms)
    there.sign_up(mover.phone, residence="SG", least_age=30)
    place = {"tenant": town.sg.core.guest_tenant().tenant, "person": mover.became, "file": whole.digest}
    row = json.loads(lines(file)[-2])["r"]
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/end", {**place, "head": whole.head, "tables": {}, "row": row})
    assert code(fault) == "number_here"


@pytest.mark.parametrize("line", [b'{"t": 7, "r": {}}\n', b'{"t": "uses"}\n', b'{"t": "uses", "r": []}\n'])
def test_a_line_that_is_no_row_is_refused(
    town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    """Signed all the same: by a key that is in other hands."""
    monkeypatch.setattr(moving, "_line", lambda *_: line)
    file, told = out(town, mover, "strange")
    monkeypatch.undo()
    with pytest.raises(OperationError) as fault:
        bring(town, file, told["key"])
    assert code(fault) == "move_format"
    town.sg.core.eraser.erase(town.sg.core.guest_tenant().tenant, mover.became)
    file, told = out(town, mover)
    assert bring(town, file, told["key"])[1]["became"] == mover.became, "the control"


def test_a_receipt_is_written_over_nothing_else(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    config = ["--config", str(town.sg.core.holder.loaded.file)]

    def run(receipt: Path) -> Any:
        words = ["import", str(file), "--key", told["key"], "--receipt", str(receipt)]
        return CliRunner().invoke(people, [*words, *config])

    before = file.read_bytes()
    by_name, by_link = file.with_suffix(".symlink"), file.with_suffix(".link")
    by_name.symlink_to(file)
    by_link.hardlink_to(file)
    for same in (by_name, by_link, file.parent / "." / ".." / file.parent.name / file.name):
        assert run(same).exit_code == 2, same
    kept = file.with_suffix(".kept")
    kept.write_text('{"mine": "own"}', encoding="utf-8")
    for other in (kept, town.folder):
        done = run(other)
        assert (done.exit_code, say("receipt_exists", file=other) in done.output) == (1, True), done.output
    assert (kept.read_text(encoding="utf-8"), file.read_bytes()) == ('{"mine": "own"}', before)
    assert "people" not in rows(town.sg, mover.became)
    receipt = file.with_suffix(".receipt")
    assert run(receipt).exit_code == 0, "the control"
    written = receipt.read_bytes()
    assert run(receipt).exit_code == 0, "a receipt is written over by the same"
    assert receipt.read_bytes() == written
