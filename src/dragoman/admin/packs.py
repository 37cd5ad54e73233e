"""The packs in use, as administrators look through them: what each rule says in words, and where it stands.

Filtered by place, kind and words with a plain form. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from dragoman.admin.context import AdminContext
from dragoman.admin.pages import Anything, Rows, nothing
from dragoman.admin.table import AdminRoute, Call
from dragoman.admin.view import AdminView
from dragoman.core.admins import AUDITOR
from dragoman.decide import browse
from dragoman.decide.browse import Wanted
from dragoman.decide.cli_common import json_values
from dragoman.decide.packs import Pack, PackSet
from dragoman.decide.shown import pack_document

WANTED_CHARS = 100
"""LIMIT: characters of a filter; what is longer is cut."""
SHOWN_RULES = 500
"""LIMIT: rules on one page."""
FILTERS = ("place", "kind", "text")


class FoundRules(BaseModel):
    """Rules and providers' terms; `more`: how many were left off."""

    rows: list[dict[str, Any]]
    more: int


class PackPages:
    """The list, a pack, a rule."""

    def __init__(self, context: AdminContext, view: AdminView) -> None:
        self._context = context
        self._view = view

    def routes(self) -> Iterator[AdminRoute]:
        """Pages and their twins in the API."""
        one, rule = "/packs/{pack}", "/packs/{pack}/{rule}"
        yield AdminRoute("GET", "/packs", AUDITOR, self.page, "The packs in use, and their rules.")
        yield AdminRoute("GET", one, AUDITOR, self.pack_page, "A pack.")
        yield AdminRoute("GET", rule, AUDITOR, self.rule_page, "A rule of a pack.")
        says = "The packs in use: kind, places, review, how many rules of which certainty."
        yield AdminRoute("GET", "/admin/v1/packs", AUDITOR, self.api, says, answer=Rows)
        says = "A pack with its rules, sources and terms."
        yield AdminRoute("GET", f"/admin/v1{one}", AUDITOR, self.pack_api, says, answer=Anything)
        says = "A rule, or a term of a provider (`PACK.CHECK`), with its golden cases."
        yield AdminRoute("GET", f"/admin/v1{rule}", AUDITOR, self.rule_api, says, answer=Anything)
        says = "Rules and terms by place (ISO 3166, or a pack), kind and words."
        yield AdminRoute(
            "GET", "/admin/v1/rules", AUDITOR, self.rules_api, says, answer=FoundRules, queries=FILTERS
        )

    async def page(self, call: Call) -> Response:
        """The packs; with a filter, the rules that it leaves."""
        packs = self._packs()
        wanted = wanted_of(call, packs)
        rules = await run_in_threadpool(browse.found, packs, wanted) if wanted else []
        return self._view.page(
            call,
            "packs",
            packs=await run_in_threadpool(browse.heads, packs),
            wanted=wanted,
            kinds=await run_in_threadpool(browse.kinds, packs),
            unknown=bool(wanted.place) and not browse.is_place(packs, wanted.place),
            rules=rules[:SHOWN_RULES],
            more=max(0, len(rules) - SHOWN_RULES),
        )

    async def pack_page(self, call: Call) -> Response:
        """A pack with its rules, a line each."""
        packs, pack = self._pack(call)
        rules = await run_in_threadpool(browse.found, packs, Wanted(place=pack.id))
        told = await run_in_threadpool(pack_document, pack)
        own = [one for one in rules if one["pack"] == pack.id]
        return self._view.page(call, "packs_one", pack=told, rules=own)

    async def rule_page(self, call: Call) -> Response:
        """A rule with everything that it says."""
        packs, pack = self._pack(call)
        rule = await run_in_threadpool(self._rule, packs, call)
        return self._view.page(
            call, "packs_rule", pack=pack, rule=rule, asks=json_values(rule["asks"]), cases=rule["cases"]
        )

    async def api(self, _call: Call) -> Response:
        """The packs as rows."""
        return self._view.json({"rows": await run_in_threadpool(browse.heads, self._packs())})

    async def pack_api(self, call: Call) -> Response:
        """A pack as a document."""
        _, pack = self._pack(call)
        return self._view.json(json_values(await run_in_threadpool(pack_document, pack)))

    async def rule_api(self, call: Call) -> Response:
        """A rule as a document."""
        packs, _ = self._pack(call)
        return self._view.json(json_values(await run_in_threadpool(self._rule, packs, call)))

    async def rules_api(self, call: Call) -> Response:
        """Rules as rows."""
        packs = self._packs()
        rules = await run_in_threadpool(browse.found, packs, wanted_of(call, packs))
        more = max(0, len(rules) - SHOWN_RULES)
        return self._view.json({"rows": json_values(rules[:SHOWN_RULES]), "more": more})

    def _packs(self) -> PackSet:
        return self._context.packs()

    def _pack(self, call: Call) -> tuple[PackSet, Pack]:
        packs = self._packs()
        pack = packs.packs.get(call.names["pack"])
        if pack is None:
            raise nothing()
        return packs, pack

    def _rule(self, packs: PackSet, call: Call) -> dict[str, Any]:
        found = browse.one(packs, call.names["pack"], call.names["rule"])
        if found is None:
            raise nothing()
        return found


def wanted_of(call: Call, packs: PackSet) -> Wanted:
    """The filter of a query. A place that is no pack's id is a code, in capitals."""
    place, kind, text = (call.request.query_params.get(one, "").strip()[:WANTED_CHARS] for one in FILTERS)
    return Wanted(place if place in packs.packs else place.upper(), kind, text)
