"""The admin listener's application: the one order in which a request is let in, checked and answered.

door → route → who → role → place → origin and form token → attempts → freshness → body → endpoint. What a
step does not let through goes no further; a route that is not in the table does not exist. Where files come,
the form token stands among them: freshness is asked before a byte of them is read, and the token before one
is kept.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from dragoman.admin.context import AdminContext
from dragoman.admin.door import Knock
from dragoman.admin.place import entry_of
from dragoman.admin.sessions import COOKIE, is_cookie
from dragoman.admin.table import AdminRoute, Call, RouteTable, Visitor
from dragoman.admin.uploads import Uploads
from dragoman.admin.view import AdminView, put_cookie
from dragoman.core.admins import METRICS, TokenRecord
from dragoman.errors import RefusedError, UnavailableError
from dragoman.events import EdgeFailed, emit, fault_place
from dragoman.meters import observe

BODY_BYTES = 64 << 10
"""LIMIT: bytes of a form or of a JSON body."""
BODY_SECONDS = 10.0
"""LIMIT: seconds a body may take to arrive."""
ASKING = 2
"""LIMIT: look-ups at once of who asks, so that strangers leave the zone's readers to turns."""
FORM_FIELDS = 50
"""LIMIT: fields of a form."""
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"


class AdminSite:
    """An ASGI application over one route table."""

    def __init__(self, context: AdminContext, table: RouteTable, view: AdminView) -> None:
        self._context = context
        self._table = table
        self._view = view
        self._asking = asyncio.Semaphore(ASKING)
        self._uploads = Uploads(context.intake)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        began = time.perf_counter()
        route, names, methods = self._table.find(request.method, scope["path"])
        response = await self._answered(request, route, names, methods)
        place = route.path if route is not None else "none"
        observe("admin", place, response.status_code, time.perf_counter() - began)
        await response(scope, receive, send)

    async def _answered(
        self, request: Request, route: AdminRoute | None, names: dict[str, str], methods: tuple[str, ...]
    ) -> Response:
        """The edge: a refusal or a fault becomes one answer, and nothing else happens."""
        try:
            return await self._steps(request, route, names, methods)
        except RefusedError as refused:
            return self._view.refused(request, route, refused)
        except UnavailableError as fault:
            text = {"en": fault.message, "zh": "暂时无法处理，请重试。"}
            return self._view.refused(request, route, RefusedError(503, fault.code, text))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as fault:  # noqa: BLE001 - the edge
            emit(EdgeFailed("admin", type(fault).__name__, fault_place(fault)))
            text = {"en": "Something failed inside; the log says where.", "zh": "内部出错，日志中有位置。"}
            return self._view.refused(request, route, RefusedError(500, "internal_error", text))

    async def _steps(
        self, request: Request, route: AdminRoute | None, names: dict[str, str], methods: tuple[str, ...]
    ) -> Response:
        door = self._context.door
        knock = door.admit(request)
        if knock.host != door.host and route is not None and route.is_page:
            # Pages live at the origin that passkeys are bound to.
            return RedirectResponse(f"{door.origin}{quote(request.scope['path'])}", 307)
        if route is not None and route.bare:
            return await route.endpoint(Call(request, Visitor(knock.address, knock.near), route, names))
        async with self._asking:
            visitor = await run_in_threadpool(self._identified, request, knock)
        request.state.visitor = visitor  # a page that is not there keeps their menu
        if route is None or not visitor.may(route.role):
            return self._kept_out(request, route, methods, visitor)
        if route.personal:
            await run_in_threadpool(self._placed, request, visitor)
        if route.changes:
            self._same_origin(request, visitor)
        if route.files:
            self._fresh(route, visitor)
            own = partial(self._own_form, request, visitor)
            async with self._uploads.received(request, own, route.kinds) as upload:
                body = _checked(route, upload.fields, strict=False)
                response = await route.endpoint(Call(request, visitor, route, names, body, upload))
        else:
            fields = _fields(request, route, await _body(request) if route.changes else b"")
            if route.changes:
                self._own_form(request, visitor, str(fields.pop(CSRF_FIELD, "")))
            if route.limited:
                self._context.attempts.take(f"address {visitor.address}")
            self._fresh(route, visitor)
            body = _checked(route, fields, strict=route.is_api)
            response = await route.endpoint(Call(request, visitor, route, names, body))
        if visitor.is_new and not route.is_api and visitor.cookie is not None:
            put_cookie(response, visitor.cookie)
        return response

    def _identified(self, request: Request, knock: Knock) -> Visitor:
        """Who asks: one credential, a bearer token or a cookie. A bad token is an attempt."""
        sessions = self._context.sessions
        given = request.headers.get("authorization")
        cookie = request.cookies.get(COOKIE, "")
        if given is not None:
            if cookie.startswith("s."):
                text = {"en": "Send a token or a session, not both.", "zh": "请只发送令牌或会话之一。"}
                raise RefusedError(400, "two_credentials", text)
            return Visitor(knock.address, near=False, token=self._token(given, knock))
        found = sessions.open(cookie)
        if found is not None:
            return Visitor(knock.address, knock.near, cookie, session=found[0], person=found[1])
        known = is_cookie(cookie) and cookie.startswith("a.")
        return Visitor(knock.address, knock.near, cookie if known else sessions.anonymous(), is_new=not known)

    def _token(self, given: str, knock: Knock) -> TokenRecord:
        # Before the token is looked at: beyond the tries a right guess looks like a wrong one.
        self._context.attempts.check(f"token {knock.address}")
        scheme, _, text = given.partition(" ")
        found = self._context.sessions.token(text) if scheme.lower() == "bearer" else None
        if found is None and scheme.lower() == "bearer" and self._context.is_metrics_token(text):
            found = TokenRecord("metrics_token_file", "", "", METRICS, "", 0, 0, None)
        if found is None:
            self._context.attempts.take(f"token {knock.address}")
            self._context.refuse("token")
            text_ = {"en": "This is no working admin token.", "zh": "这不是有效的管理令牌。"}
            raise RefusedError(401, "invalid_token", text_)
        return found

    def _kept_out(
        self, request: Request, route: AdminRoute | None, methods: tuple[str, ...], visitor: Visitor
    ) -> Response:
        """Who is not in learns nothing about what exists; who is in learns what is missing."""
        if visitor.role is None or visitor.role == METRICS:
            wants_page = "text/html" in request.headers.get("accept", "")
            if wants_page and request.method == "GET" and not (route is not None and route.is_api):
                back = quote(request.scope["path"], safe="/")
                return RedirectResponse(f"/login?next={back}", 303)
            text = {"en": "Log in, or send an admin token.", "zh": "请登录，或发送管理令牌。"}
            raise RefusedError(401, "not_logged_in", text)
        if route is None and methods:
            text = {"en": "This path does not answer this method.", "zh": "该路径不支持此方法。"}
            raise RefusedError(405, "method_not_allowed", text, extra={"allow": ", ".join(methods)})
        if route is None:
            raise RefusedError(404, "not_found", {"en": "There is nothing here.", "zh": "此处没有内容。"})
        self._context.refuse("role", visitor.by)
        text = {
            "en": f"This is for the role {route.role}; yours is {visitor.role}.",
            "zh": f"此操作需要角色 {route.role}，您的角色是 {visitor.role}。",
        }
        raise RefusedError(403, "wrong_role", text)

    def _placed(self, request: Request, visitor: Visitor) -> None:
        """What goes abroad with a visitor is refused, or durably recorded before it is shown."""
        try:
            entry = entry_of(visitor, self._context.settings(), request.scope["path"])
        except RefusedError:
            self._context.refuse("abroad", visitor.by)
            raise
        if entry is not None:
            self._context.access.enter(dict(entry)).result()

    def _same_origin(self, request: Request, visitor: Visitor) -> None:
        """A change comes from a page of our own, or from a machine that no browser drives."""
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "same-origin")
        wanted = self._context.door.origin
        if (origin != wanted or site != "same-origin") and not (visitor.token is not None and origin is None):
            self._context.refuse("origin", visitor.by)
            text = {"en": "This came from another site's page.", "zh": "该请求来自其他网站的页面。"}
            raise RefusedError(403, "cross_origin", text)

    def _fresh(self, route: AdminRoute, visitor: Visitor) -> None:
        if route.fresh and not visitor.is_fresh(self._context.sessions.clock()):
            raise RefusedError(
                403,
                "confirm_first",
                {
                    "en": "Confirm that it is you, then do it again: this needs a recent proof (5 minutes).",
                    "zh": "请先确认是您本人，然后重试：此操作需要最近 5 分钟内的验证。",
                },
            )

    def _own_form(self, request: Request, visitor: Visitor, field: str) -> None:
        if visitor.token is not None:
            return
        token = request.headers.get(CSRF_HEADER) or field
        if visitor.cookie is None or not self._context.sessions.is_csrf(visitor.cookie, token):
            self._context.refuse("form", visitor.by)
            text = {
                "en": "This form is no longer valid. Load the page again.",
                "zh": "该表单已失效，请重新加载页面。",
            }
            raise RefusedError(403, "stale_form", text)


async def _body(request: Request) -> bytes:
    """The whole body, bounded in bytes and time."""
    raw = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                raw += part
                if len(raw) > BODY_BYTES:
                    text = {"en": f"At most {BODY_BYTES} bytes.", "zh": f"最多 {BODY_BYTES} 字节。"}
                    raise RefusedError(413, "body_too_large", text)
    except TimeoutError:
        text = {"en": "The body did not arrive in time.", "zh": "请求体未及时到达。"}
        raise RefusedError(408, "request_timeout", text) from None
    return bytes(raw)


def _fields(request: Request, route: AdminRoute, raw: bytes) -> dict[str, Any]:
    """A JSON object for routes of the API, a form for pages; nothing for what changes nothing."""
    if not route.changes:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if route.is_api and kind == "application/json":
            found = json.loads(raw or b"{}")
            if isinstance(found, dict):
                return found
        if not route.is_api and kind == "application/x-www-form-urlencoded":
            form = parse_qs(raw.decode(), max_num_fields=FORM_FIELDS)
            return {name: values[-1] for name, values in form.items()}
    except (ValueError, RecursionError):
        pass
    wanted = "application/json" if route.is_api else "application/x-www-form-urlencoded"
    text = {"en": f"Send a body of type {wanted}.", "zh": f"请发送 {wanted} 类型的请求体。"}
    raise RefusedError(400, "bad_body", text)


def _checked(route: AdminRoute, fields: Mapping[str, Any], *, strict: bool) -> Any:
    if route.body is None:
        return None
    try:
        return route.body.model_validate(fields, strict=strict)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        param = ".".join(str(part) for part in fault["loc"]) or None
        said = str(fault["msg"])
        text = {"en": f"{param}: {said}.", "zh": f"{param}：值无效（{said}）。"}
        raise RefusedError(400, "invalid_value", text, param=param) from error
