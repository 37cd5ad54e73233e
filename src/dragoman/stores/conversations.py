"""Conversations in the zone's database: the port `core.conversations.ConversationStore`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, fields
from typing import Any, TypeVar

import sqlalchemy as sa

from dragoman.core.accounts import Act, Change
from dragoman.core.conversations import ConversationRows, Erasing, KeptDecision, Whole
from dragoman.core.turns import ConversationRecord, TurnBrief, TurnTexts
from dragoman.ids import now_ms
from dragoman.stores.acts import publish, record
from dragoman.stores.database import ERASED, Database
from dragoman.stores.people_tables import evidence, evidence_files, people, phone_codes
from dragoman.stores.schema import appeals, decisions, statements, zone_meta
from dragoman.stores.tenancy import prepared_climb, prepared_count, prepared_descend, prepared_select, rows_of
from dragoman.stores.turn_tables import claims, conversations, notices_shown, turns, uses
from dragoman.stores.turns import ERASING, MOVING, SqlTurnRows

T = TypeVar("T")

_BRIEF = tuple(one.name for one in fields(TurnBrief))
_TEXTS = tuple(one.name for one in fields(TurnTexts))
_RECORD = tuple(one.name for one in fields(ConversationRecord))
_RUNNING = turns.c.state.in_(("opened", "closing"))
PATH_BYTES = 16 << 20
"""LIMIT: bytes of the texts of one page of turns; a page ends with the turn that exceeds it."""
EVIDENCE_AT_ONCE = 2
"""LIMIT: evidence erased in one step; each may have a file of 4 MiB."""
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
    conversations.c.principal != sa.literal_column("''"),
    conversations.c.conversation < sa.bindparam("before"),
    columns=_RECORD,
    order=conversations.c.conversation.desc(),
    limit=sa.bindparam("most"),
)
_COUNT = prepared_count(conversations, conversations.c.principal == sa.bindparam("who"))
_DECISION = prepared_select(
    decisions,
    decisions.c.decision == sa.bindparam("name"),
    decisions.c.grounds.is_not(None),
    columns=("document", "grounds"),
)
_FAMILY = ("parent", "turn", "seq")
_FIRST = prepared_select(
    turns,
    turns.c.conversation == sa.bindparam("name"),
    turns.c.parent.is_(None),
    columns=_FAMILY,
    limit=_CHILDREN,
)
_FOLLOWING = prepared_select(
    turns,
    turns.c.conversation == sa.bindparam("name"),
    turns.c.parent == sa.bindparam("parent"),
    columns=_FAMILY,
    limit=_CHILDREN,
)
REMOVING = "removing:"
"""Before a conversation's id, the row of `zone_meta` that says how far its removal is."""
ARRIVING = "arriving:"
"""Before a new principal, the row of `zone_meta` that says by which file somebody is on the way in."""
ARRIVED = "arrived:"
"""Before the digest of a file from another zone, the row of `zone_meta` that says what came of it."""
NOBODY = ""
"""Whose a conversation is that is being removed."""
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
        return int(self.rows.run(_COUNT, {"who": principal, "most": most})[0].n)

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
        found = list(self.rows.run(_FIRST, {"name": conversation}))
        for parent in parents:
            found += self.rows.run(_FOLLOWING, {"name": conversation, "parent": parent})
        return [(row.parent, row.turn) for row in sorted(found, key=lambda row: row.seq)]

    def decision(self, name: str) -> KeptDecision | None:
        """A decision of the tenant that was kept with its grounds."""
        found = self.rows.run(_DECISION, {"name": name})
        return KeptDecision(json.loads(found[0].document), json.loads(found[0].grounds)) if found else None

    def statements(self, interventions: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        """Statements of reasons of the tenant, by intervention."""
        chosen = (statements.c.intervention, statements.c.document)
        found = self.rows.pick(statements, chosen, statements.c.intervention.in_(interventions))
        return {row.intervention: json.loads(row.document) for row in found}

    def running(self, conversation: str) -> list[TurnBrief]:
        """Turns of a conversation that are not over."""
        chosen = tuple(turns.c[name] for name in _BRIEF)
        found = self.rows.pick(turns, chosen, turns.c.conversation == conversation, _RUNNING, limit=_CHILDREN)
        return [TurnBrief(*tuple(row)) for row in found]

    def remove_conversation(self, conversation: str) -> int:
        """Erase a conversation, its turns but those running, texts, salts and claims; how many turns."""
        here = turns.c.conversation == conversation
        self.search.leave(conversation)
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
        kept = self.rows.update(
            turns, here, _RUNNING, **bare, has_text=False, decision="", due="[]", shown="{}"
        )
        gone = self.rows.delete(turns, here)
        found = self.conversation(conversation)
        if found is not None and found.claim is not None:
            self.remove_claim(found.principal, found.claim)
        self.rows.delete(conversations, conversations.c.conversation == conversation)
        self.rows.delete(zone_meta, zone_meta.c.name == REMOVING + conversation)
        return gone + kept

    def remove_turns(self, conversation: str, most: int, size: int) -> tuple[int, bool]:
        """Erase turns that are over, with their claims: at most `most`, of about `size` bytes of text."""
        here = turns.c.conversation == conversation
        columns = (turns.c.turn, turns.c.principal, turns.c.claim, turns.c.size)
        found = self.rows.pick(turns, columns, here, ~_RUNNING, limit=most)
        gone: list[str] = []
        for row in found:
            if size <= 0:
                break
            if row.claim is not None:
                self.remove_claim(row.principal, row.claim)
            gone.append(row.turn)
            size -= row.size
        self.rows.delete(turns, turns.c.turn.in_(gone))
        return len(gone), len(found) == most or len(gone) < len(found)

    def removing(self, conversation: str) -> int | None:
        """How many turns are gone of a conversation that is being removed; None where it is not."""
        row = self.rows.one(zone_meta, zone_meta.c.name == REMOVING + conversation)
        return int(json.loads(row.value)["turns"]) if row is not None else None

    def keep_removing(self, record: ConversationRecord, gone: int) -> None:
        """Mark a conversation as being removed: it is nobody's until `remove_conversation` ends it."""
        mark = zone_meta.c.name == REMOVING + record.conversation
        held = self.rows.one(zone_meta, mark)
        whose = record.principal if held is None else json.loads(held.value)["principal"]
        value = json.dumps({"principal": whose, "turns": gone})
        if held is not None:
            self.rows.update(zone_meta, mark, value=value)
            return
        self.rows.insert(zone_meta, name=REMOVING + record.conversation, value=value)
        here = conversations.c.conversation == record.conversation
        self.rows.update(conversations, here, principal=NOBODY)

    def removing_of(self, principal: str) -> list[str]:
        """Conversations that were a person's and are being removed."""
        whose = zone_meta.c.value.contains(principal, autoescape=True)
        found = self.rows.select(zone_meta, zone_meta.c.name.startswith(REMOVING), whose)
        own = [row for row in found if json.loads(row.value)["principal"] == principal]
        return [row.name.removeprefix(REMOVING) for row in own]

    def forget_some(self, principal: str, most: int) -> int:
        """Erase what else is kept of a person, at most `most` of each kind; how much it was."""
        chosen = (claims.c.name, claims.c.kind, claims.c.subject)
        own = self.rows.pick(claims, chosen, claims.c.principal == principal, limit=most)
        mine = turns.c.principal == principal
        here = turns.c.turn.in_([row.subject for row in own if row.kind == "turn"])
        self.rows.delete(turns, here, mine, turns.c.conversation.is_(None), ~_RUNNING)
        self.rows.update(turns, here, mine, claim=None)
        names = claims.c.name.in_([row.name for row in own])
        gone = self.rows.delete(claims, claims.c.principal == principal, names)
        objected = self.rows.pick(appeals, (appeals.c.appeal,), appeals.c.principal == principal, limit=most)
        gone += self.rows.delete(appeals, appeals.c.appeal.in_([row.appeal for row in objected]))
        gone += self._forget_evidence(principal)
        if gone == 0:
            gone += self.rows.delete(uses, uses.c.principal == principal)
            gone += self.rows.delete(notices_shown, notices_shown.c.principal == principal)
            gone += self._forget_account(principal)
        return gone

    def _forget_evidence(self, principal: str) -> int:
        """Erase some of what a person handed in, with its files; how much."""
        mine = evidence.c.person == principal
        found = self.rows.pick(evidence, (evidence.c.evidence,), mine, limit=EVIDENCE_AT_ONCE)
        names = [row.evidence for row in found]
        self.rows.delete(evidence_files, evidence_files.c.evidence.in_(names))
        return self.rows.delete(evidence, evidence.c.evidence.in_(names))

    def _forget_account(self, principal: str) -> int:
        """Erase whoever signed up, with the codes that its number was sent; how much. Its sessions end."""
        mine = people.c.person == principal
        gone = 0
        for row in self.rows.pick(people, (people.c.phone,), mine):
            gone += self.rows.delete(phone_codes, phone_codes.c.phone == row.phone)
        self._forget_moves(principal)
        return gone + self.rows.delete(people, mine)

    def _forget_moves(self, principal: str) -> None:
        """That somebody came in by a file is remembered, not who; a move that erased nothing is given up.

        So is one that is half in.
        """
        arrived = zone_meta.c.name.startswith(ARRIVED)
        whose = zone_meta.c.value.contains(principal, autoescape=True)
        self.rows.update(zone_meta, arrived, whose, value="{}")
        self.rows.delete(zone_meta, zone_meta.c.name == ARRIVING + principal)
        mark = zone_meta.c.name == MOVING + principal
        move = self.rows.one(zone_meta, mark)
        if move is not None and "receipt" not in json.loads(move.value):
            self.rows.delete(zone_meta, mark)

    def erasing(self, principal: str) -> Erasing | None:
        """How far the erasure of a person is; None where none is on its way."""
        row = self.rows.one(zone_meta, zone_meta.c.name == ERASING + principal)
        return Erasing(**json.loads(row.value)) if row is not None else None

    def keep_erasing(self, principal: str, so_far: Erasing | None) -> None:
        """Mark a person as being erased, or no longer."""
        self.rows.delete(zone_meta, zone_meta.c.name == ERASING + principal)
        if so_far is not None:
            self.rows.insert(zone_meta, name=ERASING + principal, value=json.dumps(asdict(so_far)))

    def erased(self) -> None:
        """What was removed leaves the database's own log too, once this transaction is committed."""
        self._connection.info[ERASED] = True

    def stop(self, tag: str, notice: Mapping[str, str]) -> None:
        """End running turns that carry a tag, with the notice; relays forget what they know by it."""
        publish(self._connection, Change((tag,), "stop", notice), now_ms())

    def act(self, entry: Mapping[str, Any], stop: str | None, notice: Mapping[str, str]) -> None:
        """Enter an act in control's own log; `stop` names a tag whose running turns end with the notice."""
        change = Change((stop,), "stop", notice) if stop else None
        record(self._connection, self._zone, Act(self.tenant, entry, change))


class SqlConversations:
    """The zone's conversations."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def erasing(self) -> list[tuple[str, str]]:
        """(tenant, principal) of persons that are marked as being erased."""
        query = sa.select(zone_meta.c.tenant, zone_meta.c.name).where(zone_meta.c.name.startswith(ERASING))
        found = self._database.read(lambda c: list(c.execute(query)))
        return [(row.tenant, row.name.removeprefix(ERASING)) for row in found]

    def removing(self) -> list[tuple[str, str]]:
        """(tenant, conversation) of those that are being removed."""
        query = sa.select(zone_meta.c.tenant, zone_meta.c.name).where(zone_meta.c.name.startswith(REMOVING))
        found = self._database.read(lambda c: list(c.execute(query)))
        return [(row.tenant, row.name.removeprefix(REMOVING)) for row in found]

    def submit(self, tenant: str, work: Callable[[ConversationRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlConversationRows(c, tenant, self._zone)))

    def read(self, tenant: str, work: Callable[[ConversationRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
        return self._database.read(lambda c: work(SqlConversationRows(c, tenant, self._zone)))


def _whole(row: sa.Row[Any]) -> Whole:
    brief = TurnBrief(**{name: getattr(row, name) for name in _BRIEF})
    return brief, TurnTexts(**{name: getattr(row, name) for name in _TEXTS})
