"""Erasure and export of all that is kept of one person's conversations, for whoever handles such a request.

Large collections go in steps, a transaction each: a step that was done stays done when a later one fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dragoman.assistants.conversations import erase
from dragoman.assistants.views import conversation_document, turn_document
from dragoman.core.conversations import ConversationRows, ConversationStore

AT_ONCE = 20
"""LIMIT: conversations erased in one transaction."""
TURNS_AT_ONCE = 10
"""LIMIT: turns read in one snapshot."""


def erase_person(store: ConversationStore, tenant: str, principal: str) -> dict[str, int]:
    """Erase a person's conversations with texts and salts, its idempotent answers, what it was shown.

    Returns how many conversations and turns were erased. Durable when it returns.
    """
    total = {"conversations": 0, "turns": 0}

    def some(rows: ConversationRows) -> tuple[int, int]:
        found = rows.conversations(principal, None, AT_ONCE)
        return len(found), sum(erase(rows, record.conversation) for record in found)

    while (done := store.submit(tenant, some).result())[0]:
        total["conversations"] += done[0]
        total["turns"] += done[1]
    store.submit(tenant, lambda rows: rows.forget_person(principal)).result()
    return total


def export_person(store: ConversationStore, tenant: str, principal: str) -> Iterator[dict[str, Any]]:
    """A person's conversations, newest first: each document with `items`, its turns of all branches."""
    before: str | None = None
    while True:
        last = before
        page = store.read(tenant, lambda rows, last=last: list(rows.conversations(principal, last, AT_ONCE)))  # type: ignore[misc]
        for record in page:
            turns = list(_turns(store, tenant, record.conversation))
            yield {**conversation_document(record), "items": turns}
        if len(page) < AT_ONCE:
            return
        before = page[-1].conversation


def _turns(store: ConversationStore, tenant: str, conversation: str) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        since = after
        page = store.read(
            tenant,
            lambda rows, since=since: rows.whole_turns(conversation, since, TURNS_AT_ONCE),  # type: ignore[misc]
        )
        for whole in page:
            yield turn_document(whole, [], [])
        if len(page) < TURNS_AT_ONCE:
            return
        after = page[-1][0].seq
