"""Conversations in the zone's database: the port `core.conversations.ConversationStore`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa

from dragoman.core.accounts import Act, Change
from dragoman.core.conversations import ConversationRows, Whole
from dragoman.core.turns import ConversationRecord, TurnBrief, TurnTexts
from dragoman.stores.acts import record
from dragoman.stores.database import ERASED, Database
from dragoman.stores.tenancy import prepared_climb, prepared_descend, prepared_select, rows_of
from dragoman.stores.turn_tables import claims, conversations, notices_shown, turns, uses
from dragoman.stores.turns import SqlTurnRows

T = TypeVar("T")

_BRIEF = tuple(one.name for one in fields(TurnBrief))
_TEXTS = tuple(one.name for one in fields(TurnTexts))
_RECORD = tuple(one.name for one in fields(ConversationRecord))
_RUNNING = turns.c.state.in_(("opened", "closing"))
PATH_BYTES = 16 << 20
"""LIMIT: bytes of the texts of one page of turns; a page ends with the turn that exceeds it."""
_CHILDREN = 100_000
"""LIMIT: turns of one conversation that one listing names; more than a conversation may have."""

_WHOLE_PATH = prepared_climb(turns, "turn", "parent", "size")
_WHOLE = prepared_select(
    turns,
    turns.c.conversation == sa.bindparam("name"),
    turns.c.seq > sa.bindparam("after"),
    order=turns.c.seq,
    limit=sa.bindparam("most"),
)
_LEAF = prepared_descend(turns, "turn", "parent", "conversation", "seq")
_OWN = prepared_select(
    conversations,
    conversations.c.principal == sa.bindparam("who"),
    conversations.c.conversation < sa.bindparam("before"),
    columns=_RECORD,
    order=conversations.c.conversation.desc(),
    limit=sa.bindparam("most"),
)
_OWN_PINNED = prepared_select(
    conversations,
    conversations.c.principal == sa.bindparam("who"),
    conversations.c.conversation < sa.bindparam("before"),
    conversations.c.pinned == sa.bindparam("pinned"),
    columns=_RECORD,
    order=conversations.c.conversation.desc(),
    limit=sa.bindparam("most"),
)
_ALL = prepared_select(
    conversations,
    conversations.c.conversation < sa.bindparam("before"),
    columns=_RECORD,
    order=conversations.c.conversation.desc(),
    limit=sa.bindparam("most"),
)
_NAMES = prepared_select(
    conversations,
    conversations.c.principal == sa.bindparam("who"),
    columns=("conversation",),
    limit=sa.bindparam("most"),
)
_LAST = "\uffff"
"""After every id."""


class SqlConversationRows(SqlTurnRows):
    """A tenant's conversations on one connection."""

    def __init__(self, connection: sa.Connection, tenant: str, zone: str) -> None:
        super().__init__(rows_of(connection, tenant), tenant)
        self._connection = connection
        self._zone = zone

    def conversations(
        self, principal: str | None, before: str | None, most: int, pinned: bool | None = None
    ) -> Sequence[ConversationRecord]:
        """Conversations of a person, or of all, newest first; those older than the id `before`."""
        values: dict[str, Any] = {"before": before or _LAST, "most": most}
        if principal is None:
            found = self.rows.run(_ALL, values)
        elif pinned is None:
            found = self.rows.run(_OWN, {**values, "who": principal})
        else:
            found = self.rows.run(_OWN_PINNED, {**values, "who": principal, "pinned": pinned})
        return [ConversationRecord(*row) for row in found]

    def count_conversations(self, principal: str, most: int) -> int:
        """How many conversations a person has, counted up to `most`."""
        return len(self.rows.run(_NAMES, {"who": principal, "most": most}))

    def whole_path(self, start: str, most: int) -> list[Whole]:
        """From `start` towards the branch's first turn, newest first: at most `most`, bounded in bytes."""
        found = self.rows.run(_WHOLE_PATH, {"start": start, "budget": PATH_BYTES, "most": most})
        return [_whole(row) for row in found]

    def whole_turns(self, conversation: str, after: int, most: int) -> list[Whole]:
        """Turns of a conversation in the order they were opened, those with a `seq` above `after`."""
        found = self.rows.run(_WHOLE, {"name": conversation, "after": after, "most": most})
        return [_whole(row) for row in found]

    def leaf(self, turn: str) -> str:
        """The end of the newest branch through a turn; the turn itself where nothing follows."""
        brief = self.turn(turn)
        values = {"start": turn, "inside": brief.conversation if brief else None}
        return str(self.rows.run(_LEAF, values)[0].row)

    def children(self, conversation: str, parents: Sequence[str]) -> list[tuple[str | None, str]]:
        """(parent, turn) of those that follow these, and of the first turns (parent None), oldest first."""
        here = turns.c.conversation == conversation
        chosen = (turns.c.parent, turns.c.turn, turns.c.seq)
        found = self.rows.pick(turns, chosen, here, turns.c.parent.is_(None), limit=_CHILDREN)
        if parents:
            found += self.rows.pick(turns, chosen, here, turns.c.parent.in_(parents), limit=_CHILDREN)
        return [(row.parent, row.turn) for row in sorted(found, key=lambda row: row.seq)]

    def running(self, conversation: str) -> list[TurnBrief]:
        """Turns of a conversation that are not over."""
        chosen = tuple(turns.c[name] for name in _BRIEF)
        found = self.rows.pick(turns, chosen, turns.c.conversation == conversation, _RUNNING, limit=_CHILDREN)
        return [TurnBrief(*tuple(row)) for row in found]

    def remove_conversation(self, conversation: str) -> int:
        """Erase a conversation, its turns but those running, texts, salts and claims; how many turns."""
        here = turns.c.conversation == conversation
        for row in self.rows.pick(
            turns, (turns.c.principal, turns.c.claim), here, turns.c.claim.is_not(None), limit=_CHILDREN
        ):
            self.remove_claim(row.principal, row.claim)
        bare = dict.fromkeys(
            (
                *("conversation", "salt", "claim", "context", "options"),
                *("asked", "rounds", "replied", "answer", "feedback"),
            )
        )
        kept = self.rows.update(turns, here, _RUNNING, **bare, has_text=False, due="[]", shown="{}")
        gone = self.rows.delete(turns, here)
        found = self.conversation(conversation)
        if found is not None and found.claim is not None:
            self.remove_claim(found.principal, found.claim)
        self.rows.delete(conversations, conversations.c.conversation == conversation)
        self._connection.info[ERASED] = True
        return gone + kept

    def forget_person(self, principal: str) -> None:
        """Erase what else is kept of a person: claims with their answers, use, notices shown."""
        mine = turns.c.principal == principal
        own = self.rows.pick(
            claims,
            (claims.c.subject,),
            claims.c.principal == principal,
            claims.c.kind == "turn",
            limit=_CHILDREN,
        )
        for row in own:
            self.rows.delete(
                turns, turns.c.turn == row.subject, mine, turns.c.conversation.is_(None), ~_RUNNING
            )
            self.rows.update(turns, turns.c.turn == row.subject, mine, claim=None)
        self.rows.delete(claims, claims.c.principal == principal)
        self.rows.delete(uses, uses.c.principal == principal)
        self.rows.delete(notices_shown, notices_shown.c.principal == principal)
        self._connection.info[ERASED] = True

    def act(self, entry: Mapping[str, Any], stop: str | None, notice: Mapping[str, str]) -> None:
        """Enter an act in control's own log; `stop` names a tag whose running turns end with the notice."""
        change = Change((stop,), "stop", notice) if stop else None
        record(self._connection, self._zone, Act(self.tenant, entry, change))


class SqlConversations:
    """The zone's conversations."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def submit(self, tenant: str, work: Callable[[ConversationRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlConversationRows(c, tenant, self._zone)))

    def read(self, tenant: str, work: Callable[[ConversationRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
        return self._database.read(lambda c: work(SqlConversationRows(c, tenant, self._zone)))


def _whole(row: sa.Row[Any]) -> Whole:
    brief = TurnBrief(**{name: getattr(row, name) for name in _BRIEF})
    return brief, TurnTexts(**{name: getattr(row, name) for name in _TEXTS})
