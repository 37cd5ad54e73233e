"""The routes of the pages: chat, `/appeal/...`, `/signup`, `/me`, `/start`, `/asking`, `/sources/...`.

Served on pages.sock behind the relay. A question goes to the relay like every turn; no page calls a provider.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from dragoman.core.facts import FactsError
from dragoman.errors import RefusedError
from dragoman.knowledge.model import SHARED_TENANT, Asker
from dragoman.web import asking, view
from dragoman.web.answer import body
from dragoman.web.appeal import AppealPages
from dragoman.web.chat import ChatPages
from dragoman.web.context import PagesContext
from dragoman.web.entry import EntryPage
from dragoman.web.forms import Form, FormError
from dragoman.web.guest import Guest
from dragoman.web.me import MePages
from dragoman.web.nodes import to_json
from dragoman.web.signup import SignupPages
from dragoman.web.site import Site
from dragoman.web.turn import MAX_ANSWER
from dragoman.web.why import WhyPage

T = TypeVar("T")

ANY = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def pages(context: PagesContext) -> list[BaseRoute]:
    """All page routes; the last one answers everything else with a 404 page."""
    site = Site(context)
    others = _Others(site)
    return [
        *ChatPages(site).routes(),
        *WhyPage(site).routes(),
        *(AppealPages(site, context.appeals, context.statement).routes() if context.appeals else ()),
        *(EntryPage(site.view, context.entry).routes() if context.entry else ()),
        *(SignupPages(site, context.signup).routes() if context.signup else ()),
        *(
            MePages(site, context.signup, context.evidence).routes()
            if context.signup and context.evidence
            else ()
        ),
        Route("/asking", others.ask_as, methods=["POST"]),
        Route("/declare", others.declare, methods=["POST"]),
        Route("/rendered", others.rendered, methods=["POST"]),
        Route("/sources/{source}/{document}", others.source, methods=["GET"]),
        Route("/static/{name}", others.static, methods=["GET"]),
        Route("/{path:path}", others.missing, methods=ANY),
    ]


class _Others:
    """The pages beside the chat."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._view = site.view

    async def static(self, request: Request) -> Response:
        return self._view.static(request.path_params["name"]) or self._view.error(request, 404)

    async def missing(self, request: Request) -> Response:
        return self._view.error(request, 404)

    async def source(self, request: Request) -> Response:
        """A document with anchors `p<passage>` and `p<passage>s<sentence>`, for who may read it."""
        guest = await self._site.guest(request)
        asker = Asker(guest.tenant if guest else SHARED_TENANT, view.country_of(request))
        names, context = request.path_params, self._site.context
        pretends = await run_in_threadpool(context.simulated, guest) if guest else None
        if pretends is not None:
            asker = asker.elsewhere(pretends.place, pretends.app)
        found = await run_in_threadpool(context.knowledge.document, names["source"], names["document"], asker)
        if not found:
            return self._view.error(request, 404)
        return self._view.page(request, "source.html", first=found[0], hits=found)

    async def rendered(self, request: Request) -> Response:
        """An answer that the script has received, as the nodes a page would show: one reader for both."""
        try:
            given = await self._site.sent(request)
        except FormError as fault:
            return self._view.error(request, fault.status)
        text, notes = given.get("text"), given.get("annotations")
        if not isinstance(text, str) or not isinstance(notes, list) or len(text) > MAX_ANSWER:
            return self._view.error(request, 400)
        if await self._site.guest(request) is None:
            return self._view.error(request, 403)
        nodes = await self._site.rendering.made(lambda: to_json(body(text, notes)))
        if nodes is None:
            return self._view.error(request, 503)  # the script shows it as plain text
        return JSONResponse({"nodes": nodes}, headers=self._view.headers())

    async def ask_as(self, request: Request) -> Response:
        """Who a guest asks as from now on; back to the page it came from."""
        if not self._site.context.simulates():
            return self._view.error(request, 404)
        return await self._set(
            request, lambda form: asking.wanted(form, self._site.presets), self._site.context.simulate
        )

    async def declare(self, request: Request) -> Response:
        """What a guest states of itself from now on; back to the page it came from."""
        return await self._set(request, asking.declares, self._site.context.declare)

    async def _set(
        self, request: Request, read: Callable[[Form], T | None], keep: Callable[[Guest, T | None], None]
    ) -> Response:
        """Take a form about the guest itself: what it says is kept with the guest."""
        try:
            form = await self._site.form(request)
            wanted = read(form)
        except FormError as fault:
            return self._view.error(request, fault.status)
        except FactsError as fault:
            return self._view.error(request, 400, asking.unset(fault, self._view.language(request)))
        guest, minted = await self._site.guest_or_new(request)
        if guest is None:
            return self._view.error(request, 503)
        try:
            await run_in_threadpool(keep, guest, wanted)
        except RefusedError as refused:
            return self._view.error(request, refused.status)
        return self._site.with_session(self._site.back(asking.back_to(form)), minted)
