"""What comes of simulated facts in a decision: they stand for a placement, and call no vendor with terms.

They exist in stage `local` alone: elsewhere a class that says `simulated` is a plain guest's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragoman.accounts.classes import facts_of_guest
from dragoman.accounts.simulated import simulated_of
from dragoman.core.decision import NOT_CARRIED_OUT, Decision, Reason
from dragoman.knowledge.model import Asker
from dragoman.settings import Settings

CODE = "SIMULATED_NOT_CARRIED_OUT"


def permitted(person: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """The person's facts; where nothing may be simulated, those of a guest of whom nothing is known."""
    if person.get("simulated") and settings.deployment.stage != "local":
        return facts_of_guest()
    return person


def asker(real: Asker, person: Mapping[str, Any] | None, settings: Settings) -> Asker:
    """Who searches documents: at the simulated place, and from the simulated app's source alone.

    One whom a key speaks for searches where it was when it got its token.
    """
    if person is None:
        return real
    seen = person.get("address")
    if seen is not None:
        return real.elsewhere(seen["country"], None)
    found = simulated_of(permitted(person, settings))
    return real if found is None else real.elsewhere(found.place, found.app)


def facts(person: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is simulated, as members of a facts document; None where nothing is."""
    found = simulated_of(person)
    return None if found is None else found.facts()


REASON = Reason(
    code=CODE,
    rule_id="operator.simulated",
    title={"en": "Simulated users", "zh": "模拟用户"},
    citation=None,
    effect=NOT_CARRIED_OUT,
    certainty=None,
    text={
        "en": "Your facts are simulated and this model's provider may limit where it is used, so the "
        "decision is shown and nothing was sent to the provider.",
        "zh": "您的信息为模拟，而该模型的供应商可能限制使用地区，因此只展示决定，未向供应商发送任何内容。",
    },
)


def not_carried_out(decision: Decision) -> Decision:
    """The decision as it would be, with the reason why nothing was called."""
    return replace(decision, reasons=(REASON, *decision.reasons))


def is_not_carried_out(decision: Decision) -> bool:
    """Whether the decision was only shown."""
    return any(reason.effect == NOT_CARRIED_OUT for reason in decision.reasons)
