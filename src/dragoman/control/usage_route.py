"""`GET /v1/usage`: what a caller's own key used, as JSON or CSV. Never anything of another key."""

from __future__ import annotations

import datetime as dt

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.assistants.conversations import Person
from dragoman.budgets.usage import OWN_BY, columns_of, grouped, grouping, span, to_csv
from dragoman.control.v1_request import NO_STORE, answered, lacking
from dragoman.stores.usage import UsageRows

SCOPE = "usage"


class UsageRoute:
    """The route, over the relay's word on who asks."""

    def __init__(self, usage: UsageRows) -> None:
        self._usage = usage

    def routes(self) -> list[BaseRoute]:
        """The route's table."""
        return [Route("/v1/usage", answered(self.own, SCOPE), methods=["GET"])]

    async def own(self, request: Request, person: Person) -> Response:
        """Usage of the caller's key."""
        if not person.key:
            raise lacking(SCOPE)
        asked = request.query_params
        first, last = span(asked.get("from"), asked.get("to"), dt.datetime.now(dt.UTC).date())
        by = grouping(asked.get("by"), OWN_BY)
        found = await run_in_threadpool(self._usage.rows, first, last, person.tenant, person.key)
        rows = grouped(found, by)
        if asked.get("format") == "csv" or "text/csv" in request.headers.get("accept", ""):
            named = {**NO_STORE, "content-disposition": f'attachment; filename="usage-{first}-{last}.csv"'}
            text = to_csv(rows, columns_of(by))
            return Response(text, media_type="text/csv; charset=utf-8", headers=named)
        told = {"object": "usage", "from": first, "to": last, "by": by, "data": rows}
        return JSONResponse(told, headers=NO_STORE)
