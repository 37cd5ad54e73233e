"""What lies ahead: every date at which a rule begins or ends, and what it changes for the operator's markets.

Asks the decision itself, before and after each date. Nothing here changes anything.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.context import AdminContext
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.view import AdminView
from dragoman.checks.results import Reading
from dragoman.checks.zone_checks import person_of
from dragoman.core.admins import AUDITOR
from dragoman.decide.ahead import Ahead, Change, Date, Turn
from dragoman.decide.evidence import in_words
from dragoman.decide.packs import PackSet
from dragoman.decide.vocabulary import words
from dragoman.errors import UnavailableError
from dragoman.ids import now_ms
from dragoman.ledger.texts import LANGUAGES

AHEAD_DAYS = 731
"""LIMIT: days looked ahead: 24 months, a leap day among them."""
DAY_MS = 86_400_000


class Timeline(BaseModel):
    """Dates in order: `at` (ms UTC), rules that turn there, and what is decided otherwise for which markets.

    `advice`: duties that are listed already and do not bind yet; `places`: the markets looked at.
    """

    now: int
    until: int
    places: list[str]
    dates: list[dict[str, Any]]
    advice: list[dict[str, Any]]


class Timelines:
    """The page and its twin. What one reading of the files comes to on one day is worked out once."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view
        self._lock = threading.Lock()
        self._made: dict[bool, tuple[Any, int, dict[str, Any]]] = {}

    def routes(self) -> Iterator[AdminRoute]:
        """The page and the rows."""
        yield AdminRoute("GET", "/timeline", AUDITOR, self.page, "What lies ahead.")
        says = "Rules that begin or end within 24 months, and what that changes; of every pack with `all=1`."
        path = "/admin/v1/timeline"
        yield AdminRoute("GET", path, AUDITOR, self.api, says, answer=Timeline, queries=("all",))

    async def page(self, call: Call) -> Response:
        """The dates."""
        every = _every(call)
        return self._view.page(call, "timeline", told=await run_in_threadpool(self._told, every), every=every)

    async def api(self, call: Call) -> Response:
        """The same as a document."""
        return self._view.json(await run_in_threadpool(self._told, _every(call)))

    def _told(self, every: bool) -> dict[str, Any]:
        with self._lock:
            loaded, now = self._context.setup.subject().loaded, now_ms()
            if loaded is None:
                raise UnavailableError("No packs are loaded.")
            kept = self._made.get(every)
            if kept is None or kept[0] is not loaded or kept[1] != now // DAY_MS:
                markets = self._context.setup.subject().settings.deployment.markets
                kept = (loaded, now // DAY_MS, _timeline(loaded, markets, now, every))
                self._made[every] = kept
            return kept[2]


def _every(call: Call) -> bool:
    return call.request.query_params.get("all") == "1"


def _timeline(loaded: Reading, markets: tuple[str, ...], now: int, every: bool) -> dict[str, Any]:
    people = {place: _without_list_ages(loaded, place, now) for place in markets}
    ahead = Ahead(loaded.packs, loaded.world, people)
    until = now + AHEAD_DAYS * DAY_MS
    packs = loaded.packs.packs if every else ahead.in_play(now)
    return {
        "now": now,
        "until": until,
        "places": list(markets),
        "dates": _days(ahead.dates(now, until, packs), loaded.packs),
        "advice": [{**asdict(one), **_titled(loaded.packs, one.rule_id)} for one in ahead.advice(now)],
    }


def _without_list_ages(loaded: Reading, place: str, now: int) -> Any:
    """A person of a market; how old a provider's list is then follows from the date."""
    facts = person_of(loaded, place, now / 1000)
    return facts.without([path for path in facts.values if path.startswith("list_age_days.")])


def _days(dates: Iterable[Date], packs: PackSet) -> list[dict[str, Any]]:
    """Instants of one civil day together: it begins at another in each zone of time."""
    days: dict[str, dict[str, Any]] = {}
    for one in dates:
        day = days.setdefault(_day(one), {"at": one.at, "day": _day(one), "rules": [], "changes": []})
        day["rules"] += [_turn(turn) for turn in one.turns]
        day["changes"] += [_change(change, packs) for change in one.changes]
    return list(days.values())


def _day(one: Date) -> str:
    """The day that the rules name, else that of the instant in UTC."""
    said = [turn.day for turn in one.turns]
    return min(said) if said else dt.datetime.fromtimestamp(one.at / 1000, dt.UTC).date().isoformat()


def _turn(turn: Turn) -> dict[str, Any]:
    rule, reason = turn.rule, turn.rule.reasons["warn"]
    return {
        "rule_id": rule.rule_id, "pack": rule.pack, "kind": rule.kind, "change": turn.change, "day": turn.day,
        "title": dict(reason.title), "enforcement": rule.enforcement, "on_missing": rule.on_missing,
        "certainty": rule.certainty, "source": reason.citation.to_dict() if reason.citation else None,
    }  # fmt: skip


def _change(change: Change, packs: PackSet) -> dict[str, Any]:
    told = asdict(change)
    for part in ("duties_begin", "duties_end"):
        told[part] = [
            {"kind": kind, "rule_id": rule, "meaning": _meaning(kind), **_titled(packs, rule)}
            for kind, rule in getattr(change, part)
        ]
    told["lacks"] = [
        {"id": one, "text": {lang: in_words(one, lang) for lang in LANGUAGES}} for one in change.lacks
    ]
    return told


def _meaning(kind: str) -> dict[str, str]:
    return dict(words()["obligations"].get(kind, {"en": kind, "zh": kind}))


def _titled(packs: PackSet, rule_id: str) -> Mapping[str, Any]:
    rule = packs.rule(rule_id)
    if rule is None:
        return {"title": {"en": rule_id, "zh": rule_id}, "pack": None}
    return {"title": dict(rule.reasons["warn"].title), "pack": rule.pack}
