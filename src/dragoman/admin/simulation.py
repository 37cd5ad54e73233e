"""What changed packs, or another date, would have decided of the recorded turns: a form, a chart, tables.

The replay is control's; the page shows how it stands, without script by loading again. No model is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import Any

from pydantic import BaseModel, Field, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from dragoman.admin.acts import Asked
from dragoman.admin.chart import Bar, bars
from dragoman.admin.context import AdminContext
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.view import AdminView
from dragoman.core.admins import AUDITOR, OPERATOR

ROWS_SHOWN = 20
"""LIMIT: rows of a table or bars of the chart on the page; the document has all."""


class NewSimulation(Asked):
    """Changed packs by the name of their folder, a day to decide as of, or both."""

    packs: str | None = Field(default=None, max_length=200)
    as_of: str | None = Field(default=None, description="A day: 2027-01-31.", max_length=10)

    @field_validator("as_of")
    @classmethod
    def _day(cls, value: str | None) -> str | None:
        """A civil date."""
        return None if value is None else date.fromisoformat(value).isoformat()


class SimulationState(BaseModel):
    """How the newest replay stands, `state` null where there was none, and the packs that may be chosen."""

    choices: list[str]
    state: str | None
    packs: str | None = None
    as_of: str | None = None
    by: str | None = None
    began: int | None = None
    ended: int | None = None
    done: int = 0
    whole: int = 0
    report: dict[str, Any] | None = None
    problem: str = ""


class SimulationPages:
    """The page, its form, and both as documents."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """The page and its twins."""
        path, shows = "/admin/v1/simulation", "How the newest simulation stands, and its report."
        begins = "Decide the recorded turns once more, under changed packs or as of another date."
        yield AdminRoute("GET", "/simulation", AUDITOR, self.page, "What other packs would have decided.")
        yield AdminRoute("POST", "/simulation", OPERATOR, self.form, begins, body=NewSimulation)
        yield AdminRoute("GET", path, AUDITOR, self.api, shows, answer=SimulationState)
        yield AdminRoute(
            "POST", path, OPERATOR, self.start, begins, body=NewSimulation, answer=SimulationState
        )

    async def page(self, call: Call) -> Response:
        """The form, and how the newest one stands."""
        run = self._context.simulations.current()
        report = run.report if run is not None else None
        chart = (
            bars(_places(report, self._view.say(call.request, "simulation_elsewhere"))) if report else None
        )
        choices = await run_in_threadpool(self._context.simulations.choices)
        return self._view.page(
            call, "simulation", run=run, report=report, chart=chart, choices=choices, most=ROWS_SHOWN
        )

    async def form(self, call: Call) -> Response:
        """Begin, and show how it stands."""
        await self._start(call)
        return RedirectResponse("/simulation", 303)

    async def api(self, _call: Call) -> Response:
        """How it stands."""
        return self._view.json(await run_in_threadpool(self._told))

    async def start(self, call: Call) -> Response:
        """Begin."""
        await self._start(call)
        return self._view.json(await run_in_threadpool(self._told), 202)

    async def _start(self, call: Call) -> None:
        asked = call.body
        await run_in_threadpool(self._context.simulations.start, asked.packs, asked.as_of, call.visitor.by)

    def _told(self) -> dict[str, Any]:
        run, choices = self._context.simulations.current(), self._context.simulations.choices()
        return {"choices": choices, "state": None} if run is None else {"choices": choices, **asdict(run)}


def _places(report: dict[str, Any], unknown: str) -> list[Bar]:
    """Turns of each place: those that come out otherwise, and all others."""
    rows = report["by_place"][:ROWS_SHOWN]
    return [Bar(row["place"] or unknown, row["changed"], row["turns"] - row["changed"]) for row in rows]
