"""The golden messages of stored turns, read from control's side."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.assistants.answers import INTERRUPTED
from dragoman.control import turn_messages
from dragoman.errors import RefusedError

GOLDEN = Path(__file__).parent / "v1"


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def test_the_digest_is_the_answers_under_the_turns_salt() -> None:
    salt = base64.urlsafe_b64decode(golden("turns.request")["salt"] + "=")
    closing = golden("outcome.closing.request")
    assert closing["digest"] == "sha256:" + hashlib.sha256(salt + closing["answer"].encode()).hexdigest()
    assert closing["digest"] == closing["result"]["outcome"] == golden("outcome.finished.request")["digest"]
    assert golden("recover.response")["closing"][0]["result"] == closing["result"]
    assert json.loads(closing["answer"]) == golden("turns.response.finished")["answer"]


def test_the_messages_name_the_same_turn() -> None:
    request = golden("turns.request")
    stateless = golden("turns.request.stateless")
    assert set(request) == set(stateless)
    assert [name for name in request if request[name] and not stateless[name]] == [
        "conversation",
        "parent",
        "input",
    ]
    for name in ("turns.response.opened", "turns.response.finished", "turns.response.failed"):
        assert golden(name)["turn"] == request["turn"]
    assert golden("outcome.abandoned.request")["tenant"] == request["tenant"]
    assert golden("recover.request")["intents"] == [request["turn"]]


def context_tokens(_model: str) -> int:
    return 8_192


def test_openings_are_accepted_whole_only() -> None:
    for name in ("turns.request", "turns.request.stateless"):
        message = golden(name)
        found = turn_messages.opening(message, context_tokens)
        assert (found.turn, found.conversation, found.claim) == (
            message["turn"],
            message["conversation"],
            message["idempotency"]["key"],
        )
        for key in message:
            with pytest.raises(RefusedError):
                turn_messages.opening({n: v for n, v in message.items() if n != key}, context_tokens)
        with pytest.raises(RefusedError):
            turn_messages.opening({**message, "more": 1}, context_tokens)
    found = turn_messages.opening(golden("turns.request"), context_tokens)
    whole = json.loads(f"[{found.asked}]")
    assert {**json.loads(found.options or ""), "messages": whole} == golden("turns.request")["input"]


USER = {"role": "user", "content": "x"}
NO_QUESTIONS = (
    [{"role": "system", "content": "x"}, USER],
    [USER, USER],
    [{**USER, "role": "tool"}],
    ["x"],
    [None],
)
ODD: dict[str, list[Any]] = {
    "turn": [None, 5, "cnv_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab", "x", "trn_local_\x00"],
    "log": [None, "", "x" * 201, 5],
    "at": [-1, True, 1.5, "0", 2**53],
    "tenant": ["ten_other", "", None],
    "principal": [None, "", 5],
    "key": [5, "", []],
    "conversation": ["x", 5, "trn_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab"],
    "parent": [None, "first", 5, []],
    "idempotency": [{}, {"key": "", "body": "x"}, {"key": "x" * 256, "body": "x"}, {"key": "k"}, "k"],
    "question": [None, {}, "x"],
    "stream": [None, 1],
    "lang": [None, "de", []],
    "input": [
        None,
        {},
        {"messages": []},
        {"messages": "x"},
        [],
        *({"messages": some} for some in NO_QUESTIONS),
    ],
    "interventions": [None, [5], ["x"], ["int_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab"] * 1001],
    "salt": [None, "", 5],
    "deadline_ms": [None, -1, 10**9, True],
}


@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_members_are_refused(name: str) -> None:
    for value in ODD[name]:
        with pytest.raises(RefusedError) as refused:
            turn_messages.opening({**golden("turns.request"), name: value}, context_tokens)
        assert refused.value.status == 400


def test_outcomes_are_accepted_and_checked() -> None:
    for name in ("outcome.closing.request", "outcome.finished.request", "outcome.abandoned.request"):
        message = golden(name)
        assert turn_messages.outcome(message) == message
        for key in message:
            with pytest.raises(RefusedError):
                turn_messages.outcome({n: v for n, v in message.items() if n != key})
        for state in ("opened", None, 5, ["closing"]):
            with pytest.raises(RefusedError):
                turn_messages.outcome({**message, "state": state})
    closing = golden("outcome.closing.request")
    for odd in (
        {"answer": "[]"},
        {"answer": "{"},
        {"answer": {}},
        {"result": {}},
        {"result": {"kind": "result", "status": []}},
    ):
        with pytest.raises(RefusedError):
            turn_messages.outcome({**closing, **odd})


def test_recoveries_are_accepted_and_checked() -> None:
    message = golden("recover.request")
    assert turn_messages.recovery(message) == (message["log"], frozenset(message["intents"]))
    for odd in (
        {},
        {"log": "x"},
        {"log": "", "intents": []},
        {"log": "x", "intents": [5]},
        {"log": "x", "intents": "y"},
    ):
        with pytest.raises(RefusedError):
            turn_messages.recovery(odd)


def test_the_error_of_an_interrupted_turn_is_the_golden_one() -> None:
    told = golden("turns.response.failed")
    assert set(told["error"]) == set(INTERRUPTED)
    assert told["error"]["code"] == INTERRUPTED["code"]
