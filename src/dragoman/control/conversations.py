"""Conversations on `pages.sock`: control's `/v1` table of them. The relay's headers say whose they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.assistants import conversations
from dragoman.assistants.conversations import Page, Person, wanted
from dragoman.assistants.export import FORMATS, Branch
from dragoman.assistants.feedback import Feedback, checked, keep
from dragoman.assistants.finding import query_of
from dragoman.assistants.passport import UNREADABLE, Record, document, file_name
from dragoman.assistants.search import found
from dragoman.assistants.search_places import SearchPlaces
from dragoman.assistants.texts import invalid, refused
from dragoman.assistants.views import conversation_document, decision_of, stream
from dragoman.control.durable import durable, removed
from dragoman.control.v1_request import (
    NO_STORE,
    Handler,
    answered,
    claim,
    json_object,
    limit,
    locale,
    name_in,
    raw_body,
    truth,
)
from dragoman.core.conversations import ConversationRows, ConversationStore, KeptDecision, Whole
from dragoman.errors import UnavailableError
from dragoman.events import ConversationErased, emit
from dragoman.ids import kind_of, new_id, now_ms

READS = 2
"""LIMIT: look-ups in conversations at once; a page of long turns takes long, and turns need readers too."""
EXPORTS = 2
"""LIMIT: files of conversations that are made at once; each may hold many megabytes."""
EXPORT_WAIT_S = 5.0
"""LIMIT: seconds that an export waits for its turn."""
CODE_POINTS = 2**53
_NEW = frozenset({"title", "metadata"})
_CHANGED = frozenset({"title", "metadata", "head", "pinned"})

T = TypeVar("T")


class ConversationRoutes:
    """The routes, over the store."""

    def __init__(
        self,
        store: ConversationStore,
        zone: str,
        guests: Callable[[], bool] = lambda: True,
        record: Callable[[Whole], Record] = lambda _whole: Record(UNREADABLE),
        searches: SearchPlaces | None = None,
    ) -> None:
        """`guests`: whether who has no key may keep conversations: whoever comes by could fill the disk.

        `record`: what the ledger has of a turn. `searches`: the places that the page's searches take too.
        """
        self._store = store
        self._zone = zone
        self._guests = guests
        self._reads = asyncio.Semaphore(READS)
        self._searches = searches or SearchPlaces()
        self._exports = asyncio.Semaphore(EXPORTS)
        self._record = record

    def routes(self) -> list[BaseRoute]:
        """Control's `/v1` table of conversations. The relay serves POST .../turns itself."""
        one = "/v1/conversations/{conversation}"
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/v1/conversations", self.create),
            ("GET", "/v1/conversations", self.list),
            ("GET", one, self.read),
            ("PATCH", one, self.change),
            ("DELETE", one, self.delete),
            ("GET", f"{one}/export", self.export),
            ("GET", f"{one}/turns", self.turns),
            ("GET", f"{one}/turns/{{turn}}", self.turn),
            ("POST", f"{one}/turns/{{turn}}/stop", self.stop),
            ("PUT", f"{one}/turns/{{turn}}/feedback", self.give_feedback),
            ("DELETE", f"{one}/turns/{{turn}}/feedback", self.take_back_feedback),
            ("GET", f"{one}/turns/{{turn}}/passport", self.passport),
        ]
        return [Route(path, answered(handler, "turns"), methods=[method]) for method, path, handler in table]

    async def create(self, request: Request, person: Person) -> Response:
        """A new conversation."""
        signed_up = request.headers.get("dragoman-end-users") == "placed"
        if person.key is None and not signed_up and not self._guests():
            raise refused("guest_conversations")
        raw = await raw_body(request)
        want = wanted(json_object(raw), _NEW)
        now = now_ms()
        key = claim(request, "conversation", raw, now)
        name = new_id("cnv", self._zone, now)
        document = await durable(
            self._store.submit(
                person.tenant, lambda rows: conversations.create(rows, person, name, want, key, now)
            )
        )
        return JSONResponse(document, 201, NO_STORE)

    async def list(self, request: Request, person: Person) -> Response:
        """A page of the caller's conversations, newest first; with `q` of what is found in them."""
        if "q" in request.query_params:
            return await self._search(request, person)
        after = request.query_params.get("after")
        if after is not None and kind_of(after) != "cnv":
            raise invalid("after", "a conversation's id", "须为会话编号")
        most, pinned = limit(request), truth(request, "pinned")
        found = await self._read(person, lambda rows: conversations.listed(rows, person, after, most, pinned))
        return JSONResponse(found, headers=NO_STORE)

    async def _search(self, request: Request, person: Person) -> Response:
        if "pinned" in request.query_params:
            raise invalid("pinned", "does not go together with q", "不能与 q 同时使用")
        query = query_of(request.query_params["q"])
        after, most = request.query_params.get("after"), limit(request)
        async with self._searches.place(person):
            hits = await run_in_threadpool(
                self._store.read, person.tenant, lambda rows: found(rows, person, query, after, most)
            )
        return JSONResponse(hits, headers=NO_STORE)

    async def read(self, request: Request, person: Person) -> Response:
        """One conversation."""
        name = name_in(request, "conversation")
        record = await self._read(person, lambda rows: conversations.owned(rows, person, name))
        return JSONResponse(conversation_document(record), headers=NO_STORE)

    async def change(self, request: Request, person: Person) -> Response:
        """Rename, pin, set metadata, show another branch."""
        name = name_in(request, "conversation")
        want = wanted(json_object(await raw_body(request)), _CHANGED)
        if want.head is not None:
            # A long branch takes its time: the writer, for which every turn waits, goes on from its end.
            wish = want.head
            want = replace(
                want,
                head=await self._read(person, lambda rows: conversations.end_of(rows, person, name, wish)),
            )
        now = now_ms()
        document = await durable(
            self._store.submit(
                person.tenant, lambda rows: conversations.change(rows, person, name, want, now)
            )
        )
        return JSONResponse(document, headers=NO_STORE)

    async def delete(self, request: Request, person: Person) -> Response:
        """Erase a conversation with its texts and salts."""
        name = name_in(request, "conversation")
        document, turns = await durable(
            self._store.submit(person.tenant, lambda rows: conversations.delete(rows, person, name))
        )
        emit(ConversationErased(name, await removed(self._store, person.tenant, name, turns)))
        return JSONResponse(document, headers=NO_STORE)

    async def export(self, request: Request, person: Person) -> Response:
        """A branch as a file."""
        given = request.query_params.get("format", "json")
        if given not in FORMATS:
            raise invalid("format", f"one of {', '.join(FORMATS)}", f"须为 {'、'.join(FORMATS)} 之一")
        ending, media, made = FORMATS[given]
        name, through, now = name_in(request, "conversation"), request.query_params.get("branch"), now_ms()

        async with self._export():
            found = await self._read(person, lambda rows: conversations.exported(rows, person, name, through))
            # Long texts take their time: the zone's few readers are for others meanwhile.
            text = await run_in_threadpool(made, Branch(*found, locale(request), now))
        # Half of a surrogate pair, which a question may hold, has no form in a file.
        # The name comes from the path: an id, once the conversation was found by it.
        shown = {"content-disposition": f'attachment; filename="{name}.{ending}"'}
        return Response(
            text.encode("utf-8", "replace"),
            media_type=media,
            headers={**NO_STORE, **shown, "x-content-type-options": "nosniff"},
        )

    async def _read(self, person: Person, work: Callable[[ConversationRows], T]) -> T:
        """Read the tenant's rows, by few of the zone's readers."""
        async with self._reads:
            return await run_in_threadpool(self._store.read, person.tenant, work)

    @asynccontextmanager
    async def _export(self) -> AsyncIterator[None]:
        """A place among the exports that are made at once. Raises UnavailableError where none comes free."""
        try:
            await asyncio.wait_for(self._exports.acquire(), EXPORT_WAIT_S)
        except TimeoutError:
            raise UnavailableError("several conversations are being exported; try again") from None
        try:
            yield
        finally:
            self._exports.release()

    async def turns(self, request: Request, person: Person) -> Response:
        """A page of a branch."""
        name, most = name_in(request, "conversation"), limit(request)
        part = Page(request.query_params.get("branch"), request.query_params.get("before"), most)
        found = await self._read(person, lambda rows: conversations.branch(rows, person, name, part))
        return JSONResponse(found, headers=NO_STORE)

    async def turn(self, request: Request, person: Person) -> Response:
        """One turn; with `after` its stored answer as a stream."""
        whole, document = await self._turn(request, person)
        after = request.query_params.get("after")
        if after is None:
            return JSONResponse(document, headers=NO_STORE)
        if not after.isascii() or not after.isdigit() or int(after[:17]) > CODE_POINTS:
            raise invalid("after", "how many code points are there already", "须为已收到的字符数")
        if conversations.is_running(whole):
            raise refused("turn_elsewhere")
        frames = "".join(stream(whole, int(after[:17]), document["dragoman"]))
        return Response(frames, media_type="text/event-stream", headers=NO_STORE)

    async def stop(self, request: Request, person: Person) -> Response:
        """A turn that does not run in the relay that asks: how it ended."""
        whole, document = await self._turn(request, person)
        if conversations.is_running(whole):
            raise refused("turn_elsewhere")
        told = {name: document[name] for name in ("id", "object", "conversation", "state", "status")}
        return JSONResponse(told, headers=NO_STORE)

    async def give_feedback(self, request: Request, person: Person) -> Response:
        """Say of an answer that it was good or bad, and why; again: in place of what was said."""
        given = checked(json_object(await raw_body(request)))
        return await self._feedback(request, person, given)

    async def take_back_feedback(self, request: Request, person: Person) -> Response:
        """Take back what was said of an answer."""
        return await self._feedback(request, person, None)

    async def passport(self, request: Request, person: Person) -> Response:
        """What was decided of a turn, why, and the proofs of its record; one proof alone as a file."""
        name, turn = name_in(request, "conversation"), name_in(request, "turn")

        def work(rows: ConversationRows) -> tuple[Whole, dict[str, Any], KeptDecision | None]:
            whole, told = conversations.one_turn(rows, person, name, turn)
            return whole, told, rows.decision(decision_of(whole[1]))

        kind = request.query_params.get("proof")
        if kind not in {None, "intent", "result"}:
            raise invalid("proof", "intent or result", "须为 intent 或 result")
        whole, told, kept = await self._read(person, work)
        async with self._reads:
            record = await run_in_threadpool(self._record, whole)
        if kind is None:
            done = told["dragoman"]["interventions"]
            return JSONResponse(document(whole, kept, record, self._zone, done), headers=NO_STORE)
        proof = next((one for one in record.proofs if one.kind == kind), None)
        if proof is None:
            raise refused("proof_not_yet")
        shown = {"content-disposition": f'attachment; filename="{file_name(turn, kind)}"'}
        return Response(
            proof.text, media_type="text/plain; charset=utf-8",
            headers={**NO_STORE, **shown, "x-content-type-options": "nosniff"},
        )  # fmt: skip

    async def _feedback(self, request: Request, person: Person, given: Feedback | None) -> Response:
        name, turn, now = name_in(request, "conversation"), name_in(request, "turn"), now_ms()
        document = await durable(
            self._store.submit(person.tenant, lambda rows: keep(rows, person, (name, turn), given, now))
        )
        return JSONResponse(document, headers=NO_STORE)

    async def _turn(self, request: Request, person: Person) -> Any:
        name, turn = name_in(request, "conversation"), name_in(request, "turn")
        return await self._read(person, lambda rows: conversations.one_turn(rows, person, name, turn))
