"""What the command line asks of limits, prices and usage: routes of `admin.sock`, added to the rest."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from dragoman.accounts.registry import Registry
from dragoman.budgets.book import TAG, Book
from dragoman.budgets.bounds import faults
from dragoman.budgets.usage import BY, ROWS, columns_of, grouped, grouping, span
from dragoman.control.asgi import Answer, Request, Routes
from dragoman.control.loaded import Holder
from dragoman.core.accounts import Act, Change
from dragoman.errors import RefusedError
from dragoman.ids import now_ms
from dragoman.settings_limits import Limit
from dragoman.stores.budgets import Budgets, document_of
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.usage import UsageRows

LIMITS = 5_000
"""LIMIT: limits of a zone; `each` makes a bucket of one limit for every key or person."""


class BudgetVerbs:
    """Limits, prices and usage for whoever holds this machine's account."""

    def __init__(
        self, holder: Holder, registry: Registry, book: Book, budgets: Budgets, usage: UsageRows
    ) -> None:
        self._holder = holder
        self._registry = registry
        self._book = book
        self._budgets = budgets
        self._usage = usage

    def added_to(self, routes: Routes) -> Routes:
        """The routes with these among them."""
        routes.on("GET", "/admin/v1/limits", self.limits)
        routes.on("POST", "/admin/v1/limits", self.set_limit)
        routes.on("POST", "/admin/v1/limits/remove", self.remove_limit)
        routes.on("GET", "/admin/v1/prices", self.prices)
        routes.on("GET", "/admin/v1/usage", self.usage)
        return routes

    async def limits(self, _request: Request) -> Answer:
        """Every limit with the bucket of each thing: what is spent and what relays hold."""
        states = await run_in_threadpool(self._budgets.states)
        now = now_ms()
        buckets = [
            {"bucket": one.bucket, "limit": one.limit, "spent": one.spent, "held": one.held, "ends": one.ends}
            for one in states
            if one.ends > now
        ]
        rows = [
            {**limit.model_dump(), "from": "file" if self._book.is_of_file(limit.id) else "store"}
            for limit in self._book.limits()
        ]
        loaded = self._holder.loaded
        # A limit that was set before the file changed: plans are refused until it can be kept again.
        problems = faults(self._book.limits(), loaded.attempts, loaded.prices, now)
        return 200, {"limits": rows, "buckets": buckets, "faults": problems}

    async def set_limit(self, request: Request) -> Answer:
        """Set a limit, in place of one that was set before. Refused where it could not be kept."""
        try:
            limit = Limit(**await request.json())
        except (ValidationError, TypeError) as fault:
            why = _first(fault)
            raise _refused("invalid_value", why, f"限额不符合格式（{why}）") from None
        if self._book.is_of_file(limit.id):
            raise _of_file(limit.id)
        if sum(other.id != limit.id for other in self._book.limits()) >= LIMITS:
            zh = f"限额已达 {LIMITS} 项，请删除一些，或使用 `each`"
            raise _refused("too_many_limits", f"there are {LIMITS} limits; remove some, or use `each`", zh)
        owner = ZONE_TENANT if limit.tenant is None else self._registry.known_tenant(limit.tenant).tenant
        if limit.key is not None:
            owner = self._registry.known_key(limit.key).tenant
        loaded = self._holder.loaded
        if problems := faults([limit], loaded.attempts, loaded.prices, now_ms()):
            said = {lang: " ".join(one[lang] for one in problems) for lang in ("en", "zh")}
            raise _refused("limit_unenforceable", said["en"], said["zh"])
        act = Act(owner, {"act": "limit.set", "limit": document_of(limit)}, Change((TAG,), "drop"))
        await run_in_threadpool(self._budgets.set_limit, owner, limit, now_ms(), act, self._book.forget)
        return 200, limit.model_dump()

    async def remove_limit(self, request: Request) -> Answer:
        """Remove a limit that was set."""
        name = str((await request.json()).get("limit", ""))
        if self._book.is_of_file(name):
            raise _of_file(name)
        act = Act(ZONE_TENANT, {"act": "limit.remove", "limit": name}, Change((TAG,), "drop"))
        if not await run_in_threadpool(self._budgets.remove_limit, name, act, self._book.forget):
            text = {"en": "No limit has this id. See `dragoman limits list`.", "zh": "没有此编号的限额。"}
            raise RefusedError(404, "limit_not_found", text)
        return 200, {"limit": name}

    async def prices(self, _request: Request) -> Answer:
        """Every price that is known of, and which model of the file has none."""
        loaded, now = self._holder.loaded, now_ms()
        ways = {(way.provider, way.model) for chain in loaded.attempts.values() for way in chain}
        known = {way: loaded.prices.at(*way, now) for way in sorted(ways)}
        models = [
            {"provider": provider, "model": model, "price": None if price is None else price.to_wire()}
            for (provider, model), price in known.items()
        ]
        return 200, {"prices": loaded.prices.rows(now), "models": models}

    async def usage(self, request: Request) -> Answer:
        """Usage and spend of a span of days."""
        first, last = span(request.query("from"), request.query("to"), dt.datetime.now(dt.UTC).date())
        by = grouping(unquote(request.query("by") or "") or None, BY)
        named = unquote(request.query("tenant") or "") or None
        tenant = None if named is None else self._registry.known_tenant(named).tenant
        rows = await run_in_threadpool(self._usage.rows, first, last, tenant)
        if provider := unquote(request.query("provider") or ""):
            rows = [row for row in rows if row["provider"] == provider]
        told = grouped(rows, by)
        if len(told) > ROWS:
            zh = f"by：超过 {ROWS} 行，请缩短日期范围"
            raise _refused("invalid_value", f"by: more than {ROWS} rows; ask for fewer days", zh)
        return 200, {"from": first, "to": last, "by": by, "columns": columns_of(by), "usage": told}


def _first(fault: ValidationError | TypeError) -> str:
    if isinstance(fault, TypeError):
        return "a limit is an object"
    one: Any = fault.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in one["loc"])
    return f"{place}: {one['msg']}" if place else str(one["msg"])


def _refused(code: str, en: str, zh: str) -> RefusedError:
    return RefusedError(400, code, {"en": en, "zh": zh})


def _of_file(name: str) -> RefusedError:
    text = {
        "en": f"The limit {name} stands in dragoman.toml; change it there.",
        "zh": f"限额 {name} 写在 dragoman.toml 中，请在那里修改。",
    }
    return RefusedError(409, "limit_of_file", text)
