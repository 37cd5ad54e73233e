"""`/c/{conversation}/why/{turn}`: the passport of a turn as a page, where no JavaScript shows the drawer."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from dragoman.ids import kind_of
from dragoman.web.answer import interventions
from dragoman.web.passport_words import passport_words
from dragoman.web.site import Site
from dragoman.web.turn import TurnError


class WhyPage:
    """The route of the page. It shows what the API tells the turn's owner, and to nobody else."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[BaseRoute]:
        """The page's route."""
        return [Route("/c/{conversation}/why/{turn}", self.why, methods=["GET"])]

    async def why(self, request: Request) -> Response:
        """Why a turn of one's own was answered as it was; 404 where it is not one's own."""
        view, names = self._site.view, request.path_params
        conversation, turn = names["conversation"], names["turn"]
        guest = await self._site.guest(request)
        if guest is None or kind_of(turn) != "trn" or not await self._site.owns(guest, conversation):
            return view.error(request, 404)
        await run_in_threadpool(self._site.context.keep_guest, guest)
        path = f"/{conversation}/turns/{turn}/passport"
        try:
            passport = await self._site.context.turns.send(self._site.caller(request, guest), "GET", path)
        except TurnError as fault:
            return view.error(request, fault.status, fault.text if fault.status != 404 else None)
        language = view.language(request)
        return view.page(
            request,
            "why.html",
            passport=passport,
            turn=turn,
            decision=passport["decision"],
            changes=interventions(passport),
            **passport_words(language),
            here=request.url.path,
            page=f"/c/{conversation}?branch={turn}#{turn}",
        )
