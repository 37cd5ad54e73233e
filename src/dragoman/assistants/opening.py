"""Opens a stored turn: the answer to `POST /turns`. Read `open_turn` for the order.

Rules over `core.turns.TurnRows`, inside one transaction: what is refused leaves nothing behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from dragoman.assistants import answers
from dragoman.assistants.context import (
    HISTORY_TURNS,
    Carried,
    carried,
    estimate,
    upstream,
)
from dragoman.assistants.texts import refused
from dragoman.assistants.turns import KEPT_MS, admit, drop_claim
from dragoman.assistants.usage import continued, turn_facts
from dragoman.core.turns import (
    RUNNING,
    Claim,
    ConversationRecord,
    Opening,
    Residual,
    TurnBrief,
    TurnRows,
    TurnTexts,
)

TURNS_PER_CONVERSATION = 10_000
"""LIMIT: turns of one conversation, branches included."""
OPENED = b'{"state":"opened"'
"""How the answer begins where the turn was opened, not answered by a twin's."""

Decide = Callable[[Mapping[str, Any], Mapping[str, int] | None, int], Residual]
"""Decides the rules that read `turn.*`: question, facts by path (None: they stay unknown), now."""


def open_turn(rows: TurnRows, opening: Opening, now: int, decide: Decide) -> bytes:
    """The answer to `POST /turns`, as JSON. Raises RefusedError; then nothing was kept."""
    admit(rows, opening.principal)
    known = rows.turn(opening.turn)
    if known is not None:
        return _again(rows, opening, known)
    twin = _twin(rows, opening, now)
    if twin is not None:
        return twin
    conversation = _conversation(rows, opening)
    parent = _parent(rows, opening, conversation)
    depth = parent.depth + 1 if parent else 1
    facts = None
    if conversation is not None:
        use = rows.use(opening.principal)
        facts = turn_facts(depth, use, rows.shown(opening.principal), now)
        rows.keep_use(opening.principal, continued(use, now))
    residual = decide(opening.question, facts, now)
    if residual.kept is not None and (conversation is not None or residual.refusal is not None):
        rows.keep_decision(residual.kept)
    history = _history(rows, parent, opening.room)
    _keep(rows, opening, conversation, parent, residual, history, now)
    return _opened(opening.turn, opening, history, residual.notices, residual.refusal, residual.entry)


def _again(rows: TurnRows, opening: Opening, known: TurnBrief) -> bytes:
    """A repeated message gets the answer it got."""
    if known.principal != opening.principal or known.conversation != opening.conversation:
        raise refused("turn_not_found")
    if known.state == "interrupted":
        raise refused("turn_interrupted")
    texts = rows.texts(known.turn)
    if texts is None or texts.context is None:
        raise refused("turn_not_found")
    parent = rows.turn(known.parent) if known.parent else None
    kept = json.loads(texts.context)
    history = _history(rows, parent, int(kept["room"]))
    shown = json.loads(texts.shown)
    return _opened(known.turn, opening, history, shown["notices"], shown["refusal"], shown["entry"])


def _twin(rows: TurnRows, opening: Opening, now: int) -> bytes | None:
    """What an earlier request with the same idempotency key came to, or None where this is the first."""
    if opening.claim is None:
        return None
    claim = rows.claim(opening.principal, opening.claim)
    if claim is not None and claim.ends_at <= now:
        drop_claim(rows, claim)
        claim = None
    if claim is None:
        return None
    if claim.body != opening.body or claim.kind != "turn":
        raise refused("idempotency_mismatch")
    first = rows.turn(claim.subject)
    if first is None:
        rows.remove_claim(claim.principal, claim.name)
        return None
    if first.state in RUNNING:
        raise refused("turn_running")
    return _outcome(first, rows.texts(first.turn))


def _outcome(first: TurnBrief, texts: TurnTexts | None) -> bytes:
    answer = texts.answer if texts else None
    head: dict[str, Any] = {"turn": first.turn}
    if first.state == "interrupted" or first.status in answers.FAILED or answer is None:
        record = json.loads(answer) if answer else None
        status, error = answers.error_of(first.status, record)
        return _json({"state": "failed", **head, "status": status, "error": error})
    head = {"state": "finished", **head, "status": first.status, "stream": first.stream}
    return _json(head)[:-1] + b',"answer":' + answer.encode() + b"}"


def _conversation(rows: TurnRows, opening: Opening) -> ConversationRecord | None:
    if opening.conversation is None:
        return None
    found = rows.conversation(opening.conversation)
    if found is None or found.principal != opening.principal:
        raise refused("conversation_not_found")
    if found.turns >= TURNS_PER_CONVERSATION:
        raise refused("conversation_full")
    return found


def _parent(rows: TurnRows, opening: Opening, conversation: ConversationRecord | None) -> TurnBrief | None:
    if conversation is None or opening.parent == "root":
        return None
    named = conversation.head if opening.parent == "last" else opening.parent
    if named is None:
        return None
    parent = rows.turn(named)
    if parent is None or parent.conversation != conversation.conversation:
        raise refused("turn_not_found")
    if parent.state in RUNNING:
        raise refused("conversation_busy")
    return parent


def _history(rows: TurnRows, parent: TurnBrief | None, room: int) -> Carried:
    if parent is None:
        return Carried("", 0, 0)
    path = rows.path(parent.turn, room, HISTORY_TURNS)
    return carried(path, room)


def _keep(  # noqa: PLR0913, PLR0917 - all that one new row is made of
    rows: TurnRows,
    opening: Opening,
    conversation: ConversationRecord | None,
    parent: TurnBrief | None,
    residual: Residual,
    history: Carried,
    now: int,
) -> None:
    seq = conversation.turns + 1 if conversation else 1
    brief = TurnBrief(
        tenant=opening.tenant,
        turn=opening.turn,
        conversation=opening.conversation,
        seq=seq,
        depth=parent.depth + 1 if parent else 1,
        parent=parent.turn if parent else None,
        principal=opening.principal,
        log=opening.log,
        state="opened",
        status=None,
        at=opening.at,
        deadline_ms=opening.deadline_ms,
        changed_at=now,
        lang=opening.lang,
        stream=opening.stream,
        tokens=estimate(opening.asked) if opening.asked else 0,
        size=len((opening.asked or "").encode()) + len((opening.options or "").encode()),
        digest=None,
        claim=opening.claim,
        salt=opening.salt,
        has_text=True,
    )
    rows.add_turn(brief, _texts(opening, residual, history, conversation.head if conversation else None))
    if opening.claim is not None and opening.body is not None:
        rows.add_claim(
            Claim(opening.principal, opening.claim, "turn", opening.turn, opening.body, now + KEPT_MS)
        )
    if conversation is not None:
        values = {"head": opening.turn, "turns": seq, "changed_at": now}
        rows.change_conversation(conversation.conversation, values)


def _texts(opening: Opening, residual: Residual, history: Carried, head: str | None) -> TurnTexts:
    """`head`: where the conversation stood, for a turn that is given back."""
    context = {"turns": history.turns, "left_out": history.left_out, "room": opening.room, "head": head}
    return TurnTexts(
        model=str(opening.question["model"]),
        plan=opening.plan,
        decision=residual.decision,
        key=opening.key,
        rules_in=opening.rules_in,
        interventions=json.dumps(list(opening.interventions)),
        options=opening.options,
        asked=opening.asked,
        rounds=None,
        replied=None,
        answer=None,
        result=None,
        shown=residual.shown_text,
        due=residual.due_text,
        context=json.dumps(context),
    )


def _opened(  # noqa: PLR0913, PLR0917 - the members of the answer
    turn: str,
    opening: Opening,
    history: Carried,
    notices: Any,
    refusal: Any,
    entry: Any,
) -> bytes:
    head = _json(
        {
            "state": "opened",
            "turn": turn,
            "notices": list(notices),
            "refusal": refusal,
            "decision_entry": entry,
            "context": {"turns": history.turns, "left_out": history.left_out},
        }
    )
    body = "null"
    if opening.asked is not None and opening.options is not None:
        body = upstream(opening.options, history.messages, opening.asked)
    return head[:-1] + b',"upstream":' + body.encode("utf-8", "surrogatepass") + b"}"


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
