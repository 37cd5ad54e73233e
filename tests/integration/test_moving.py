"""A person moves to another zone: everything goes along or is named, twice is once, and nothing is lost in between."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from signup_client import Visitor, refusal
from test_evidence import hand_in
from turns_control import Relay
from typer.testing import CliRunner

from dragoman.control.admin_client import AdminClient, AdminError
from dragoman.control.app import Control
from dragoman.ids import new_id, now_ms
from dragoman.ledger.logs import REGISTRY, entries, shards
from dragoman.operations import moving
from dragoman.operations.cli_people import people
from dragoman.operations.moving import Wish, Zone
from dragoman.operations.texts import OperationError, say
from dragoman.policy.data_classes import declared
from dragoman.settings import load
from dragoman.stores.moved import MOVED
from dragoman.testing.sms import FakeSms

PHONES = (f"+65 8123 {number:04}" for number in itertools.count(4100))
CONFIG = """[zone]
id = "{own}"
data = "d"
[zones.{other}]
address = "https://{other}.lamps.example"
countries = ["{country}"]
[deployment]
seat = "SG"
[sms]
url = "{url}"
key_file = "key"
prefix_per_hour = 900
breaker_unproven = 500
"""
CANARY = "an ocarina of bog oak"
PDF = b"%PDF-1.4\n" + CANARY.encode() + bytes(range(256))


@dataclass
class Town:
    """Two zones of one operator, each with a running control."""

    eu: Control
    sg: Control
    sms: FakeSms
    folder: Path

    def zone(self, control: Control) -> Zone:
        return Zone(control.settings, AdminClient(control.settings, control.core.holder.loaded.file))

    @property
    def old(self) -> Zone:
        return self.zone(self.eu)

    @property
    def new(self) -> Zone:
        return self.zone(self.sg)


def made(folder: Path, sms: FakeSms, own: str, other: str) -> Control:
    folder.mkdir()
    (folder / "key").write_text("k\n", encoding="utf-8")
    country = {"eu": "DE", "sg": "SG"}[other]
    text = CONFIG.format(own=own, other=other, country="NZ" if country == "SG" else country, url=sms.url)
    (folder / "dragoman.toml").write_text(text, encoding="utf-8")
    return Control(folder / "dragoman.toml")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("m")
    with closing(FakeSms(key="k")) as sms:
        eu, sg = made(folder / "a", sms, "eu", "sg"), made(folder / "b", sms, "sg", "eu")
        for control in (eu, sg):
            control.start()
        yield Town(eu, sg, sms, folder)
        for control in (eu, sg):
            control.stop()


@dataclass
class Mover:
    """Somebody with something of every kind in the old zone."""

    visitor: Visitor
    relay: Relay
    phone: str
    person: str
    conversation: str
    turns: list[str]
    intervention: str

    @property
    def became(self) -> str:
        return self.person.replace("prn_eu_", "prn_sg_")


@pytest.fixture
def mover(town: Town) -> Mover:
    return settled(town)


def settled(town: Town) -> Mover:
    run, phone = town.eu.settings.zone.data / "run", next(PHONES)
    visitor = Visitor(run, town.sms)
    person = visitor.sign_up(phone, residence="SG", least_age=20)["id"]
    who = visitor.who()
    assert who is not None
    relay = Relay(run, who, log="log_eu_0e0e0e0e0e0e0e0e")
    name = relay.conversation(title=f"Title of {CANARY}")
    turns = [relay.turn(name, f"{CANARY} {n} 🏡", f"about {CANARY} {n}")["turn"] for n in range(25)]
    relay.turn(relay.conversation(), "short", "short")
    assert (
        relay.v1("PUT", f"/{name}/turns/{turns[0]}/feedback", {"rating": "bad", "reason": "wrong"})[0] == 200
    )
    assert hand_in(visitor, "age", f"My {CANARY}.", ("a.pdf", PDF))[0] == 201
    shown = {"tenant": who["tenant"], "id": new_id("int", "eu"), "turn": turns[1], "principal": person}
    rest = {"at": now_ms(), "origin": "rule", "rule": {"id": "op.x"}, "action": "redact"}
    town.eu.core.interventions.keep([({**shown, **rest}, {"statement": "why"})]).result()
    asked = relay.own("POST", "/v1/appeals", {"about": turns[2], "text": f"Not fair to my {CANARY}."})
    assert asked[0] == 201, asked
    return Mover(visitor, relay, phone, person, name, turns, shown["id"])


def wish(mover: Mover, **changes: str) -> Wish:
    return Wish(**{"person": mover.person, "to": "sg", "phone": mover.phone, **changes})


def out(town: Town, mover: Mover, name: str = "one") -> tuple[Path, dict[str, Any]]:
    file = town.folder / f"{mover.person[-6:]}-{name}.jsonl"
    return file, moving.export(town.old, wish(mover), file, lambda _: None)


def bring(town: Town, file: Path, key: str, name: str = "receipt") -> tuple[Path, dict[str, Any]]:
    receipt = file.with_suffix(f".{name}")
    return receipt, moving.bring(town.new, moving.opened(file, key), None, receipt, lambda _: None)


def held(control: Control) -> bytes:
    """Every byte of every file of a zone's folder."""
    files = (path for path in sorted(control.settings.zone.data.rglob("*")) if path.is_file())
    return b"\n".join(path.read_bytes() for path in files)


def rows(control: Control, person: str) -> dict[str, int]:
    """How many rows name a person in any column of any table."""
    found = {}
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        for (table,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            names = [row[1] for row in raw.execute(f"PRAGMA table_info({table})")]
            where = " OR ".join(f'instr(CAST("{name}" AS TEXT), ?)' for name in names)
            many = raw.execute(
                f"SELECT count(*) FROM {table} WHERE {where}", [person] * len(names)
            ).fetchone()[0]
            if many:
                found[table] = many
    return found


def acts(control: Control) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        found = [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]
    return [one for one in found if str(one["act"]).startswith("person.")]


def code(fault: pytest.ExceptionInfo[Any]) -> str:
    return str(fault.value.code)


def test_everything_of_a_person_moves_and_then_is_erased(town: Town, mover: Mover) -> None:
    before = mover.relay.v1("GET", f"/{mover.conversation}/turns?limit=100")[1]["data"]
    salts = _column(town.eu, "turns", "salt", mover.person)
    file, told = out(town, mover)
    assert file.stat().st_mode & 0o077 == 0
    assert told["tables"]["turns"] == 26
    assert told["tables"]["evidence_files"] == 1
    _, came = bring(town, file, told["key"])
    assert came["became"] == mover.became
    there = Visitor(town.sg.settings.zone.data / "run", town.sms)
    assert there.ask(mover.phone)[0] == 202
    back = there.sign_up(next(PHONES), residence="SG", least_age=20)
    assert back["created"], "the control: another number is somebody new"
    _sign_in(there, mover, town)
    who = there.who()
    assert who is not None
    assert who["principal"] == mover.became
    now = Relay(town.sg.settings.zone.data / "run", who)
    after = now.v1("GET", f"/{mover.conversation}/turns?limit=100")[1]["data"]
    assert [strip(one) for one in after] == [strip(one) for one in before]
    assert _column(town.sg, "turns", "salt", mover.became) == salts, (
        "commitments of the old ledger still open"
    )
    assert now.v1("GET", "")[1]["data"][-1]["title"] == f"Title of {CANARY}"
    assert town.sg.indexer is not None
    (handed,) = there.call("GET", "/v1/me/evidence")[1]["data"]
    assert (handed["text"], handed["state"]) == (f"My {CANARY}.", "waiting")
    assert now.own("GET", "/v1/appeals")[1]["data"][0]["text"] == f"Not fair to my {CANARY}."
    assert there.call("GET", "/v1/me/placement")[1]["residence"]["country"] == "SG"
    found = now.v1("GET", "?q=ocarina")[1]["data"]
    assert mover.conversation in json.dumps(found), "it is found there"
    passport = now.v1("GET", f"/{mover.conversation}/turns/{mover.turns[0]}/passport")[1]
    assert (passport["ledger"]["state"], passport["ledger"]["log"]) == ("elsewhere", mover.relay.log)
    statement = there.call("GET", f"/v1/interventions/{mover.intervention}")[1]
    assert statement == {"statement": "why"}
    assert now.turn(mover.conversation, "And here?", "Here too.")["turn"], "the conversation goes on"

    zone, whole = town.old, moving.opened(file, *town.old.keys())
    receipt = moving.received(file.with_suffix(".receipt"), whole, came["key"], zone)
    assert CANARY.encode() in held(town.eu), "the control"
    assert moving.compared(zone, whole) > 26
    gone = moving.erase(zone, whole, receipt)
    assert (gone["conversations"], gone["turns"]) == (2, 26)
    town.eu.core.database.write(lambda _: None)
    assert CANARY.encode() not in held(town.eu)
    assert set(rows(town.eu, mover.person)) <= {"interventions", "changes"}, "named as staying"
    assert CANARY.encode() in held(town.sg)
    told_old = [one["act"] for one in acts(town.eu)]
    assert [one for one in told_old if one != "person.signup"][-3:] == [
        "person.moving",
        "person.moved",
        "person.erase",
    ]
    moved = next(one for one in acts(town.eu) if one["act"] == "person.moved" and whole.digest in one["file"])
    arrived = next(
        one for one in acts(town.sg) if one["act"] == "person.arrived" and one["file"] == moved["file"]
    )
    assert (moved["to"], arrived["from"]) == ("sg", "eu")
    for control in (town.eu, town.sg):
        assert mover.person not in json.dumps(acts(control))
        assert mover.became not in json.dumps(acts(control))


def strip(turn: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in turn.items() if name != "siblings"}


def _column(control: Control, table: str, column: str, person: str) -> list[Any]:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        query = f"SELECT {column} FROM {table} WHERE principal = ? ORDER BY turn"
        return [row[0] for row in raw.execute(query, (person,))]


def _sign_in(there: Visitor, mover: Mover, town: Town) -> None:
    """By the number, which the new zone was sent a code for, as whoever comes back."""
    status, made = there.call("POST", "/v1/signup/phone", {"phone": mover.phone}, idempotency_key="k" * 20)[
        :2
    ]
    if status == 429:  # a minute has not gone since the code before
        with closing(sqlite3.connect(town.sg.settings.zone.data / "zone.db", timeout=30)) as raw:
            query = "SELECT challenge FROM phone_codes WHERE state = 'open' ORDER BY created_at DESC"
            name = next(row[0] for row in raw.execute(query) if row[0])
        made = {"id": name}
    status, back = there.verify(made["id"], there.code(mover.phone))
    assert (status, back["created"]) == (200, False), back


def test_whoever_moves_is_frozen_until_it_stays(town: Town, mover: Mover) -> None:
    out(town, mover)
    assert refusal(mover.relay.v1("GET", "")) == (403, "being_moved")
    assert refusal(mover.relay.open(mover.conversation)) == (403, "being_moved")
    assert mover.visitor.who() is None
    asked = mover.visitor.ask(mover.phone)
    if asked[0] == 202:
        proof = mover.visitor.verify(asked[1]["id"], mover.visitor.code(mover.phone), new_account=True)
        assert refusal(proof) == (403, "being_moved"), "nobody takes the number of a frozen account"
    moving.stay(town.old, mover.person)
    assert mover.visitor.who() is not None
    assert mover.relay.turn(mover.conversation, "Still here", "Yes")["turn"]
    assert [one["act"] for one in acts(town.eu)][-2:] == ["person.moving", "person.stays"]


def test_an_export_that_failed_leaves_no_file(
    town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr(Zone, "signed", full)
    with pytest.raises(OSError, match="no space"):
        out(town, mover)
    assert [one for one in town.folder.iterdir() if mover.person[-6:] in one.name] == []
    monkeypatch.undo()
    file, told = out(town, mover)
    assert moving.opened(file, told["key"]).rows > 26, "the control: then it is written"


def test_a_dry_run_changes_nothing(town: Town, mover: Mover) -> None:
    before = rows(town.eu, mover.person)
    told = moving.try_out(town.old, wish(mover))
    assert told["tables"]["turns"] == 26
    assert rows(town.eu, mover.person) == before
    assert mover.visitor.who() is not None
    file, made = out(town, mover)
    known = rows(town.sg, mover.became)
    assert moving.try_in(town.new, moving.opened(file, made["key"]), None)["again"] is False
    assert rows(town.sg, mover.became) == known == {}


def test_twice_is_once_and_what_was_erased_there_does_not_come_back(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    first, came = bring(town, file, told["key"])
    known = rows(town.sg, mover.became)
    second, again = bring(town, file, told["key"], "again")
    assert (again["again"], again["recovery_code"]) == (True, None)
    assert came["recovery_code"]
    assert rows(town.sg, mover.became) == known
    assert json.loads(first.read_text()) == json.loads(second.read_text())
    town.sg.core.eraser.erase(town.sg.core.guest_tenant().tenant, mover.became)
    with pytest.raises(AdminError) as fault:
        bring(town, file, told["key"], "third")
    assert code(fault) == "person_erased"


def write(control: Control, statement: str, rows: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db", timeout=30)) as raw:
        raw.executemany(statement, rows)
        raw.commit()


def marks(control: Control, name: str) -> list[str]:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db", timeout=30)) as raw:
        return [row[0] for row in raw.execute("SELECT value FROM zone_meta WHERE name = ?", (name,))]


MARK = "INSERT INTO zone_meta (tenant, name, value) VALUES (?, ?, ?)"


@pytest.fixture
def crowd(town: Town) -> Iterator[str]:
    """The tenant, after more arrivals and removals of others than one query shows."""
    tenant = town.sg.core.guest_tenant().tenant
    arrived = [(tenant, f"arrived:{n:064}", '{"became": "prn_sg_other"}') for n in range(1001)]
    removing = [
        (tenant, f"removing:{n:040}", '{"principal": "prn_sg_other", "turns": 0}') for n in range(1001)
    ]
    write(town.sg, MARK, [*arrived, *removing])
    yield tenant
    write(town.sg, "DELETE FROM zone_meta WHERE name = ?", [(one[1],) for one in (*arrived, *removing)])


def test_after_a_thousand_arrivals_an_erasure_still_blanks_who_came(
    town: Town, mover: Mover, crowd: str
) -> None:
    file, told = out(town, mover)
    bring(town, file, told["key"])
    (kept,) = marks(town.sg, f"arrived:{told['sha256']}")
    assert mover.became in kept, "the control"
    town.sg.core.eraser.erase(crowd, mover.became)
    assert marks(town.sg, f"arrived:{told['sha256']}") == ["{}"]
    assert "prn_sg_other" in marks(town.sg, f"arrived:{0:064}")[0], "others' stay"


def test_after_a_thousand_removals_a_person_s_own_is_found(town: Town, crowd: str) -> None:
    last = ("removing:~own", json.dumps({"principal": "prn_sg_own", "turns": 3}))
    write(town.sg, MARK, [(crowd, *last)])
    found = town.sg.core.conversations.read(crowd, lambda rows: list(rows.removing_of("prn_sg_own")))
    assert found == ["~own"]
    write(town.sg, "DELETE FROM zone_meta WHERE name = ?", [(last[0],)])


def test_who_is_half_in_by_a_file_is_erased_and_comes_in_by_another(town: Town, mover: Mover) -> None:
    """The remedy that `file_other` names."""
    file, told = out(town, mover)
    whole = moving.opened(file, told["key"])
    begun = town.new.ask("in", {"head": whole.head, "file": "f" * 64})
    place = {"tenant": begun["tenant"], "person": begun["person"]}
    with pytest.raises(AdminError) as fault:
        bring(town, file, told["key"])
    assert code(fault) == "file_other"
    assert mover.became in str(fault.value)
    town.sg.core.eraser.erase(begun["tenant"], mover.became)
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/rows", {**place, "file": "f" * 64, "rows": []})
    assert code(fault) == "file_not_begun", "what comes late begins nothing"
    _, came = bring(town, file, told["key"])
    assert came["became"] == mover.became


def test_what_comes_late_puts_nothing_in(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    whole = moving.opened(file, told["key"])
    _, came = bring(town, file, told["key"])
    place = {"tenant": town.sg.core.guest_tenant().tenant, "person": came["became"], "file": whole.digest}
    known = rows(town.sg, mover.became)
    late = {"principal": "x", "notice": "late", "kind": "notice", "at": 1}
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/rows", {**place, "rows": [["notices_shown", late]]})
    assert code(fault) == "file_not_begun"
    last = json.loads(lines(file)[-2])["r"]
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/end", {**place, "head": whole.head, "tables": {}, "row": last})
    assert code(fault) == "file_not_begun"
    assert rows(town.sg, mover.became) == known
    assert marks(town.sg, f"arriving:{mover.became}") == []


def broken_off(
    town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> tuple[moving.Zone, moving.File, tuple[moving.Line, str]]:
    """Zone, file and receipt of somebody whose erasure began and did not end."""
    file, told = out(town, mover)
    receipt, came = bring(town, file, told["key"])
    zone, whole = town.old, moving.opened(file, *town.old.keys())
    proof = moving.received(receipt, whole, came["key"], zone)

    def dies(*_: Any) -> None:
        raise OSError("the machine went off")

    monkeypatch.setattr(town.eu.core.eraser, "erase", dies)
    with pytest.raises(AdminError):
        moving.erase(zone, whole, proof)
    monkeypatch.undo()
    return zone, whole, proof


def test_who_is_being_erased_does_not_stay(town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    zone, whole, proof = broken_off(town, mover, monkeypatch)
    with pytest.raises(AdminError) as fault:
        moving.stay(zone, mover.person)
    assert code(fault) == "move_over"
    assert mover.visitor.who() is None
    assert moving.erase(zone, whole, proof)["turns"] == 26
    someone = settled(town)
    out(town, someone)
    mark = (town.eu.core.guest_tenant().tenant, f"erasing:{someone.person}", "{}")
    write(town.eu, MARK, [mark])
    with pytest.raises(AdminError) as fault:
        moving.stay(zone, someone.person)
    assert code(fault) == "move_over"
    write(town.eu, "DELETE FROM zone_meta WHERE name = ?", [(mark[1],)])
    moving.stay(zone, someone.person)
    assert someone.visitor.who() is not None, "the control"


@pytest.mark.parametrize("why", ["folder", "key"])
def test_a_receipt_that_cannot_be_written_costs_no_recovery_code(
    town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    file, told = out(town, mover)
    whole = moving.opened(file, told["key"])
    receipt = file.with_suffix(".receipt")
    if why == "folder":
        receipt = file.parent / "missing" / "receipt"
    else:
        monkeypatch.setattr("dragoman.operations.moving.shards", lambda _: [])
    with pytest.raises((OSError, OperationError)):
        moving.bring(town.new, whole, None, receipt, lambda _: None)
    monkeypatch.undo()
    assert "people" not in rows(town.sg, mover.became)
    _, came = bring(town, file, told["key"])
    assert came["recovery_code"], "it is still to be told"
    assert not list(town.folder.glob(".*.partial"))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_import_that_broke_off_is_gone_on_with(
    town: Town, mover: Mover, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "BATCH_ROWS", 9)
    file, told = out(town, mover)
    sent = itertools.count()
    plain = Zone.ask

    def breaks(self: Zone, name: str, body: Any, timeout_s: float = 120.0) -> Any:
        if name == "in/rows" and next(sent) == after:
            raise OSError("the machine went off")
        return plain(self, name, body, timeout_s)

    monkeypatch.setattr(Zone, "ask", breaks)
    with pytest.raises(OSError, match="went off"):
        bring(town, file, told["key"])
    monkeypatch.setattr(Zone, "ask", plain)
    assert "people" not in rows(town.sg, mover.became), "nobody is there before all of it is"
    assert rows(town.eu, mover.person)["people"] == 1, "and nothing is gone where it was"
    _, came = bring(town, file, told["key"])
    assert came["again"] is False
    assert rows(town.sg, mover.became)["turns"] == 26


def test_the_erasure_wants_the_receipt_of_this_file(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    receipt, came = bring(town, file, told["key"])
    someone = settled(town)
    other, key = out(town, someone)
    foreign, _ = bring(town, other, key["key"])
    whole = moving.opened(file, *town.old.keys())
    changed = json.loads(receipt.read_text())
    changed["receipt"]["person"] = someone.person
    forged = file.with_suffix(".forged")
    forged.write_text(json.dumps(changed), encoding="utf-8")
    (file.with_suffix(".none")).write_text("{}", encoding="utf-8")
    for given, wanted, by in (
        (foreign, "receipt_other", came["key"]),
        (forged, "move_signature", came["key"]),
        (receipt, "move_signature", told["key"]),
        (file.with_suffix(".none"), "receipt_format", came["key"]),
    ):
        with pytest.raises(OperationError) as fault:
            moving.received(given, whole, by, town.old)
        assert code(fault) == wanted
    assert moving.received(receipt, whole, came["key"], town.old), "the control"
    assert rows(town.eu, mover.person)["turns"] == 26


def test_what_is_not_in_the_file_is_not_erased(town: Town, mover: Mover) -> None:
    file, _ = out(town, mover)
    whole = moving.opened(file, *town.old.keys())
    assert moving.compared(town.old, whole) > 26, "the control"
    with closing(sqlite3.connect(town.eu.settings.zone.data / "zone.db", timeout=30)) as raw:
        raw.execute("UPDATE turns SET feedback = '{}' WHERE turn = ?", (mover.turns[3],))
        raw.commit()
    with pytest.raises(OperationError) as fault:
        moving.compared(town.old, whole)
    assert code(fault) == "move_differs"


def test_an_erasure_that_broke_off_is_gone_on_with(
    town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone, whole, proof = broken_off(town, mover, monkeypatch)
    moving.compared(zone, whole)
    moving.erase(zone, whole, proof)
    assert moving.compared(zone, whole) == 0
    with pytest.raises(AdminError) as done:
        moving.erase(zone, whole, proof)
    assert code(done) == "not_moving"
    assert set(rows(town.eu, mover.person)) <= {"interventions", "changes"}
    one = [a for a in acts(town.eu) if a["act"] == "person.moved" and whole.digest in a["file"]]
    assert len(one) == 1


def lines(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines(keepends=True)


def without(all_: list[bytes], name: str) -> bytes:
    """A file whose head does not say something."""
    head = {key: value for key, value in json.loads(all_[0]).items() if key != name}
    return b"".join([json.dumps(head).encode() + b"\n", *all_[1:]])


SPOILT: dict[str, tuple[Callable[[list[bytes]], bytes], str]] = {
    "a changed byte": (lambda all_: b"".join(all_).replace(b"ocarina", b"ocarinb", 1), "move_changed"),
    "a row less": (lambda all_: b"".join([*all_[:5], *all_[6:]]), "move_changed"),
    "rows in another order": (lambda all_: b"".join([all_[0], all_[2], all_[1], *all_[3:]]), "move_changed"),
    "cut short": (lambda all_: b"".join(all_[:-1]), "move_short"),
    "something behind its end": (lambda all_: b"".join(all_) + b"{}\n", "move_short"),
    "no head": (lambda all_: b"".join(all_[1:]), "move_format"),
    "no JSON": (lambda _: b"not a file\n", "move_changed"),
    "nothing": (lambda _: b"", "move_format"),
    "a head without its zone": (lambda all_: without(all_, "zone"), "move_format"),
    "a head without its tables": (lambda all_: without(all_, "tables"), "move_format"),
    "an end with a fraction": (
        lambda all_: b"".join([*all_[:-1], b'{"end": {"rows": 1.5}, "note": ""}\n']),
        "move_format",
    ),
    "an end with too large a number": (
        lambda all_: b"".join([*all_[:-1], b'{"end": 9007199254740993, "note": ""}\n']),
        "move_format",
    ),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_file_that_is_not_as_it_was_is_refused(town: Town, mover: Mover, spoilt: str) -> None:
    file, told = out(town, mover)
    assert moving.opened(file, told["key"]).rows > 26, "the control"
    make, wanted = SPOILT[spoilt]
    bad = file.with_suffix(".bad")
    bad.write_bytes(make(lines(file)))
    with pytest.raises(OperationError) as fault:
        moving.opened(bad, told["key"])
    assert code(fault) == wanted


def test_a_file_by_another_key_is_refused(town: Town, mover: Mover) -> None:
    file, _ = out(town, mover)
    for key in (town.new.keys()[-1], "no key at all", ""):
        with pytest.raises(OperationError) as fault:
            moving.opened(file, key)
        assert code(fault) == "move_signature"


def test_a_file_comes_in_at_the_zone_it_names_alone(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    whole = moving.opened(file, told["key"])
    with pytest.raises(AdminError) as fault:
        moving.bring(town.old, whole, None, file.with_suffix(".x"), lambda _: None)
    assert code(fault) == "file_elsewhere"
    with pytest.raises(AdminError) as fault:
        moving.bring(town.new, whole, "nobody", file.with_suffix(".x"), lambda _: None)
    assert code(fault) == "tenant_not_found"
    for head, wanted in (
        ({"zone": "sg"}, "zone_strange"),
        ({"zone": "us"}, "zone_strange"),
        ({"schema": "0001"}, "file_release"),
        ({"person": mover.became}, "file_strange"),
    ):
        body = {"head": {**whole.head, **head}, "file": whole.digest}
        with pytest.raises(AdminError) as fault:
            town.new.ask("in", body)
        assert code(fault) == wanted
    assert rows(town.sg, mover.became) == {}


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"to": "eu"}, "zone_strange"),
        ({"to": "us"}, "zone_strange"),
        ({"phone": "+65 8123 4000"}, "number_other"),
        ({"phone": "8123"}, "phone_invalid"),
        ({"person": "prn_eu_00000000-0000-7000-8000-000000000000"}, "person_not_found"),
    ],
)
def test_who_cannot_move_is_not_frozen(
    town: Town, mover: Mover, changes: dict[str, str], wanted: str
) -> None:
    file = town.folder / f"{mover.person[-6:]}-not.jsonl"
    with pytest.raises(AdminError) as fault:
        moving.export(town.old, wish(mover, **changes), file, lambda _: None)
    assert code(fault) == wanted
    assert mover.visitor.who() is not None
    assert not file.exists()


def test_the_number_and_another_file_stand_in_the_way(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    town.new.ask("in", {"head": told, "file": "f" * 64})
    with pytest.raises(AdminError) as fault:
        bring(town, file, told["key"])
    assert code(fault) == "file_other"
    someone = settled(town)
    there = Visitor(town.sg.settings.zone.data / "run", town.sms)
    with closing(sqlite3.connect(town.eu.settings.zone.data / "zone.db", timeout=30)) as raw:
        raw.execute("DELETE FROM phone_codes")
        raw.commit()
    there.sign_up(someone.phone, residence="SG", least_age=30)
    second, key = out(town, someone)
    with pytest.raises(AdminError) as fault:
        bring(town, second, key["key"])
    assert code(fault) == "number_here"


def test_a_running_turn_is_waited_for(town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mover.relay.open(mover.conversation, "runs")[1]["state"] == "opened"
    monkeypatch.setattr(moving, "WAIT_S", 0.2)
    with pytest.raises(OperationError) as fault:
        out(town, mover)
    assert code(fault) == "move_running"


def test_rows_that_no_export_writes_are_not_put_in(town: Town, mover: Mover) -> None:
    file, told = out(town, mover)
    whole = moving.opened(file, told["key"])
    begun = town.new.ask("in", {"head": whole.head, "file": whole.digest})
    place = {"tenant": begun["tenant"], "person": begun["person"], "file": whole.digest}
    for row in (
        ["admins", {}],
        ["people", {}],
        ["turns", {"turn": "x"}],
        ["uses", {"principal": "x", "more": 1}],
    ):
        with pytest.raises(AdminError) as fault:
            town.new.ask("in/rows", {**place, "rows": [row]})
        assert code(fault) == "file_strange"
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/end", {**place, "head": whole.head, "tables": {"turns": 26}, "row": {}})
    assert code(fault) == "file_incomplete"
    with pytest.raises(AdminError) as fault:
        town.new.ask("in/rows", {"rows": []})
    assert code(fault) == "invalid_question"


def test_every_class_and_column_of_a_person_moves_or_says_why_not() -> None:
    known = tomllib.loads(resources.files("dragoman.policy").joinpath("moving.toml").read_text("utf-8"))
    assert set(known["classes"]) == set(declared().titles)
    moves = {name for name, one in known["classes"].items() if one.get("moves")}
    assert all({"en", "zh"} <= set(one) for name, one in known["classes"].items() if name not in moves)
    tables = {one.table.name: one for one in MOVED}
    concerned = {name for name, of in declared().tables.items() if moves & set(of.values())}
    assert concerned == set(tables) | set(known["tables"])
    for name, one in tables.items():
        told = {column.name for column in one.columns} | one.left | {"tenant"}
        assert told == set(declared().tables[name]), name
    by_person = {"principal", "person"}
    of_people = {name for name, of in declared().tables.items() if by_person & set(of)}
    assert of_people == {
        *(name for name, one in tables.items() if one.owner),
        *("principals", "claims", "keys", "search_items", "search_postings"),
    }, "a new table that names people has to be decided on here"


def verb(*words: str, config: Path, fails: bool = False) -> Any:
    command = [sys.executable, "-m", "dragoman.cli", "people", *words, "--config", str(config), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == int(fails), done.stdout + done.stderr
    return json.loads(done.stdout)


def test_the_verbs_move_somebody_between_zones_that_are_not_served(tmp_path: Path) -> None:
    with closing(FakeSms(key="k")) as sms:
        eu, sg = made(tmp_path / "a", sms, "eu", "sg"), made(tmp_path / "b", sms, "sg", "eu")
        for control in (eu, sg):
            control.start()
        mover = settled(Town(eu, sg, sms, tmp_path))
        for control in (eu, sg):
            control.stop()
    old, new = tmp_path / "a" / "dragoman.toml", tmp_path / "b" / "dragoman.toml"
    file, receipt = str(tmp_path / "m.jsonl"), str(tmp_path / "m.jsonl.receipt")
    told = verb("export", mover.person, file, "--to", "sg", "--phone", mover.phone, config=old)
    wrong = verb("import", file, "--key", "x+00000000+AAAA", config=new, fails=True)
    assert wrong["error"]["code"] == "move_signature"
    came = verb("import", file, "--key", told["key"], config=new)
    assert came["became"] == mover.became
    assert verb("erase", file, "--receipt", receipt, "--key", came["key"], config=old)["turns"] == 26
    data = load(old).zone.data
    assert CANARY.encode() not in b"".join(one.read_bytes() for one in data.rglob("*") if one.is_file())
    for config, act in ((old, "person.moved"), (new, "person.arrived")):
        control = Control(config)  # what verbs did while nothing was served is carried at the next start
        control.start()
        control.stop()
        written = [one.value for shard in shards(load(config).zone.data / REGISTRY) for one in entries(shard)]
        assert [one["file"] for one in written if one.get("act") == act] == [f"sha256:{told['sha256']}"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_verbs_say_what_they_did_and_what_comes_next(
    town: Town, mover: Mover, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("LC_ALL", {"en": "C.UTF-8", "zh": "zh_CN.UTF-8"}[language])

    def said(control: Control, *words: str, code: int = 0) -> str:
        config = ["--config", str(control.core.holder.loaded.file)]
        done = CliRunner().invoke(people, [*words, *config])
        assert done.exit_code == code, done.output
        return done.output

    file = str(town.folder / f"{mover.person[-6:]}-said.jsonl")
    wanted = (mover.person, file, "--to", "sg", "--phone", mover.phone)
    assert mover.person in said(town.eu, "export", *wanted, "--dry-run")
    assert not Path(file).exists()
    exported = said(town.eu, "export", *wanted)
    key = town.old.keys()[-1]
    assert f"--key '{key}'" in exported
    assert moving.left()["usage"][language] in exported
    assert said(town.eu, "export", *wanted, code=1), "never over a file that is there"
    assert mover.became in said(town.sg, "import", file, "--key", key, "--dry-run")
    imported = said(town.sg, "import", file, "--key", key)
    assert mover.became in imported
    assert f"--receipt {Path(file).absolute()}.receipt" in imported
    assert say("move_again", person=mover.person, became=mover.became) in said(
        town.sg, "import", file, "--key", key
    )
    proof = ("--receipt", f"{file}.receipt", "--key", town.new.keys()[-1])
    assert mover.person in said(town.eu, "erase", file, *proof, "--dry-run")
    assert mover.visitor.who() is None
    assert rows(town.eu, mover.person)["turns"] == 26, "a dry run"
    assert "26" in said(town.eu, "erase", file, *proof)
    someone = settled(town)
    assert someone.person in said(town.eu, "stay", someone.person)
