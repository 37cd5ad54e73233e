"""The setup page: what an organisation has to state and have, with the rule or check that wants it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.context import AdminContext
from dragoman.admin.table import AdminRoute, Call, RouteTable
from dragoman.admin.view import AdminView
from dragoman.checks.checklist import Line, checklist
from dragoman.core.admins import AUDITOR
from dragoman.sentences import Sentence


class Checklist(BaseModel):
    """Lines with their state (`green`, `amber`, `red`, `note`, `later`) and the items that make it.

    `faults`: why the file does not load as it is now; `waiting`: keys of it that wait for a restart.
    """

    lines: list[dict[str, Any]]
    faults: list[str]
    waiting: list[str]


class Setup:
    """The list, and the frame that the pages behind its lines hang in."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view
        self.table: RouteTable | None = None
        """Set once the table stands: a line leads to its page where there is one."""

    def routes(self) -> Iterator[AdminRoute]:
        """The page and its twin in the API."""
        yield AdminRoute("GET", "/setup", AUDITOR, self.page, "What is set up, and what is not.")
        yield AdminRoute(
            "GET", "/admin/v1/setup", AUDITOR, self.api, "What is set up, and what is not.", answer=Checklist
        )

    async def page(self, call: Call) -> Response:
        """The list."""
        lines, faults, waiting = await run_in_threadpool(self._read)
        pages = {one.name for one in lines if self._leads(one.name)}
        return self._view.page(call, "setup", lines=lines, leads=pages, faults=faults, waiting=waiting)

    async def api(self, _call: Call) -> Response:
        """The same as a document."""
        lines, faults, waiting = await run_in_threadpool(self._read)
        told = [{"state": one.state, **asdict(one)} for one in lines]
        return self._view.json({"lines": told, "faults": faults, "waiting": waiting})

    def _read(self) -> tuple[tuple[Line, ...], list[Sentence], tuple[str, ...]]:
        desk = self._context.setup
        return checklist(desk.subject()), desk.stands()[1], desk.waiting()

    def _leads(self, name: str) -> bool:
        return self.table is not None and self.table.find("GET", f"/setup/{name}")[0] is not None
