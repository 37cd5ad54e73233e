"""What a person says of an answer: good or bad, why, and a note. Kept beside the turn and erased with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dragoman.assistants.conversations import Person, own_turn, storable
from dragoman.assistants.texts import invalid, refused
from dragoman.core.conversations import ConversationRows
from dragoman.core.turns import RUNNING

RATINGS = ("good", "bad")
REASONS = ("wrong", "unsafe", "unhelpful", "style", "other")
NOTE_CHARS = 1_000
"""LIMIT: characters of a note on an answer."""
_MEMBERS = ("rating", "reason", "note")


@dataclass(frozen=True, slots=True)
class Feedback:
    """A checked judgement. `reason` is one of REASONS."""

    rating: str
    reason: str | None
    note: str | None


def checked(body: Mapping[str, Any]) -> Feedback:
    """A request's members. Raises RefusedError 400 naming the member and what it has to be."""
    for name in body:
        if name not in _MEMBERS:
            raise invalid(str(name)[:64], "is not known here", "不是此处的字段")
    rating, reason, note = (body.get(name) for name in _MEMBERS)
    if rating not in RATINGS:
        raise invalid("rating", f"one of {', '.join(RATINGS)}", f"须为 {'、'.join(RATINGS)} 之一")
    if reason is not None and reason not in REASONS:
        raise invalid("reason", f"null or one of {', '.join(REASONS)}", f"须为空或 {'、'.join(REASONS)} 之一")
    if note is not None and not (isinstance(note, str) and len(note) <= NOTE_CHARS and storable(note)):
        raise invalid(
            "note",
            f"null or a text of at most {NOTE_CHARS} characters",
            f"须为空或不超过 {NOTE_CHARS} 个字符的文本",
        )
    return Feedback(rating, reason, note.strip() or None if note else None)


def keep(
    rows: ConversationRows, person: Person, where: tuple[str, str], given: Feedback | None, now: int
) -> dict[str, Any]:
    """Keep what a person says of a turn (`where`: its conversation, it), or take it back (None).

    Control's own log gets the act with rating and reason; a note is nobody else's to read there. Raises
    RefusedError 404 where the turn is not the person's, 409 while it runs.
    """
    conversation, turn = where
    # Every turn of the zone waits for the writer: it reads no texts of others and names no siblings here.
    if own_turn(rows, person, conversation, turn).state in RUNNING:
        raise refused("turn_not_over")
    if given is None:
        texts = rows.texts(turn)
        if texts is None or texts.feedback is None:
            return _document(turn, None)
    said = None if given is None else {**asdict(given), "at": now // 1000}
    rows.change_turn(turn, {"feedback": None if said is None else json.dumps(said, ensure_ascii=False)})
    entry: dict[str, Any] = {"act": "turn.feedback", "turn": turn}
    rows.act(
        {**entry, "rating": given.rating if given else None, "reason": given.reason if given else None},
        None,
        {},
    )
    return _document(turn, said)


def _document(turn: str, said: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"id": turn, "object": "conversation.turn.feedback", "feedback": said}
