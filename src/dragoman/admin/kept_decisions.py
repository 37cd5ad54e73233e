"""Kept decisions as administrators look for them, and the passport of one, as the chat shows it.

Nothing here changes anything; reading a passport, and looking for a person's decisions, enters the ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.context import AdminContext
from dragoman.admin.packs import WANTED_CHARS
from dragoman.admin.pages import nothing, tenant_names
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.view import AdminView
from dragoman.assistants.passport import decision_part
from dragoman.core.admins import AUDITOR
from dragoman.core.conversations import KeptDecision
from dragoman.core.decision import OUTCOMES, QUIET
from dragoman.decide.browse import heads
from dragoman.errors import RefusedError
from dragoman.ids import kind_of
from dragoman.stores.decision_index import CODE, OUTCOME, PACK, RULE, Found, Sought
from dragoman.web.passport_words import passport_words

FILTERS = ("since", "until", "outcome", "code", "rule", "pack", "id", "principal")
QUERIES = (*FILTERS, "before")
MARKS = (OUTCOME, CODE, RULE, PACK)
SHOWN_CODES = 4
"""Reason codes of one row."""
DAY_MS = 86_400_000


class FoundDecisions(BaseModel):
    """Kept decisions, the newest first. `next`: what `before` gets for those that follow; null at the end."""

    rows: list[dict[str, Any]]
    next: str | None


class DecisionPassport(BaseModel):
    """What was decided and why, who could have answered, and the newest turns that name it."""

    tenant: str
    last_at: int
    simulated: bool
    decision: dict[str, Any]
    providers: list[dict[str, Any]]
    turns: list[dict[str, Any]]


class KeptDecisions:
    """The search and the passport."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """Pages and their twins in the API."""
        one = "/decisions/{tenant}/{name}"
        yield AdminRoute("GET", "/decisions", AUDITOR, self.page, "Kept decisions.", personal=True)
        yield AdminRoute("GET", one, AUDITOR, self.one_page, "The passport of a decision.", personal=True)
        says = "Kept decisions by day, outcome, code, rule, pack, id (of a decision or turn), principal."
        yield AdminRoute(
            "GET",
            "/admin/v1/decisions",
            AUDITOR,
            self.api,
            says,
            answer=FoundDecisions,
            queries=QUERIES,
            personal=True,
        )
        says = "The passport of a decision."
        yield AdminRoute(
            "GET", f"/admin/v1{one}", AUDITOR, self.one_api, says, answer=DecisionPassport, personal=True
        )

    async def page(self, call: Call) -> Response:
        """The newest, or those that were looked for."""
        asked = _asked(call)
        found = await run_in_threadpool(self._found, call, asked)
        return self._view.page(
            call,
            "decisions",
            rows=[_row(row) for row in found.rows],
            next=found.next,
            asked=asked,
            outcomes=OUTCOMES,
            packs=await run_in_threadpool(heads, self._context.packs()),
            names=await run_in_threadpool(tenant_names, self._context),
        )

    async def api(self, call: Call) -> Response:
        """The same as rows."""
        found = await run_in_threadpool(self._found, call, _asked(call))
        rows = [_row(row) for row in found.rows]
        return self._view.json({"rows": rows, "next": None if found.next is None else str(found.next)})

    async def one_page(self, call: Call) -> Response:
        """A passport."""
        told = await run_in_threadpool(self._passport, call)
        language = self._view.language(call.request)
        names = await run_in_threadpool(tenant_names, self._context)
        return self._view.page(
            call,
            "decisions_one",
            told=told,
            decision=told["decision"],
            names=names,
            **passport_words(language),
        )

    async def one_api(self, call: Call) -> Response:
        """The same as a document."""
        return self._view.json(await run_in_threadpool(self._passport, call))

    def _found(self, call: Call, asked: Mapping[str, str]) -> Found:
        sought = _sought(asked, call.request.query_params.get("before", ""))
        if sought.principal:
            self._context.access.enter({"act": "decisions.search", "by": call.visitor.by}).result()
        return self._context.decisions.find(sought)

    def _passport(self, call: Call) -> dict[str, Any]:
        tenant, name = call.names["tenant"], call.names["name"]
        found = self._context.decisions.one(tenant, name)
        if found is None:
            raise nothing()
        entry = {"act": "decision.read", "by": call.visitor.by, "of": tenant, "decision": name}
        self._context.access.enter(entry).result()
        grounds = found["grounds"] or {}
        return {
            "tenant": tenant,
            "last_at": found["at"],
            "simulated": bool(grounds.get("simulated", False)),
            "decision": decision_part(name, KeptDecision(found["document"], grounds)),
            "providers": list(grounds.get("providers", ())),
            "turns": found["turns"],
        }


def _asked(call: Call) -> dict[str, str]:
    return {name: call.request.query_params.get(name, "").strip()[:WANTED_CHARS] for name in FILTERS}


def _sought(asked: Mapping[str, str], before: str) -> Sought:
    """What a query means. RefusedError 400 for a day, an outcome or an id that cannot be one."""
    name, until = asked["id"], _day("until", asked["until"])
    kind = kind_of(name) if name and not name.startswith("dec_") else None
    if name and not name.startswith("dec_") and kind != "trn":
        raise _wrong("id", "No decision or turn has such an id.", "没有决定或轮次使用这样的标识。")
    if asked["outcome"] and asked["outcome"] not in OUTCOMES:
        raise _wrong("outcome", "There is no such outcome.", "没有这种结果。")
    return Sought(
        since=_day("since", asked["since"]),
        until=None if until is None else until + DAY_MS,
        marks=tuple(f"{mark}:{asked[mark]}" for mark in MARKS if asked[mark]),
        decision=name if name.startswith("dec_") else "",
        turn=name if kind == "trn" else "",
        principal=asked["principal"],
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 20 else None,
    )


def _day(param: str, said: str) -> int | None:
    if not said:
        return None
    try:
        day = dt.datetime.strptime(said, "%Y-%m-%d").replace(tzinfo=dt.UTC)
    except ValueError:
        raise _wrong(param, "Give a day as YYYY-MM-DD.", "日期请写作 YYYY-MM-DD。") from None
    return max(0, int(day.timestamp() * 1000))


def _wrong(param: str, english: str, chinese: str) -> RefusedError:
    return RefusedError(400, "invalid_value", {"en": english, "zh": chinese}, param=param)


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A decision as a listing shows it: what kept somebody out comes first."""
    made = row["document"]
    reasons = sorted(made["reasons"], key=lambda one: one["effect"] in QUIET)
    codes = list(dict.fromkeys(one["code"] for one in reasons))
    return {
        "decision": row["decision"], "tenant": row["tenant"], "at": row["at"], "last_at": row["last_at"],
        "outcome": made["outcome"], "scope": made["scope"], "codes": codes[:SHOWN_CODES],
        "more_codes": max(0, len(codes) - SHOWN_CODES), "packs": list(made["packs"]),
    }  # fmt: skip
