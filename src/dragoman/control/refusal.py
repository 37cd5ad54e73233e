"""The notice of a turn that is not carried out, whole, as the user reads it, in both languages.

It says what happened, why (every reason with rule and source), what would lift it, and how to appeal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.control.pretence import is_not_carried_out
from dragoman.core.articles import article_in_words
from dragoman.core.decision import QUIET, Decision
from dragoman.core.outcomes import HAPPENED
from dragoman.decide.evidence import all_in_words
from dragoman.policy.statements import appeal_address
from dragoman.settings import Settings

Text = dict[str, str]

_SIGNALS = {
    "real_name": ("a verified real name", "实名认证"),
    "residence": (
        "your country of residence, stated or verified as the rule asks",
        "按规则要求申报或核实的居住国家或地区",
    ),
    "age_reliable": ("your age, stated or proven as the rule asks", "按规则要求申报或证明的年龄"),
    "guardian": ("a guardian's consent", "监护人同意"),
    "verifiable_parent": ("a parent's verifiable consent", "可核实的父母同意"),
}


@dataclass(frozen=True, slots=True)
class Service:
    """Where people write to, and this service's own address."""

    contact: str | None
    base: str


def service_of(settings: Settings) -> Service:
    """What a refusal says of the service."""
    return Service(settings.deployment.contact, settings.public_url())


def refusal(decision: Decision, service: Service, address: str | None) -> dict[str, Any]:
    """The plan's `refusal` (docs/wire.md)."""
    reasons = [reason.to_dict() for reason in decision.reasons if reason.effect not in QUIET]
    text = {
        language: "\n".join(_lines(decision, reasons, service, address, language))
        for language in ("en", "zh")
    }
    return {
        "outcome": _outcome(decision),
        "text": text,
        "reasons": reasons,
        "lifts": lifts(decision),
        "step_up": list(decision.step_up),
        "address": address,
    }


def _outcome(decision: Decision) -> str:
    return "NOT_CARRIED_OUT" if is_not_carried_out(decision) else decision.outcome


def _lines(
    decision: Decision, reasons: list[dict[str, Any]], service: Service, address: str | None, language: str
) -> list[str]:
    english = language == "en"
    lines = [HAPPENED[_outcome(decision)][language]]
    if is_not_carried_out(decision):
        lines.append(f"Decision: {decision.outcome}" if english else f"决定：{decision.outcome}")
    lines.extend(("Reason: " if english else "原因：") + cited(reason, language) for reason in reasons)
    lifted = [text[language].rstrip(".。") for text in lifts(decision)]
    if lifted:
        joined = ("; " if english else "；").join(lifted)
        lines.append(("What would change it: " if english else "如何解除：") + joined)
    if address:
        lines.append(("Use this address: " if english else "请使用该地址：") + address)
    lines.append(_appeal(decision.id, service, english=english))
    return lines


def cited(reason: Mapping[str, Any], language: str) -> str:
    """A reason with its rule and source."""
    text = reason["text"].get(language) or reason["text"]["en"]
    citation = reason.get("citation") or {}
    parts = {name: str(citation.get(name) or "") for name in ("source", "article", "url")}
    parts["article"] = article_in_words(parts["source"], parts["article"], language)
    source = ", ".join(filter(None, parts.values()))
    inside = f"{reason['rule_id']}: {source}" if source else str(reason["rule_id"])
    return f"{text} ({inside})" if language == "en" else f"{text}（{inside}）"


def lifts(decision: Decision) -> list[Text]:
    """What would change a decision that refuses, one thing each; nothing of one that allows."""
    parts = [
        dict(zip(("en", "zh"), _SIGNALS[one], strict=True)) for one in decision.step_up if one in _SIGNALS
    ]
    if decision.not_ready:
        english, chinese = (all_in_words(decision.not_ready, language) for language in ("en", "zh"))
        parts.append({"en": f"the operator supplies: {english}", "zh": f"运营者补充：{chinese}"})
    parts.extend(
        {"en": one.text["en"], "zh": one.text.get("zh") or one.text["en"]} for one in decision.advice
    )
    if decision.eligible_models and _is_of_terms(decision):
        names = ", ".join(decision.eligible_models)
        parts.append({"en": f"one of these models: {names}", "zh": f"改用以下模型之一：{names}"})
    return parts


def _is_of_terms(decision: Decision) -> bool:
    """Whether the model's provider alone stands in the way, so that another model would do."""
    of_terms = {one.rule_id for reasons in decision.left_out.values() for one in reasons}
    against = [one for one in decision.reasons if one.effect not in QUIET]
    return bool(against) and all(one.rule_id in of_terms for one in against)


def _appeal(decision_id: str, service: Service, *, english: bool) -> str:
    url = appeal_address(service.base, decision_id)
    if english:
        whom = service.contact or "the operator of this service"
        return f"You may appeal, free of charge: at {url}, or write to {whom} and name {decision_id}."
    return f"您可以免费申诉：{url}，或联系{service.contact or '本服务的运营者'}并注明 {decision_id}。"
