"""Conversations on `admin.sock`: what an operator needs, ids and numbers; no title, no text."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool

from dragoman.accounts.registry import Registry
from dragoman.assistants import removal
from dragoman.assistants.erasure import Eraser
from dragoman.assistants.texts import refused
from dragoman.control.asgi import Answer, Request, Routes
from dragoman.control.durable import durable, removed
from dragoman.control.questions import malformed
from dragoman.core.conversations import ConversationRows, ConversationStore
from dragoman.core.turns import RUNNING, ConversationRecord
from dragoman.errors import RefusedError
from dragoman.events import ConversationErased, emit

PAGE = 100
"""LIMIT: conversations of one answer."""
TURNS_SHOWN = 200
"""LIMIT: turns shown of one conversation, the newest of its shown branch."""


class ConversationVerbs:
    """The endpoints, over the store."""

    def __init__(self, store: ConversationStore, registry: Registry, eraser: Eraser) -> None:
        self._store = store
        self._eraser = eraser
        self._registry = registry

    def added_to(self, routes: Routes) -> Routes:
        """The table with these verbs in it."""
        routes.on("GET", "/admin/v1/conversations", self.list)
        routes.on("GET", "/admin/v1/conversations/show", self.show)
        routes.on("POST", "/admin/v1/conversations/delete", self.delete)
        return routes

    async def list(self, request: Request) -> Answer:
        """Conversations of a tenant, or of one person, newest first; `after` ends the page before."""
        tenant = self._tenant(request.query("tenant"))
        principal, after = request.query("principal") or None, request.query("after") or None
        found = await run_in_threadpool(
            self._store.read, tenant, lambda rows: rows.conversations(principal, after, PAGE)
        )
        return 200, {"conversations": [_row(record) for record in found]}

    async def show(self, request: Request) -> Answer:
        """The turns of a conversation's shown branch, without text."""
        tenant, name = self._tenant(request.query("tenant")), _named(request.query("conversation"))

        def look(rows: ConversationRows) -> dict[str, Any]:
            record = _found(rows, name)
            path = rows.whole_path(record.head, TURNS_SHOWN) if record.head else []
            turns = [
                {
                    "turn": brief.turn,
                    "at": brief.at,
                    "state": "running" if brief.state in RUNNING else brief.state,
                    "status": brief.status,
                    "model": texts.model,
                    "tokens": brief.tokens,
                    "decision": texts.decision,
                }
                for brief, texts in reversed(path)
            ]
            return {**_row(record), "shown": turns}

        return 200, await run_in_threadpool(self._store.read, tenant, look)

    async def delete(self, request: Request) -> Answer:
        """Erase a conversation, or everything kept of one person's conversations."""
        body = await request.json()
        if set(body) not in ({"tenant", "conversation"}, {"tenant", "principal"}):
            raise malformed("name tenant, and conversation or principal")
        tenant = self._tenant(body["tenant"])
        if "principal" in body:
            principal = _named(body["principal"])
            return 200, await run_in_threadpool(self._eraser.erase, tenant, principal)
        name = _named(body["conversation"])

        def work(rows: ConversationRows) -> int | None:
            _found(rows, name)
            return removal.begin(rows, name)

        turns = await durable(self._store.submit(tenant, work))
        turns = await removed(self._store, tenant, name, turns)
        emit(ConversationErased(name, turns))
        return 200, {"conversations": 1, "turns": turns}

    def _tenant(self, reference: Any) -> str:
        found = self._registry.tenant(_named(reference))
        if found is None:
            text = {"en": "No tenant has this name or id.", "zh": "没有这个名称或编号的租户。"}
            raise RefusedError(404, "tenant_not_found", text)
        return found.tenant


def _named(given: Any) -> str:
    if not isinstance(given, str) or not 1 <= len(given) <= 200:
        raise malformed("a name or id is missing")
    return given


def _found(rows: ConversationRows, name: str) -> ConversationRecord:
    record = rows.conversation(name)
    if record is None:
        raise refused("conversation_not_found")
    return record


def _row(record: ConversationRecord) -> dict[str, Any]:
    return {
        "conversation": record.conversation,
        "principal": record.principal,
        "turns": record.turns,
        "created_at": record.created_at,
        "changed_at": record.changed_at,
    }
