"""Which models may be used: every offer's terms, then the named model or the choice among all.

A named model that is not permitted is refused and the eligible ones are named; it is never replaced.
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core.decision import Reason
from dragoman.decide.context import Context
from dragoman.decide.territory import Access, Finding, Terms, lifts
from dragoman.decide.weigh import Tally, remark, with_effect
from dragoman.decide.world import Offer, World

_TITLE = {"en": "Models on offer", "zh": "可用模型"}

Permitted = Mapping[str, tuple[str, ...]]
"""For each model the providers through which it may be reached."""
LeftOut = Mapping[str, tuple[Reason, ...]]
"""For each provider of the named model that its terms keep out, why."""


def decide_models(
    context: Context, world: World, terms: Terms, tally: Tally
) -> tuple[tuple[str, ...], Permitted, LeftOut]:
    """Eligible model names, for each the providers through which it may be reached, and who was left out.

    A named model that is permitted is the whole answer; the others are judged only where they matter, so that
    a decision does not read facts it does not need.
    """
    model = context.get("model")
    left_out: LeftOut = {}
    if model in world.models:
        found = _verdicts(world.models[model], terms)
        providers, left_out = _open(found), _closed(found)
        _named(found, bool(providers), tally)
        if providers:
            return (model,), {model: providers}, left_out
    verdicts = {name: _verdicts(offers, terms) for name, offers in world.models.items()}
    permitted = {name: providers for name, found in verdicts.items() if (providers := _open(found))}
    if model is None:
        _choose(context, verdicts, permitted, tally)
    elif model not in world.models:
        text = {"en": f"No model is called {model}.", "zh": f"没有名为 {model} 的模型。"}
        tally.add(Reason("MODEL_UNKNOWN", "models.unknown", _TITLE, None, "deny", None, text))
    return tuple(permitted), permitted, left_out


def _verdicts(offers: tuple[Offer, ...], terms: Terms) -> list[tuple[Offer, Access]]:
    return [(offer, terms.access(offer)) for offer in offers]


def _open(found: list[tuple[Offer, Access]]) -> tuple[str, ...]:
    return tuple(offer.provider for offer, access in found if access.open)


def _closed(found: list[tuple[Offer, Access]]) -> LeftOut:
    return {
        offer.provider: tuple(finding.reason for finding in (*access.denials, *access.asks))
        for offer, access in found
        if not access.open
    }


def _named(found: list[tuple[Offer, Access]], permitted: bool, tally: Tally) -> None:
    for _, access in found:
        if access.open or not permitted:
            for warning in access.warnings:
                tally.warn(warning)
    if permitted:
        for offer, access in found:
            if not access.open:
                tally.warn(remark("PROVIDER_LEFT_OUT", offer.provider,
                    f"Provider {offer.provider} is not used: its terms do not permit it here.",
                    f"未使用服务商 {offer.provider}：其条款在此不允许。"))  # fmt: skip
        return
    # One offer that only lacks a signal leaves the way open; it outranks the refusals of the others.
    asking = [access for _, access in found if not access.denials]
    for access in asking or [access for _, access in found]:
        _refuse(access, tally)


def _refuse(access: Access, tally: Tally) -> None:
    for finding in access.denials:
        tally.add(finding.reason, finding.scope)
    if access.denials and all(finding.scope == "turn" for finding in access.denials):
        for finding in access.denials:
            advice = lifts(finding)
            if advice is not None:
                tally.advise(advice)
    for finding in access.asks:
        _ask(finding, tally)


def _ask(finding: Finding, tally: Tally) -> None:
    if finding.signal is not None:
        tally.step_up.add(finding.signal)
    if finding.evidence is not None:
        tally.not_ready.add(finding.evidence)
    tally.add(finding.reason, finding.scope)


def _choose(
    context: Context,
    verdicts: Mapping[str, list[tuple[Offer, Access]]],
    permitted: Mapping[str, tuple[str, ...]],
    tally: Tally,
) -> None:
    """No model was named: among those permitted, or refuse as the most open of the refused would."""
    if not verdicts:
        return
    if not permitted:
        found = [pair for pairs in verdicts.values() for pair in pairs]
        _named(found, False, tally)
        return
    for name, found in verdicts.items():
        if name in permitted:
            for _, access in found:
                for warning in access.warnings if access.open else ():
                    tally.warn(warning)
        elif context.event == "turn":
            for _, access in found:
                for finding in (*access.denials, *access.asks):
                    tally.add(with_effect(finding.reason, "route"))
