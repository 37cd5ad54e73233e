"""`plan.sock`: what a turn needs from control. One small function per message of docs/wire.md."""

from __future__ import annotations

import asyncio
from typing import Any

from dragoman.accounts.classes import Classes
from dragoman.accounts.principals import Principals
from dragoman.budgets.allotments import Allotments
from dragoman.control import questions
from dragoman.control.asgi import Answer, App, Request, Routes
from dragoman.control.changes import ChangeFeed
from dragoman.control.journal_feed import JournalFeed
from dragoman.control.live import LiveQuestions
from dragoman.control.loaded import Holder
from dragoman.control.planner import Planner
from dragoman.control.turns import TurnDesk
from dragoman.errors import RefusedError
from dragoman.events import InterventionsStored, PrincipalRefused, emit
from dragoman.ids import now_ms
from dragoman.policy.statements import compose
from dragoman.stores.interventions import Interventions


class PlanSocket:
    """The endpoints of plan.sock, over what the composition root gives them."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        *,
        holder: Holder,
        principals: Principals,
        classes: Classes,
        planner: Planner,
        live: LiveQuestions,
        changes: ChangeFeed,
        interventions: Interventions,
        journal: JournalFeed,
        allotments: Allotments,
        turns: TurnDesk,
    ) -> None:
        self._holder = holder
        self._principals = principals
        self._classes = classes
        self._planner = planner
        self._live = live
        self._changes = changes
        self._interventions = interventions
        self._journal = journal
        self._allotments = allotments
        self._turns = turns

    def app(self, provider: App | None) -> Routes:
        """The application; `provider` serves the `local` provider below `/provider/`."""
        routes = Routes("plan.sock")
        routes.on("POST", "/principal", self.principal)
        routes.on("POST", "/plan", self.plan)
        routes.on("GET", "/changes", self.changes)
        routes.on("GET", "/rulesets/", self.ruleset)
        routes.on("POST", "/interventions", self.interventions)
        routes.on("POST", "/journal", self.journal)
        routes.on("GET", "/journal/cursor", self.cursor)
        routes.on("POST", "/allotments", self.allot)
        routes.on("POST", "/turns", self._turns.open)
        routes.on("POST", "/turns/recover", self._turns.recover)
        routes.on("PUT", "/turns/", self._turns.outcome)
        if provider is not None:
            routes.mount("/provider/", provider)
        return routes

    async def principal(self, request: Request) -> Answer:
        """Who stands behind a credential."""
        question = questions.principal_question(await request.json())
        try:
            answer = self._principals.identify(question, now_ms())
        except RefusedError as refused:
            emit(PrincipalRefused(refused.code))
            raise
        pending = self._classes.pending(answer["class"])
        if pending is not None:
            await asyncio.wrap_future(pending)
        return 200, answer

    async def plan(self, request: Request) -> Answer:
        """What the relay needs to carry one turn."""
        question = questions.plan_question(await request.json())
        now = now_ms()
        plan = self._planner.plan(question, now)
        self._live.note(question, plan, now)
        if plan["refusal"] is not None:
            keep = self._interventions.keep_decision(question["tenant"], plan["decision"])
            await asyncio.wrap_future(keep)
        return 200, plan

    async def changes(self, request: Request) -> Answer:
        """News for relays, or the same seq after the hold."""
        after = request.query("after") or "0"
        if not after.isdigit() or len(after) > 18:
            raise questions.malformed("after must be a whole number")
        self._turns.contact(request.header(b"dragoman-log"))
        return 200, await self._changes.after(int(after), self._announced)

    def _announced(self) -> dict[str, Any]:
        loaded = self._holder.loaded
        return {"rulesets": loaded.ruleset_digests(), "config": loaded.config_digest}

    async def ruleset(self, request: Request) -> Answer:
        """A rule set by digest, in the bytes the digest was made of."""
        body = self._holder.ruleset(request.rest)
        if body is None:
            text = {"en": "No rule set with this digest is kept.", "zh": "没有这个摘要的规则集。"}
            raise RefusedError(404, "ruleset_not_found", text)
        return 200, body

    async def interventions(self, request: Request) -> Answer:
        """Keep interventions with their statements; 204 only when durable."""
        found = questions.interventions(await request.json())
        pairs = [(item, self._statement(item)) for item in found]
        await asyncio.wrap_future(self._interventions.keep(pairs))
        emit(InterventionsStored(len(pairs)))
        return 204, None

    def _statement(self, item: dict[str, Any]) -> dict[str, Any]:
        named = item.get("rule")
        rule = self._holder.rule(named["set"], named["id"]) if named else None
        decision = None
        if item["origin"] == "plan" and isinstance(item.get("decision"), str):
            decision = self._interventions.decision(item["tenant"], item["decision"])
        settings = self._holder.loaded.settings
        return compose(item, rule, decision, settings.deployment.contact, settings.public_url())

    async def journal(self, request: Request) -> Answer:
        """Project a batch of a relay's journal once."""
        log = request.header(b"dragoman-log") or ""
        first = request.header(b"dragoman-first-index") or ""
        if not log or len(log) > 200 or not first.isdigit() or len(first) > 15:
            raise questions.malformed("dragoman-log and dragoman-first-index name the batch")
        taken, position = await self._journal.take(log, int(first), await request.body())
        return (200 if taken else 409), {"next": position}

    async def allot(self, request: Request) -> Answer:
        """Parts of limits for a relay."""
        return 200, await self._allotments.take(await request.json(), now_ms())

    async def cursor(self, request: Request) -> Answer:
        """The index expected next of a log."""
        log = request.query("log")
        if not log or len(log) > 200:
            raise questions.malformed("log names the journal")
        return 200, {"next": self._journal.next(log)}
