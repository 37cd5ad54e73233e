"""Appeals as administrators read them: the newest, and one with its words.

Each says by when it has to be answered, by the operator's promise or by law. Reading one is entered in the
ledger. They are received and kept here; deciding them is a later step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.context import AdminContext
from dragoman.admin.pages import Anything, Rows, before, nothing, tenant_names
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.view import AdminView
from dragoman.core.admins import AUDITOR
from dragoman.ids import now_ms
from dragoman.policy.clocks import Due, complaint_clock, due


class Appeals:
    """The routes that show appeals."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """Pages and their twins in the API."""
        one, older = "/appeals/{tenant}/{name}", ("before",)
        yield AdminRoute("GET", "/appeals", AUDITOR, self.page, "Appeals received.", personal=True)
        yield AdminRoute("GET", one, AUDITOR, self.one_page, "An appeal.", personal=True)
        says = "Appeals received, the newest first."
        yield AdminRoute(
            "GET", "/admin/v1/appeals", AUDITOR, self.api, says, answer=Rows, queries=older, personal=True
        )
        says = "An appeal with its text and how it was acknowledged."
        yield AdminRoute(
            "GET", f"/admin/v1{one}", AUDITOR, self.one_api, says, answer=Anything, personal=True
        )

    async def page(self, call: Call) -> Response:
        """The newest appeals, older ones by `?before=`."""
        rows = await run_in_threadpool(self._rows, before(call))
        names = await run_in_threadpool(tenant_names, self._context)
        return self._view.page(call, "appeals", rows=rows, names=names)

    async def api(self, call: Call) -> Response:
        """The same as rows."""
        return self._view.json({"rows": await run_in_threadpool(self._rows, before(call))})

    async def one_page(self, call: Call) -> Response:
        """One appeal."""
        found = await run_in_threadpool(self._read, call)
        said = found["acknowledged"][self._view.language(call.request)]
        return self._view.page(call, "appeal", appeal=found, said=said)

    async def one_api(self, call: Call) -> Response:
        """The same as a document."""
        return self._view.json(await run_in_threadpool(self._read, call))

    def _rows(self, older: int | None) -> list[dict[str, Any]]:
        rows = self._context.overview.appeals(older)
        return self._with_due(rows) if rows else rows

    def _with_due(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of appeals with `due`: by when, by which rule or setting, and whether that is over."""
        subject, now = self._context.setup.subject(), now_ms()
        read, clock = subject.loaded, None
        if read is not None:
            clock = complaint_clock(subject.settings, read.packs, read.world, now)
        return [{**one, "due": _due(due(one["at"], one["answer_by"], clock), now)} for one in rows]

    def _read(self, call: Call) -> dict[str, Any]:
        tenant, name = call.names["tenant"], call.names["name"]
        found = self._context.overview.appeal(tenant, name)
        if found is None:
            raise nothing()
        self._context.access.enter({"act": "appeal.read", "by": call.visitor.by, "appeal": name}).result()
        return self._with_due([found])[0]


def _due(found: Due | None, now: int) -> dict[str, Any] | None:
    if found is None:
        return None
    source = found.citation.to_dict() if found.citation else None
    return {"at": found.at, "rule": found.rule, "source": source, "over": found.at < now}
