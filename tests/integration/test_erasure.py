"""A person is erased in bounded steps: hidden and refused from the first on, beside others' turns, over a crash."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from turns_control import Relay, answer_record, new_key, person

from dragoman.assistants import erasure, removal
from dragoman.assistants.erasure import Eraser, steps
from dragoman.control.app import Control
from dragoman.control.core import DATABASE
from dragoman.errors import RefusedError

TURNS = 30
NOTHING: dict[str, list[Any]] = {
    name: []
    for name in (
        *("conversations", "turns", "claims", "uses", "notices_shown", "appeals"),
        *("search_items", "search_postings", "mark"),
    )
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 4)


@pytest.fixture
def talked(control: Control, relay: Relay) -> Relay:
    """A person with a long conversation, short ones and idempotent answers."""
    # The running control's own sweep leaves to the test whom it erases.
    control.core.eraser._busy.add((relay.who["tenant"], relay.who["principal"]))
    name = relay.conversation(title="long")
    for number in range(TURNS):
        relay.turn(
            name, f"question {number}", f"answer {number}", idempotency={"key": f"k{number}", "body": "b"}
        )
    for _ in range(3):
        relay.turn(relay.conversation(), "short", "short")
    for number in range(6):
        claim = {"key": f"alone {number}", "body": "b"}
        turn = relay.open(None, idempotency=claim)[1]["turn"]
        relay.close(turn, answer_record("alone"))
        relay.finish(turn, answer_record("alone"))
    return relay


def another(control: Control, relay: Relay) -> Relay:
    run = control.settings.zone.data / "run"
    return Relay(run, person(run, new_key(run)["text"]), log=relay.log)


def left(control: Control, who: dict[str, Any]) -> dict[str, list[Any]]:
    """What the database holds of a person."""
    found = {}
    with closing(sqlite3.connect(control.settings.zone.data / DATABASE)) as raw:
        for table in NOTHING.keys() - {"mark"}:
            query = f"SELECT * FROM {table} WHERE principal = ?"
            found[table] = raw.execute(query, (who["principal"],)).fetchall()
        marks = "SELECT value FROM zone_meta WHERE name = ?"
        found["mark"] = raw.execute(marks, (f"erasing:{who['principal']}",)).fetchall()
    return found


def acts(control: Control, who: dict[str, Any]) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(control.settings.zone.data / DATABASE)) as raw:
        rows = raw.execute("SELECT entry FROM outbox WHERE tenant = ? ORDER BY item", (who["tenant"],))
        return [
            one
            for one in (json.loads(row[0]) for row in rows)
            if "erase" in one["act"] or "delete" in one["act"]
        ]


def refusals(relay: Relay, name: str) -> list[str]:
    """What the person gets of everything that is kept."""
    answers = [
        relay.v1("GET", ""),
        relay.v1("GET", "?q=question"),
        relay.v1("GET", f"/{name}"),
        relay.v1("GET", f"/{name}/turns"),
        relay.v1("POST", "", {}),
        relay.v1("PATCH", f"/{name}", {"title": "x"}),
        relay.v1("DELETE", f"/{name}"),
        relay.open(name),
        relay.open(None, idempotency={"key": "alone 0", "body": "b"}),
    ]
    return [body.get("error", {}).get("code", status) for status, body in answers]


def test_a_person_is_refused_from_the_first_step_on_until_the_last(control: Control, talked: Relay) -> None:
    who, store = talked.who, control.core.conversations
    name = talked.v1("GET", "")[1]["data"][-1]["id"]
    turns = left(control, who)["turns"]
    before = len(acts(control, who))
    going = steps(store, who["tenant"], who["principal"])
    next(going)
    assert left(control, who)["turns"] == turns, "the mark alone"
    assert refusals(talked, name) == ["being_erased"] * 9
    with pytest.raises(RefusedError, match="is being erased"):
        control.core.principals._let_in(who["tenant"], who["principal"])
    other = another(control, talked)
    assert other.v1("GET", "")[0] == 200, "the negative control"
    counts = []
    held = [len(turns)]
    for so_far in going:
        counts.append(so_far)
        now = left(control, who)
        held.append(len(now["turns"]))
        if now["mark"]:
            assert refusals(talked, name) == ["being_erased"] * 9
    assert max(a - b for a, b in pairwise(held)) <= erasure.ROWS_AT_ONCE
    assert (counts[-1].conversations, counts[-1].turns) == (4, TURNS + 3)
    assert left(control, who) == NOTHING
    told = acts(control, who)[before:]
    assert sorted(one["turns"] for one in told if one["act"] == "conversation.delete") == [1, 1, 1, TURNS]
    assert [(one["act"], one["turns"]) for one in told][-1] == ("person.erase", TURNS + 3)
    assert who["principal"] not in json.dumps(told)
    assert talked.v1("GET", "")[1]["data"] == [], "then the person may begin anew"
    assert talked.turn(talked.conversation(), "Hello", "Hi")["turn"]


def test_anothers_turn_commits_between_two_steps(
    control: Control, talked: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = another(control, talked)
    name = other.conversation()
    began, asked = threading.Event(), threading.Event()
    order: list[str] = []
    plain_step, plain_open = erasure.step, control.core.turns.submit

    def step(rows: Any, principal: str) -> Any:
        done = plain_step(rows, principal)
        order.append("step")
        began.set()
        asked.wait(60)
        return done

    def submit(tenant: str, work: Any) -> Any:
        future = plain_open(tenant, work)
        future.add_done_callback(lambda _: order.append("turn"))
        asked.set()
        return future

    monkeypatch.setattr(erasure, "step", step)
    monkeypatch.setattr(control.core.turns, "submit", submit)
    eraser = threading.Thread(
        target=control.core.eraser.erase, args=(talked.who["tenant"], talked.who["principal"])
    )
    eraser.start()
    assert began.wait(60)
    # The first step is being made: the turn waits behind it, and before the second.
    assert other.open(name)[1]["state"] == "opened"
    eraser.join()
    assert order.index("turn") <= 2
    assert order.count("step") > 8, "the negative control: there were many more"


@pytest.mark.parametrize("done", [1, 2, 7, 12])
def test_what_a_crash_left_is_erased_to_the_same_end(control: Control, talked: Relay, done: int) -> None:
    who, store = talked.who, control.core.conversations
    before = len(acts(control, who))
    going = steps(store, who["tenant"], who["principal"])
    for _ in range(done):
        next(going)
    going.close()
    assert left(control, who)["mark"], "the crash left it marked"
    assert Eraser(store).resume(lambda: True) == 0, "who stops at once has made a step at most"
    assert Eraser(store).resume() == 1
    assert left(control, who) == NOTHING
    told = acts(control, who)[before:]
    assert sorted(one["turns"] for one in told if one["act"] == "conversation.delete") == [1, 1, 1, TURNS]
    assert [one["turns"] for one in told if one["act"] == "person.erase"] == [TURNS + 3]
    assert Eraser(store).resume() == 0
    stored = b"".join(file.read_bytes() for file in Path(control.settings.zone.data).glob("zone.db*"))
    assert b"question 7" not in stored


def test_a_long_conversation_goes_in_steps_that_nobody_reads_in_between(
    control: Control, talked: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step it is as unknown as another's; others' writes pass between; one act at the end."""
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 4)
    who, store = talked.who, control.core.conversations
    listed = [one["id"] for one in talked.v1("GET", "")[1]["data"]]
    name, others = listed[-1], listed[:-1]
    turn = talked.v1("GET", f"/{name}/turns")[1]["data"][0]["id"]
    asking = [
        ("GET", f"/{name}"),
        ("GET", f"/{name}/turns/{turn}"),
        ("PATCH", f"/{name}"),
        ("DELETE", f"/{name}"),
    ]
    before, held = acts(control, who), [len(left(control, who)["turns"])]
    assert talked.v1("GET", "?q=question")[1]["data"], "the negative control: it is found"
    turns = store.submit(who["tenant"], lambda rows: removal.begin(rows, name)).result()
    while turns is None:
        held.append(len(left(control, who)["turns"]))
        for method, path in asking:
            assert talked.v1(method, path, {"title": "x"} if method == "PATCH" else None)[0] == 404
        assert talked.open(name)[0] == 404
        assert [one["id"] for one in talked.v1("GET", "")[1]["data"]] == others
        assert talked.v1("GET", "?q=question")[1]["data"] == []
        assert acts(control, who) == before
        turns = store.submit(who["tenant"], lambda rows: removal.step(rows, name)).result()
    held.append(len(left(control, who)["turns"]))
    assert all(0 <= was - now <= 4 for was, now in pairwise(held)), held
    assert (turns, held[0] - held[-1]) == (TURNS, TURNS)
    (act,) = [one for one in acts(control, who) if one not in before]
    assert (act["act"], act["conversation"], act["turns"]) == ("conversation.delete", name, TURNS)
    assert removals(control) == []


@pytest.mark.parametrize("then", ["resume", "person", "request"])
def test_a_conversation_that_a_crash_left_half_removed_is_gone_on_with(
    control: Control, talked: Relay, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "ROWS_AT_ONCE", 4)
    who, store = talked.who, control.core.conversations
    name = talked.v1("GET", "")[1]["data"][-1]["id"]
    if then == "request":
        assert talked.v1("DELETE", f"/{name}")[0] == 200
    else:
        assert store.submit(who["tenant"], lambda rows: removal.begin(rows, name)).result() is None
        assert removals(control) == [f"removing:{name}"]
        if then == "resume":
            Eraser(store).resume()
        else:
            gone = erasure.erase_person(store, who["tenant"], who["principal"])
            assert gone["conversations"] == 4
            assert left(control, who) == NOTHING
    assert removals(control) == []
    assert [one["turns"] for one in acts(control, who) if one.get("conversation") == name] == [TURNS]
    with closing(sqlite3.connect(control.settings.zone.data / DATABASE)) as raw:
        for table in ("turns", "conversations", "search_items"):
            assert not raw.execute(f"SELECT * FROM {table} WHERE conversation = ?", (name,)).fetchall()


def removals(control: Control) -> list[str]:
    with closing(sqlite3.connect(control.settings.zone.data / DATABASE)) as raw:
        return [row[0] for row in raw.execute("SELECT name FROM zone_meta WHERE name LIKE 'removing:%'")]
