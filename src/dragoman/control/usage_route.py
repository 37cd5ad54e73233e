"""`GET /v1/usage`: what a caller's own key used, as JSON or CSV. Never anything of another key."""

from __future__ import annotations

import datetime as dt

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.budgets.usage import OWN_BY, columns_of, grouped, grouping, span, to_csv
from dragoman.errors import RefusedError
from dragoman.stores.usage import UsageRows

SCOPE = "usage"
_SCOPE_TEXT = {
    "en": "This key may not read usage. Ask for a key with the scope usage.",
    "zh": "该密钥无权读取用量，请申请具有 usage 权限的密钥。",
}


class UsageRoute:
    """The route, over the relay's word on who asks."""

    def __init__(self, usage: UsageRows) -> None:
        self._usage = usage

    def routes(self) -> list[BaseRoute]:
        """The route's table."""
        return [Route("/v1/usage", self.own, methods=["GET"])]

    async def own(self, request: Request) -> Response:
        """Usage of the caller's key."""
        try:
            return await self._own(request)
        except RefusedError as refused:
            locale = "zh" if request.headers.get("dragoman-locale") == "zh" else "en"
            error = refused.document()["error"]
            return JSONResponse({"error": {**error, "message": refused.text[locale]}}, refused.status)

    async def _own(self, request: Request) -> Response:
        tenant, key = request.headers.get("dragoman-tenant"), request.headers.get("dragoman-key")
        scopes = (request.headers.get("dragoman-scopes") or "").split(",")
        if not tenant or not key or SCOPE not in scopes:
            raise RefusedError(403, "insufficient_scope", _SCOPE_TEXT)
        asked = request.query_params
        first, last = span(asked.get("from"), asked.get("to"), dt.datetime.now(dt.UTC).date())
        by = grouping(asked.get("by"), OWN_BY)
        rows = grouped(await run_in_threadpool(self._usage.rows, first, last, tenant, key), by)
        kept = {"cache-control": "no-store"}
        if asked.get("format") == "csv" or "text/csv" in request.headers.get("accept", ""):
            named = {**kept, "content-disposition": f'attachment; filename="usage-{first}-{last}.csv"'}
            text = to_csv(rows, columns_of(by))
            return Response(text, media_type="text/csv; charset=utf-8", headers=named)
        return JSONResponse(
            {"object": "usage", "from": first, "to": last, "by": by, "data": rows}, headers=kept
        )
