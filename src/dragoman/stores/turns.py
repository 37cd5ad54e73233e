"""Stored turns in the zone's database: the port `core.turns.TurnStore`.

INVARIANT: one call of `submit` is one durable transaction on the zone's only writer: what its function read
is still so when it writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa

from dragoman.core.turns import (
    Claim,
    ConversationRecord,
    Kept,
    PathTurn,
    Shown,
    TurnBrief,
    TurnRows,
    TurnTexts,
    Use,
    ZoneRows,
)
from dragoman.stores.database import ERASED, Database
from dragoman.stores.decision_index import enter
from dragoman.stores.interventions import RENEWED_MS
from dragoman.stores.schema import ZONE_TENANT, decisions, zone_meta
from dragoman.stores.search import SqlSearchRows
from dragoman.stores.tenancy import (
    TenantRows,
    prepared_climb,
    prepared_insert,
    prepared_put,
    prepared_select,
    prepared_update,
    rows_of,
)
from dragoman.stores.turn_tables import claims, conversations, notices_shown, turns, uses

T = TypeVar("T")

NOTICES_OF_PERSON = 500
"""LIMIT: notices remembered as shown to one person; no set of packs comes near."""

ERASING = "erasing:"
"""How rows of `zone_meta` are named that mark a tenant's person as being erased; then its principal."""
MOVING = "moving:"
"""The same of a person that is being moved to another zone."""

_BRIEF = tuple(one.name for one in fields(TurnBrief))
_TEXTS = tuple(one.name for one in fields(TurnTexts))
_CLAIM = tuple(one.name for one in fields(Claim))
_CONVERSATION = tuple(one.name for one in fields(ConversationRecord))
_RUNNING = turns.c.state.in_(("opened", "closing"))

_GET_CONVERSATION = prepared_select(
    conversations, conversations.c.conversation == sa.bindparam("name"), columns=_CONVERSATION
)
_ADD_CONVERSATION = prepared_insert(conversations)
_GET_TURN = prepared_select(turns, turns.c.turn == sa.bindparam("name"), columns=_BRIEF)
_GET_TEXTS = prepared_select(turns, turns.c.turn == sa.bindparam("name"), columns=_TEXTS)
_ADD_TURN = prepared_insert(turns)
_NEWEST = prepared_select(
    turns, turns.c.conversation == sa.bindparam("name"), columns=("turn",), order=turns.c.seq.desc()
)
_PATH = prepared_climb(turns, "turn", "parent", "tokens", columns=PathTurn._fields)
_GET_CLAIM = prepared_select(
    claims, claims.c.principal == sa.bindparam("who"), claims.c.name == sa.bindparam("key"), columns=_CLAIM
)
_ADD_CLAIM = prepared_insert(claims)
_GET_USE = prepared_select(uses, uses.c.principal == sa.bindparam("who"))
_PUT_USE = prepared_put(uses, ("principal",), ("began_at", "last_at"))
_SHOWN = prepared_select(
    notices_shown, notices_shown.c.principal == sa.bindparam("who"), limit=NOTICES_OF_PERSON
)
_HAS_GROUNDS = prepared_select(
    decisions,
    decisions.c.decision == sa.bindparam("name"),
    decisions.c.grounds.is_not(None),
    columns=("at",),
)
_PUT_GROUNDS = prepared_put(decisions, ("decision",), ("grounds",))
_LEAVING = prepared_select(
    zone_meta,
    zone_meta.c.name.in_((sa.bindparam("erasing"), sa.bindparam("moving"))),
    columns=("name",),
    order=zone_meta.c.name,
    limit=1,
)
"""Whether somebody is marked as being erased, `mark` being the row's name."""
_PUT_SHOWN = prepared_put(notices_shown, ("principal", "notice"), ("kind", "at"))


class SqlTurnRows:
    """A tenant's turns, conversations and claims on one connection."""

    def __init__(self, rows: TenantRows, tenant: str) -> None:
        self.rows = rows
        self.tenant = tenant
        self.search = SqlSearchRows(rows)

    def conversation(self, conversation: str) -> ConversationRecord | None:
        """A conversation of the tenant, whoever owns it."""
        found = self.rows.run(_GET_CONVERSATION, {"name": conversation})
        return ConversationRecord(*found[0]) if found else None

    def add_conversation(self, record: ConversationRecord) -> None:
        """Keep a new conversation."""
        self.rows.run(_ADD_CONVERSATION, {name: getattr(record, name) for name in _CONVERSATION})

    def change_conversation(self, conversation: str, values: Mapping[str, Any]) -> None:
        """Change columns of a conversation."""
        self._change(conversations, "conversation", conversation, values)

    def turn(self, turn: str) -> TurnBrief | None:
        """A turn without its texts."""
        found = self.rows.run(_GET_TURN, {"name": turn})
        return TurnBrief(*found[0]) if found else None

    def texts(self, turn: str) -> TurnTexts | None:
        """The texts of a turn."""
        found = self.rows.run(_GET_TEXTS, {"name": turn})
        return TurnTexts(*found[0]) if found else None

    def add_turn(self, brief: TurnBrief, texts: TurnTexts) -> None:
        """Keep a new turn."""
        values = {name: getattr(brief, name) for name in _BRIEF}
        values.update((name, getattr(texts, name)) for name in _TEXTS)
        self.rows.run(_ADD_TURN, values)

    def change_turn(self, turn: str, values: Mapping[str, Any]) -> None:
        """Change columns of a turn."""
        self._change(turns, "turn", turn, values)

    def _change(self, table: sa.Table, row: str, at: str, values: Mapping[str, Any]) -> None:
        change = prepared_update(table, row, tuple(sorted(values)))
        self.rows.run(change, {"of_row": at, **{f"new_{name}": value for name, value in values.items()}})

    def remove_turn(self, turn: str) -> None:
        """Forget a turn."""
        self.rows.delete(turns, turns.c.turn == turn)

    def newest(self, conversation: str) -> str | None:
        """The turn of a conversation that was opened last."""
        found = self.rows.run(_NEWEST, {"name": conversation})
        return str(found[0].turn) if found else None

    def path(self, start: str, tokens: int, most: int) -> list[PathTurn]:
        """From `start` towards the first turn, newest first: until `tokens` are exceeded, at most `most`."""
        found = self.rows.run(_PATH, {"start": start, "budget": tokens, "most": most})
        return [PathTurn._make(row) for row in found]

    def claim(self, principal: str, name: str) -> Claim | None:
        """An idempotency key in use."""
        found = self.rows.run(_GET_CLAIM, {"who": principal, "key": name})
        return Claim(*found[0]) if found else None

    def add_claim(self, claim: Claim) -> None:
        """Take an idempotency key into use."""
        self.rows.run(_ADD_CLAIM, {name: getattr(claim, name) for name in _CLAIM})

    def remove_claim(self, principal: str, name: str) -> None:
        """Give an idempotency key back."""
        self.rows.delete(claims, claims.c.principal == principal, claims.c.name == name)

    def use(self, principal: str) -> Use | None:
        """A person's newest use."""
        found = self.rows.run(_GET_USE, {"who": principal})
        return Use(found[0].began_at, found[0].last_at) if found else None

    def keep_use(self, principal: str, use: Use) -> None:
        """Keep a person's newest use."""
        values = {"principal": principal, "began_at": use.began_at, "last_at": use.last_at}
        self.rows.run(_PUT_USE, values)

    def shown(self, principal: str) -> list[Shown]:
        """The notices a person was shown, each when last."""
        return [Shown(row.notice, row.kind, row.at) for row in self.rows.run(_SHOWN, {"who": principal})]

    def keep_shown(self, principal: str, shown: Shown) -> None:
        """Note that a notice was shown."""
        values = {"principal": principal, "notice": shown.notice, "kind": shown.kind, "at": shown.at}
        self.rows.run(_PUT_SHOWN, values)

    def keep_decision(self, kept: Kept) -> None:
        """Keep a decision with its grounds, once however many turns name it."""
        found = self.rows.run(_HAS_GROUNDS, {"name": kept.decision})
        if found:
            if found[0].at < kept.at - RENEWED_MS:
                self.rows.update(decisions, decisions.c.decision == kept.decision, at=kept.at)
            return
        made = kept.made()
        enter(self.rows.of_zone(ZONE_TENANT), self.tenant, kept.at, made[0])
        document, grounds = (json.dumps(one, ensure_ascii=False) for one in made)
        values = {"decision": kept.decision, "at": kept.at, "document": document, "grounds": grounds}
        self.rows.run(_PUT_GROUNDS, values)

    def leaving(self, principal: str) -> str | None:
        """Why a person may not go on here: `being_erased`, `being_moved`; None where it may."""
        return leaving(self.rows, principal)


def leaving(rows: TenantRows, principal: str) -> str | None:
    """Why a tenant's person may not go on here: `being_erased`, `being_moved`; None where it may."""
    found = rows.run(_LEAVING, {"erasing": ERASING + principal, "moving": MOVING + principal})
    if not found:
        return None
    return "being_erased" if found[0].name.startswith(ERASING) else "being_moved"


class SqlZoneRows:
    """Turns of every tenant on one connection: what concerns a log or the clock, not a person."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def of(self, tenant: str) -> SqlTurnRows:
        """One tenant's rows."""
        return SqlTurnRows(rows_of(self._connection, tenant), tenant)

    def unfinished(self, log: str | None = None) -> list[TurnBrief]:
        """Turns that are not over, of a log or of all."""
        query = sa.select(*(turns.c[name] for name in _BRIEF)).where(_RUNNING)
        if log is not None:
            query = query.where(turns.c.log == log)
        return [TurnBrief(*tuple(row)) for row in self._connection.execute(query)]

    def expired(self, now: int, most: int) -> list[tuple[str, Claim]]:
        """(tenant, claim) of claims that are over, at most `most`."""
        chosen = (claims.c.tenant, *(claims.c[name] for name in _CLAIM))
        query = sa.select(*chosen).where(claims.c.ends_at <= now).limit(most)
        return [(row.tenant, Claim(*tuple(row)[1:])) for row in self._connection.execute(query)]

    def erase(self) -> None:
        """What is removed in this transaction leaves the database's own log too, once it is committed."""
        self._connection.info[ERASED] = True


class SqlTurns:
    """The zone's stored turns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, tenant: str, work: Callable[[TurnRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlTurnRows(rows_of(c, tenant), tenant)))

    def submit_zone(self, work: Callable[[ZoneRows], T]) -> Future[T]:
        """Run on every tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlZoneRows(c)))

    def read(self, tenant: str, work: Callable[[TurnRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
        return self._database.read(lambda c: work(SqlTurnRows(rows_of(c, tenant), tenant)))
