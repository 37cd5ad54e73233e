"""What administrators look at: each page and, beside it, the same rows from the API.

Nothing here changes anything, except that reading a statement of reasons is entered in the ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.accounts.staff_signs import in_words
from dragoman.admin.acts import token_view
from dragoman.admin.context import AdminContext
from dragoman.admin.openapi import document
from dragoman.admin.place import is_here
from dragoman.admin.table import ANYONE, AdminRoute, Call, RouteTable
from dragoman.admin.view import AdminView
from dragoman.core.admins import AUDITOR, METRICS
from dragoman.errors import RefusedError

RECENT = 8
"""Rows of a list on the first page."""
QUERIES = {"interventions": ("before",), "keys": ("tenant",)}
"""What a listing may be asked for: older than an instant (ms UTC), of one tenant."""
USAGE_DAYS = 30
"""Days of usage shown."""


class Rows(BaseModel):
    """A listing under its own name."""

    rows: list[dict[str, Any]]


class Status(BaseModel):
    """What runs, and how the relay does."""

    control: dict[str, Any]
    relay: dict[str, Any]
    journal: list[dict[str, Any]]
    acts_waiting: int
    doubts: list[dict[str, Any]]
    """Keys of staff alone that look otherwise: key, tenant, since (ms UTC), signs, text."""


class Anything(BaseModel):
    """A document of its own form."""

    model_config = ConfigDict(extra="allow")


class Pages:
    """The routes that only read."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view
        self.table: RouteTable | None = None
        """Set once the table stands, for the document that describes it."""

    def routes(self) -> Iterator[AdminRoute]:
        """Pages and their twins in the API."""
        yield AdminRoute("GET", "/", AUDITOR, self.home, "The first page.")
        yield AdminRoute("GET", "/favicon.ico", ANYONE, self.icon, "The icon.", bare=True)
        yield AdminRoute("GET", "/static/{name}", ANYONE, self.static, "A file.", bare=True)
        one, says = "/interventions/{tenant}/{name}", "Recent interventions."
        yield AdminRoute("GET", "/interventions", AUDITOR, self.interventions, says, personal=True)
        yield AdminRoute("GET", one, AUDITOR, self.statement, "A statement.", personal=True)
        for noun, says in (
            ("usage", "Usage by day."),
            ("limits", "Limits of use."),
            ("keys", "Keys."),
            ("tenants", "Tenants."),
            ("people", "Administrators."),
            ("sessions", "Log-ins."),
            ("tokens", "Machine tokens."),
        ):
            yield AdminRoute("GET", f"/{noun}", AUDITOR, self._listing_page(noun), says)
        for noun in ("usage", "limits", "keys", "tenants", "people", "sessions", "tokens"):
            says = f"The rows of the page /{noun}."
            yield AdminRoute(
                "GET",
                f"/admin/v1/{noun}",
                AUDITOR,
                self._listing_api(noun),
                says,
                answer=Rows,
                queries=QUERIES.get(noun, ()),
            )
        for noun, says in (
            ("interventions", "Recent interventions."),
            ("changes", "Changes that relays heard of."),
            ("acts", "The newest acts of the ledger."),
        ):
            yield AdminRoute(
                "GET",
                f"/admin/v1/{noun}",
                AUDITOR,
                self._recent_api(noun),
                says,
                answer=Rows,
                queries=QUERIES.get(noun, ()),
                personal=noun == "interventions",
            )
        says = "A statement of reasons."
        yield AdminRoute(
            "GET", f"/admin/v1{one}", AUDITOR, self.statement_api, says, answer=Anything, personal=True
        )
        yield AdminRoute("GET", "/admin/v1/status", AUDITOR, self.status, "How the zone does.", answer=Status)
        yield AdminRoute(
            "GET", "/admin/v1/openapi.json", AUDITOR, self.openapi, "This description.", answer=Anything
        )
        yield AdminRoute(
            "GET", "/metrics", METRICS, self.metrics, "Control's counters, as scrapers read them."
        )
        yield AdminRoute("GET", "/metrics/relay", METRICS, self.relay_metrics, "The relay's counters.")

    async def relay_metrics(self, _call: Call) -> Response:
        """Counters of the relay."""
        text = await self._context.relay_metrics()
        if not text:
            said = {"en": "The relay does not answer.", "zh": "中继没有应答。"}
            raise RefusedError(503, "relay_silent", said)
        return self._view.text(text)

    async def home(self, call: Call) -> Response:
        """Health, changes, usage, and interventions for who asks from the zone's country."""
        overview = self._context.overview
        status = await self._status()
        since, settings = _day(USAGE_DAYS), self._context.settings()
        usage, found, changes, acts, names = await run_in_threadpool(
            lambda: (
                overview.usage(since),
                overview.interventions(limit=RECENT) if is_here(call.visitor, settings) else [],
                overview.changes(RECENT),
                overview.acts(RECENT),
                tenant_names(self._context),
            )
        )
        totals = {name: sum(getattr(row, name) for row in usage) for name in ("turns", "input", "output")}
        spent: dict[str, int] = {}
        for row in usage:
            if row.currency:
                spent[row.currency] = spent.get(row.currency, 0) + row.spend
        unfit = [pack for pack in status["control"]["packs"] if pack["status"] != "reviewed"]
        return self._view.page(
            call,
            "home",
            health=status,
            totals=totals,
            spent=sorted(spent.items()),
            days=USAGE_DAYS,
            interventions=found,
            changes=changes,
            recent=acts,
            unfit=unfit,
            names=names,
        )

    async def icon(self, _call: Call) -> Response:
        """Where browsers look for the icon."""
        return self._view.static("icon.svg") or Response(status_code=404)

    async def static(self, call: Call) -> Response:
        """A style sheet or a script."""
        found = self._view.static(call.names["name"])
        if found is None:
            raise nothing()
        return found

    async def interventions(self, call: Call) -> Response:
        """Recent interventions, older ones by `?before=`."""
        rows = await run_in_threadpool(self._context.overview.interventions, before(call))
        names = await run_in_threadpool(tenant_names, self._context)
        return self._view.page(call, "interventions", rows=rows, names=names)

    async def statement(self, call: Call) -> Response:
        """One statement of reasons."""
        found = await run_in_threadpool(self._statement, call)
        language = self._view.language(call.request)
        return self._view.page(call, "statement", statement=found, lines=found["text"][language].split("\n"))

    async def statement_api(self, call: Call) -> Response:
        """The same as a document."""
        return self._view.json(await run_in_threadpool(self._statement, call))

    async def status(self, _call: Call) -> Response:
        """What runs, and how the relay does."""
        return self._view.json(await self._status())

    async def openapi(self, _call: Call) -> Response:
        """The description, made from the route table."""
        return self._view.json(document(self.table.routes if self.table else ()))

    async def metrics(self, _call: Call) -> Response:
        """Counters of control."""
        return self._view.text(await run_in_threadpool(self._context.metrics))

    def _listing_page(self, noun: str) -> Any:
        async def page(call: Call) -> Response:
            rows = await run_in_threadpool(self._rows, noun, call)
            names = await run_in_threadpool(tenant_names, self._context)
            fresh = call.visitor.is_fresh(self._context.sessions.clock())
            return self._view.page(call, noun, rows=rows, names=names, fresh=fresh, days=USAGE_DAYS)

        return page

    def _listing_api(self, noun: str) -> Any:
        async def api(call: Call) -> Response:
            return self._view.json({"rows": await run_in_threadpool(self._rows, noun, call)})

        return api

    def _recent_api(self, noun: str) -> Any:
        async def api(call: Call) -> Response:
            if noun == "interventions":
                found = await run_in_threadpool(self._context.overview.interventions, before(call))
            else:
                found = await run_in_threadpool(getattr(self._context.overview, noun))
            return self._view.json({"rows": found})

        return api

    def _rows(self, noun: str, call: Call) -> list[dict[str, Any]]:
        context = self._context
        tenant = call.request.query_params.get("tenant")
        rows: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "usage": lambda: [asdict(row) for row in context.overview.usage(_day(USAGE_DAYS))],
            "limits": context.limits,
            "keys": lambda: list(reversed(context.registry.keys(tenant))),
            "tenants": context.registry.tenants,
            "people": context.people.listing,
            "sessions": lambda: [dict(row) for row in context.sessions.listing()],
            "tokens": lambda: [token_view(one) for one in context.sessions.tokens()],
        }
        return rows[noun]()

    def _statement(self, call: Call) -> dict[str, Any]:
        tenant, name = call.names["tenant"], call.names["name"]
        found = self._context.overview.statement(tenant, name)
        if found is None:
            raise nothing()
        entry = {"act": "intervention.read", "by": call.visitor.by, "intervention": name}
        self._context.access.enter(entry).result()
        return found

    async def _status(self) -> dict[str, Any]:
        relay = await self._context.relay()
        journal = await run_in_threadpool(self._context.overview.cursors)
        waiting = await run_in_threadpool(self._context.overview.waiting_acts)
        doubts = await run_in_threadpool(self._context.staff_use.doubts)
        return {
            "control": self._context.status(),
            "relay": relay,
            "journal": journal,
            "acts_waiting": waiting,
            "doubts": [{**one, "text": in_words(one["signs"])} for one in doubts],
        }


def tenant_names(context: AdminContext) -> dict[str, str]:
    """Tenants by id, with the names that people know."""
    return {one["tenant"]: one["slug"] for one in context.registry.tenants()}


def before(call: Call) -> int | None:
    """The instant (ms UTC) that a page of a listing ends before."""
    said = call.request.query_params.get("before", "")
    return int(said) if said.isdigit() and len(said) < 16 else None


def _day(back: int) -> str:
    return (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=back - 1)).isoformat()


def nothing() -> RefusedError:
    """There is no such row."""
    return RefusedError(404, "not_found", {"en": "There is nothing here.", "zh": "此处没有内容。"})
