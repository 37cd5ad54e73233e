"""Appeals on `pages.sock`: received, acknowledged, read by whoever sent them. The relay says who asks."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.assistants import appeals
from dragoman.assistants.appeals import Arrival, Office
from dragoman.assistants.conversations import Person
from dragoman.assistants.texts import invalid
from dragoman.control.durable import durable
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
)
from dragoman.core.appeals import AppealStore
from dragoman.events import AppealReceived, emit
from dragoman.ids import kind_of, new_id, now_ms
from dragoman.settings import Deployment

PATH = "/v1/appeals"


class AppealRoutes:
    """The routes, over the store. No scope is needed: whoever may read reasons may object to them."""

    def __init__(self, store: AppealStore, zone: str, deployment: Callable[[], Deployment]) -> None:
        self._store = store
        self._zone = zone
        self._deployment = deployment

    def routes(self) -> list[BaseRoute]:
        """Control's `/v1` table of appeals."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", PATH, self.receive),
            ("GET", PATH, self.list),
            ("GET", f"{PATH}/{{appeal}}", self.read),
        ]
        return [Route(path, answered(handler, None), methods=[method]) for method, path, handler in table]

    async def receive(self, request: Request, person: Person) -> Response:
        """Appeal against an intervention, a decision or how a turn was handled; the acknowledgement."""
        raw = await raw_body(request)
        given = appeals.checked(json_object(raw))
        now, deployment = now_ms(), self._deployment()
        came = Arrival(
            appeal=new_id("apl", self._zone, now),
            lang=locale(request),
            at=now,
            key=claim(request, "appeal", raw, now),
            guests_bounded=deployment.stage != "local",
            address_full=appeals.is_full(request.headers),
        )
        office = Office(deployment.name, deployment.contact, deployment.appeal_answer_days)
        document = await durable(
            self._store.submit(person.tenant, lambda rows: appeals.receive(rows, person, given, came, office))
        )
        if document["id"] == came.appeal:
            emit(AppealReceived(came.appeal, given.about))
        return JSONResponse(document, 201, NO_STORE)

    async def list(self, request: Request, person: Person) -> Response:
        """A page of the caller's appeals, newest first."""
        after, most = request.query_params.get("after"), limit(request)
        if after is not None and kind_of(after) != "apl":
            raise invalid("after", "an appeal's id", "须为申诉编号")
        found = await run_in_threadpool(
            self._store.read, person.tenant, lambda rows: appeals.listed(rows, person, after, most)
        )
        return JSONResponse(found, headers=NO_STORE)

    async def read(self, request: Request, person: Person) -> Response:
        """One appeal, as it was sent and acknowledged."""
        name = name_in(request, "appeal")
        found = await run_in_threadpool(
            self._store.read, person.tenant, lambda rows: appeals.one(rows, person, name)
        )
        return JSONResponse(found, headers=NO_STORE)
