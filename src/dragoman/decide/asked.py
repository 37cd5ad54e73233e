"""A decision for a facts document from outside: its names checked, and the document that is answered.

Behind `dragoman decide` and `POST /admin/v1/decisions`, so that both answer alike. Pure, as the engine is.
"""

from __future__ import annotations

from typing import Any

from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.explain import trace
from dragoman.decide.packs import PackSet
from dragoman.decide.vocabulary import check_names
from dragoman.decide.world import World


def decide_facts(facts: Facts, packs: PackSet, world: World | None = None) -> Decision:
    """The decision for a document from outside, its names checked. Raises FactsError."""
    check_names(facts, packs)
    return decide(facts, packs, world or World.from_packs(packs))


def decision_document(decision: Decision, facts: Facts, packs: PackSet, *, explain: bool) -> dict[str, Any]:
    """The decision's document; with `explain` also `trace`, every rule that was considered, in order."""
    document = decision.to_dict()
    if explain:
        document["trace"] = [step.to_dict() for step in trace(facts, packs, World.from_packs(packs))]
    return document
