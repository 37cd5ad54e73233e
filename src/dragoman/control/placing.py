"""What the law says of a person as placed: whether it may sign up, and why its turns are decided as they are.

The same engine and facts as a turn's; no model is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragoman.accounts.placement import Address
from dragoman.control.loaded import Loaded
from dragoman.control.planner import CLASS_FACTS, Outcome, elsewhere, named
from dragoman.control.refusal import cited, lifts
from dragoman.core.decision import QUIET
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.errors import RefusedError
from dragoman.policy.duties import Duties
from dragoman.policy.statements import appeal_address

CLOSING = frozenset({"DENY", "NOT_READY", "HANDOFF"})
"""Outcomes at which nobody new is taken. A step-up is asked for later, of whoever signed up."""


def decided(  # noqa: PLR0913, PLR0917 - all that a decision is made of
    loaded: Loaded, tenant: str, person: Mapping[str, Any], address: Address, event: str, now: int
) -> Outcome:
    """The decision on an event of a person of these facts, at an instant (ms UTC)."""
    document = {name: person[name] for name in CLASS_FACTS if name in person}
    document.update(as_of=now, event=event, channel="web", address_kind=address.kind)
    if address.country is not None:
        document["address_country"] = address.country
    facts = Facts.parse(document)
    decision = decide(facts, loaded.packs, loaded.world)
    decision = replace(decision, id=named(decision, tenant, facts, loaded, simulated=False, barred={}))
    return Outcome(facts, decision, (), Duties([], [], []))


def closed(outcome: Outcome, loaded: Loaded) -> RefusedError | None:
    """Why nobody of these facts is taken: by law or terms, or because another zone has these people."""
    decision = outcome.decision
    zone = elsewhere(decision, loaded)
    if decision.outcome not in CLOSING and zone is None:
        return None
    reasons = [one.to_dict() for one in decision.reasons if one.effect not in QUIET]
    appeal = appeal_address(loaded.settings.public_url(), decision.id)
    text = {
        language: " ".join(
            [
                "You cannot sign up here." if language == "en" else "您无法在此注册。",
                *(cited(one, language) for one in reasons),
                f"Appeal: {appeal}" if language == "en" else f"申诉：{appeal}",
            ]
        )
        for language in ("en", "zh")
    }
    extra: dict[str, Any] = {
        "decision": decision.id,
        "outcome": decision.outcome,
        "reasons": reasons,
        "appeal": appeal,
    }
    if zone is not None:
        return RefusedError(421, "signup_elsewhere", text, extra={**extra, "address": zone})
    return RefusedError(503 if decision.outcome == "NOT_READY" else 403, "signup_refused", text, extra=extra)


def why(outcome: Outcome) -> dict[str, Any]:
    """A decision as a person reads it: outcome, reasons with rule and source, what would lift it."""
    decision = outcome.decision
    return {
        "id": decision.id,
        "outcome": decision.outcome,
        "reasons": [one.to_dict() for one in decision.reasons],
        "step_up": list(decision.step_up),
        "lifted_by": lifts(decision),
        "packs": sorted(decision.packs),
    }
