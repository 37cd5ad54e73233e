"""Answer records of stored turns: what of one goes to a model again, and what its user was shown.

Pure. The opening (label, notices) is put together as the relay does it (`engine/src/answer/disclose.rs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.assistants.context import compact
from dragoman.core.turns import REFUSED, Due

FAILED = frozenset({"failed", "cancelled", "interrupted"})
"""Statuses of a result whose twin gets an error."""
STOPPED = "stopped_by_user"
"""The `error` in the result entry of a turn that its user ended (docs/wire.md); its status is `finished`."""

INTERRUPTED = {
    "type": "server_error",
    "code": "turn_interrupted",
    "param": None,
    "message": {
        "en": "This answer was interrupted and is not continued. Ask again, with a new Idempotency-Key.",
        "zh": "该回答已中断，不会继续。请使用新的 Idempotency-Key 重新提问。",
    },
}
CANCELLED = {
    "type": "server_error",
    "code": "turn_cancelled",
    "param": None,
    "message": {
        "en": "This answer was stopped before its end. Ask again, with a new Idempotency-Key.",
        "zh": "该回答在结束前已停止。请使用新的 Idempotency-Key 重新提问。",
    },
}
_STATUS = 500


def error_of(status: str | None, record: Mapping[str, Any] | None) -> tuple[int, Mapping[str, Any]]:
    """HTTP status and error of a turn that did not come to an answer."""
    told = (record or {}).get("error")
    if isinstance(told, Mapping):
        code = (record or {}).get("status")
        return (code if type(code) is int and 400 <= code <= 599 else _STATUS), told
    return _STATUS, CANCELLED if status == "cancelled" else INTERRUPTED


def message_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Choice 0's message, in the form of a chat answer; empty where there is none."""
    choices = record.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    if isinstance(first.get("text"), str):
        return {"role": "assistant", "content": first["text"]}
    message = first.get("message")
    return message if isinstance(message, Mapping) else {}


def content_of(record: Mapping[str, Any]) -> str:
    """Choice 0's text, a model's refusal included."""
    message = message_of(record)
    for name in ("content", "refusal"):
        if isinstance(message.get(name), str) and message[name]:
            return str(message[name])
    return ""


def finish_of(record: Mapping[str, Any]) -> str | None:
    """Why choice 0 ended."""
    choices = record.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    reason = first.get("finish_reason")
    return reason if isinstance(reason, str) else None


def replied(record: Mapping[str, Any], status: str) -> str | None:
    """The assistant's message that goes along to a model, as JSON, or None where nothing does."""
    if status in REFUSED:
        return None
    message = message_of(record)
    calls = message.get("tool_calls")
    text = content_of(record)
    if not text and not calls:
        return None
    kept: dict[str, Any] = {"role": "assistant", "content": text or None}
    if calls and status not in FAILED:
        kept["tool_calls"] = calls
    elif not text:
        return None
    return compact(kept)


def opening(due: Sequence[Due], lang: str) -> str:
    """The text before an answer's first words: labels in brackets, then each notice on a line of its own."""
    text = ""
    for label in (one.text[lang] for one in due if one.kind == "label.visible" and one.text):
        if label.startswith("【"):
            text += label
        elif label.startswith("["):
            text += label.rstrip() + " "
        else:
            text += f"[{label}] " if lang == "en" else f"【{label}】"
    notices = [one.text[lang] for one in due if one.notice is not None and one.text]
    for notice in notices:
        text += ("\n" if text else "") + notice
    return text + ("\n\n" if notices else "")


def carried_out(due: Sequence[Due], result: Mapping[str, Any] | None) -> list[Due]:
    """Of what was due, what the result entry says was shown."""
    labels = set((result or {}).get("labels") or ())
    notices = set((result or {}).get("notices") or ())
    return [
        one for one in due if (one.notice in notices if one.notice is not None else one.rule_id in labels)
    ]


def whole_text(record: Mapping[str, Any], due: Sequence[Due], lang: str) -> str:
    """Choice 0's content as the user was shown it: label and notices, then the text."""
    content = content_of(record)
    return opening(due, lang) + content if content else ""
