"""What the law says of a person as placed: whether it may sign up, and why its turns are decided as they are.

The same engine and facts as a turn's; no model is named here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragoman.accounts.placement import Address
from dragoman.control.loaded import Loaded
from dragoman.control.planner import CLASS_FACTS, Outcome, elsewhere, is_reusable, named
from dragoman.control.refusal import cited, lifts
from dragoman.control.sharing import Shared, ends
from dragoman.core.decision import QUIET
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.errors import RefusedError
from dragoman.policy.duties import Duties
from dragoman.policy.statements import appeal_address

CLOSING = frozenset({"DENY", "NOT_READY", "HANDOFF"})
"""Outcomes at which nobody new is taken. A step-up is asked for later, of whoever signed up."""


class Placed:
    """Decisions on people as they are placed, shared by equal ones for a while. For one thread."""

    def __init__(self) -> None:
        self._shared = Shared[Outcome]()

    def decided(  # noqa: PLR0913, PLR0917 - all that a decision is made of
        self,
        loaded: Loaded,
        tenant: str,
        person: Mapping[str, Any],
        address: Address,
        event: str,
        now: int,
    ) -> Outcome:
        """The decision on an event of a person of these facts, at an instant (ms UTC)."""
        document = {name: person[name] for name in CLASS_FACTS if name in person}
        document.update(event=event, channel="web", address_kind=address.kind)
        if address.country is not None:
            document["address_country"] = address.country
        key = (tenant, json.dumps(document, sort_keys=True))
        held = self._shared.get(loaded, key, now)
        if held is not None:
            return held
        facts = Facts.parse({**document, "as_of": now})
        decision = decide(facts, loaded.packs, loaded.world)
        decision = replace(decision, id=named(decision, tenant, facts, loaded, simulated=False, barred={}))
        outcome = Outcome(facts, decision, (), Duties([], [], []))
        if is_reusable(decision, facts):
            self._shared.keep(loaded, key, now, ends(now, decision.holds_until), outcome)
        return outcome


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
        "lifted_by": lifts(decision),
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
