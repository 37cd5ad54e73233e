"""Turns values into pages: templates, the reader's language, security headers, static files.

Everything is escaped, by the templates or by `web.nodes`; no page carries an inline script or anything
of a third party.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from dragoman.core import articles
from dragoman.core.articles import article_in_words
from dragoman.visible import AsWritten, finalized
from dragoman.web.texts import LANGUAGES, TEXTS

__all__ = ["View", "address_facts", "address_of", "country_of", "escape"]

LANGUAGE_COOKIE = "dragoman_lang"
LANGUAGE_SECONDS = 31_536_000
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
UNKNOWN_ADDRESS = '{"country":null,"kind":"unknown"}'
_IMPORT = re.compile(rb'from "\./([a-z]+\.js)"')
_SPLIT = "<!--the answer grows here-->"


class View:
    """Renders pages for one site name."""

    def __init__(self, name: str, headers: Iterable[tuple[str, str]], *, secure: bool) -> None:
        self._headers = {
            "content-security-policy": CSP,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",  # a form must still send its Origin
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
            "cache-control": "private, no-cache",  # going back from a source must show the answer again
            **dict(headers),
        }
        self._secure = secure
        self._static = _linked(
            {
                entry.name: entry.read_bytes()
                for entry in resources.files("dragoman.web").joinpath("static").iterdir()
            }
        )
        self._templates = Environment(
            loader=PackageLoader("dragoman.web"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=finalized,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(as_written=AsWritten, plainjson=plain_json)
        self._templates.globals.update(
            name=name,
            static_url=self._static_url,
            languages=LANGUAGES,
            article=article_in_words,
            articles=articles,
        )

    def language(self, request: Request) -> str:
        """The reader's language: `?lang=`, then the cookie, then what the relay read from Accept-Language."""
        wishes = (
            request.query_params.get("lang"),
            request.cookies.get(LANGUAGE_COOKIE),
            request.headers.get("dragoman-locale"),
        )
        return next((wish for wish in wishes if wish in LANGUAGES), LANGUAGES[0])

    def texts(self, request: Request) -> Mapping[str, str]:
        """All sentences in the reader's language."""
        return TEXTS[self.language(request)]

    def text(self, request: Request, key: str) -> str:
        """One sentence in the reader's language."""
        return TEXTS[self.language(request)][key]

    def headers(self, *, stream: bool = False) -> dict[str, str]:
        """The headers of every page; a growing page must not be collected on its way."""
        return {**self._headers, **({"x-accel-buffering": "no"} if stream else {})}

    def page(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        """A whole page."""
        response = HTMLResponse(self.fragment(request, template, **values), status, self.headers())
        wished = request.query_params.get("lang")
        if wished in LANGUAGES:
            response.set_cookie(
                LANGUAGE_COOKIE, wished, max_age=LANGUAGE_SECONDS, samesite="lax", secure=self._secure
            )
        return response

    def fragment(self, request: Request, template: str, **values: object) -> str:
        """A template's text in the reader's language."""
        language = self.language(request)
        path = request.url.path
        return self._templates.get_template(template).render(
            t=TEXTS[language],
            language=language,
            **{
                "here": path if path.startswith("/sources/") else "/",
                "problem": None,
                "draft": "",
                "bar": None,
                "placement": None,
                **values,
            },
        )

    def halves(self, request: Request, template: str, **values: object) -> tuple[str, str]:
        """A page before and after the place where an answer grows."""
        top, _, bottom = self.fragment(request, template, **values).partition(_SPLIT)
        return top, bottom

    def error(self, request: Request, status: int, why: str | None = None) -> Response:
        """An error page, or an error object for whoever wants JSON; `why` says more than the status."""
        known = f"error_{status}" in TEXTS[LANGUAGES[0]]
        title = self.text(request, f"error_{status}" if known else "error_503") + (
            f"{self.text(request, 'colon')}{why}" if why else ""
        )
        if "text/html" in request.headers.get("accept", ""):
            return self.page(request, "error.html", status, number=status, title=title)
        error = {"message": title, "type": "invalid_request_error", "param": None, "code": f"http_{status}"}
        return JSONResponse({"error": error}, status, self.headers())

    def static(self, name: str) -> Response | None:
        """A file of the package; its address holds its digest, so it may be kept for good."""
        data = self._static.get(name)
        if data is None:
            return None
        kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
        headers = {**self._headers, "cache-control": "public, max-age=31536000, immutable"}
        return Response(data, headers=headers, media_type=kind or "application/octet-stream")

    def _static_url(self, name: str) -> str:
        return f"/static/{_addressed(name, self._static[name])}"


def plain_json(value: object) -> str:
    """A value as a reader sees it; the template escapes it."""
    return json.dumps(value, ensure_ascii=False)


def _addressed(name: str, data: bytes) -> str:
    return f"{name}?v={hashlib.sha256(data).hexdigest()[:16]}"


def _linked(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files, where each module names those it imports with their digests: they are kept for good."""
    done: dict[str, bytes] = {}

    def link(name: str) -> bytes:
        if name not in done:
            imported = _IMPORT.sub(
                lambda found: f'from "./{_addressed(found[1].decode(), link(found[1].decode()))}"'.encode(),
                files[name],
            )
            done[name] = imported
        return done[name]

    return {name: link(name) for name in files}


def address_facts(request: Request) -> dict[str, Any]:
    """`country`, `kind` and `peer` of the caller's address as the relay gave them."""
    try:
        facts = json.loads(request.headers.get("dragoman-address", UNKNOWN_ADDRESS))
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        facts = json.loads(UNKNOWN_ADDRESS)
    return {"country": facts.get("country"), "kind": facts.get("kind", "unknown"), "peer": facts.get("peer")}


def address_of(request: Request) -> str:
    """The caller's address facts as turn.sock takes them."""
    facts = address_facts(request)
    return json.dumps({"country": facts["country"], "kind": facts["kind"]})


def country_of(request: Request) -> str | None:
    """The caller's country, None when it is not known."""
    country = json.loads(address_of(request))["country"]
    return country if isinstance(country, str) else None
