"""What happens to stored turns without a request: sweeps, expiry, erasure and export, clocks that jump, operators' verbs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from turns_control import Relay, answer_record, new_key, person

from dragoman.assistants.erasure import export_person
from dragoman.assistants.turns import KEPT_MS
from dragoman.control.app import Control
from dragoman.control.turns import GRACE_SECONDS, TurnSweep, Watch
from dragoman.ids import new_id, now_ms

DEADLINE_S = 1_800


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def watched(control: Control, relay: Relay) -> tuple[Clock, Watch, TurnSweep]:
    clock = Clock()
    watch = Watch(clock)
    return clock, watch, TurnSweep(control.core.turns, watch)


def watch_of(relay: Relay, watch: Watch, *turns: str) -> None:
    for turn in turns:
        watch.opened(relay.who["tenant"], turn, relay.log, DEADLINE_S * 1000)


def test_turns_of_a_silent_log_are_given_up(relay: Relay, watched: tuple[Clock, Watch, TurnSweep]) -> None:
    clock, watch, sweep = watched
    name = relay.conversation()
    turn = relay.open(name)[1]["turn"]
    closing = relay.open(None)[1]["turn"]
    record = answer_record("x")
    relay.close(closing, record)
    watch_of(relay, watch, turn, closing)
    clock.at += DEADLINE_S
    assert sweep.sweep()[0] == 0, "not yet"
    clock.at += 1
    assert sweep.sweep()[0] == 1, "the closing one stands: its entry may be in the log"
    assert relay.v1("GET", f"/{name}/turns/{turn}")[1]["state"] == "interrupted"
    assert relay.close(turn, record)[1]["error"]["code"] == "turn_interrupted"
    assert relay.finish(closing, record)[0] == 204
    assert watch.lost() == []


def test_contact_keeps_turns_until_they_are_long_past_their_deadline(
    relay: Relay, watched: tuple[Clock, Watch, TurnSweep]
) -> None:
    clock, watch, sweep = watched
    turn = relay.open(relay.conversation())[1]["turn"]
    watch_of(relay, watch, turn)
    for _ in range(3):
        clock.at += DEADLINE_S / 3 + GRACE_SECONDS / 4
        watch.contact(relay.log)
        watch.contact("another log")
        assert sweep.sweep()[0] == 0
    clock.at += GRACE_SECONDS
    watch.contact(relay.log)
    assert sweep.sweep()[0] == 1


def test_a_restarted_control_begins_to_count_anew(control: Control, relay: Relay) -> None:
    turn = relay.open(relay.conversation())[1]["turn"]
    clock = Clock()
    watch = Watch(clock)
    sweep = TurnSweep(control.core.turns, watch)
    sweep.start()
    clock.at += DEADLINE_S - 1
    assert turn not in {name for _, name in watch.lost()}
    clock.at += 2
    assert turn in {name for _, name in watch.lost()}
    sweep.stop()
    assert relay.outcome(turn, "abandoned")[0] == 204


def test_answers_of_stateless_turns_end_with_their_salts(control: Control, relay: Relay) -> None:
    marker = "gone-tomorrow"
    claim = {"key": "day", "body": "b"}
    turn = relay.open(None, idempotency=claim)[1]["turn"]
    record = answer_record(marker)
    relay.close(turn, record)
    relay.finish(turn, record)
    name = relay.conversation()
    kept = relay.turn(name, "Hello", "stays", idempotency={"key": "day 2", "body": "b"})["turn"]
    at = now_ms()
    sweep = TurnSweep(control.core.turns, Watch(), lambda: at + KEPT_MS - 60_000)
    sweep.sweep()
    stored = b"".join(file.read_bytes() for file in control.settings.zone.data.glob("zone.db*"))
    assert marker.encode() in stored, "the control: it is there"
    assert relay.open(None, idempotency=claim)[1]["answer"] == record, "a day has not passed"
    TurnSweep(control.core.turns, Watch(), lambda: at + KEPT_MS + 60_000).sweep()
    rows = control.core.turns.read(relay.who["tenant"], lambda r: (r.turn(turn), r.turn(kept)))
    assert rows[0] is None
    stored = b"".join(file.read_bytes() for file in control.settings.zone.data.glob("zone.db*"))
    assert marker.encode() not in stored
    assert rows[1] is not None
    assert rows[1].claim is None
    assert relay.v1("GET", f"/{name}/turns/{kept}")[1]["answer"]["choices"][0]["message"]["content"].endswith(
        "stays"
    )
    assert relay.open(None, idempotency=claim)[1]["state"] == "opened"


def test_one_person_is_exported_and_erased(control: Control, relay: Relay) -> None:
    run = control.settings.zone.data / "run"
    other = Relay(run, person(run, new_key(run)["text"]), log=relay.log)
    marker = f"personal {new_id('x0', 'local')}"
    names = [relay.conversation(title=marker) for _ in range(25)]
    first = relay.turn(names[0], marker, marker)["turn"]
    second = relay.turn(names[0], "again", marker, parent="root")["turn"]
    relay.turn(names[3], marker, marker, status="cancelled")
    claimed = relay.open(None, idempotency={"key": "mine", "body": "b"})[1]["turn"]
    relay.close(claimed, answer_record(marker))
    relay.finish(claimed, answer_record(marker))
    running = relay.open(names[4], marker)[1]["turn"]
    theirs = other.conversation(title="Theirs")
    other.turn(theirs, "Hello", "Hi")
    store, who = control.core.conversations, relay.who
    exported = list(export_person(store, who["tenant"], who["principal"]))
    assert [one["id"] for one in exported] == sorted(names, reverse=True)
    talked = next(one for one in exported if one["id"] == names[0])
    assert [one["id"] for one in talked["items"]] == [first, second]
    assert marker in json.dumps(talked)
    assert list(export_person(store, who["tenant"], new_id("prn", "local"))) == []
    assert control.core.eraser.erase(who["tenant"], who["principal"]) == {"conversations": 25, "turns": 4}
    assert relay.v1("GET", "")[1]["data"] == []
    left = b"".join(file.read_bytes() for file in control.settings.zone.data.glob("zone.db*"))
    assert marker.encode() not in left
    assert relay.open(None, idempotency={"key": "mine", "body": "b"})[1]["state"] == "opened", (
        "the key is forgotten"
    )
    assert relay.close(running, answer_record("late"))[0] == 204
    assert other.v1("GET", f"/{theirs}/turns")[1]["data"][0]["answer"] is not None
    assert control.core.eraser.erase(who["tenant"], who["principal"]) == {"conversations": 0, "turns": 0}


def test_reminders_are_counted_over_conversations(control: Control, relay: Relay) -> None:
    one, two = relay.conversation(), relay.conversation()
    tenant, principal = relay.who["tenant"], relay.who["principal"]
    relay.turn(one)
    began = control.core.turns.read(tenant, lambda rows: rows.use(principal))
    relay.turn(two)
    now = control.core.turns.read(tenant, lambda rows: rows.use(principal))
    assert began is not None
    assert now is not None
    assert now.began_at == began.began_at
    assert now.last_at >= began.last_at
    assert control.core.turns.read(tenant, lambda rows: rows.shown(principal)) == []


def test_operators_see_no_text(control: Control, relay: Relay) -> None:
    name = relay.conversation(title="A secret title")
    relay.turn(name, "A secret question", "A secret answer")
    principal = relay.who["principal"]
    status, listed = relay.call(
        "admin.sock", "GET", f"/admin/v1/conversations?tenant=default&principal={principal}"
    )
    assert (status, [one["conversation"] for one in listed["conversations"]]) == (200, [name])
    status, shown = relay.call(
        "admin.sock", "GET", f"/admin/v1/conversations/show?tenant=default&conversation={name}"
    )
    assert (status, shown["shown"][0]["status"]) == (200, "finished")
    assert "secret" not in json.dumps([listed, shown])
    for path in ("?tenant=nobody", "/show?tenant=default&conversation=cnv_x", ""):
        assert relay.call("admin.sock", "GET", f"/admin/v1/conversations{path}")[0] in {400, 404}
    data = control.settings.zone.data.parent / "dragoman.toml"
    command = [Path(sys.executable).with_name("dragoman"), "conversations", "--help"]
    assert (
        "Texts are never shown" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )
    listed_by = subprocess.run(
        [command[0], "conversations", "delete", name, "--config", data, "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(listed_by.stdout) == {"conversations": 1, "turns": 1}
    assert relay.v1("GET", f"/{name}")[0] == 404
    status, gone = relay.call(
        "admin.sock", "POST", "/admin/v1/conversations/delete", {"tenant": "default", "principal": principal}
    )
    assert (status, gone) == (200, {"conversations": 0, "turns": 0})
    for bad in ({}, {"tenant": "default"}, {"tenant": "default", "conversation": 5}):
        assert relay.call("admin.sock", "POST", "/admin/v1/conversations/delete", bad)[0] == 400
