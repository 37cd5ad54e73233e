"""A decision in words that a lawyer reads, in English or Chinese, and the trace of every rule considered.

For the command line and pages; works on a finished decision and never changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dragoman.core.decision import Decision, Obligation, Reason
from dragoman.core.facts import Facts
from dragoman.decide.context import Context
from dragoman.decide.packs import PackSet
from dragoman.decide.places import find_places
from dragoman.decide.rules import ABSENT, Rule
from dragoman.decide.weigh import Tally
from dragoman.decide.world import World

LANGUAGES = ("en", "zh")

_OUTCOMES: Mapping[str, Mapping[str, str]] = {
    "DENY": {"en": "Refused.", "zh": "拒绝。"},
    "NOT_READY": {"en": "Not ready: the operator lacks something.", "zh": "尚未就绪：运营者缺少必要条件。"},
    "STEP_UP": {"en": "More is needed from the person first.", "zh": "需要用户先补充证明。"},
    "HANDOFF": {"en": "A person takes over.", "zh": "转由人工处理。"},
    "ROUTE": {"en": "Allowed, elsewhere or by a choice of models.", "zh": "可在其他区域或部分模型中进行。"},
    "ALLOW_WITH": {"en": "Allowed, with duties to carry out now.", "zh": "允许，但须履行当前义务。"},
    "ALLOW": {"en": "Allowed.", "zh": "允许。"},
}
_SCOPES: Mapping[str, Mapping[str, str]] = {
    "turn": {"en": "this turn only", "zh": "仅限本次"},
    "session": {"en": "this service as it stands", "zh": "本服务的现状"},
    "account": {"en": "this person", "zh": "该用户"},
}
_HEADINGS: Mapping[str, Mapping[str, str]] = {
    "why": {"en": "Why", "zh": "理由"},
    "due": {"en": "Duties now", "zh": "当前义务"},
    "standing": {"en": "Standing duties", "zh": "持续义务"},
    "change": {"en": "What would change it", "zh": "什么会改变结果"},
    "warnings": {"en": "Warnings", "zh": "提示"},
    "packs": {"en": "Packs", "zh": "法域与条款包"},
}
_SIGNALS: Mapping[str, Mapping[str, str]] = {
    "real_name": {"en": "the person's verified real identity", "zh": "核验真实身份"},
    "residence": {"en": "proof of residence", "zh": "居住地证明"},
    "age_reliable": {"en": "a reliable age", "zh": "可靠的年龄证明"},
    "guardian": {"en": "consent of a guardian", "zh": "监护人同意"},
    "verifiable_parent": {"en": "verifiable consent of a parent", "zh": "可核验的父母同意"},
}
_EFFECTS: Mapping[str, str] = {
    "deny": "拒绝", "not_ready": "尚未就绪", "step_up": "需补充", "handoff": "转人工", "route": "转往他处",
    "oblige": "义务", "warn": "提示",
}  # fmt: skip
"""The words of `Reason.effect` in Chinese; in English they are its own."""
_ENFORCEMENT: Mapping[str, str] = {
    "in_force": "已生效", "grace": "宽限期", "advisory": "建议性", "draft": "草案",
}  # fmt: skip
_WORDS: Mapping[str, Mapping[str, str]] = {
    "on": {"en": "Decision {id} of {day}, zone {zone}", "zh": "决定 {id}，{day}，区域 {zone}"},
    "scope": {"en": "Reach: {scope}", "zh": "范围：{scope}"},
    "from": {"en": "binding from {day}", "zh": "自 {day} 起具约束力"},
    "deadline": {"en": "by {at}", "zh": "期限 {at}"},
    "need": {"en": "From the person: {what}", "zh": "需用户提供：{what}"},
    "lack": {"en": "From the operator: {what}", "zh": "需运营者提供：{what}"},
    "models": {"en": "Models that may be used: {what}", "zh": "可用模型：{what}"},
    "holds": {"en": "A dated rule changes at {at}", "zh": "有日期的规则将于 {at} 变化"},
    "never": {"en": "No date ahead changes it", "zh": "目前没有将改变结果的日期"},
    "nothing": {"en": "none", "zh": "无"},
    "marks": {
        "en": "Marks: V read in the official text, v in a secondary source, g general knowledge, ? in doubt",
        "zh": "标记：V 已读官方文本，v 已读二手来源，g 一般知识，? 存疑",
    },
    "unsourced": {"en": "the operator's own configuration", "zh": "运营者自身配置"},
}


def describe(decision: Decision, lang: str = "en") -> str:
    """The decision as plain text, several paragraphs. `lang`: en or zh."""
    say = _Say(lang)
    due = [obligation for obligation in decision.obligations if not obligation.standing]
    standing = [obligation for obligation in decision.obligations if obligation.standing]
    marked = any(reason.certainty for reason in decision.reasons)
    parts = [
        f"{decision.outcome}: {_OUTCOMES[decision.outcome][lang]}",
        say("scope", scope=_SCOPES[decision.scope][lang]),
        say("on", id=decision.id, day=_moment(decision.as_of), zone=decision.zone),
        *_section("why", [_reason(reason, say) for reason in decision.reasons], lang),
        *_section("due", [_duty(obligation, say) for obligation in due], lang),
        *_section("standing", [_duty(obligation, say) for obligation in standing], lang),
        *_section("change", list(_changes(decision, say)), lang),
        *_section("warnings", [f"{w.text[lang]} [{w.code} {w.subject}]" for w in decision.warnings], lang),
        *_section("packs", [f"{k} {p['version']} ({p['status']})" for k, p in decision.packs.items()], lang),
        *(["", say("marks")] if marked else []),
    ]
    return "\n".join(parts)


class _Say:
    """Sentences of one language."""

    def __init__(self, lang: str) -> None:
        self.lang = lang

    def __call__(self, key: str, **words: str) -> str:
        return _WORDS[key][self.lang].format(**words)


def _section(heading: str, lines: list[str], lang: str) -> list[str]:
    if not lines:
        return []
    return ["", _HEADINGS[heading][lang], *(f"  - {line}" for line in lines)]


def _reason(reason: Reason, say: _Say) -> str:
    title, text = reason.title[say.lang], reason.text[say.lang]
    said = title if title == text else f"{title}. {text}"
    cited = say("unsourced")
    if reason.citation:
        article = f", {reason.citation.article}" if reason.citation.article else ""
        cited = f"{reason.citation.source}{article}"
        cited += f" <{reason.citation.url}>" if reason.citation.url else ""
    mark = f" [{reason.certainty}]" if reason.certainty else ""
    effect = _EFFECTS.get(reason.effect, reason.effect) if say.lang == "zh" else reason.effect
    colon = "：" if say.lang == "zh" else ": "
    return f"{effect}{colon}{said}\n    {reason.code} ({reason.rule_id}) — {cited}{mark}"


def _duty(obligation: Obligation, say: _Say) -> str:
    notes = [obligation.enforcement.replace("_", " ")]
    if say.lang == "zh":
        notes = [_ENFORCEMENT.get(obligation.enforcement, obligation.enforcement)]
    if obligation.binding_from:
        notes.append(say("from", day=obligation.binding_from))
    if obligation.deadline is not None:
        notes.append(say("deadline", at=_moment(obligation.deadline)))
    text = obligation.parameters.get("locale_text")
    quoted = f" “{text[say.lang]}”" if text else ""
    return f"{obligation.kind}{quoted} ({obligation.rule_id}; {', '.join(notes)})"


def _changes(decision: Decision, say: _Say) -> Iterator[str]:
    for signal in decision.step_up:
        yield say("need", what=_SIGNALS[signal][say.lang])
    for evidence in decision.not_ready:
        yield say("lack", what=evidence)
    for remark in decision.advice:
        yield remark.text[say.lang]
    if decision.outcome in ("DENY", "ROUTE"):
        yield say("models", what=", ".join(decision.eligible_models) or say("nothing"))
    until = decision.holds_until
    yield say("never") if until is None else say("holds", at=_moment(until))


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Step:
    """One rule considered: its phase, whether it applied (None: unknown, so it did), what it read."""

    rule_id: str
    phase: str
    applies: bool | None
    read: tuple[str, ...]
    title: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "rule_id": self.rule_id,
            "phase": self.phase,
            "applies": self.applies,
            "read": list(self.read),
            "title": dict(self.title),
        }


def trace(facts: Facts, packs: PackSet, world: World) -> list[Step]:
    """Every rule of the places and the channel in play, at any event, and how its condition came out."""
    found = Context(facts, world.deployment, (), packs.capabilities)
    places = find_places(found, packs, Tally())
    in_play = (*sorted(places.packs), *packs.of_channel(found.get("channel")))
    steps = []
    for rule in (rule for pack_id in in_play for rule in packs.packs[pack_id].rules):
        context = Context(facts, world.deployment, (), packs.capabilities)
        context.countries, context.phone_regions = places.countries, found.phone_regions
        steps.append(_step(rule, context))
    return steps


def _step(rule: Rule, context: Context) -> Step:
    context.civil = rule.civil
    phase = rule.phase(context)
    applies = False if phase == ABSENT else rule.condition.test(context)
    return Step(rule.rule_id, phase, applies, tuple(sorted(context.read)), rule.reasons["warn"].title)
