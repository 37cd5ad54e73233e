"""The notice of a turn that is not carried out, whole, as the user reads it, in both languages.

It says what happened, why (every reason with rule and source), what would lift it, and how to appeal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.control.pretence import is_not_carried_out
from dragoman.core.decision import Decision

Text = dict[str, str]

_WHAT = {
    "NOT_CARRIED_OUT": (
        "Not carried out: this is what would be decided, and no model was called.",
        "未执行：以下为本应作出的决定，未调用任何模型。",
    ),
    "DENY": ("This request was not sent to any model.", "本次请求未发送给任何模型。"),
    "NOT_READY": (
        "This request was not sent to any model: the operator has not met a condition for offering it here.",
        "本次请求未发送给任何模型：运营者尚未满足在此提供服务的条件。",
    ),
    "STEP_UP": (
        "This request was not sent to any model yet: something about you has to be established first.",
        "本次请求暂未发送给任何模型：须先确认您的某项信息。",
    ),
    "HANDOFF": ("This request is for a person, not for a model.", "本次请求应由人工处理，而非模型。"),
    "ROUTE": ("This request belongs to another zone of this service.", "本次请求属于本服务的另一个分区。"),
}
_SIGNALS = {
    "real_name": ("a verified real name", "实名认证"),
    "residence": ("a verified country of residence", "经核实的居住国家或地区"),
    "age_reliable": ("a reliable proof of age", "可靠的年龄证明"),
    "guardian": ("a guardian's consent", "监护人同意"),
    "verifiable_parent": ("a parent's verifiable consent", "可核实的父母同意"),
}


def refusal(decision: Decision, contact: str | None, address: str | None) -> dict[str, Any]:
    """The plan's `refusal` (docs/wire.md)."""
    reasons = [reason.to_dict() for reason in decision.reasons if reason.effect not in {"oblige", "warn"}]
    text = {
        language: "\n".join(_lines(decision, reasons, contact, address, language))
        for language in ("en", "zh")
    }
    return {"outcome": _outcome(decision), "text": text, "reasons": reasons, "address": address}


def _outcome(decision: Decision) -> str:
    return "NOT_CARRIED_OUT" if is_not_carried_out(decision) else decision.outcome


def _lines(
    decision: Decision, reasons: list[dict[str, Any]], contact: str | None, address: str | None, language: str
) -> list[str]:
    english = language == "en"
    lines = [_WHAT[_outcome(decision)][0 if english else 1]]
    if is_not_carried_out(decision):
        lines.append(f"Decision: {decision.outcome}" if english else f"决定：{decision.outcome}")
    lines.extend(("Reason: " if english else "原因：") + cited(reason, language) for reason in reasons)
    lifted = _lifted(decision, language)
    if lifted:
        lines.append(("What would change it: " if english else "如何解除：") + lifted)
    if address:
        lines.append(("Use this address: " if english else "请使用该地址：") + address)
    lines.append(_appeal(decision.id, contact, english=english))
    return lines


def cited(reason: Mapping[str, Any], language: str) -> str:
    """A reason with its rule and source."""
    text = reason["text"].get(language) or reason["text"]["en"]
    citation = reason.get("citation") or {}
    source = ", ".join(str(citation[name]) for name in ("source", "article", "url") if citation.get(name))
    inside = f"{reason['rule_id']}: {source}" if source else str(reason["rule_id"])
    return f"{text} ({inside})" if language == "en" else f"{text}（{inside}）"


def _lifted(decision: Decision, language: str) -> str:
    english = language == "en"
    parts = [_SIGNALS[signal][0 if english else 1] for signal in decision.step_up if signal in _SIGNALS]
    if decision.not_ready:
        names = ", ".join(decision.not_ready)
        parts.append(f"the operator supplies: {names}" if english else f"运营者补充：{names}")
    parts.extend(remark.text.get(language) or remark.text["en"] for remark in decision.advice)
    if decision.outcome == "DENY" and decision.eligible_models:
        names = ", ".join(decision.eligible_models)
        parts.append(f"one of these models: {names}" if english else f"改用以下模型之一：{names}")
    return ("; " if english else "；").join(part.rstrip(".。") for part in parts)


def _appeal(decision_id: str, contact: str | None, *, english: bool) -> str:
    if english:
        whom = contact or "the operator of this service"
        return f"You may appeal, free of charge: write to {whom} and name {decision_id}."
    return f"您可以免费申诉：请联系{contact or '本服务的运营者'}并注明 {decision_id}。"
