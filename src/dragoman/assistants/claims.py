"""Idempotency keys of requests that make something other than a turn: the same request makes it once.

Twins of turns have states of their own (`opening`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.assistants.context import compact
from dragoman.assistants.texts import refused
from dragoman.assistants.turns import KEPT_MS, drop_claim
from dragoman.core.turns import Claim, TurnRows


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key: what kind of thing is made, the digest of the request, when it came (ms UTC)."""

    kind: str
    name: str
    body: str
    at: int


def earlier(rows: TurnRows, principal: str, key: Key | None) -> Claim | None:
    """The claim of the same request before; a claim that is over is dropped. Raises RefusedError 422."""
    held = rows.claim(principal, key.name) if key is not None else None
    if key is None or held is None:
        return None
    if held.ends_at <= key.at:
        drop_claim(rows, held)
        return None
    if held.kind != key.kind or held.body != key.body:
        raise refused("idempotency_mismatch")
    return held


def keep(
    rows: TurnRows, principal: str, key: Key | None, subject: str, document: Mapping[str, Any] | None = None
) -> None:
    """Note what was made (its id), with what is answered again where that is not read from its own row."""
    if key is not None:
        kept = None if document is None else compact(document)
        rows.add_claim(Claim(principal, key.name, key.kind, subject, key.body, key.at + KEPT_MS, kept))
