"""What people do with kept conversations beside asking: pin them, and say what they think of an answer."""

from __future__ import annotations

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest
from turns_control import Relay, new_key, person

from dragoman.assistants import conversations as assistants
from dragoman.assistants import export
from dragoman.assistants.erasure import export_person
from dragoman.assistants.feedback import NOTE_CHARS
from dragoman.control import conversations
from dragoman.control.app import Control
from dragoman.ids import new_id
from dragoman.ledger.logs import entries, shards
from dragoman.stores.conversations import SqlConversationRows
from dragoman.stores.database import READERS
from dragoman.stores.tenancy import TenantRows


def ids(relay: Relay, query: str) -> list[str]:
    return [one["id"] for one in relay.v1("GET", query)[1]["data"]]


def test_a_pinned_conversation_is_listed_by_itself(relay: Relay) -> None:
    names = [relay.conversation(title=str(n)) for n in range(3)]
    status, changed = relay.v1("PATCH", f"/{names[1]}", {"pinned": True})
    assert (status, changed["pinned"], changed["title"]) == (200, True, "1")
    assert ids(relay, "?pinned=true") == [names[1]]
    assert ids(relay, "?pinned=false") == [names[2], names[0]]
    assert ids(relay, "") == names[::-1]
    renamed = relay.v1("PATCH", f"/{names[1]}", {"title": "One"})[1]
    assert (renamed["pinned"], renamed["title"]) == (True, "One"), "what is not named stays"
    assert relay.v1("PATCH", f"/{names[1]}", {"pinned": False})[1]["pinned"] is False
    assert ids(relay, "?pinned=true") == []
    for wrong, error in (("PATCH", relay.v1("PATCH", f"/{names[0]}", {"pinned": 1})),
                         ("GET", relay.v1("GET", "?pinned=yes"))):  # fmt: skip
        assert (error[0], error[1]["error"]["param"]) == (400, "pinned"), wrong


def test_feedback_is_kept_changed_and_taken_back(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.turn(name, "Hello", "Hi")["turn"]
    path = f"/{name}/turns/{turn}"
    assert relay.v1("GET", path)[1]["feedback"] is None
    note = f"the third day is missing {new_id('x', 'local')}"
    given = {"rating": "bad", "reason": "wrong", "note": f" {note} "}
    status, said = relay.v1("PUT", f"{path}/feedback", given)
    assert (status, said["feedback"]["note"], said["feedback"]["reason"]) == (200, note, "wrong")
    assert relay.v1("GET", path)[1]["feedback"] == said["feedback"]
    exported = list(export_person(control.core.conversations, relay.who["tenant"], relay.who["principal"]))
    assert note in json.dumps(exported), "it is personal data, and a person gets its own"
    assert relay.v1("PUT", f"{path}/feedback", {"rating": "good"})[1]["feedback"]["reason"] is None
    assert relay.v1("DELETE", f"{path}/feedback")[1]["feedback"] is None
    assert relay.v1("DELETE", f"{path}/feedback")[0] == 200, "twice is once"
    assert relay.v1("GET", path)[1]["feedback"] is None
    acts = recorded(control, turn)
    assert [(one["rating"], one["reason"]) for one in acts] == [
        ("bad", "wrong"),
        ("good", None),
        (None, None),
    ]
    assert note not in json.dumps(acts), "the record holds no words of a person"


def recorded(control: Control, turn: str) -> list[dict[str, Any]]:
    """Acts on a turn in control's own log, once all of them stand."""
    control.log.entered()
    folder: Path = control.settings.zone.data / "registry"
    for _ in range(100):
        found = [entry.value for shard in shards(folder) for entry in entries(shard)]
        acts = [one for one in found if one.get("act") == "turn.feedback" and one.get("turn") == turn]
        if len(acts) == 3:
            return acts
        time.sleep(0.05)
    raise AssertionError("the acts never stood in the log")


def test_a_running_turn_takes_no_feedback(relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.open(name)[1]["turn"]
    refused = relay.v1("PUT", f"/{name}/turns/{turn}/feedback", {"rating": "good"})
    assert (refused[0], refused[1]["error"]["code"]) == (409, "turn_not_over")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "rating"),
        ({"rating": "great"}, "rating"),
        ({"rating": ["good"]}, "rating"),
        ({"rating": "bad", "reason": "because"}, "reason"),
        ({"rating": "bad", "reason": {}}, "reason"),
        ({"rating": "bad", "note": "x" * (NOTE_CHARS + 1)}, "note"),
        ({"rating": "bad", "note": "\ud800"}, "note"),
        ({"rating": "bad", "stars": 5}, "stars"),
    ],
)
def test_what_feedback_has_to_be_is_said(relay: Relay, body: dict[str, Any], param: str) -> None:
    name = relay.conversation()
    turn = relay.turn(name, "Hello", "Hi")["turn"]
    status, said = relay.v1("PUT", f"/{name}/turns/{turn}/feedback", body)
    assert (status, said["error"]["param"]) == (400, param)
    assert relay.v1("GET", f"/{name}/turns/{turn}")[1]["feedback"] is None


def test_feedback_is_erased_with_its_turn(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.turn(name, "Hello", "Hi")["turn"]
    note = f"private {new_id('x', 'local')}"
    assert relay.v1("PUT", f"/{name}/turns/{turn}/feedback", {"rating": "bad", "note": note})[0] == 200
    data = control.settings.zone.data
    assert note.encode() in b"".join(file.read_bytes() for file in data.glob("zone.db*")), "the control"
    assert relay.v1("DELETE", f"/{name}")[0] == 200
    assert note.encode() not in b"".join(file.read_bytes() for file in data.glob("zone.db*"))


def test_a_branch_is_exported_as_a_file_for_its_owner(relay: Relay) -> None:
    name = relay.conversation(title="灯 <b>")
    first = relay.turn(name, "How long?", "Fourteen days.")["turn"]
    second = relay.turn(name, "Half \ud83d of it", "Seven.")["turn"]
    other = relay.turn(name, "Instead?", "Other.", parent="root")["turn"]
    status, document = relay.v1("GET", f"/{name}/export?branch={second}")
    assert (status, document["left_out"]) == (200, 0)
    assert [one["id"] for one in document["turns"]] == [first, second]
    assert [one["id"] for one in relay.v1("GET", f"/{name}/export?format=json")[1]["turns"]] == [other]
    for form, heading in (("markdown", "# 灯 \\<b\\>"), ("html", "<h1>灯 &lt;b&gt;</h1>")):
        status, text = relay.v1("GET", f"/{name}/export?format={form}&branch={second}")
        assert (status, heading in text, text.index("Fourteen") < text.index("Seven")) == (200, True, True)
    wrong = relay.v1("GET", f"/{name}/export?format=pdf")
    assert (wrong[0], wrong[1]["error"]["param"]) == (400, "format")


def test_who_reads_conversations_leaves_readers_to_turns(
    control: Control, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, run = threading.Semaphore(0), threading.Event(), control.settings.zone.data / "run"
    fresh = new_key(run)["text"]

    def slow(*_: Any) -> dict[str, Any]:
        begun.release()
        assert go_on.wait(30)
        return {}

    monkeypatch.setattr(assistants, "listed", slow)
    with ThreadPoolExecutor(2 * READERS) as threads:
        waiting = [threads.submit(relay.v1, "GET", "") for _ in range(READERS + 1)]
        try:
            for _ in range(conversations.READS):
                assert begun.acquire(timeout=30)
            assert not begun.acquire(timeout=0.5), "no more of them at once"
            asked = threads.submit(person, run, fresh)
            assert asked.result(timeout=10)["scopes"], "a key that nobody remembers is looked up"
        finally:
            go_on.set()
        assert [one.result()[0] for one in waiting] == [200] * (READERS + 1)


def test_the_writer_does_not_walk_along_a_branch(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    name = relay.conversation()
    turns = [relay.turn(name, f"Question {n}")["turn"] for n in range(4)]
    relay.turn(name, "Instead", parent="root")
    walked: list[tuple[bool, str]] = []
    leaf = SqlConversationRows.leaf

    def seen(rows: SqlConversationRows, turn: str) -> str:
        walked.append((threading.current_thread().name == "zone-writer", turn))
        return leaf(rows, turn)

    monkeypatch.setattr(SqlConversationRows, "leaf", seen)
    status, changed = relay.v1("PATCH", f"/{name}", {"head": turns[0]})
    assert (status, changed["head"]) == (200, turns[3])
    assert walked == [(False, turns[0]), (True, turns[3])], "every turn of the zone waits for the writer"


def test_the_writer_reads_nobody_else_for_what_is_said_of_an_answer(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = relay.conversation()
    turn = [relay.turn(name, f"Question {n}", parent="root")["turn"] for n in range(3)][1]
    read: list[str] = []

    def seen(rows: SqlConversationRows, conversation: str, parents: Any) -> list[tuple[str | None, str]]:
        read.append(threading.current_thread().name)
        return children(rows, conversation, parents)

    children = SqlConversationRows.children
    monkeypatch.setattr(SqlConversationRows, "children", seen)
    assert relay.v1("PUT", f"/{name}/turns/{turn}/feedback", {"rating": "bad"})[0] == 200
    assert relay.v1("DELETE", f"/{name}/turns/{turn}/feedback")[0] == 200
    assert relay.v1("DELETE", f"/{name}/turns/{turn}/feedback")[0] == 200
    assert read == []
    assert relay.v1("GET", f"/{name}/turns/{turn}")[1]["feedback"] is None
    assert read != [], "the control"


def test_conversations_are_counted_by_the_database(
    control: Control, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        relay.conversation()
    run, store, who = TenantRows.run, control.core.conversations, relay.who
    read: list[int] = []

    def seen(rows: TenantRows, prepared: Any, values: Any) -> Any:
        found = run(rows, prepared, values)
        read.append(len(found))
        return found

    def counted(tenant: str, principal: str, most: int) -> int:
        return store.read(tenant, lambda rows: rows.count_conversations(principal, most))

    monkeypatch.setattr(TenantRows, "run", seen)
    assert [counted(who["tenant"], who["principal"], most) for most in (3, 4, 100)] == [3, 4, 4]
    assert counted(who["tenant"], new_id("prn", "local"), 100) == 0
    assert counted(new_id("ten", "local"), who["principal"], 100) == 0, "another tenant's are not counted"
    assert read == [1] * 5, "rows read by the writer, for which every turn waits"


def test_exports_leave_the_readers_to_others(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    name = relay.conversation()
    relay.turn(name)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(_branch: export.Branch) -> str:
        begun.release()
        assert go_on.wait(30)
        return "{}"

    monkeypatch.setitem(export.FORMATS, "json", ("json", "application/json", slow))
    monkeypatch.setattr(conversations, "EXPORT_WAIT_S", 0.2)
    with ThreadPoolExecutor(READERS + 1) as threads:
        waiting = [threads.submit(relay.v1, "GET", f"/{name}/export") for _ in range(READERS + 1)]
        try:
            for _ in range(conversations.EXPORTS):
                assert begun.acquire(timeout=30)
            too_many = READERS + 1 - conversations.EXPORTS
            for one in itertools.islice(as_completed(waiting, timeout=10), too_many):
                assert one.result()[0] == 503
            assert relay.v1("GET", f"/{name}")[0] == 200, "others read"
        finally:
            go_on.set()
        assert sorted(one.result()[0] for one in waiting) == [200] * conversations.EXPORTS + [503] * too_many
    assert relay.v1("GET", f"/{name}/export")[0] == 200, "places come free"


def test_what_does_not_fit_into_a_file_is_said(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    name = relay.conversation()
    turns = [relay.turn(name, f"Question {n}", f"Answer {n}")["turn"] for n in range(4)]
    monkeypatch.setattr(export, "TURNS", 3)
    document = relay.v1("GET", f"/{name}/export")[1]
    assert [one["id"] for one in document["turns"]] == turns[1:]
    assert document["left_out"] == 1
