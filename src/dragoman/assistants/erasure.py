"""Erasure and export of all that is kept of one person's conversations, for whoever handles such a request.

Erasure: a mark first, by which the person is hidden and refused at once; then steps of bounded size, a
transaction each, between which other writes have their turn; with the last one the mark goes and control's
log gets the act. What a crash leaves marked is gone on with at the next start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from dragoman.assistants import removal
from dragoman.assistants.removal import BYTES_AT_ONCE, ROWS_AT_ONCE, erased_entry
from dragoman.assistants.texts import ERASED_NOTICE
from dragoman.assistants.views import conversation_document, turn_document
from dragoman.core.conversations import ConversationRows, ConversationStore, Erasing

AT_ONCE = 20
"""LIMIT: conversations erased in one step, or read in one snapshot."""
INDEX_AT_ONCE = 1_000
"""LIMIT: rows of the search's index erased in one step, the first ones; each has about a kilobyte."""
TURNS_AT_ONCE = 10
"""LIMIT: turns read in one snapshot."""


class Eraser:
    """Erases persons, and goes on with those, and with conversations, that an earlier process left."""

    def __init__(self, store: ConversationStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._busy: set[tuple[str, str]] = set()

    def erase(self, tenant: str, principal: str) -> dict[str, int]:
        """`erase_person`; where another caller is at it, what is left between them."""
        with self._lock:
            self._busy.add((tenant, principal))
        try:
            return erase_person(self._store, tenant, principal)
        finally:
            with self._lock:
                self._busy.discard((tenant, principal))

    def resume(self, stopping: Callable[[], bool] = lambda: False) -> int:
        """Go on with those who are marked and whom nobody is erasing; how many are done. Ends early.

        And with conversations that are being removed: two that are at one take turns.
        """
        for tenant, conversation in self._store.removing():
            if stopping():
                return 0
            removal.finish(self._store, tenant, conversation)
        with self._lock:
            left = [one for one in self._store.erasing() if one not in self._busy]
        for done, (tenant, principal) in enumerate(left):
            for _ in steps(self._store, tenant, principal):
                if stopping():
                    return done
        return len(left)


def erase_person(store: ConversationStore, tenant: str, principal: str) -> dict[str, int]:
    """Erase a person's conversations with texts and salts, its idempotent answers, what it was shown.

    Returns how many conversations and turns were erased. Durable when it returns.
    """
    total = Erasing(0, 0, 0)
    for so_far in steps(store, tenant, principal):
        total = so_far
    return {"conversations": total.conversations, "turns": total.turns}


def steps(store: ConversationStore, tenant: str, principal: str) -> Iterator[Erasing]:
    """The steps of `erase_person`: what is gone so far, after each, durable. The first marks alone."""
    yield store.submit(tenant, lambda rows: begin(rows, principal)).result()
    over = False
    while not over:
        so_far, over = store.submit(tenant, lambda rows: step(rows, principal)).result()
        if so_far is not None:
            yield so_far


def begin(rows: ConversationRows, principal: str) -> Erasing:
    """Mark a person as being erased: hidden and refused from here on; what it has running is stopped."""
    so_far = rows.erasing(principal)
    if so_far is None:
        so_far = Erasing(0, 0, 0)
        rows.keep_erasing(principal, so_far)
        rows.stop(f"principal:{principal}", ERASED_NOTICE)
    return so_far


def step(rows: ConversationRows, principal: str) -> tuple[Erasing | None, bool]:
    """Erase a bounded part of what is left of a marked person; whether that was the last of it.

    None where nobody of the kind is marked any longer: another has done it.
    """
    so_far = rows.erasing(principal)
    if so_far is None:
        return None, True
    for conversation in rows.removing_of(principal):
        turns = removal.step(rows, conversation)
        if turns is not None:
            so_far = replace(so_far, conversations=so_far.conversations + 1, turns=so_far.turns + turns)
            rows.keep_erasing(principal, so_far)
        return so_far, False
    if rows.search.forget(principal, INDEX_AT_ONCE):
        return so_far, False
    left = ROWS_AT_ONCE
    found = rows.conversations(principal, None, AT_ONCE)
    for record in found:
        gone, more = rows.remove_turns(record.conversation, left, BYTES_AT_ONCE)
        so_far, left = replace(so_far, here=so_far.here + gone), left - gone
        if more:
            break
        turns = so_far.here + rows.remove_conversation(record.conversation)
        rows.act(erased_entry(record.conversation, turns), None, {})
        so_far = Erasing(so_far.conversations + 1, so_far.turns + turns, 0)
    over = not found and not rows.forget_some(principal, left)
    rows.keep_erasing(principal, None if over else so_far)
    if over:
        counts = {"conversations": so_far.conversations, "turns": so_far.turns}
        rows.act({"act": "person.erase", **counts}, None, {})
        rows.erased()
    return so_far, over


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
