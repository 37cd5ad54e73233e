"""What a decision rests on, kept beside its document for the passports of the turns that name it.

The facts it read, generalised as in the ledger, so that they say nothing about one person; what kind each of
its rules is of; which providers of the model were left, and why the others were not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.control.loaded import Loaded
from dragoman.control.planner import Outcome, general
from dragoman.control.refusal import lifts
from dragoman.core.decision import Decision, Reason
from dragoman.core.turns import Kept

REFUSED = Reason(
    code="DECISION_REFUSED",
    rule_id="decision",
    title={"en": "The decision", "zh": "决定"},
    citation=None,
    effect="deny",
    certainty=None,
    text={
        "en": "Its own terms permit the turn; the decision as a whole did not.",
        "zh": "其自身条款允许本轮，但决定整体不允许。",
    },
)
"""Why a provider was not left although nothing of its own stood in the way."""


def kept(outcome: Outcome, loaded: Loaded, question: Mapping[str, Any]) -> Kept:
    """The decision of a question as it is kept; document and grounds are made only where they are wanted."""
    decision = outcome.decision
    model = str(question["model"])
    return Kept(
        decision.id,
        decision.as_of,
        lambda: (decision.to_dict(), _grounds(outcome, loaded, model)),
    )


def _grounds(outcome: Outcome, loaded: Loaded, model: str) -> dict[str, Any]:
    decision = outcome.decision
    read = set(decision.read)
    if "age" in read:
        read.add("age_source")  # an age says by whose word it is known
    facts = {path: value for path, value in general(outcome.facts, loaded).items() if path in read}
    return {
        "facts": facts,
        "kinds": _kinds(decision, loaded),
        "providers": _providers(outcome, loaded, model),
        "simulated": outcome.simulated,
        "lifts": lifts(decision),
    }


def _kinds(decision: Decision, loaded: Loaded) -> dict[str, str]:
    """Kinds of the rules that packs hold, and of providers' terms; the operator's own rules have none."""
    named = {one.rule_id for one in decision.reasons} | {one.rule_id for one in decision.obligations}
    terms = loaded.packs.providers()
    kinds = {}
    for rule_id in sorted(named):
        rule = loaded.packs.rule(rule_id)
        if rule is not None:
            kinds[rule_id] = rule.kind
        elif rule_id.rpartition(".")[0] in terms:
            kinds[rule_id] = f"provider.{rule_id.rpartition('.')[2]}"
    return kinds


def _providers(outcome: Outcome, loaded: Loaded, model: str) -> list[dict[str, Any]]:
    """Every provider of the model, in order of preference."""
    left = {one.provider for one in outcome.attempts} if outcome.decision.allowed else set()
    names = dict.fromkeys(one.provider for one in loaded.attempts.get(model, ()))
    return [
        {
            "provider": name,
            "eligible": name in left,
            "reasons": [] if name in left else [one.to_dict() for one in _why(name, outcome)],
        }
        for name in names
    ]


def _why(name: str, outcome: Outcome) -> Sequence[Reason]:
    found = outcome.decision.left_out.get(name)
    if found:
        return found
    barred = outcome.barred.get(name)
    return (barred,) if barred is not None else (REFUSED,)
