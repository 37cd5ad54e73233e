"""A conversation is erased: at once where it is short, else in steps of bounded size, a transaction each.

Before the second step it is nobody's any longer: whoever asks for it gets what an unknown one gives. What a
crash leaves is gone on with at the next start (`erasure.Eraser.resume`).
"""

from __future__ import annotations

from dragoman.core.conversations import ConversationRows, ConversationStore

ROWS_AT_ONCE = 200
"""LIMIT: turns, or claims and appeals, erased in one step."""
BYTES_AT_ONCE = 8 << 20
"""LIMIT: bytes of the texts of those turns; a step ends with the turn that exceeds it."""
PARTS_AT_ONCE = 4
"""LIMIT: parts of the search's index that a step takes a conversation out of."""
_DELETED = {
    "en": "The conversation was deleted, so the answer stops here.",
    "zh": "会话已被删除，回答到此为止。",
}


def begin(rows: ConversationRows, conversation: str) -> int | None:
    """Stop what runs in a conversation and do the first step, as `step` does."""
    if rows.running(conversation):
        rows.stop(f"conversation:{conversation}", _DELETED)
    return step(rows, conversation)


def step(rows: ConversationRows, conversation: str) -> int | None:
    """Erase a bounded part; how many turns it had where that was the last of it, else None.

    Then control's own log gets the act, without text. 0 where somebody else has done it.
    """
    record = rows.conversation(conversation)
    if record is None:
        return 0
    gone = rows.removing(conversation) or 0
    more = rows.search.leave_some(conversation, PARTS_AT_ONCE)
    if not more:
        here, more = rows.remove_turns(conversation, ROWS_AT_ONCE, BYTES_AT_ONCE)
        gone += here
    if more:
        rows.keep_removing(record, gone)
        return None
    turns = gone + rows.remove_conversation(conversation)
    rows.erased()
    rows.act(erased_entry(conversation, turns), None, {})
    return turns


def finish(store: ConversationStore, tenant: str, conversation: str) -> int:
    """Do the steps that are left; how many turns it had. Durable when it returns."""
    while True:
        turns = store.submit(tenant, lambda rows: step(rows, conversation)).result()
        if turns is not None:
            return turns


def erased_entry(conversation: str, turns: int) -> dict[str, object]:
    """The act that control's own log gets of an erased conversation."""
    return {"act": "conversation.delete", "conversation": conversation, "turns": turns}
