"""Decisions asked of the packs in use, and the names that those packs understand.

A question changes nothing and is not kept: what it says of a person goes no further than its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, create_model
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.context import AdminContext
from dragoman.admin.openapi import Published
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.view import AdminView
from dragoman.core.admins import AUDITOR
from dragoman.core.facts import Facts, FactsError
from dragoman.decide.asked import decide_facts, decision_document
from dragoman.decide.published import decision_schema, facts_schema
from dragoman.decide.vocabulary import KINDS, vocabulary
from dragoman.errors import RefusedError

NOT_TOLD = ("", "0", "false")
"""Values of `?explain=` that ask for no trace."""


class FactsDocument(Published):
    """What is known when deciding: `as_of` and whatever else, as `dragoman packs schema facts` has it."""

    published = staticmethod(facts_schema)


class DecisionDocument(Published):
    """The decision, as `dragoman decide --json` prints it; with `?explain=true` also `trace`."""

    published = staticmethod(lambda: _with_trace(decision_schema()))


class Name(BaseModel):
    """A name with the ids of the rules that read it, and one line of meaning by language."""

    name: str
    rules: list[str]
    meaning: dict[str, str]


KIND: Any = (list[Name], ...)
Vocabulary = create_model(
    "Vocabulary",
    __doc__="The packs in use with version and review status, and by kind every name that they understand.",
    packs=(dict[str, dict[str, str]], ...),
    **dict.fromkeys(KINDS, KIND),
)


class Decisions:
    """The routes that ask."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """The question, and the vocabulary as a page and as a document."""
        yield AdminRoute(
            "POST",
            "/admin/v1/decisions",
            AUDITOR,
            self.decide,
            "Decide from a facts document by the packs in use.",
            body=FactsDocument,
            answer=DecisionDocument,
            queries=("explain",),
            asks=True,
        )
        says = "Every name that the packs in use understand."
        yield AdminRoute(
            "GET", "/admin/v1/packs/vocabulary", AUDITOR, self.vocabulary, says, answer=Vocabulary
        )
        yield AdminRoute("GET", "/vocabulary", AUDITOR, self.page, "The names that packs understand.")

    async def decide(self, call: Call) -> Response:
        """The decision, as the command prints it."""
        explain = call.request.query_params.get("explain", "") not in NOT_TOLD
        return self._view.json(await run_in_threadpool(self._decided, call.body.model_extra, explain=explain))

    async def vocabulary(self, _call: Call) -> Response:
        """Every name with its readers and meaning."""
        return self._view.json(await run_in_threadpool(vocabulary, self._context.packs()))

    async def page(self, call: Call) -> Response:
        """The same to look through; `?q=` finds words in names, meanings and rules."""
        wanted = call.request.query_params.get("q", "")[:200].casefold().split()
        found = await run_in_threadpool(vocabulary, self._context.packs())
        kinds = {kind: [one for one in found[kind] if _has(one, wanted)] for kind in KINDS}
        count = sum(len(rows) for rows in kinds.values())
        return self._view.page(
            call, "vocabulary", kinds=kinds, count=count, packs=len(found["packs"]), wanted=" ".join(wanted)
        )

    def _decided(self, given: dict[str, Any], *, explain: bool) -> dict[str, Any]:
        packs = self._context.packs()
        try:
            facts = Facts.parse(given)
            decision = decide_facts(facts, packs)
        except FactsError as fault:
            text = {"en": f"{fault}.", "zh": f"{fault.path}：值无效（{fault.said}）。"}
            raise RefusedError(400, "invalid_value", text, param=fault.path or None) from fault
        return decision_document(decision, facts, packs, explain=explain)


def _with_trace(schema: dict[str, Any]) -> dict[str, Any]:
    schema["properties"]["trace"] = {"type": "array", "items": {"type": "object"}}
    return schema


def _has(one: dict[str, Any], wanted: list[str]) -> bool:
    """Whether every word stands somewhere in the name, its meanings or the rules that read it."""
    text = " ".join([one["name"], *one["meaning"].values(), *one["rules"]]).casefold()
    return all(word in text for word in wanted)
