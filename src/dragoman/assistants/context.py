"""What goes along of a conversation: whole turns, newest first, as long as they fit the model's context.

Pure. Tokens are estimated upwards, for no model's tokenizer is here: docs/api.md states the rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.core.turns import REFUSED, PathTurn

DEFAULT_CONTEXT_TOKENS = 8_192
"""A model's context where its configuration does not say, tokens."""
HISTORY_TURNS = 2_000
"""LIMIT: earlier turns that go along with one question."""
MESSAGE_TOKENS = 8
"""What a message costs beside its text."""
IMAGE_TOKENS = 2_000
"""What a picture is taken for."""
_ROOM_SHARE = 4
"""Without `max_tokens`, a quarter of the context is left to the answer; with it, at most half."""
_DIGITS = "0123456789"

NOTES = {
    "interrupted": {"en": "[This answer was interrupted.]", "zh": "[该回答已中断。]"},
    "failed": {"en": "[This answer failed.]", "zh": "[该回答未能完成。]"},
    "cancelled": {"en": "[This answer was stopped.]", "zh": "[该回答已停止。]"},
}
"""What stands for an answer of which nothing was shown, or nothing is known."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The history as messages in JSON, comma-separated; how many turns it is, and how many were left out."""

    messages: str
    turns: int
    left_out: int


def estimate(text: str) -> int:
    """Tokens a text may take, estimated upwards.

    A third of its ASCII characters (digits whole), half of the UTF-8 bytes of all others.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    ascii_ = size if size == len(text) else len(text.encode("ascii", "ignore"))
    digits = sum(map(text.count, _DIGITS))
    return digits + math.ceil((ascii_ - digits) / 3) + math.ceil((size - ascii_) / 2)


def estimate_message(message: Any) -> int:
    """Tokens of one chat message: its texts, its tool calls, its pictures."""
    if not isinstance(message, dict):
        return MESSAGE_TOKENS
    content = message.get("content")
    total = MESSAGE_TOKENS
    if isinstance(content, str):
        total += estimate(content)
    elif isinstance(content, list):
        total += sum(_estimate_part(part) for part in content)
    other = {name: value for name, value in message.items() if name not in {"role", "content"} and value}
    return total + (estimate(json.dumps(other, ensure_ascii=False)) if other else 0)


def _estimate_part(part: Any) -> int:
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return estimate(part["text"])
    if isinstance(part, dict) and part.get("type") in {"image_url", "input_image"}:
        return IMAGE_TOKENS
    return estimate(json.dumps(part, ensure_ascii=False))


def room_for_history(context_tokens: int, options: dict[str, Any], messages: Sequence[Any]) -> int:
    """Tokens left for earlier turns, at least 0: the context less the question and the answer's room.

    `options` is the request's body without its messages.
    """
    asked = options.get("max_completion_tokens") or options.get("max_tokens")
    answer = (
        min(asked, context_tokens // 2) if type(asked) is int and asked > 0 else context_tokens // _ROOM_SHARE
    )
    tools = [value for name, value in options.items() if name in {"tools", "functions", "response_format"}]
    question = sum(map(estimate_message, messages)) + sum(
        estimate(json.dumps(value, ensure_ascii=False)) for value in tools
    )
    return max(0, context_tokens - answer - question)


def goes_along(state: str, status: str | None) -> bool:
    """Whether a turn that is over goes to a model again: one that was refused does not."""
    return state in {"closing", "finished", "interrupted"} and status not in REFUSED


def carried(path: Sequence[PathTurn], room: int) -> Carried:
    """The history of a branch within `room` tokens.

    `path` goes from the branch's newest turn towards its first and may end early.
    """
    fitting: list[PathTurn] = []
    used = 0
    cut_at = 0
    for turn in path:
        if not goes_along(turn.state, turn.status):
            continue
        if used + turn.tokens > room or len(fitting) == HISTORY_TURNS:
            cut_at = turn.depth
            break
        used += turn.tokens
        fitting.append(turn)
    if not cut_at and path and path[-1].depth > 1:
        cut_at = path[-1].depth - 1
    pieces = [_messages(turn) for turn in reversed(fitting)]
    return Carried(",".join(piece for piece in pieces if piece), len(fitting), cut_at)


def _messages(turn: PathTurn) -> str:
    parts = (turn.asked, turn.rounds, turn.replied or _note(turn))
    return ",".join(part for part in parts if part)


def _note(turn: PathTurn) -> str:
    """What was shown in place of an answer that has no text."""
    why = NOTES.get(turn.status or "interrupted", NOTES["interrupted"])
    return json.dumps({"role": "assistant", "content": why[turn.lang]}, ensure_ascii=False)


def inner(messages: Sequence[Any]) -> str:
    """Messages as JSON, comma-separated, without the list's brackets."""
    return compact(messages)[1:-1]


def compact(value: Any) -> str:
    """JSON text that can be stored: half of a surrogate pair, which no database takes, stays escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def upstream(options: str, history: str, asked: str) -> str:
    """The body of `/v1/chat/completions` with the history in it, as JSON. `options` is an object's JSON."""
    messages = f"{history},{asked}" if history else asked
    rest = options[1:-1].strip()
    return f'{{{rest}{"," if rest else ""}"messages":[{messages}]}}'
