"""`/start`: which zone serves somebody, asked before anything personal is typed.

INVARIANT: it sets no cookie, reads none but the language's, stores nothing and says nothing of its readers to
the log. It asks for a country of residence alone, takes nothing from the address, and works without scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.decide.iso3166 import countries
from dragoman.web.answer import Source
from dragoman.web.forms import FormError, form_fields
from dragoman.web.placement import country_named
from dragoman.web.view import View

PATH = "/start"
FORM_BYTES = 256
"""LIMIT: bytes of the form: one code."""

Rule = tuple[Mapping[str, str], str, Source | None]
"""What a rule says by language, its id, and where it stands."""
Parts = Mapping[str, Mapping[str, str]]
"""The parts of countries whose law packs tell apart: ISO 3166-2 code to name by language."""


@dataclass(frozen=True, slots=True)
class Served:
    """Where people of a residence are served.

    `outcome`: `here`, `elsewhere`, `nowhere` (no zone is named for them) or `refused` (the zone takes nobody
    new of them). `zone` and `address` are None for the last two. `laws`: what the law there says of where
    data lie, which is why there are zones at all.
    """

    outcome: str
    zone: str | None
    address: str | None
    reasons: tuple[Rule, ...]
    laws: tuple[Rule, ...] = ()


Serves = Callable[[str, str | None], Served]
"""Answers for a country (ISO 3166-1) and a part of it (ISO 3166-2, None: not said)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the page needs of the process that mounts it."""

    serves: Serves
    parts: Callable[[], Parts]


class EntryPage:
    """The route."""

    def __init__(self, view: View, entry: Entry) -> None:
        self._view = view
        self._entry = entry

    def routes(self) -> list[BaseRoute]:
        """The form, and its answer."""
        return [Route(PATH, self.form, methods=["GET"]), Route(PATH, self.answer, methods=["POST"])]

    async def form(self, request: Request) -> Response:
        """The form. Nothing is preselected: an address does not show where anybody lives."""
        return self._page(request, 200)

    async def answer(self, request: Request) -> Response:
        """The zone that serves the residence. By POST, so that no address line and no log of one holds it."""
        try:
            given = await form_fields(request, FORM_BYTES)
        except (FormError, ClientDisconnect) as fault:
            status = fault.status if isinstance(fault, FormError) else 400
            return self._page(request, status, wrong=True)
        chosen = given.get("residence", [""])[-1]
        residence = residence_of(chosen, self._entry.parts())
        if residence is None:
            return self._page(request, 400, wrong=True)
        served = self._entry.serves(*residence)
        onward = None if served.address is None else f"{served.address}/?{urlencode({'residence': chosen})}"
        named = residence_named(
            residence[1] or residence[0], self._entry.parts(), self._view.language(request)
        )
        return self._page(request, 200, served=served, onward=onward, chosen=chosen, named=named)

    def _page(self, request: Request, status: int, **values: Any) -> Response:
        language = self._view.language(request)
        shown = {
            "here": PATH,
            "wrong": False,
            "served": None,
            "choices": choices(language, tuple(sorted(self._entry.parts()))),
            "part": lambda code: residence_named(code, self._entry.parts(), language),
            "chosen": "",
            **values,
        }
        text = self._view.fragment(request, "start.html", **shown)
        return HTMLResponse(text, status, {**self._view.headers(), "cache-control": "no-store"})


def residence_of(code: str, parts: Parts) -> tuple[str, str | None] | None:
    """Country and part of a code that the form offers; None for anything else."""
    if code in countries():
        return code, None
    return (code[:2], code) if code in parts else None


@lru_cache(maxsize=8)
def choices(language: str, parts: tuple[str, ...]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Every country as (code, name, its parts), by name as readers of the language look for it."""
    named = [(country_named(code, language), code) for code in countries()]
    # The order of GB 2312 is that of sounds for all common characters: what a Chinese reader looks for.
    named.sort(key=lambda one: (one[0].casefold().encode("gb18030"), one[1]))
    return tuple((code, name, tuple(one for one in parts if one[:2] == code)) for name, code in named)


def residence_named(code: str, parts: Parts, language: str) -> str:
    """`California (US-CA)`, `Germany (DE)`."""
    return f"{parts[code][language]} ({code})" if code in parts else country_named(code, language)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody whom the page sent here: what it chose, its country, where this zone says it is served."""

    chosen: str
    country: str
    named: str
    served: Served


def chosen(request: Request, entry: Entry | None) -> str:
    """The residence in the link of the page, checked here; empty where it is none that the page offers."""
    given = request.query_params.get("residence", "")
    return given if entry is not None and residence_of(given, entry.parts()) is not None else ""


def arrived(request: Request, entry: Entry | None, language: str) -> Arrived | None:
    """What the link of the page says; None where it says nothing that the page would."""
    code = chosen(request, entry)
    residence = residence_of(code, entry.parts()) if entry is not None and code else None
    if residence is None or entry is None:
        return None
    return Arrived(code, residence[0], country_named(residence[0], language), entry.serves(*residence))
