"""What a conversation is called where nobody named it: the beginning of its first question, as it is kept.

Pure. What is kept of a question went through the rules: what they redact stands in no title either.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

TITLE_CHARS = 60
"""Code points of a title that is made of a question."""


def question_of(asked: str | None) -> str:
    """The texts of a question's messages as a turn keeps them, a line each."""
    texts: list[str] = []
    for message in json.loads(f"[{asked or ''}]"):
        content = message.get("content") if isinstance(message, Mapping) else None
        for part in content if isinstance(content, list) else [{"text": content}]:
            said = part.get("text") if isinstance(part, Mapping) else None
            if isinstance(said, str):
                texts.append(said)
    return "\n".join(texts)


def title_of(asked: str | None) -> str | None:
    """A title of a question's messages as a turn keeps them; None where they have no text."""
    # Half of a surrogate pair is kept escaped in JSON and has no UTF-8 form of its own.
    line = " ".join(question_of(asked).encode("utf-8", "replace").decode().split())
    return (line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1] + "…") or None


def was_stopped(status: str | None, result: Mapping[str, Any]) -> bool:
    """Whether a rule stopped the question itself: its turn is refused and no provider was asked."""
    return status == "refused" and result.get("provider") is None
