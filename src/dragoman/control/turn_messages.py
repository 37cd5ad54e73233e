"""Checks the messages of stored turns before anything reads them (docs/wire.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from dragoman.assistants.context import compact, inner, room_for_history
from dragoman.control.questions import MAX_TIMES, malformed, plan_question
from dragoman.core.turns import Opening
from dragoman.ids import kind_of

KEY_CHARS = 255
"""LIMIT: characters of an idempotency key."""
INTERVENTIONS_NAMED = 1_000
"""LIMIT: interventions that one turn names at its opening."""
INTENTS = 200_000
"""LIMIT: intents without a result that one recovery names."""
MAX_ID = 200
"""LIMIT: characters of an id or a name in these messages."""
DEADLINE_MS = 3_600_000
"""LIMIT: how long one turn may say it lasts."""
STATUSES = frozenset({"finished", "refused", "denied", "failed", "cancelled", "interrupted"})

_KEYS = frozenset(
    {"turn", "log", "at", "tenant", "principal", "key", "conversation", "parent", "idempotency", "question",
     "plan", "decision", "stream", "lang", "input", "rules_in", "interventions", "salt", "deadline_ms"}
)  # fmt: skip

ContextTokens = Callable[[str], int]
"""A model's context, tokens."""


def opening(body: Mapping[str, Any], context_tokens: ContextTokens) -> Opening:
    """A well-formed `POST /turns`, or RefusedError 400."""
    if set(body) != _KEYS:
        odd = sorted(set(body) ^ _KEYS)
        raise malformed(f"these keys are missing or unknown: {', '.join(odd)[:200]}")
    for name in ("log", "tenant", "principal", "plan", "decision", "rules_in", "salt"):
        text(body, name)
    _id(body, "turn", "trn")
    _number(body, "at", MAX_TIMES)
    _number(body, "deadline_ms", DEADLINE_MS)
    if body["key"] is not None:
        text(body, "key")
    if body["lang"] not in ("en", "zh") or type(body["stream"]) is not bool:
        raise malformed("lang must be en or zh, stream true or false")
    question = body["question"]
    if not isinstance(question, dict) or plan_question(question)["tenant"] != body["tenant"]:
        raise malformed("question must be the question of POST /plan, of the same tenant")
    claim, digest = _idempotency(body["idempotency"])
    asked, options, room = _input(body, context_tokens)
    return Opening(
        turn=body["turn"],
        log=body["log"],
        at=body["at"],
        tenant=body["tenant"],
        principal=body["principal"],
        key=body["key"],
        conversation=body["conversation"],
        parent=body["parent"],
        claim=claim,
        body=digest,
        question=question,
        plan=body["plan"],
        decision=body["decision"],
        stream=body["stream"],
        lang=body["lang"],
        asked=asked,
        options=options,
        room=room,
        rules_in=body["rules_in"],
        interventions=_interventions(body["interventions"]),
        salt=body["salt"],
        deadline_ms=body["deadline_ms"],
    )


def _input(body: Mapping[str, Any], context_tokens: ContextTokens) -> tuple[str | None, str | None, int]:
    """The question's messages and the rest of its body as JSON, and the tokens left for earlier turns."""
    if body["conversation"] is None:
        if body["parent"] is not None or body["input"] is not None or body["idempotency"] is None:
            raise malformed(
                "a turn without a conversation has no parent and no input, but an idempotency key"
            )
        return None, None, 0
    _id(body, "conversation", "cnv")
    parent = body["parent"]
    if not isinstance(parent, str) or (parent not in {"last", "root"} and kind_of(parent) != "trn"):
        raise malformed("parent must be last, root or a turn's id")
    given = body["input"]
    messages = given.get("messages") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(messages, list) or not _is_question(messages):
        raise malformed("input must be a body whose messages are one message of a user")
    options = {name: value for name, value in given.items() if name != "messages"}
    room = room_for_history(context_tokens(body["question"]["model"]), options, messages)
    return inner(messages), compact(options), room


def _is_question(messages: list[Any]) -> bool:
    return len(messages) == 1 and isinstance(messages[0], dict) and messages[0].get("role") == "user"


def _idempotency(given: Any) -> tuple[str | None, str | None]:
    if given is None:
        return None, None
    if not isinstance(given, dict) or set(given) != {"key", "body"}:
        raise malformed("idempotency must be null or {key, body}")
    if not isinstance(given["key"], str) or not 1 <= len(given["key"]) <= KEY_CHARS:
        raise malformed(f"idempotency.key must be a text of 1 to {KEY_CHARS} characters")
    text(given, "body")
    return given["key"], given["body"]


def _interventions(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) > INTERVENTIONS_NAMED:
        raise malformed(f"interventions must be a list of at most {INTERVENTIONS_NAMED}")
    if not all(isinstance(one, str) and kind_of(one) == "int" for one in given):
        raise malformed("interventions must be ids")
    return tuple(given)


def outcome(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A well-formed `PUT /turns/{id}/outcome`, or RefusedError 400."""
    state = body.get("state")
    wanted = {
        "closing": {"state", "tenant", "digest", "answer", "result"},
        "finished": {"state", "tenant", "digest"},
        "abandoned": {"state", "tenant"},
    }.get(state if isinstance(state, str) else "")
    if wanted is None or set(body) != wanted:
        raise malformed("state must be closing, finished or abandoned, with its keys and no other")
    text(body, "tenant")
    if "digest" in wanted:
        text(body, "digest")
    if state == "closing":
        _closing(body)
    return body


def _closing(body: Mapping[str, Any]) -> None:
    result = body["result"]
    status = result.get("status") if isinstance(result, dict) and result.get("kind") == "result" else None
    if not isinstance(status, str) or status not in STATUSES:
        raise malformed("result must be a result entry")
    if not isinstance(body["answer"], str):
        raise malformed("answer must be JSON text")
    try:
        record = json.loads(body["answer"])
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise malformed("answer must be a JSON object as text")


def recovery(body: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    """Log and intents of a well-formed `POST /turns/recover`, or RefusedError 400."""
    intents = body.get("intents")
    if set(body) != {"log", "intents"} or not isinstance(intents, list) or len(intents) > INTENTS:
        raise malformed(f"log and intents (at most {INTENTS}) name what is recovered")
    if not all(isinstance(one, str) and len(one) <= MAX_ID for one in intents):
        raise malformed("intents must be ids of turns")
    text(body, "log")
    return body["log"], frozenset(intents)


def text(body: Mapping[str, Any], name: str) -> None:
    """RefusedError 400 unless the member is a text of reasonable length."""
    value = body.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID:
        raise malformed(f"{name} must be a text of 1 to {MAX_ID} characters")


def _id(body: Mapping[str, Any], name: str, kind: str) -> None:
    if not isinstance(body[name], str) or kind_of(body[name]) != kind:
        raise malformed(f"{name} must be an id of kind {kind}")


def _number(body: Mapping[str, Any], name: str, most: int) -> None:
    if type(body[name]) is not int or not 0 <= body[name] <= most:
        raise malformed(f"{name} must be a number of 0 to {most}")
