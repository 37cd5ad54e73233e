"""Turns values into the admin pages and answers: templates, the reader's language, headers, static files.

The style sheet is the public pages' own, with one more beside it. Everything is escaped; nothing is inline.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import mimetypes
from importlib import resources
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from dragoman.admin.sessions import COOKIE
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.texts import LANGUAGES, TEXTS
from dragoman.core.admins import OPERATOR
from dragoman.core.articles import article_in_words
from dragoman.errors import ERROR_TYPES, RefusedError
from dragoman.visible import finalized
from dragoman.web.view import CSP, LANGUAGE_COOKIE, LANGUAGE_SECONDS, plain_json

HSTS = "max-age=31536000"
SHARED_STATIC = ("page.css", "passport.css", "icon.svg")
MENU = {
    "home": ("home",),
    "law": ("packs", "timeline", "readiness", "decisions", "simulation", "vocabulary"),
    "cases": ("interventions", "appeals", "reviews", "incidents"),
    "usage": ("usage", "limits"),
    "access": ("people", "sessions", "tokens", "tenants", "keys"),
    "setup": ("setup",),
}
"""The menu: its groups, and the pages of each in their order. A group leads to its first page."""
_UNDER = {"appeal": "appeals", "statement": "interventions"}
"""Pages that stand under one of the menu and are not called after it."""


def place_of(template: str) -> tuple[str | None, str | None]:
    """A page's group and its entry of the menu, by its template; None where the menu does not lead there."""
    named = template.partition("_")[0]
    page = _UNDER.get(named, named)
    group = next((group for group, pages in MENU.items() if page in pages), None)
    return group, page if group else None


class AdminView:
    """Renders for one deployment's name."""

    def __init__(self, name: str, csrf: Any, *, secure: bool) -> None:
        self._csrf = csrf
        self._headers = {
            "content-security-policy": CSP,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",  # a form must still send its Origin
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=(), "
            "publickey-credentials-get=(self), publickey-credentials-create=(self)",
            "cache-control": "no-store",
            **({"strict-transport-security": HSTS} if secure else {}),
        }
        own = resources.files("dragoman.admin").joinpath("static")
        shared = resources.files("dragoman.web").joinpath("static")
        self._static = {entry.name: entry.read_bytes() for entry in own.iterdir()}
        self._static |= {file: shared.joinpath(file).read_bytes() for file in SHARED_STATIC}
        self._templates = Environment(
            loader=ChoiceLoader([PackageLoader("dragoman.admin"), PackageLoader("dragoman.web")]),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=finalized,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            name=name, static_url=self._static_url, languages=LANGUAGES, article=article_in_words
        )
        self._templates.filters.update(when=_when, number=_number, money=_money, plainjson=plain_json)

    def language(self, request: Request) -> str:
        """The reader's language: `?lang=`, then the cookie, then Accept-Language."""
        accepted = [
            part.strip()[:2].lower() for part in request.headers.get("accept-language", "").split(",")
        ]
        wishes = (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE), *accepted[:20])
        return next((wish for wish in wishes if wish in LANGUAGES), LANGUAGES[0])

    def page(self, call: Call, template: str, status: int = 200, **values: object) -> Response:
        """A whole page for a visitor."""
        visitor, request = call.visitor, call.request
        language = self.language(request)
        response = HTMLResponse(
            self._templates.get_template(f"{template}.html").render(
                t=TEXTS[language],
                language=language,
                here=values.pop("here", request.scope["path"] if request.method == "GET" else "/"),
                menu=MENU,
                at=place_of(template),
                person=visitor.person,
                acts=visitor.role == OPERATOR,
                csrf=self._csrf(visitor.cookie) if visitor.cookie else "",
                **values,
            ),
            status,
            self._headers,
        )
        wished = request.query_params.get("lang")
        if wished in LANGUAGES:
            response.set_cookie(
                LANGUAGE_COOKIE, wished, max_age=LANGUAGE_SECONDS, samesite="lax", secure=True
            )
        return response

    def json(self, document: Any, status: int = 200) -> Response:
        """An answer of the API."""
        return JSONResponse(document, status, self._headers)

    def saved(self, name: str, data: bytes) -> Response:
        """Somebody's file, to be saved under its name: no browser opens it here or guesses its type."""
        headers = {
            **self._headers,
            "content-security-policy": "default-src 'none'; sandbox",
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2], safe='')}",
        }
        return Response(data, headers=headers, media_type="application/octet-stream")

    def text(self, body: str) -> Response:
        """Plain text, as scrapers read it."""
        return Response(body, headers=self._headers, media_type="text/plain; version=0.0.4")

    def say(self, request: Request, key: str) -> str:
        """One sentence in the reader's language."""
        return TEXTS[self.language(request)][key]

    def refused(self, request: Request, route: AdminRoute | None, refused: RefusedError) -> Response:
        """A refusal in the form the asker reads, with what its status calls for."""
        language = self.language(request)
        extra = dict(refused.extra)
        headers = dict(self._headers)
        if "retry_after_s" in extra:
            headers["retry-after"] = str(extra["retry_after_s"])
        if "allow" in extra:
            headers["allow"] = str(extra.pop("allow"))
        if refused.status == 401:
            headers["www-authenticate"] = 'Bearer realm="dragoman admin"'
        is_page = route is None or not route.is_api
        if is_page and "text/html" in request.headers.get("accept", ""):
            back = request.headers.get("referer", "")
            path = "/" + back.split("/", 3)[3] if back.count("/") > 2 else "/"
            missing = refused.status == 404 and request.method == "GET"
            visitor = getattr(request.state, "visitor", None) if missing else None
            body = self._templates.get_template("refused.html").render(
                t=TEXTS[language],
                language=language,
                said=refused.text[language],
                code=refused.code,
                back=f"/confirm?next={quote(path.partition('?')[0], safe='/')}",
                here="/",
                missing=missing,
                menu=MENU,
                at=("", ""),
                person=visitor and visitor.person,
                csrf=self._csrf(visitor.cookie) if visitor and visitor.cookie else "",
            )
            return HTMLResponse(body, refused.status, headers)
        error = {
            "message": refused.text[language],
            "type": ERROR_TYPES.get(refused.status, "server_error"),
            "param": refused.param,
            "code": refused.code,
            **extra,
        }
        return JSONResponse({"error": error}, refused.status, headers)

    def static(self, name: str) -> Response | None:
        """A file of the package; its address holds its digest, so it may be kept for good."""
        data = self._static.get(name)
        if data is None:
            return None
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        headers = {**self._headers, "cache-control": "public, max-age=31536000, immutable"}
        return Response(data, headers=headers, media_type=kind or "application/octet-stream")

    def _static_url(self, name: str) -> str:
        return f"/static/{name}?v={hashlib.sha256(self._static[name]).hexdigest()[:16]}"


def put_cookie(response: Response, value: str) -> None:
    """Give a browser its cookie: this host alone, no script, not with other sites' forms."""
    response.set_cookie(COOKIE, value, path="/", secure=True, httponly=True, samesite="lax")


def drop_cookie(response: Response) -> None:
    """Take it back."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")


def _when(ms: int | None) -> str:
    if ms is None:
        return "–"
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M")


def _number(value: int) -> str:
    return f"{value:,}"


def _money(millionths: int) -> str:
    return f"{millionths / 1_000_000:,.2f}"
