"""`pages.sock`: control's own `/v1` table and the pages, without any internal route.

Identity comes from the relay's headers alone; a session cookie is read here only to show its owner a page.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.accounts.principals import Principals
from dragoman.accounts.sessions import SESSION_MS
from dragoman.control.loaded import Holder
from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.ids import kind_of, now_ms
from dragoman.policy.statements import of_decision
from dragoman.stores.interventions import Interventions

PAGE_CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_NOT_FOUND = {
    "en": "There is no such thing here, or it is not yours to read.",
    "zh": "此处没有该内容，或您无权读取。",
}

Mint = Callable[[], str]
"""Makes a guest, durably; the cookie's value."""


class OwnRoutes:
    """Models and interventions, as their callers may see them."""

    def __init__(self, holder: Holder, principals: Principals, interventions: Interventions) -> None:
        self._holder = holder
        self._principals = principals
        self._interventions = interventions

    def routes(self) -> list[BaseRoute]:
        """Control's own `/v1` table."""
        return [
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/v1/models/{model:path}", self.model, methods=["GET"]),
            Route("/v1/interventions/{intervention}", self.intervention, methods=["GET"]),
        ]

    async def models(self, request: Request) -> Response:
        """The model names a caller may use, in OpenAI's form."""
        if request.headers.get("dragoman-principal") is None:
            return _error(request, 401, "missing_credential", _CREDENTIAL)
        names = sorted(self._holder.loaded.attempts)
        return JSONResponse({"object": "list", "data": [_model(name) for name in names]})

    async def model(self, request: Request) -> Response:
        """One model name."""
        if request.headers.get("dragoman-principal") is None:
            return _error(request, 401, "missing_credential", _CREDENTIAL)
        name = request.path_params["model"]
        if name not in self._holder.loaded.attempts:
            return _error(request, 404, "model_not_found", _NOT_FOUND)
        return JSONResponse(_model(name))

    async def intervention(self, request: Request) -> Response:
        """The statement of reasons of an intervention, for the one it concerned; everyone else gets 404.

        A decision that refused (`dec_...`, as its notice names it) is read by the callers of its tenant: it
        names no person.
        """
        owner = self._owner(request)
        name = request.path_params["intervention"]
        statement = None
        if owner is not None and kind_of(name) == "int":
            statement = await run_in_threadpool(self._interventions.statement, *owner, name)
        elif owner is not None and name.startswith("dec_"):
            statement = await run_in_threadpool(self._of_decision, owner[0], name)
        if statement is None:
            return _error(request, 404, "not_found", _NOT_FOUND)
        if "text/html" in request.headers.get("accept", ""):
            return _statement_page(statement, _locale(request))
        return JSONResponse(statement, headers={"cache-control": "no-store"})

    def _of_decision(self, tenant: str, name: str) -> dict[str, Any] | None:
        decision = self._interventions.decision(tenant, name)
        return (
            None
            if decision is None
            else of_decision(decision, self._holder.loaded.settings.deployment.contact)
        )

    def _owner(self, request: Request) -> tuple[str, str] | None:
        tenant, principal = (request.headers.get(f"dragoman-{name}") for name in ("tenant", "principal"))
        if tenant and principal:
            return tenant, principal
        session = self._principals.session(request.cookies.get(SESSION_COOKIE, ""), now_ms())
        return (session.tenant, session.principal) if session else None


_CREDENTIAL = {
    "en": "Send an API key: Authorization: Bearer dragoman_...",
    "zh": "请提供 API 密钥：Authorization: Bearer dragoman_...",
}


class GuestSessions:
    """Gives a browser that opens a page without a session a guest's cookie."""

    def __init__(self, app: ASGIApp, principals: Principals, mint: Mint, *, secure: bool) -> None:
        self._app = app
        self._principals = principals
        self._mint = mint
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, adding the cookie where one is due."""
        if scope["type"] != "http" or not self._is_due(Request(scope)):
            await self._app(scope, receive, send)
            return
        cookie = await run_in_threadpool(self._mint)
        attributes = f"; Path=/; HttpOnly; SameSite=Lax; Max-Age={SESSION_MS // 1000}" + (
            "; Secure" if self._secure else ""
        )

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                value = f"{SESSION_COOKIE}={cookie}{attributes}".encode("latin-1")
                message["headers"] = [*message.get("headers", []), (b"set-cookie", value)]
            await send(message)

        await self._app(scope, receive, with_cookie)

    def _is_due(self, request: Request) -> bool:
        path = request.scope["path"]
        if request.method != "GET" or path.startswith(("/v1/", "/static/")):
            return False
        if "text/html" not in request.headers.get("accept", "") or "dragoman-principal" in request.headers:
            return False
        return self._principals.session(request.cookies.get(SESSION_COOKIE, ""), now_ms()) is None


def pages_app(
    own: OwnRoutes, pages: Sequence[BaseRoute], principals: Principals, mint: Mint, *, secure: bool
) -> Starlette:
    """The application of pages.sock."""
    guests = Middleware(GuestSessions, principals=principals, mint=mint, secure=secure)
    return Starlette(routes=[*own.routes(), *pages], middleware=[guests])


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "dragoman"}


def _locale(request: Request) -> str:
    return "zh" if request.headers.get("dragoman-locale") == "zh" else "en"


def _error(request: Request, status: int, code: str, text: dict[str, str]) -> JSONResponse:
    kind = "authentication_error" if status == 401 else "invalid_request_error"
    body = {"error": {"message": text[_locale(request)], "type": kind, "param": None, "code": code}}
    return JSONResponse(body, status_code=status, headers={"cache-control": "no-store"})


def _statement_page(statement: dict[str, Any], language: str) -> HTMLResponse:
    """The statement as a page of its own: plain, without script or style."""
    title = "Why text was changed" if language == "en" else "文字为何被更改"
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in statement["text"][language].split("\n"))
    name = html.escape(statement["intervention"])
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    main = f"<main><h1>{title}</h1>{lines}<p><small>{name}</small></p></main>"
    body = f'<!doctype html><html lang="{language}">{head}{main}</html>'
    headers = {
        "content-security-policy": PAGE_CSP,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    return HTMLResponse(body, headers={**headers, "referrer-policy": "no-referrer"})
