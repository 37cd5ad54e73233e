"""Passports over a real control: decisions kept once, theirs alone, erased with the conversation, kept by an upgrade."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from turns_control import Relay, answer_record

from dragoman.control.app import Control
from dragoman.stores import migrate as migrations


def rows(control: Control, query: str, *values: Any) -> list[Any]:
    with sqlite3.connect(control.settings.zone.data / "zone.db") as raw:
        return raw.execute(query, values).fetchall()


def decided(relay: Relay) -> str:
    """The decision that control makes on the relay's question."""
    return str(relay.plan("POST", "/plan", relay.question())[1]["decision"]["id"])


def whole_turn(relay: Relay, conversation: str, **result: Any) -> str:
    decision = decided(relay)
    turn = relay.open(conversation)[1]["turn"]
    record = answer_record("Hi")
    told = {"decision": decision, "provider": "local", "model": "dragoman-local", "attempt": 0, **result}
    assert relay.close(turn, record, **told)[0] == 204
    assert relay.finish(turn, record)[0] == 204
    return str(turn)


def passport(relay: Relay, conversation: str, turn: str, query: str = "") -> tuple[int, Any]:
    return relay.v1("GET", f"/{conversation}/turns/{turn}/passport{query}")


def test_an_allowed_turn_says_what_was_decided_and_who_answered(relay: Relay) -> None:
    name = relay.conversation()
    turn = whole_turn(relay, name)
    status, found = passport(relay, name, turn)
    assert status == 200
    assert (found["turn"], found["zone"], found["state"]) == (turn, "local", "finished")
    assert found["answered_by"] == {
        "asked": "dragoman", "provider": "local", "model": "dragoman-local", "attempt": 0,
    }  # fmt: skip
    made = found["decision"]
    assert made["kept"] is True
    assert made["outcome"] in {"ALLOW", "ALLOW_WITH"}
    assert made["id"] == decided(relay)
    (label,) = [one for one in made["obligations"] if one["rule_id"] == "operator.label_always"]
    assert set(label["text"]) == {"en", "zh"}
    assert [one["eligible"] for one in found["providers"]] == [True]
    assert set(made["facts"]) & set(made["unknown"]) == set()
    assert made["facts"]["model"] == "dragoman"


def test_a_decision_is_kept_once_however_many_turns_name_it(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    turns = [whole_turn(relay, name) for _ in range(3)]
    ids = {passport(relay, name, turn)[1]["decision"]["id"] for turn in turns}
    assert len(ids) == 1
    held = rows(control, "SELECT document, grounds FROM decisions WHERE decision = ?", ids.pop())
    assert len(held) == 1
    kept = json.dumps(held)
    for personal in (relay.who["principal"], relay.who["key"], name, *turns, "Hello"):
        assert personal not in kept


def test_a_log_that_is_not_here_is_said_and_no_proof_is_made_up(relay: Relay) -> None:
    name = relay.conversation()
    turn = whole_turn(relay, name)
    ledger = passport(relay, name, turn)[1]["ledger"]
    assert (ledger["state"], ledger["proofs"]) == ("unreadable", [])
    status, body = passport(relay, name, turn, "?proof=result")
    assert (status, body["error"]["code"]) == (409, "proof_not_yet")
    assert passport(relay, name, turn, "?proof=all")[1]["error"]["code"] == "invalid_value"


def test_a_decision_of_an_earlier_release_is_named_and_not_guessed(relay: Relay) -> None:
    name = relay.conversation()
    turn = whole_turn(relay, name, decision="dec_local_" + "f" * 32)
    found = passport(relay, name, turn)[1]
    assert found["decision"] == {"id": "dec_local_" + "f" * 32, "kept": False}
    assert found["providers"] == []
    assert found["answered_by"]["provider"] == "local"


def test_erasure_takes_the_reference_in_one_transaction(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    turn = whole_turn(relay, name)
    running = relay.open(name)[1]["turn"]
    query = "SELECT decision, conversation FROM turns WHERE turn = ?"
    assert rows(control, query, turn)[0][0].startswith("dec_")
    assert relay.v1("DELETE", f"/{name}")[0] == 200
    assert rows(control, query, turn) == []
    assert rows(control, query, running) == [("", None)], "a running one keeps nothing that leads there"
    assert passport(relay, name, turn)[1]["error"]["code"] == "conversation_not_found"


def test_a_running_turn_has_a_passport_without_an_answer(relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.open(name)[1]["turn"]
    found = passport(relay, name, turn)[1]
    assert (found["state"], found["answered_by"]["provider"]) == ("running", None)
    assert found["decision"]["kept"] is True


def test_an_upgrade_keeps_decisions_and_fills_in_what_they_rest_on(tmp_path: Path) -> None:
    file = tmp_path / "zone.db"
    migrations.upgrade(file, "0005")
    with sqlite3.connect(file) as raw:
        raw.execute("INSERT INTO decisions VALUES ('ten', 'dec_old', 5, '{\"id\": \"dec_old\"}')")
    migrations.migrate(file)
    with sqlite3.connect(file) as raw:
        assert raw.execute("SELECT * FROM decisions").fetchall() == [
            ("ten", "dec_old", 5, '{"id": "dec_old"}', None)
        ]
    assert migrations.revision_of(file) == migrations.versions()[-1]
