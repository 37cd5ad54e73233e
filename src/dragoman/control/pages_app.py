"""`pages.sock`: control's own `/v1` table and the pages, without any internal route.

Identity comes from the relay's headers alone; a session cookie is read here only to show its owner a page.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.accounts.principals import Principals
from dragoman.accounts.sessions import SESSION_MS
from dragoman.assistants.conversations import Person
from dragoman.control.loaded import Holder
from dragoman.control.planner import Planner
from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.control.statements import Statements
from dragoman.control.v1_request import NO_STORE, answered, locale, refused, refusing
from dragoman.errors import RefusedError
from dragoman.ids import now_ms
from dragoman.stores.interventions import Interventions
from dragoman.web.entry import PATH as START

PAGE_CSP = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_NOT_FOUND = {
    "en": "There is no such thing here, or it is not yours to read.",
    "zh": "此处没有该内容，或您无权读取。",
}

Mint = Callable[[], str]
"""Makes a guest of whom nothing is stored yet; the cookie's value."""


class OwnRoutes:
    """Models and interventions, as their callers may see them."""

    def __init__(
        self, holder: Holder, planner: Planner, principals: Principals, interventions: Interventions
    ) -> None:
        self._holder = holder
        self._planner = planner
        self._principals = principals
        self._interventions = interventions
        self._statements = Statements(holder, interventions)

    def routes(self) -> list[BaseRoute]:
        """Control's own `/v1` table."""
        return [
            Route("/v1/models", answered(self.models, None), methods=["GET"]),
            Route("/v1/models/{model:path}", answered(self.model, None), methods=["GET"]),
            Route("/v1/interventions/{intervention}", refusing(self.intervention), methods=["GET"]),
        ]

    async def models(self, request: Request, _person: Person) -> Response:
        """The models the caller may be offered where it is now, in OpenAI's form."""
        offered = await run_in_threadpool(self._offered, request, sorted(self._holder.loaded.attempts))
        return JSONResponse({"object": "list", "data": [_model(name) for name in offered]}, headers=NO_STORE)

    async def model(self, request: Request, _person: Person) -> Response:
        """One model; `dragoman` holds what was decided about it for this caller: outcome, reasons, text."""
        name = request.path_params["model"]
        if name not in self._holder.loaded.attempts:
            raise RefusedError(404, "model_not_found", _NOT_FOUND)
        plan = await run_in_threadpool(self._decided, request, name)
        refusal = plan["refusal"]
        told = {
            "outcome": plan["outcome"],
            "reasons": refusal["reasons"] if refusal else [],
            "text": refusal["text"][locale(request)] if refusal else None,
        }
        return JSONResponse({**_model(name), "dragoman": told}, headers=NO_STORE)

    def _offered(self, request: Request, names: list[str]) -> list[str]:
        """The names a turn of this caller may use now, as the relay described the caller."""
        now = now_ms()
        asked = ((name, _turn_question(request, name)) for name in names)
        return [name for name, question in asked if self._planner.outcome(question, now).attempts]

    def _decided(self, request: Request, name: str) -> dict[str, Any]:
        """The plan of a turn with this model; a refusal is kept, so that its id can be read and appealed."""
        question = _turn_question(request, name)
        plan = self._planner.plan(question, now_ms())
        if plan["refusal"] is not None:
            self._interventions.keep_decision(question["tenant"], plan["decision"]).result()
        return plan

    async def intervention(self, request: Request) -> Response:
        """The statement of reasons of an intervention, for the one it concerned; everyone else gets 404.

        A person with a session who looks at pages goes to the page that has it with the form to appeal.
        """
        name = request.path_params["intervention"]
        looks = "text/html" in request.headers.get("accept", "")
        if looks and request.headers.get("dragoman-key") is None:
            return RedirectResponse(f"/appeal/{quote(name, safe='')}", 303, NO_STORE)
        owner = self._owner(request)
        found = await run_in_threadpool(self._statements.of, *owner, name) if owner is not None else None
        if found is None:
            raise RefusedError(404, "not_found", _NOT_FOUND)
        return JSONResponse(found, headers=NO_STORE)

    def _owner(self, request: Request) -> tuple[str, str] | None:
        tenant, principal = (request.headers.get(f"dragoman-{name}") for name in ("tenant", "principal"))
        if tenant and principal:
            return tenant, principal
        session = self._principals.session(request.cookies.get(SESSION_COOKIE, ""), now_ms())
        return (session.tenant, session.principal) if session else None


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
        if "dragoman-wire" not in Request(scope).headers:
            await run_in_threadpool(self._keep, cookie)
        attributes = f"; Path=/; HttpOnly; SameSite=Lax; Max-Age={SESSION_MS // 1000}" + (
            "; Secure" if self._secure else ""
        )

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                value = f"{SESSION_COOKIE}={cookie}{attributes}".encode("latin-1")
                message["headers"] = [*message.get("headers", []), (b"set-cookie", value)]
            await send(message)

        await self._app(scope, receive, with_cookie)

    def _keep(self, cookie: str) -> None:
        """Past the relay comes only a tool of this machine (`dragoman ask`): it asks by turn.sock."""
        now = now_ms()
        session = self._principals.session(cookie, now)
        if session is not None:
            self._principals.keep_guest(session.tenant, session.principal, now)

    def _is_due(self, request: Request) -> bool:
        path = request.scope["path"]
        if request.method != "GET" or path == START or path.startswith(("/v1/", "/static/")):
            return False
        if "text/html" not in request.headers.get("accept", "") or "dragoman-principal" in request.headers:
            return False
        return self._principals.session(request.cookies.get(SESSION_COOKIE, ""), now_ms()) is None


def pages_app(
    own: OwnRoutes, pages: Sequence[BaseRoute], principals: Principals, mint: Mint, *, secure: bool
) -> Starlette:
    """The application of pages.sock."""
    guests = Middleware(GuestSessions, principals=principals, mint=mint, secure=secure)
    edges: dict[Any, Any] = {RefusedError: _refused}
    return Starlette(routes=[*own.routes(), *pages], middleware=[guests], exception_handlers=edges)


async def _refused(request: Request, fault: RefusedError) -> Response:
    """A refusal that no page has words for: the error object, or a plain page for who looks at pages."""
    if "text/html" not in request.headers.get("accept", ""):
        return refused(request, fault)
    language = locale(request)
    said = html.escape(fault.text[language])
    back = "Back" if language == "en" else "返回"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{said}</title>'
    main = f'<main><h1>{said}</h1><p><a href="/">{back}</a></p></main>'
    headers = {
        **NO_STORE,
        "content-security-policy": PAGE_CSP,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    page = f'<!doctype html><html lang="{language}">{head}{main}</html>'
    return HTMLResponse(page, fault.status, headers)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "dragoman"}


def _turn_question(request: Request, model: str) -> dict[str, Any]:
    """The question the relay would ask for a turn with this model (docs/wire.md)."""
    address = json.loads(request.headers.get("dragoman-address") or "{}")
    return {
        "tenant": request.headers.get("dragoman-tenant", ""),
        "app": None,
        "end_users": request.headers.get("dragoman-end-users", "none"),
        "class": request.headers.get("dragoman-class", ""),
        "scopes": request.headers.get("dragoman-scopes", "").split(","),
        "route": "/v1/chat/completions",
        "model": model,
        "channel": "api" if "dragoman-key" in request.headers else "web",
        "address": {"country": None, "kind": "unknown", "peer": "remote", **address},
    }
