"""Evidence that people handed in: what waits, one case with its file, and what an administrator decides.

What is personal is for operators alone, and each look at it is entered in the ledger before it is shown. A
file is only ever given out to be saved, never shown by this listener.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from dragoman.accounts import evidence
from dragoman.admin.acts import Asked
from dragoman.admin.context import AdminContext
from dragoman.admin.pages import Anything, Rows, before, nothing, tenant_names
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.twins import twins
from dragoman.admin.view import AdminView
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.core.evidence import WAITING, EvidenceRecord, EvidenceRows, Verdict
from dragoman.core.people import Person
from dragoman.errors import RefusedError
from dragoman.ids import now_ms

ONE = "/reviews/{tenant}/{name}"
NAMED = Field(min_length=1, max_length=128)
MAX_REASON = evidence.TEXT_CHARS


class Acceptance(Asked):
    """What evidence shows, one thing at least, and its last day (`until`, YYYY-MM-DD)."""

    tenant: str = NAMED
    evidence: str = NAMED
    until: str | None = Field(default=None, max_length=10)
    residence: str | None = Field(default=None, max_length=2)
    residence_subdivision: str | None = Field(default=None, max_length=6)
    birth_date: str | None = Field(default=None, max_length=10)
    least_age: int | None = None
    real_name: bool = False
    guardian: bool = False


class Rejection(Asked):
    """Why evidence is rejected, as its person reads it. What was accepted is taken back by it."""

    tenant: str = NAMED
    evidence: str = NAMED
    reason: str = Field(min_length=1, max_length=MAX_REASON)


class Decided(BaseModel):
    """The evidence as it was decided on."""

    evidence: str
    state: str
    verified: list[dict[str, Any]]


class Reviews:
    """The routes about evidence."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """Pages and their twins in the API."""
        older = ("before",)
        kept: dict[str, Any] = {"personal": True}
        says = "Evidence that waits, or was decided on."
        yield AdminRoute("GET", "/reviews", AUDITOR, self.page, says, **kept)
        says = "Evidence that waits, the oldest first, then what was decided on, the newest first."
        path = "/admin/v1/reviews"
        yield AdminRoute("GET", path, AUDITOR, self.api, says, answer=Rows, queries=older, **kept)
        yield AdminRoute("GET", ONE, OPERATOR, self.one_page, "One person's evidence.", **kept)
        says = "Evidence with its text, what its person states, and what was verified."
        yield AdminRoute("GET", f"/admin/v1{ONE}", OPERATOR, self.one_api, says, answer=Anything, **kept)
        says = "The file of evidence, to be saved."
        yield AdminRoute("GET", f"{ONE}/file", OPERATOR, self.file, says, **kept)
        for verb, body, do, says in (
            ("accept", Acceptance, self.accept, "Accept evidence: what it shows, and until when."),
            ("reject", Rejection, self.reject, "Reject evidence, or take back what was accepted."),
        ):
            form = self._then_page(do)
            yield from twins(
                self._view, f"/reviews/{verb}", body, do, says, answer=Decided, form=form, **kept
            )

    async def page(self, call: Call) -> Response:
        """The queue, older decisions by `?before=`."""
        rows = await run_in_threadpool(self._context.evidence.queue, before(call))
        names = await run_in_threadpool(tenant_names, self._context)
        waiting = [one for one in rows if one["state"] == WAITING]
        decided = [one for one in rows if one["state"] != WAITING]
        return self._view.page(call, "reviews", waiting=waiting, decided=decided, names=names)

    async def api(self, call: Call) -> Response:
        """The same as rows."""
        return self._view.json({"rows": await run_in_threadpool(self._context.evidence.queue, before(call))})

    async def one_page(self, call: Call) -> Response:
        """One case, with the forms that decide it."""
        return await self._one(call, {}, {})

    async def one_api(self, call: Call) -> Response:
        """The same as a document."""
        return self._view.json(await run_in_threadpool(self._read, call))

    async def file(self, call: Call) -> Response:
        """The file; which of all it is stands in the ledger before it is given out."""
        found = await run_in_threadpool(self._found, call, "evidence.file_read")
        record, _ = found
        tenant = call.names["tenant"]
        file = await run_in_threadpool(self._context.evidence.read, tenant, lambda rows: rows.file(record))
        if file is None:
            raise nothing()
        return self._view.saved(file.name, file.data)

    def accept(self, call: Call) -> dict[str, Any]:
        """Accept evidence. RefusedError 400 where it shows nothing, 404, 409 where it was decided on."""
        asked: Acceptance = call.body
        now = now_ms()
        verdict = Verdict(evidence.found(asked.evidence, asked.model_dump(), now))
        return self._decided(call, verdict, now)

    def reject(self, call: Call) -> dict[str, Any]:
        """Reject evidence, or take back what was accepted. RefusedError 400, 404, 409."""
        reason = evidence.words("reason", call.body.reason)
        if not reason:
            text = {"en": "reason: needed; its person reads it.", "zh": "reason：必填，将向提交者展示。"}
            raise RefusedError(400, "invalid_value", text, param="reason")
        return self._decided(call, Verdict((), reason), now_ms())

    def _decided(self, call: Call, verdict: Verdict, now: int) -> dict[str, Any]:
        name, by = call.body.evidence, call.visitor.by
        done = self._context.evidence.submit(
            call.body.tenant, lambda rows: evidence.decide(rows, name, verdict, by, now)
        ).result()
        told = [evidence.shown(one) for one in done.shows]
        return {"evidence": done.evidence, "state": done.state, "verified": told}

    def _then_page(self, do: Callable[[Call], dict[str, Any]]) -> Any:
        async def form(call: Call) -> Response:
            try:
                await run_in_threadpool(do, call)
            except RefusedError as refused:
                if refused.status != 400:
                    raise
                wrong = {refused.param or "until": refused.text[self._view.language(call.request)]}
                return await self._one(call, call.body.model_dump(), wrong)
            return RedirectResponse(_address(call.body.tenant, call.body.evidence), 303)

        return form

    async def _one(self, call: Call, typed: dict[str, Any], wrong: dict[str, str]) -> Response:
        """The case of the path, or of the form that is shown again with what is wrong with it."""
        found = await run_in_threadpool(self._read, call)
        here = _address(found["tenant"], found["id"])
        return self._view.page(
            call,
            "reviews_one",
            400 if wrong else 200,
            here=here,
            case=found,
            typed=typed,
            wrong=wrong,
            fresh=call.visitor.is_fresh(self._context.sessions.clock()),
        )

    def _read(self, call: Call) -> dict[str, Any]:
        record, person = self._found(call, "evidence.read")
        said = person.declared
        return {
            **evidence.document(record),
            "tenant": call.names.get("tenant") or call.body.tenant,
            "person": record.person,
            "lang": record.lang,
            "by": record.by,
            "declared": {
                "residence": said.residence,
                "residence_subdivision": said.residence_subdivision,
                "birth_date": said.birth_date,
                "least_age": said.least_age,
            },
            "phone_countries": [] if person.phone is None else list(person.phone.regions),
            "verified_before": [evidence.shown(one) for one in person.verified],
        }

    def _found(self, call: Call, act: str) -> tuple[EvidenceRecord, Person]:
        """A case with its person; that it was looked at stands in the ledger first. RefusedError 404."""
        tenant = call.names.get("tenant") or call.body.tenant
        name = call.names.get("name") or call.body.evidence

        def look(rows: EvidenceRows) -> tuple[EvidenceRecord, Person] | None:
            record = rows.evidence(name)
            person = None if record is None else rows.person(record.person)
            return None if record is None or person is None else (record, person)

        found = self._context.evidence.read(tenant, look)
        if found is None:
            raise nothing()
        self._context.access.enter({"act": act, "by": call.visitor.by, "evidence": name}).result()
        return found


def _address(tenant: str, name: str) -> str:
    return f"/reviews/{quote(tenant, safe='')}/{quote(name, safe='')}"
