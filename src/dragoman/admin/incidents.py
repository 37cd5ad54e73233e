"""Incidents: what happened, which authority is to hear of it by when, by which rule, and what became of that.

Nothing is sent to an authority from here: a person reports, and notes the reference. What an incident is
about stays in the zone's database; the ledger has who did what when.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.acts import Asked
from dragoman.admin.context import AdminContext
from dragoman.admin.pages import Anything, Rows
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.twins import Do, twins
from dragoman.admin.view import AdminView
from dragoman.checks.results import Reading
from dragoman.core.admins import AUDITOR
from dragoman.core.facts import nearest
from dragoman.core.incidents import OPEN, Became, Incident, Report
from dragoman.decide.packs import PackSet
from dragoman.errors import RefusedError, UnavailableError
from dragoman.ids import new_id, now_ms
from dragoman.policy.incidents import triggers, wanted

PATH = "/incidents"
ABOUT_CHARS = 2_000
"""LIMIT: characters of what an operator writes of an incident."""
NOTE_CHARS = 300
"""LIMIT: characters of a reference, or of why a report is not due."""
BACK_DAYS = 365
"""LIMIT: days ago that an incident may have become known."""
GRACE_MS = 60_000
"""How far ahead of the clock the form's minute may be."""
DAY_MS = 86_400_000

LENGTHS = {"about_chars": ABOUT_CHARS, "note_chars": NOTE_CHARS}


class NewIncident(Asked):
    """An incident to open. `trigger` empty: any that a rule names; `known_at`: UTC, empty: now."""

    trigger: str | None = Field(default=None, max_length=100)
    known_at: str | None = Field(default=None, max_length=40)
    about: str = Field(min_length=1, max_length=ABOUT_CHARS)


class Settled(Asked):
    """What became of a report: `reported` with the authority's reference, or `not_due` with the reason."""

    incident: str = Field(min_length=1, max_length=100)
    n: int = Field(ge=1)
    state: Literal["reported", "not_due"]
    note: str = Field(min_length=1, max_length=NOTE_CHARS)


class WhichIncident(Asked):
    """An incident."""

    incident: str = Field(min_length=1, max_length=100)


class Incidents:
    """The page, and what an operator does on it."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """The register, and both routes of every act."""
        says = "Incidents, with the reports that law asks for."
        yield AdminRoute("GET", PATH, AUDITOR, self.page, says)
        yield AdminRoute("GET", f"/admin/v1{PATH}", AUDITOR, self.api, says, answer=Rows)
        yield from self._act("", NewIncident, self.open, "Open an incident; its clocks run.", 201)
        yield from self._act("/report", Settled, self.settle, "Say what became of a report.")
        yield from self._act("/close", WhichIncident, self.close, "Close one with no report open.")

    def _act(
        self, verb: str, body: type[BaseModel], do: Do, says: str, status: int = 200
    ) -> Iterator[AdminRoute]:
        yield from twins(
            self._view,
            f"{PATH}{verb}",
            body,
            do,
            says,
            answer=Anything,
            then=lambda made: f"{PATH}#{made.incident}",
            told=self._told,
            status=status,
        )

    async def page(self, call: Call) -> Response:
        """The register, with the form that opens an incident."""
        rows = await run_in_threadpool(self._rows)
        every = not self._context.settings().deployment.markets
        names = triggers(self._context.packs())
        now = dt.datetime.fromtimestamp(now_ms() / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M")
        fresh = call.visitor.is_fresh(now_ms())
        return self._view.page(
            call, "incidents", rows=rows, triggers=names, now=now, every=every, fresh=fresh, **LENGTHS
        )

    async def api(self, _call: Call) -> Response:
        """The same as rows."""
        return self._view.json({"rows": await run_in_threadpool(self._rows)})

    def open(self, call: Call) -> Incident:
        """A new incident with the reports that the law of the markets asks for."""
        asked: NewIncident = call.body
        read, now = self._read(), now_ms()
        known = triggers(read.packs)
        named = (asked.trigger,) if asked.trigger else tuple(known)
        if asked.trigger and asked.trigger not in known:
            near = nearest(asked.trigger, known)
            text = {"en": f"No rule knows this kind{near}.", "zh": f"没有规则使用该事件类别{near}。"}
            raise RefusedError(400, "invalid_value", text, param="trigger")
        known_at = now if asked.known_at is None else _instant(asked.known_at, now)
        made = Incident(
            incident=new_id("inc", self._context.zone, now),
            triggers=named,
            known_at=known_at,
            about=asked.about.strip(),
            opened_at=now,
            opened_by=call.visitor.by,
            reports=wanted(self._context.settings(), read.packs, read.world, named, known_at),
        )
        self._context.incidents.open(made)
        return made

    def settle(self, call: Call) -> Incident:
        """A report was made, or is not due."""
        asked: Settled = call.body
        became = Became(asked.state, now_ms(), call.visitor.by, asked.note.strip())
        return self._context.incidents.settle(asked.incident, asked.n, became)

    def close(self, call: Call) -> Incident:
        """Nothing more is to be reported."""
        return self._context.incidents.close(call.body.incident, call.visitor.by, now_ms())

    def _read(self) -> Reading:
        read = self._context.setup.subject().loaded
        if read is None:
            raise UnavailableError("No packs are loaded.")
        return read

    def _rows(self) -> list[dict[str, Any]]:
        return [self._told(one) for one in self._context.incidents.all()]

    def _told(self, one: Incident) -> dict[str, Any]:
        now, packs = now_ms(), self._context.packs()
        return {
            "incident": one.incident,
            "triggers": list(one.triggers),
            "known_at": one.known_at,
            "about": one.about,
            "opened_at": one.opened_at,
            "opened_by": one.opened_by,
            "closed_at": one.closed_at,
            "overdue": one.overdue(now),
            "reports": [_report(report, packs, now) for report in one.reports],
        }


def _report(one: Report, packs: PackSet, now: int) -> Mapping[str, Any]:
    rule = packs.rule(one.rule_id)
    reason = rule.reasons["warn"] if rule is not None else None
    citation = reason.citation if reason is not None else None
    return {
        "n": one.n,
        "rule_id": one.rule_id,
        "pack": rule.pack if rule is not None else None,
        "title": dict(reason.title) if reason is not None else {"en": one.rule_id, "zh": one.rule_id},
        "source": citation.to_dict() if citation is not None else None,
        "certainty": rule.certainty if rule is not None else None,
        "stage": one.stage,
        "authority": one.authority,
        "due_at": one.due_at,
        "binding": one.binding,
        "over": one.state == OPEN and one.binding and one.due_at is not None and one.due_at < now,
        "state": one.state,
        "at": one.at,
        "by": one.by,
        "note": one.note,
    }


def _instant(text: str, now: int) -> int:
    """An instant as typed, UTC where it names no zone, as ms UTC. RefusedError 400."""
    try:
        given = dt.datetime.fromisoformat(text)
    except ValueError:
        said = {"en": "Date and time, as 2026-11-27T05:10.", "zh": "日期与时间，例如 2026-11-27T05:10。"}
        raise RefusedError(400, "invalid_value", said, param="known_at") from None
    at = int(given.replace(tzinfo=given.tzinfo or dt.UTC).timestamp() * 1000)
    if not now - BACK_DAYS * DAY_MS <= at <= now + GRACE_MS:
        said = {
            "en": f"Not in the future, and at most {BACK_DAYS} days ago.",
            "zh": f"不得晚于当前时间，且不早于 {BACK_DAYS} 天前。",
        }
        raise RefusedError(400, "invalid_value", said, param="known_at")
    return at
