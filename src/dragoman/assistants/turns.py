"""The life of a stored turn after it was opened: closing, finished; or abandoned, or interrupted.

Rules over `core.turns.TurnRows`, each function inside one transaction. INVARIANT: a turn leaves `finished`
and `interrupted` never again, and a `closing` one never becomes `interrupted`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragoman.assistants import answers
from dragoman.assistants.context import compact, estimate, goes_along
from dragoman.assistants.texts import refused
from dragoman.assistants.titles import title_of, was_stopped
from dragoman.core.people import PeopleRows
from dragoman.core.turns import RUNNING, Claim, Due, Shown, TurnBrief, TurnRows, ZoneRows

KEPT_MS = 86_400_000
"""How long an idempotency key keeps its answer: 24 hours."""


def admit(rows: TurnRows | PeopleRows, principal: str) -> None:
    """Let a person go on. Raises RefusedError 403 while what is kept of it is being erased or moved."""
    why = rows.leaving(principal)
    if why is not None:
        raise refused(why)


def close_turn(rows: TurnRows, turn: str, body: Mapping[str, Any], now: int) -> None:
    """`closing`, with digest, answer and result: kept before the result entry is. Raises RefusedError."""
    digest, answer, result = body["digest"], body["answer"], body["result"]
    found = _found(rows, turn)
    if found.state != "opened":
        _same(found, digest)
        return
    record = json.loads(answer)
    status = str(result["status"])
    values: dict[str, Any] = {
        "state": "closing",
        "status": status,
        "digest": digest,
        "result": compact(result),
        "changed_at": now,
    }
    if found.has_text:
        if not _commits(found.salt, answer, digest):
            raise refused("digest_mismatch")
        text = answers.replied(record, status) if found.conversation else None
        values.update(
            answer=answer, replied=text, size=found.size + len(answer.encode("utf-8", "surrogatepass"))
        )
        values["tokens"] = (
            found.tokens + (estimate(text) if text else 0) if goes_along("closing", status) else 0
        )
    rows.change_turn(turn, values)
    if found.conversation is not None:
        _note_shown(rows, found, result, now)


def _note_shown(rows: TurnRows, turn: TurnBrief, result: Mapping[str, Any], now: int) -> None:
    if not result.get("notices"):
        return
    texts = rows.texts(turn.turn)
    for one in answers.carried_out(due_of(texts.due if texts else "[]"), result):
        if one.notice is not None:
            rows.keep_shown(turn.principal, Shown(one.notice, one.kind, now))


def due_of(text: str) -> list[Due]:
    """What was due with a turn, as kept."""
    return [Due(**one) for one in json.loads(text)]


def finish_turn(rows: TurnRows, turn: str, digest: str, now: int) -> None:
    """`finished`: the result entry stands. Raises RefusedError."""
    found = _found(rows, turn)
    if found.state == "opened":
        raise refused("outcome_differs")
    _same(found, digest)
    if found.state == "closing":
        settle(rows, found, now)


def settle(rows: TurnRows, turn: TurnBrief, now: int) -> None:
    """A closing turn is finished; one that nobody can ask for any more is forgotten."""
    if _is_wanted(turn):
        rows.change_turn(turn.turn, {"state": "finished", "changed_at": now})
        _name(rows, turn)
        _enter(rows, turn)
    else:
        rows.remove_turn(turn.turn)


def abandon_turn(rows: TurnRows, turn: str) -> None:
    """`abandoned`: nothing went to a provider; the turn and its claim are gone."""
    found = rows.turn(turn)
    if found is None:
        return
    if found.state == "interrupted":
        raise refused("turn_interrupted")
    if found.state != "opened":
        raise refused("outcome_differs")
    texts = rows.texts(turn)
    _unclaim(rows, found)
    rows.remove_turn(turn)
    conversation = rows.conversation(found.conversation) if found.conversation else None
    if conversation is not None and conversation.head == turn:
        before = json.loads(texts.context or "{}").get("head") if texts else None
        head = before if before and rows.turn(before) else rows.newest(conversation.conversation)
        rows.change_conversation(conversation.conversation, {"head": head})


def recover(
    zone: ZoneRows, log: str, intents: frozenset[str], now: int, *, copied: bool = False
) -> list[dict[str, Any]]:
    """A relay's start: the closing turns whose result is missing; every other turn of its log is settled.

    `copied`: the log came with a backup, which may hold the end of a turn that its database saw running.
    """
    closing = []
    for turn in zone.unfinished(log):
        rows = zone.of(turn.tenant)
        if turn.state == "opened" and (copied or turn.turn in intents):
            interrupt(rows, turn, now)
        elif turn.state == "opened":  # nothing went to a provider: its key may ask again
            interrupt(rows, _unclaim(rows, turn), now)
        elif turn.turn not in intents:
            settle(rows, turn, now)
        else:
            texts = rows.texts(turn.turn)
            entry = json.loads(texts.result) if texts and texts.result else None
            closing.append({"turn": turn.turn, "digest": turn.digest, "result": entry})
    return closing


def interrupt(rows: TurnRows, turn: TurnBrief, now: int) -> None:
    """Give up an opened turn; one that nobody can ask for any more is forgotten."""
    if _is_wanted(turn):
        rows.change_turn(turn.turn, {"state": "interrupted", "status": "interrupted", "changed_at": now})
        _enter(rows, turn)
    else:
        rows.remove_turn(turn.turn)


def _unclaim(rows: TurnRows, turn: TurnBrief) -> TurnBrief:
    """The turn without its idempotency key, which is free again."""
    if turn.claim is None:
        return turn
    rows.remove_claim(turn.principal, turn.claim)
    rows.change_turn(turn.turn, {"claim": None})
    return replace(turn, claim=None)


def _enter(rows: TurnRows, turn: TurnBrief) -> None:
    """A turn of a conversation that is over can be found."""
    if turn.conversation is not None:
        rows.search.enter(turn.principal, turn.conversation, turn.turn)


def _name(rows: TurnRows, turn: TurnBrief) -> None:
    """A conversation without a title is named by the first question that no rule stopped.

    Before the turn is entered, so that what is found in both is found in the turn.
    """
    if turn.conversation is None:
        return
    conversation = rows.conversation(turn.conversation)
    if conversation is None or conversation.title is not None:
        return
    texts = rows.texts(turn.turn)
    if texts is None or was_stopped(turn.status, json.loads(texts.result or "{}")):
        return
    title = title_of(texts.asked)
    if title is not None:
        rows.change_conversation(turn.conversation, {"title": title})
        rows.search.enter(turn.principal, turn.conversation, turn.conversation)


def _is_wanted(turn: TurnBrief) -> bool:
    """Whether a conversation or an idempotency key still leads to the turn: both may end while it runs."""
    return turn.has_text and (turn.conversation is not None or turn.claim is not None)


def _found(rows: TurnRows, turn: str) -> TurnBrief:
    found = rows.turn(turn)
    if found is None:
        raise refused("turn_not_found")
    if found.state == "interrupted":
        raise refused("turn_interrupted")
    return found


def _same(turn: TurnBrief, digest: str) -> None:
    if turn.digest != digest:
        raise refused("outcome_differs")


def _commits(salt: str | None, answer: str, digest: str) -> bool:
    try:
        raw = base64.urlsafe_b64decode((salt or "") + "=" * (-len(salt or "") % 4))
    except (binascii.Error, ValueError):
        return False
    made = "sha256:" + hashlib.sha256(raw + answer.encode("utf-8", "surrogatepass")).hexdigest()
    return hmac.compare_digest(made, digest)


def drop_claim(rows: TurnRows, claim: Claim) -> None:
    """Forget a claim that is over; with it the answer and the salt of a stateless turn."""
    rows.remove_claim(claim.principal, claim.name)
    turn = rows.turn(claim.subject) if claim.kind == "turn" else None
    if turn is None:
        return
    if turn.conversation is None and turn.state not in RUNNING:
        rows.remove_turn(turn.turn)
    else:
        rows.change_turn(turn.turn, {"claim": None})
