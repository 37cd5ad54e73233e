"""The routes of the pages: `/`, `/ask` (without JavaScript), `/sources/...`, `/static/...`, else 404.

Served on pages.sock behind the relay. A question goes to the relay like every turn; no page calls a provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from dragoman.core.facts import FactsError
from dragoman.errors import RefusedError
from dragoman.knowledge.model import SHARED_TENANT, Asker
from dragoman.web import asking, view
from dragoman.web.answer import blocks, interventions, label_and_rest
from dragoman.web.context import Guest, PagesContext
from dragoman.web.presets import load_presets
from dragoman.web.turn import Asked, Turn, TurnError

MAX_QUESTION = 4_000
"""Code points of a question."""
MAX_FORM_BYTES = 65_536

Endpoint = Callable[[Request], Awaitable[Response]]


def pages(context: PagesContext) -> list[BaseRoute]:
    """All page routes; the last one answers everything else with a 404 page."""
    site = _Site(context)
    return [
        Route("/", site.home, methods=["GET"]),
        Route("/ask", site.ask, methods=["POST"]),
        Route("/ask", site.home, methods=["GET"]),
        Route("/asking", site.ask_as, methods=["POST"]),
        Route("/sources/{source}/{document}", site.source, methods=["GET"]),
        Route("/static/{name}", site.static, methods=["GET"]),
        Route("/{path:path}", site.missing, methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
    ]


class _Site:
    def __init__(self, context: PagesContext) -> None:
        self._context = context
        self._presets = load_presets()
        self._view = view.View(context.name, context.headers, secure=context.secure)

    async def home(self, request: Request) -> Response:
        bar = await self._bar(request, await self._guest(request))
        return self._view.page(request, "home.html", model=self._context.model, limit=MAX_QUESTION, bar=bar)

    async def static(self, request: Request) -> Response:
        return self._view.static(request.path_params["name"]) or self._view.error(request, 404)

    async def missing(self, request: Request) -> Response:
        return self._view.error(request, 404)

    async def source(self, request: Request) -> Response:
        """A document with anchors `p<passage>` and `p<passage>s<sentence>`, for who may read it."""
        guest = await self._guest(request)
        asker = Asker(guest.tenant if guest else SHARED_TENANT, view.country_of(request))
        names = request.path_params
        knowledge = self._context.knowledge
        found = await run_in_threadpool(knowledge.document, names["source"], names["document"], asker)
        if not found:
            return self._view.error(request, 404)
        return self._view.page(request, "source.html", first=found[0], hits=found)

    async def ask(self, request: Request) -> Response:
        """A question from the form without JavaScript; the page grows with the answer."""
        if not _same_origin(request, "https" if self._context.secure else "http"):
            return self._view.error(request, 403)
        try:
            form = await _form(request)
        except ClientDisconnect:
            return Response(status_code=400)
        if form is None:
            return self._view.error(request, 413)
        question = next((q.strip() for q in reversed(form.get("q", [])) if q.strip()), "")
        if not question or len(question) > MAX_QUESTION:
            problem = self._view.text(request, "too_long" if question else "empty").format(limit=MAX_QUESTION)
            return self._view.page(
                request,
                "home.html",
                status=400,
                model=self._context.model,
                limit=MAX_QUESTION,
                problem=problem,
                draft=question[:MAX_QUESTION],
            )
        guest, minted = await self._guest_or_new(request)
        if guest is None:
            return self._view.error(request, 503)
        await run_in_threadpool(self._context.keep_guest, guest)
        bar = await self._bar(request, guest)
        return self._answer_page(request, question, guest, minted, bar)

    async def ask_as(self, request: Request) -> Response:
        """Who a guest asks as from now on; back to the page it came from."""
        status = self._may_not_ask_as(request)
        form = None
        try:
            form = await _form(request) if status is None else None
            wanted = None if form is None else asking.wanted(form, self._presets)
        except ClientDisconnect:
            return Response(status_code=400)
        except FactsError as fault:
            return self._view.error(request, 400, str(fault))
        if form is None:
            return self._view.error(request, status or 413)
        guest, minted = await self._guest_or_new(request)
        if guest is None:
            return self._view.error(request, 503)
        try:
            await run_in_threadpool(self._context.simulate, guest, wanted)
        except RefusedError as refused:
            return self._view.error(request, refused.status)
        response = RedirectResponse(asking.back_to(form), 303, self._view.headers())
        self._with_session(response, minted)
        return response

    def _may_not_ask_as(self, request: Request) -> int | None:
        """The status for who may not say whom to ask as: not in this stage, or not from this site."""
        if not self._context.simulates():
            return 404
        return None if _same_origin(request, "https" if self._context.secure else "http") else 403

    async def _guest_or_new(self, request: Request) -> tuple[Guest | None, str | None]:
        """Whose request it is; a new guest with the cookie to set where it had no session."""
        guest = await self._guest(request)
        if guest is not None:
            return guest, None
        minted = await run_in_threadpool(self._context.mint_session)
        return await run_in_threadpool(self._context.session, minted), minted

    def _with_session(self, response: Response, minted: str | None) -> None:
        if minted is not None:
            response.set_cookie(
                self._context.session_cookie,
                minted,
                max_age=self._context.session_seconds,
                httponly=True,
                samesite="lax",
                secure=self._context.secure,
            )

    async def _bar(self, request: Request, guest: Guest | None) -> asking.Bar | None:
        """Who is asked as, where one may choose."""
        if not self._context.simulates():
            return None
        pretends = await run_in_threadpool(self._context.simulated, guest) if guest else None
        return asking.bar(pretends, self._presets, self._view.language(request))

    def _answer_page(
        self, request: Request, question: str, guest: Guest, minted: str | None, bar: asking.Bar | None
    ) -> Response:
        asked = Asked(
            question=question,
            model=self._context.model,
            principal=guest.principal,
            address=view.address_of(request),
            locale=self._view.language(request),
        )
        response = StreamingResponse(
            self._growing(request, asked, bar),
            media_type="text/html",
            headers=self._view.headers(stream=True),
        )
        self._with_session(response, minted)
        return response

    async def _growing(self, request: Request, asked: Asked, bar: asking.Bar | None) -> AsyncIterator[str]:
        """The page's top with the question, the text as it comes, then the finished answer in its place."""
        top, bottom = self._view.halves(
            request, "answer.html", question=asked.question, model=asked.model, limit=MAX_QUESTION, bar=bar
        )
        yield top
        turn, problem = Turn(), None
        try:
            async for latest, added in self._context.turns.ask(asked):
                turn = latest
                if added:
                    yield str(view.escape(added))
        except TurnError as error:
            problem = error.text or self._view.text(request, "broken" if turn.text else "unreachable")
        if problem is None and (turn.error is not None or turn.finish is None):
            problem = turn.error or self._view.text(request, "broken")
        label, rest = label_and_rest(turn.text)
        yield self._view.fragment(
            request,
            "finished.html",
            label=label,
            blocks=blocks(rest, turn.annotations),
            interventions=interventions(turn.metadata),
            problem=problem,
        )
        yield bottom

    async def _guest(self, request: Request) -> Guest | None:
        cookie = request.cookies.get(self._context.session_cookie)
        return await run_in_threadpool(self._context.session, cookie) if cookie else None


def _same_origin(request: Request, scheme: str) -> bool:
    """Whether a form came from our own page: by Fetch Metadata where the browser sends it, else by Origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or origin == f"{scheme}://{request.headers.get('host')}"


async def _form(request: Request) -> dict[str, list[str]] | None:
    """The fields of a URL-encoded form; None when it is too large."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_FORM_BYTES:
            return None
    return parse_qs(data.decode("utf-8", "replace"), max_num_fields=20)
