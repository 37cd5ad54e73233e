"""What comes of simulated facts in a decision: they stand for a placement, and call no vendor with terms.

They exist in stage `local` alone: elsewhere a class that says `simulated` is a plain guest's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragoman.accounts.classes import facts_of_guest
from dragoman.accounts.simulated import simulated_of
from dragoman.core.decision import Decision, Reason
from dragoman.settings import Settings

CODE = "SIMULATED_NOT_CARRIED_OUT"
EFFECT = "not_carried_out"
"""Effect of the reason alone: the decision beside it stands as it would for a real person."""


def permitted(person: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """The person's facts; where nothing may be simulated, those of a guest of whom nothing is known."""
    if person.get("simulated") and settings.deployment.stage != "local":
        return facts_of_guest()
    return person


def facts(person: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is simulated, as members of a facts document; None where nothing is."""
    found = simulated_of(person)
    return None if found is None else found.facts()


def not_carried_out(decision: Decision) -> Decision:
    """The decision as it would be, with the reason why nothing was called."""
    reason = Reason(
        code=CODE,
        rule_id="operator.simulated",
        title={"en": "Simulated users", "zh": "模拟用户"},
        citation=None,
        effect=EFFECT,
        certainty=None,
        text={
            "en": "Your facts are simulated and this model's provider limits where it may be used, so the "
            "decision is shown and nothing was sent to the provider.",
            "zh": "您的信息为模拟，而该模型的供应商限制使用地区，因此只展示决定，未向供应商发送任何内容。",
        },
    )
    return replace(decision, reasons=(reason, *decision.reasons))


def is_not_carried_out(decision: Decision) -> bool:
    """Whether the decision was only shown."""
    return any(reason.effect == EFFECT for reason in decision.reasons)
