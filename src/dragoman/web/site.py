"""What every page of the site does: know its guest, read a form of our own, show the bar, set the session."""

from __future__ import annotations

import json
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from dragoman.accounts.declared import NOTHING
from dragoman.ids import kind_of
from dragoman.web import asking, view
from dragoman.web.context import PagesContext
from dragoman.web.forms import Form, FormError, body_bytes, form_fields
from dragoman.web.guest import Guest
from dragoman.web.kept import Kept
from dragoman.web.placement import Placement, placement
from dragoman.web.presets import load_presets
from dragoman.web.rendering import Rendering
from dragoman.web.turn import Caller

MAX_FORM_BYTES = 65_536
"""LIMIT: bytes of a form."""
MAX_QUESTION_BYTES = 1_048_576
"""LIMIT: bytes of a form with a question: one that is much too long comes back in it, with a word on it."""
MAX_JSON_BYTES = 2_097_152
"""LIMIT: bytes of what a script sends to a page."""

STATED = ("stated", "stated_as", "states", "operator", "signed_up")
"""What pages are told of what their guest stated of itself."""


class Site:
    """What pages share. One per process; it holds nothing of a request."""

    def __init__(self, context: PagesContext) -> None:
        self.context = context
        self.presets = load_presets()
        self.rendering = Rendering()
        self.view = view.View(context.name, context.headers, secure=context.secure)

    async def guest(self, request: Request) -> Guest | None:
        """Whose request it is."""
        cookie = request.cookies.get(self.context.session_cookie)
        return await run_in_threadpool(self.context.session, cookie) if cookie else None

    async def guest_or_new(self, request: Request) -> tuple[Guest | None, str | None]:
        """Whose request it is; a new guest with the cookie to set where it had no session."""
        guest = await self.guest(request)
        if guest is not None:
            return guest, None
        minted = await run_in_threadpool(self.context.mint_session)
        return await run_in_threadpool(self.context.session, minted), minted

    def with_session(self, response: Response, minted: str | None) -> Response:
        """The response, with a new guest's cookie."""
        if minted is not None:
            response.set_cookie(
                self.context.session_cookie,
                minted,
                max_age=self.context.session_seconds,
                httponly=True,
                samesite="lax",
                secure=self.context.secure,
            )
        return response

    def without_session(self, response: Response) -> Response:
        """The response, which takes the session's cookie away."""
        response.delete_cookie(
            self.context.session_cookie, httponly=True, samesite="lax", secure=self.context.secure
        )
        return response

    def is_own(self, request: Request) -> bool:
        """Whether a form came from our own page."""
        return _same_origin(request, "https" if self.context.secure else "http")

    async def bar(self, request: Request, guest: Guest | None) -> asking.Bar | None:
        """Who is asked as, where one may choose."""
        if not self.context.simulates():
            return None
        pretends = await run_in_threadpool(self.context.simulated, guest) if guest else None
        return asking.bar(pretends, self.presets, self.view.language(request))

    async def stated(self, request: Request, guest: Guest | None) -> dict[str, Any]:
        """What a refusal's box and the bar show of what the guest stated; by the names STATED."""
        context = self.context
        stated = await run_in_threadpool(context.declared, guest) if guest else NOTHING
        pretends = await run_in_threadpool(context.simulated, guest) if guest else None
        may = await run_in_threadpool(context.declares, guest) if guest else True
        states = may and pretends is None
        said = asking.stated(stated, self.view.language(request))
        operator = context.contact()
        return {
            "stated": stated,
            "stated_as": said,
            "states": states,
            "operator": operator,
            "signed_up": not may,
        }

    def placement(self, request: Request) -> Placement | None:
        """Where the person is taken to be, where one may not choose."""
        placed = self.context.placed(view.address_facts(request))
        return None if placed is None else placement(placed, self.view.language(request))

    async def form(self, request: Request, most: int = MAX_FORM_BYTES) -> Form:
        """The fields of a form of our own page. Raises FormError: from elsewhere, too large, broken off."""
        if not self.is_own(request):
            raise FormError(403)
        try:
            return await form_fields(request, most)
        except ClientDisconnect as gone:
            raise FormError(400) from gone

    async def sent(self, request: Request) -> dict[str, Any]:
        """The JSON object of a script of our own page. Raises FormError: from elsewhere, too large, none."""
        if not self.is_own(request):
            raise FormError(403)
        try:
            value = json.loads(await body_bytes(request, MAX_JSON_BYTES))
        except (ClientDisconnect, ValueError, RecursionError) as fault:
            raise FormError(400) from fault
        if not isinstance(value, dict):
            raise FormError(400)
        return value

    def kept(self) -> Kept | None:
        """The conversations of guests, where they may keep any."""
        return self.context.kept if self.context.keeps() else None

    async def owns(self, guest: Guest, conversation: str) -> bool:
        """Whether there is such a conversation, and it is the guest's own."""
        kept = self.kept()
        if kept is None or kind_of(conversation) != "cnv":
            return False
        return await run_in_threadpool(kept.owns, guest, conversation)

    def caller(self, request: Request, guest: Guest) -> Caller:
        """For whom the relay is asked."""
        return Caller(
            principal=guest.principal,
            address=view.address_of(request),
            locale=self.view.language(request),
        )

    def back(self, path: str) -> Response:
        """To a page of ours, read anew."""
        return RedirectResponse(path, 303, self.view.headers())


def _same_origin(request: Request, scheme: str) -> bool:
    """Whether a form came from our own page: by Fetch Metadata where the browser sends it, else by Origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or origin == f"{scheme}://{request.headers.get('host')}"
