"""A pack rule in words: its condition, its dates and what it does, in English and Chinese.

For the command line and pages. Reads the rule's own tree, so that words and decision cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.core.decision import Text

_JOIN = {"all": {"en": " and ", "zh": " 且 "}, "any": {"en": " or ", "zh": " 或 "}}
_LEAF: Mapping[str, tuple[str, str]] = {
    "event": ("the event is {value}", "事件为 {value}"),
    "role": ("the operator's role is {value}", "运营者角色为 {value}"),
    "feature": ("the feature is {value}", "功能为 {value}"),
    "modality": ("the modality is {value}", "模态为 {value}"),
    "audience": ("the audience is {value}", "受众为 {value}"),
    "age": ("the age is {value}", "年龄 {value}"),
    "age_band": ("the person is {value}", "用户为 {value}"),
    "counters": ("the counter {value}", "计数 {value}"),
    "evidence": ("the operator holds {value}", "运营者持有 {value}"),
    "seat": ("the operator's seat is {value}", "运营者注册地为 {value}"),
    "channel": ("the channel is {value}", "渠道为 {value}"),
    "channel_capability": ("the channel can carry {value}", "渠道支持 {value}"),
    "calling_code": ("the number's country code is {value}", "号码的国家代码为 {value}"),
    "human_review": ("review by a person is recorded: {value}", "已记录人工审核：{value}"),
    "category": ("the content is {value}", "内容类别为 {value}"),
    "turn_index": ("the number of the turn is {value}", "轮次 {value}"),
    "continuous_minutes": ("the minutes of use are {value}", "连续使用分钟数 {value}"),
}
_COMPARE = {"lt": "<", "lte": "≤", "gt": ">", "gte": "≥"}
_ALWAYS: Text = {"en": "always", "zh": "始终适用"}
_KNOWN = {"en": " (known, not merely possible)", "zh": "（须已知）"}
_NOT = {"en": "not ({part})", "zh": "并非（{part}）"}
_OTHER = {"en": "{leaf} is {value}", "zh": "{leaf} 为 {value}"}
_ANY_OF = {"en": " or ", "zh": " 或 "}

EFFECTS: Mapping[str, Text] = {
    "oblige": {"en": "obliges; nothing blocks", "zh": "产生义务，不阻断"},
    "warn": {"en": "warns only", "zh": "仅提示"},
    "step_up": {"en": "asks the person for more", "zh": "要求用户补充"},
    "not_ready": {"en": "is not ready until the operator supplies it", "zh": "运营者补齐之前未就绪"},
    "gate": {"en": "refuses until the operator is admitted", "zh": "运营者取得许可之前拒绝"},
    "deny": {"en": "refuses", "zh": "拒绝"},
}
"""What `on_missing` comes to where the thing a rule asks for is not there."""
STRENGTH = ("warn", "oblige", "step_up", "not_ready", "gate", "deny")
"""The effects of `on_missing`, weakest first."""


def condition(tree: Any) -> Text:
    """A condition tree in words; None is always true."""
    return _ALWAYS if tree is None else {lang: _said(tree, lang) for lang in ("en", "zh")}


def _said(tree: Mapping[str, Any], lang: str, inner: bool = False) -> str:
    parts = [_part(key, value, lang) for key, value in tree.items() if key != "known"]
    text = _JOIN["all"][lang].join(parts) + (_KNOWN[lang] if tree.get("known") else "")
    return f"({text})" if inner and len(parts) > 1 else text


def _part(key: str, value: Any, lang: str) -> str:
    if key in _JOIN:
        parts = [_said(item, lang, inner=True) for item in value]
        return f"({_JOIN[key][lang].join(parts)})" if len(parts) > 1 else parts[0]
    if key == "not":
        return _NOT[lang].format(part=_said(value, lang))
    pattern = _LEAF.get(key)
    said = _value(value, lang)
    if pattern is None:
        return _OTHER[lang].format(leaf=key, value=said)
    return pattern[lang == "zh"].format(value=said)


def _value(value: Any, lang: str) -> str:
    if isinstance(value, bool):
        return {"en": "yes" if value else "no", "zh": "是" if value else "否"}[lang]
    if isinstance(value, Mapping):
        if set(value) <= set(_COMPARE):
            return _JOIN["all"][lang].join(f"{_COMPARE[name]} {limit}" for name, limit in value.items())
        return _JOIN["all"][lang].join(f"{name} {_value(item, lang)}" for name, item in value.items())
    return _ANY_OF[lang].join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)
