"""The golden messages of stored turns, read from control's side."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

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
