"""Statements of reasons: what was done, why, on what ground, how to appeal; in both languages.

Shaped after Art. 17 of the Digital Services Act for every deployment. No matched text and no person is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dragoman.core.decision import QUIET
from dragoman.policy.rules import Rule

APPEALABLE_DAYS = 183
"""Six months, the least that Art. 20(1) of the same Act allows."""

_WHAT = {
    "redact": ("Part of the text was replaced by a placeholder.", "部分文字被替换为占位符。"),
    "refuse": ("The text was not delivered from this point on.", "自此处起的文字未予送达。"),
    "flag": ("The text was delivered and marked for review.", "文字已送达，并标记待复核。"),
    "deny": ("The request was not sent to any model.", "请求未发送给任何模型。"),
    "stop": ("The running answer was ended.", "正在进行的回答被终止。"),
}
_UNSENT = ("Your message was not sent to any model.", "您的消息未发送给任何模型。")
"""A refusal of what was asked: nothing had begun that could end "from this point on"."""
_DIRECTION = {"in": ("in your message", "在您的消息中"), "out": ("in the answer", "在回答中")}
_GROUND = {
    "rule": ("a content rule of the operator", "运营者的内容规则"),
    "vendor": ("the model provider's own filter", "模型供应商自己的过滤"),
    "plan": (
        "law, provider terms or operator rules on who may be served",
        "关于可服务对象的法律、供应商条款或运营者规则",
    ),
    "change": ("a change made while the answer was running", "回答进行中发生的变更"),
}


def compose(
    intervention: Mapping[str, Any],
    rule: Rule | None,
    decision: Mapping[str, Any] | None,
    contact: str | None,
    base: str,
) -> dict[str, Any]:
    """The statement for one intervention (docs/wire.md). `rule` is None where its set is no longer loaded.

    `base`: the address of this service, under which one appeals.
    """
    times = int(intervention.get("n", 1))
    direction = str(intervention.get("direction"))
    unsent = (intervention["action"], direction) == ("refuse", "in")
    what = _pair(_UNSENT if unsent else _WHAT.get(intervention["action"], _WHAT["refuse"]))
    if times > 1:
        what = {"en": f"{what['en'][:-1]}, {times} times.", "zh": f"{what['zh'][:-1]}，共 {times} 处。"}
    where = None if unsent else _DIRECTION.get(direction)
    ground = _pair(_GROUND.get(intervention["origin"], _GROUND["rule"]))
    appeal = _appeal(intervention, contact, base)
    why = _why(intervention, rule, decision)
    text = {
        language: "\n".join(
            line
            for line in (
                what[language] if where is None else _placed(what[language], where[index], language),
                (("Ground: ", "依据：")[index]) + ground[language],
                why[language],
                appeal["text"][language],
            )
            if line
        )
        for index, language in enumerate(("en", "zh"))
    }
    return {
        "v": 1,
        "intervention": intervention["id"],
        "turn": intervention["turn"],
        "at": intervention["at"],
        "decision": intervention.get("decision"),
        "measure": {
            "action": intervention["action"],
            "direction": intervention.get("direction"),
            "text": what,
        },
        "scope": {
            "lane": intervention.get("lane"),
            "offset": intervention.get("offset"),
            "length": intervention.get("length"),
            "n": times,
        },
        "ground": {"origin": intervention["origin"], "text": ground},
        "rule": _rule(intervention, rule),
        "reasons": list(decision["reasons"]) if decision else [],
        "facts": why,
        "automated": {
            "detection": bool(intervention["automated"]),
            "decision": bool(intervention["automated"]),
        },
        "redress": appeal,
        "text": text,
    }


def of_decision(decision: Mapping[str, Any], contact: str | None, base: str) -> dict[str, Any]:
    """The statement for a decision that refused turns: DENY, NOT_READY, STEP_UP, HANDOFF, ROUTE."""
    refused = {
        "id": decision["id"],
        "turn": None,
        "at": decision["as_of"],
        "decision": decision["id"],
        "origin": "plan",
        "action": "deny",
        "automated": True,
    }
    binding = [reason for reason in decision["reasons"] if reason["effect"] not in QUIET]
    return compose(refused, None, {**decision, "reasons": binding}, contact, base)


def _placed(what: str, where: str, language: str) -> str:
    return f"{what[:-1]} ({where})." if language == "en" else f"{what[:-1]}（{where}）。"


def _rule(intervention: Mapping[str, Any], rule: Rule | None) -> dict[str, Any] | None:
    named = intervention.get("rule")
    if not named:
        return None
    if rule is None:
        return {"id": named["id"], "set": named["set"], "source": None, "reason_code": None, "message": None}
    return {
        "id": rule.id,
        "set": named["set"],
        "source": rule.source.model_dump(),
        "reason_code": rule.reason_code,
        "message": rule.message.model_dump(),
    }


def _why(
    intervention: Mapping[str, Any], rule: Rule | None, decision: Mapping[str, Any] | None
) -> dict[str, str]:
    if rule is not None:
        source = rule.source.title + (f", {rule.source.url}" if rule.source.url else "")
        return {
            "en": f"{rule.message.en} (rule {rule.id}; source: {source})",
            "zh": f"{rule.message.zh}（规则 {rule.id}；来源：{source}）",
        }
    if decision:
        return {
            language: " ".join(_reason(reason, language) for reason in decision["reasons"])
            for language in ("en", "zh")
        }
    vendor = intervention.get("vendor")
    if vendor:
        reported = (
            ", ".join(f"{key}={value}" for key, value in sorted(vendor.items()))
            if isinstance(vendor, dict)
            else str(vendor)
        )
        return {"en": f"The provider reported: {reported}.", "zh": f"供应商报告：{reported}。"}
    named = intervention.get("rule")
    if named:
        return {"en": f"Rule {named['id']}.", "zh": f"规则 {named['id']}。"}
    return {"en": "", "zh": ""}


def _reason(reason: Mapping[str, Any], language: str) -> str:
    text = reason["text"].get(language) or reason["text"]["en"]
    cited = reason.get("citation") or {}
    source = ", ".join(str(cited[name]) for name in ("source", "article", "url") if cited.get(name))
    bracket = f"{reason['rule_id']}: {source}" if source else str(reason["rule_id"])
    return f"{text} ({bracket})" if language == "en" else f"{text}（{bracket}）"


def appeal_address(base: str, name: str) -> str:
    """Where one appeals against an intervention or a decision, or reads on its reasons."""
    return f"{base}/appeal/{name}"


def _appeal(intervention: Mapping[str, Any], contact: str | None, base: str) -> dict[str, Any]:
    until = (
        (datetime.fromtimestamp(intervention["at"] / 1000, UTC) + timedelta(days=APPEALABLE_DAYS))
        .date()
        .isoformat()
    )
    name = intervention["id"]
    url = appeal_address(base, name)
    whom_en, whom_zh = (contact, contact) if contact else ("the operator of this service", "本服务的运营者")
    return {
        "contact": contact,
        "until": until,
        "url": url,
        "text": {
            "en": f"You may appeal until {until}, free of charge: at {url}, or write to {whom_en} and name "
            f"{name}. A person decides.",
            "zh": f"您可在 {until} 前免费申诉：{url}，或联系{whom_zh}并注明 {name}，由人工裁定。",
        },
    }


def _pair(pair: tuple[str, str]) -> dict[str, str]:
    return {"en": pair[0], "zh": pair[1]}
