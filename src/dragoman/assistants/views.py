"""Conversations and turns as their owner reads them, whole or as a stream from a code point on.

Pure. Field names are public API (docs/api.md). What a user saw is shown again with its label and notices.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.assistants import answers
from dragoman.assistants.turns import due_of
from dragoman.core.conversations import Whole
from dragoman.core.decision import NOT_CARRIED_OUT, QUIET
from dragoman.core.turns import RUNNING, ConversationRecord, Due, TurnBrief, TurnTexts

CHUNK_CHARS = 4_096
"""Code points of one frame of a stored answer."""
DENIED = "denied"
"""The status of a turn that its decision refused."""


def conversation_document(record: ConversationRecord) -> dict[str, Any]:
    """A conversation. Times are seconds UTC, as in OpenAI's objects."""
    return {
        "id": record.conversation,
        "object": "conversation",
        "created_at": record.created_at // 1000,
        "changed_at": record.changed_at // 1000,
        "title": record.title,
        "metadata": json.loads(record.metadata),
        "head": record.head,
        "turns": record.turns,
        "pinned": record.pinned,
    }


@dataclass(frozen=True, slots=True)
class Reasons:
    """What is kept of why: statements of reasons by intervention, and decisions that refused, by id."""

    statements: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    decisions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def turn_document(
    whole: Whole, siblings: Sequence[str], children: Sequence[str], reasons: Reasons = Reasons()
) -> dict[str, Any]:
    """A turn: what was asked, what was answered as the user saw it, and what was done about it."""
    brief, texts = whole
    record = json.loads(texts.answer) if texts.answer else None
    running = brief.state in RUNNING
    failed = not running and (brief.state == "interrupted" or brief.status in answers.FAILED)
    context = json.loads(texts.context) if texts.context else {}
    return {
        "id": brief.turn,
        "object": "conversation.turn",
        "conversation": brief.conversation,
        "parent": brief.parent,
        "index": brief.depth,
        "siblings": list(siblings),
        "children": list(children),
        "created_at": brief.at // 1000,
        "state": "running" if running else brief.state,
        "status": brief.status,
        "stopped": json.loads(texts.result or "{}").get("error") == answers.STOPPED,
        "model": texts.model,
        "messages": json.loads(f"[{texts.asked or ''}]"),
        "answer": None if record is None or running else shown_record(whole, record),
        "error": answers.error_of(brief.status, record)[1] if failed else None,
        "context": {"turns": context.get("turns", 0), "left_out": context.get("left_out", 0)},
        "feedback": json.loads(texts.feedback) if texts.feedback else None,
        "dragoman": metadata(whole, reasons),
    }


def shown_record(whole: Whole, record: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as the user saw it: each choice with label and notices before its text."""
    before = _opening(whole)
    body = {name: value for name, value in record.items() if name not in {"status", "error"}}
    choices = [dict(choice) for choice in record.get("choices") or () if isinstance(choice, Mapping)]
    for choice in choices:
        message = choice.get("message")
        if isinstance(message, Mapping) and isinstance(message.get("content"), str) and message["content"]:
            choice["message"] = {**message, "content": before + message["content"]}
    return {**body, "choices": choices}


def metadata(whole: Whole, reasons: Reasons) -> dict[str, Any]:
    """The `dragoman` object of an answer, from what is stored, with the members that it was sent with."""
    brief, texts = whole
    shown = _shown(whole)
    decision = decision_of(texts)
    refused = reasons.decisions.get(decision) if brief.status == DENIED else None
    told = {} if refused is None else _refused(refused)
    return {
        "turn": brief.turn,
        "decision": decision,
        **told,
        "labels": [_label(one, brief) for one in shown if one.notice is None],
        "notices": [
            {"id": one.notice, "rule_id": one.rule_id, "text": (one.text or {}).get(brief.lang)}
            for one in shown
            if one.notice is not None
        ],
        "interventions": [
            _intervention(name, reasons.statements.get(name)) for name in interventions_of(texts)
        ],
    }


def interventions_of(texts: TurnTexts) -> list[str]:
    """The interventions in a turn, those in the question first."""
    result = json.loads(texts.result) if texts.result else {}
    return list(dict.fromkeys([*json.loads(texts.interventions), *(result.get("interventions") or ())]))


def decision_of(texts: TurnTexts) -> str:
    """The decision that a turn's record names; before it ends, the one it was opened on."""
    return str((json.loads(texts.result) if texts.result else {}).get("decision") or texts.decision)


def _refused(decision: Mapping[str, Any]) -> dict[str, Any]:
    """What refused a turn, and where one appeals: obligations and warnings did not."""
    binding = [one for one in decision["reasons"] if one["effect"] not in QUIET]
    shown = any(one["effect"] == NOT_CARRIED_OUT for one in binding)
    outcome = NOT_CARRIED_OUT.upper() if shown else decision["outcome"]
    return {
        "outcome": outcome,
        "reasons": binding,
        "lifts": decision["lifts"],
        "step_up": decision["step_up"],
        "appeal": f"/appeal/{decision['id']}",
    }


def _intervention(name: str, statement: Mapping[str, Any] | None) -> dict[str, Any]:
    """An intervention as a streamed one is told; id and addresses alone where nothing more is read."""
    addresses = {"id": name, "url": f"/v1/interventions/{name}", "appeal": f"/appeal/{name}"}
    if statement is None:
        return addresses
    rule, scope = statement["rule"] or {}, statement["scope"]
    several = {"n": scope["n"]} if scope["n"] > 1 else {}
    return {
        **addresses,
        "origin": statement["ground"]["origin"],
        "action": statement["measure"]["action"],
        "lane": scope["lane"],
        "rule": rule.get("id"),
        "version": rule.get("set"),
        "reason_code": rule.get("reason_code"),
        "message": rule.get("message"),
        "source": rule.get("source"),
        **several,
        "offset": scope["offset"],
        "length": scope["length"],
    }


def _label(one: Due, brief: TurnBrief) -> dict[str, Any]:
    text = {"text": one.text[brief.lang]} if one.text else {}
    return {"kind": one.kind, "rule_id": one.rule_id, **text, **_machine(one.machine, brief.turn)}


def _machine(label: Mapping[str, Any] | None, turn: str) -> dict[str, Any]:
    """A machine label as the answer carried it: an empty `ProduceID` is filled in with the turn's."""
    if label is None:
        return {}
    fields = dict(label["fields"])
    if fields.get("ProduceID") == "":
        fields["ProduceID"] = turn
    return {"machine": {**label, "fields": fields}}


def _shown(whole: Whole) -> list[Due]:
    texts = whole[1]
    return answers.carried_out(due_of(texts.due), json.loads(texts.result) if texts.result else None)


def _opening(whole: Whole) -> str:
    """Label and notices before the text; none where the answer was to be JSON, which they would spoil."""
    brief, texts = whole
    options = json.loads(texts.options or "{}")
    wanted = options.get("response_format")
    if isinstance(wanted, Mapping) and wanted.get("type") in {"json_object", "json_schema"}:
        return ""
    return answers.opening(_shown(whole), brief.lang)


def stream(whole: Whole, after: int, told: Mapping[str, Any]) -> Iterator[str]:
    """A stored answer as `chat.completion.chunk` frames from code point `after` of choice 0's content on.

    `told`: the `dragoman` object of its end.
    A turn that did not come to an answer ends with an error event and no end marker.
    """
    brief, texts = whole
    record = json.loads(texts.answer) if texts.answer else {}
    content = answers.content_of(record)
    text = _opening(whole) + content if content else ""
    head = {
        "id": record.get("id") or brief.turn,
        "object": "chat.completion.chunk",
        "created": record.get("created") or brief.at // 1000,
        "model": texts.model,
    }
    if after == 0:
        yield _frame(head, {"role": "assistant", "content": ""})
    for at in range(after, len(text), CHUNK_CHARS):
        yield _frame(head, {"content": text[at : at + CHUNK_CHARS]})
    if brief.state == "interrupted" or brief.status in answers.FAILED:
        _, error = answers.error_of(brief.status, record)
        said = {**error, "message": error["message"][brief.lang]} if _bilingual(error) else error
        yield f"data: {json.dumps({'error': said}, ensure_ascii=True)}\n\n"
        return
    calls = answers.message_of(record).get("tool_calls")
    if isinstance(calls, list) and calls:
        numbered = [{"index": at, **call} for at, call in enumerate(calls) if isinstance(call, Mapping)]
        yield _frame(head, {"tool_calls": numbered})
    yield _frame(head, {}, answers.finish_of(record) or "stop", told)
    yield "data: [DONE]\n\n"


def _bilingual(error: Mapping[str, Any]) -> bool:
    return isinstance(error.get("message"), Mapping) and {"en", "zh"} <= set(error["message"])


def _frame(
    head: Mapping[str, Any], delta: Mapping[str, Any], finish: str | None = None, told: Any = None
) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    document = {**head, "choices": [choice], **({"dragoman": told} if told else {})}
    return f"data: {json.dumps(document, ensure_ascii=True, separators=(',', ':'))}\n\n"
