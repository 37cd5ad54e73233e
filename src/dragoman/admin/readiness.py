"""Readiness by market: which evidence is missing or held, which rule wants it, and a form that states it.

Evidence stands in `dragoman.toml` and nowhere else: the form shows the difference of the file, which is then
written as every change of the setup pages is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from dragoman.admin.context import AdminContext
from dragoman.admin.setup_changes import Change, view_of
from dragoman.admin.setup_desk import Draft
from dragoman.admin.setup_fields import Field, FieldError
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.texts import LANGUAGES, TEXTS
from dragoman.admin.view import AdminView
from dragoman.checks.results import Reading, Subject
from dragoman.checks.zone_checks import EVIDENCE_SOON_DAYS, decided_in, person_of
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.core.facts import nearest
from dragoman.decide.evidence import in_words
from dragoman.decide.needs import Need, needs
from dragoman.decide.packs import PackSet
from dragoman.decide.vocabulary import known_names
from dragoman.decide.worded import EFFECTS
from dragoman.errors import RefusedError, UnavailableError
from dragoman.settings_edit import Edit

STATE = "/readiness/state"
NUMBER, EXPIRES = Field("number", ("number",)), Field("expires", ("expires",), "date")
FORM = "markets"
"""Which of the setup pages a change is shown as one of."""
MISSING, HELD, SOON, AHEAD = "missing", "held", "soon", "ahead"

Files = Mapping[str, Sequence[Mapping[str, Any]]]
"""Files by the evidence they are of."""
Put = Callable[[str, str, Sequence[Edit]], Draft]
"""Keep a change that waits: for whom, of which form, what it edits."""


class Readiness(BaseModel):
    """By market the outcome for an identified adult, and the evidence that its rules ask for.

    `files` of a row: what the operator keeps of it. A row's `state`: `missing`, `held`, `soon` (held, ends
    within 60 days), `ahead` (missing, asked later).
    """

    markets: list[dict[str, Any]]


class StatedEvidence(BaseModel):
    """Evidence as it is to stand in the file. `number` empty: it is taken out; `expires`: its last day."""

    model_config = ConfigDict(extra="forbid")
    evidence: str
    number: str = ""
    expires: str = ""


class ReadinessPages:
    """The page, the form, and the same over the API."""

    def __init__(self, context: AdminContext, view: AdminView, put: Put) -> None:
        self._context = context
        self._view = view
        self._put = put

    def routes(self) -> Iterator[AdminRoute]:
        """What is missing, and a change that states it."""
        says = "What each market still asks of the operator."
        yield AdminRoute("GET", "/readiness", AUDITOR, self.page, says)
        yield AdminRoute("GET", "/admin/v1/readiness", AUDITOR, self.api, says, answer=Readiness)
        yield AdminRoute("GET", STATE, AUDITOR, self.form, "The form for one piece of evidence.")
        says = "Show what stating a piece of evidence would write."
        yield AdminRoute("POST", STATE, OPERATOR, self.show, says, body=StatedEvidence)
        path = "/admin/v1/readiness"
        yield AdminRoute("POST", path, OPERATOR, self.show_api, says, body=StatedEvidence, answer=Change)

    async def page(self, call: Call) -> Response:
        """The markets."""
        told = await run_in_threadpool(self._told)
        return self._view.page(call, "readiness", markets=told, soon=EVIDENCE_SOON_DAYS)

    async def api(self, _call: Call) -> Response:
        """The same as a document."""
        return self._view.json({"markets": await run_in_threadpool(self._told)})

    async def form(self, call: Call) -> Response:
        """The form, with what the file holds."""
        name = call.request.query_params.get("evidence", "")[:100]
        held = self._context.setup.stands()[0].deployment.evidence.get(name)
        typed = {
            "evidence": name,
            "number": held.number if held else "",
            "expires": held.expires.isoformat() if held and held.expires else "",
        }
        return await run_in_threadpool(self._form, call, typed, {})

    async def show(self, call: Call) -> Response:
        """The difference, or the form with what is wrong."""
        try:
            draft = await run_in_threadpool(self._drafted, call)
        except RefusedError as refused:
            language = self._view.language(call.request)
            wrong = {refused.param or "number": refused.text[language]}
            return await run_in_threadpool(self._form, call, call.body.model_dump(), wrong)
        return RedirectResponse(f"/setup/changes/{draft.change}", 303)

    async def show_api(self, call: Call) -> Response:
        """The same over the API; it is written by `/admin/v1/setup/changes/write`."""
        return self._view.json(view_of(await run_in_threadpool(self._drafted, call)))

    def _form(self, call: Call, typed: Mapping[str, str], wrong: Mapping[str, str]) -> Response:
        language = self._view.language(call.request)
        known = typed["evidence"] in known_names(self._context.packs())["evidence"]
        words = in_words(typed["evidence"], language) if known else ""
        status = 400 if wrong else 200
        return self._view.page(
            call,
            "readiness_state",
            status,
            here=STATE,
            typed=typed,
            wrong=wrong,
            words=words,
            known=known,
            files=self._context.filings.by_evidence().get(typed["evidence"], []),
            fresh=call.visitor.is_fresh(self._context.sessions.clock()),
        )

    def _drafted(self, call: Call) -> Draft:
        name = known_evidence(self._context.packs(), call.body.evidence)
        number, expires = _read(NUMBER, call.body.number), _read(EXPIRES, call.body.expires)
        path = ("deployment", "evidence", name)
        held = self._context.setup.stands()[0].deployment.evidence.get(name)
        if number is None:
            edits = [Edit(path, None)] if held else []
        else:
            edits = [Edit((*path, "number"), number)] if held is None or held.number != number else []
            if (held.expires if held else None) != expires:
                edits.append(Edit((*path, "expires"), expires))
        if not edits:
            text = {lang: TEXTS[lang]["setup_nothing"] for lang in LANGUAGES}
            raise RefusedError(400, "invalid_value", text, param="number")
        return self._put(call.visitor.by, FORM, edits)

    def _told(self) -> list[dict[str, Any]]:
        subject = self._context.setup.subject()
        if subject.loaded is None:
            raise UnavailableError("No packs are loaded.")
        files = self._context.filings.by_evidence()
        markets = subject.settings.deployment.markets
        return [_market(subject, subject.loaded, place, files) for place in markets]


def known_evidence(packs: PackSet, said: str) -> str:
    """A name of evidence that a rule knows. RefusedError 400 with the nearest one for another."""
    name, known = said.strip(), known_names(packs)["evidence"]
    if name not in known:
        near = nearest(name, known)
        text = {"en": f"No rule knows this evidence{near}.", "zh": f"没有规则使用该凭证标识{near}。"}
        raise RefusedError(400, "invalid_value", text, param="evidence")
    return name


def _market(subject: Subject, loaded: Reading, place: str, files: Files) -> dict[str, Any]:
    """A market by its own law alone; the outcome is by all of it, as everybody's is."""
    decision = decided_in(subject, place)
    person = person_of(loaded, place, subject.machine.now_s()).replaced({"offered_markets": ()})
    today = dt.datetime.fromtimestamp(subject.machine.now_s(), dt.UTC).date()
    rows = [_row(one, today, files) for one in needs(person, loaded.packs, loaded.world)]
    return {
        "market": place,
        "outcome": decision.outcome if decision is not None else None,
        "missing": sum(row["state"] == MISSING and row["blocks"] for row in rows),
        "rows": rows,
    }


def _row(need: Need, today: dt.date, files: Files) -> dict[str, Any]:
    rule, reason, held = need.rule, need.rule.reasons["warn"], need.held
    state = HELD if held is not None else AHEAD if need.from_day else MISSING
    left = (held.expires - today).days if held is not None and held.expires is not None else None
    if left is not None and left <= EVIDENCE_SOON_DAYS:
        state = SOON
    return {
        "state": state,
        "wanted": list(need.names),
        "text": {lang: in_words(need.wanted, lang) for lang in LANGUAGES},
        "held": None if held is None else held.name,
        "number": None if held is None else held.number,
        "expires": None if held is None or held.expires is None else held.expires.isoformat(),
        "days_left": left,
        "files": [one for name in need.names for one in files.get(name, ())],
        "from_day": need.from_day,
        "blocks": rule.on_missing in ("not_ready", "gate", "deny"),
        "effect": dict(EFFECTS[rule.on_missing]),
        "rule_id": rule.rule_id,
        "pack": rule.pack,
        "title": dict(reason.title),
        "certainty": rule.certainty,
        "source": reason.citation.to_dict() if reason.citation else None,
    }


def _read(field: Field, typed: str) -> Any:
    try:
        return field.read(typed)
    except FieldError as fault:
        text = {lang: TEXTS[lang][f"error_{fault.said}"].format(**fault.values) for lang in LANGUAGES}
        raise RefusedError(400, "invalid_value", text, param=field.name) from fault
