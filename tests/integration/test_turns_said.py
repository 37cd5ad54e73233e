"""What people do with kept conversations beside asking: pin them, and say what they think of an answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from turns_control import Relay, new_key, person

from dragoman.assistants import export
from dragoman.assistants.erasure import export_person
from dragoman.assistants.feedback import NOTE_CHARS
from dragoman.control.app import Control
from dragoman.ids import new_id
from dragoman.ledger.logs import entries, shards


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("s")
    (folder / "dragoman.toml").write_text('[zone]\ndata = "d"\n', encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def relay(control: Control) -> Relay:
    run = control.settings.zone.data / "run"
    return Relay(run, person(run, new_key(run)["text"]), log=new_id("log", "local"))


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


def test_what_does_not_fit_into_a_file_is_said(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    name = relay.conversation()
    turns = [relay.turn(name, f"Question {n}", f"Answer {n}")["turn"] for n in range(4)]
    monkeypatch.setattr(export, "TURNS", 3)
    document = relay.v1("GET", f"/{name}/export")[1]
    assert [one["id"] for one in document["turns"]] == turns[1:]
    assert document["left_out"] == 1
