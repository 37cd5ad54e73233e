"""What a conversation is called that nobody named: after its first question as it is kept, and when after none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from turns_control import Relay, answer_record, new_key, person

from dragoman.assistants.erasure import export_person
from dragoman.assistants.titles import TITLE_CHARS, title_of
from dragoman.control.app import Control
from promise import eventually

REDACTED = "Is [name] in town?"
"""What the relay sends of a question in which a rule redacts a name."""


def title(relay: Relay, name: str) -> str | None:
    found: str | None = relay.v1("GET", f"/{name}")[1]["title"]
    return found


def stop(relay: Relay, name: str, text: str) -> str:
    """A turn whose question a rule stops: its result names no provider."""
    return str(relay.turn(name, text, "Not here.", status="refused")["turn"])


def asked(text: Any) -> str:
    return json.dumps({"role": "user", "content": text})


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("  How hot\n is  a kiln? ", "How hot is a kiln?"),
        ("灯" * TITLE_CHARS, "灯" * TITLE_CHARS),
        ("灯" * (TITLE_CHARS + 1), "灯" * (TITLE_CHARS - 1) + "…"),
        ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"text": "b"}], "a b"),
        ([{"type": "image_url", "image_url": {}}], None),
        (" \n", None),
        ("half \ud83d", "half ?"),
    ],
)
def test_a_title_is_the_beginning_of_a_question(content: Any, named: str | None) -> None:
    assert title_of(asked(content)) == named


def test_the_first_question_names_its_conversation_once(relay: Relay) -> None:
    name = relay.conversation()
    first = relay.open(name, REDACTED)[1]["turn"]
    assert title(relay, name) is None, "not before it is known how it ends"
    assert relay.close(first, answer_record("Yes."))[0] == 204
    assert relay.finish(first, answer_record("Yes."))[0] == 204
    assert title(relay, name) == REDACTED
    relay.turn(name, "And now?")
    assert title(relay, name) == REDACTED
    assert relay.v1("PATCH", f"/{name}", {"title": "Mine"})[0] == 200
    relay.turn(name, "And then?")
    given = relay.conversation(title="Given")
    relay.turn(given, "Something else")
    assert (title(relay, name), title(relay, given)) == ("Mine", "Given")


def test_a_question_that_a_rule_stopped_names_nothing(control: Control, relay: Relay) -> None:
    """And so stands in no list; what is kept of it is in its turn alone."""
    name = relay.conversation()
    stop(relay, name, "A forbidden pomegranate")
    assert title(relay, name) is None
    assert "pomegranate" not in json.dumps(relay.v1("GET", "")[1])
    assert [hit["where"] for hit in relay.v1("GET", "?q=pomegranate")[1]["data"]] == ["question"]
    relay.turn(name, "A quince")
    assert title(relay, name) == "A quince"


def test_law_or_the_answer_refuse_a_turn_that_names_its_conversation(relay: Relay) -> None:
    """No rule stopped the question: the controls of the test above."""
    denied, cut, lost = relay.conversation(), relay.conversation(), relay.conversation()
    relay.turn(denied, "May I?", "Not here.", status="denied")
    opened = relay.open(cut, "And this?")[1]["turn"]
    relay.close(opened, answer_record("Not here."), "refused", provider="fake")
    relay.finish(opened, answer_record("Not here."))
    broken = relay.open(lost, "Who knows how it ended?")[1]["turn"]
    relay.recover(broken)
    assert relay.v1("GET", f"/{lost}/turns/{broken}")[1]["state"] == "interrupted"
    assert [title(relay, name) for name in (denied, cut, lost)] == ["May I?", "And this?", None]


def test_what_is_found_in_both_is_found_in_the_turn(control: Control, relay: Relay) -> None:
    name = relay.conversation()
    turn = relay.turn(name, "Where is the harbour?")["turn"]
    for _ in range(2):
        [hit] = relay.v1("GET", "?q=harbour")[1]["data"]
        assert (hit["turn"], hit["where"], hit["title"]) == (turn, "question", "Where is the harbour?")
        eventually("the index has read it", lambda: control.core.search.count_waiting() == 0)


def test_erasing_takes_the_title_along(control: Control) -> None:
    """Out of list, search, export and the database's bytes; before that it is in all of them."""
    run = control.settings.zone.data / "run"
    relay = Relay(run, person(run, new_key(run)["text"]))
    name, mark = relay.conversation(), "zanzibarine"
    relay.turn(name, f"On {mark} nights")

    def stored() -> bool:
        return any(mark.encode() in file.read_bytes() for file in control.settings.zone.data.glob("zone.db*"))

    def exported() -> str:
        who = relay.who
        return json.dumps(list(export_person(control.core.conversations, who["tenant"], who["principal"])))

    assert title(relay, name) == f"On {mark} nights"
    assert relay.v1("GET", f"?q={mark}")[1]["data"]
    assert mark in exported()
    assert stored()
    assert relay.v1("DELETE", f"/{name}")[0] == 200
    assert relay.v1("GET", f"?q={mark}")[1]["data"] == []
    assert mark not in exported()
    assert not stored()
