"""How long each class of rows is kept: the operator's settings within what the law of the markets asks.

The longest minimum of the law is kept, its shortest maximum ends; a setting against either is a fault.
Pure: the caller says what time it is. It removes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from dragoman.core.decision import BINDING, Citation, Obligation, Text
from dragoman.core.facts import Facts
from dragoman.decide.civil import longest_days
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet
from dragoman.decide.world import World
from dragoman.sentences import Sentence
from dragoman.settings import Settings

DEFAULT_DAYS = 200
"""LIMIT: days for which what was decided and done is kept where neither operator nor law says more; longer
than the six months of any window for complaints in the packs."""
LOGS = "logs"
"""The data class of records, for which the law's rules of kind `logs` stand."""
OBJECTIONS = "objections"
"""The data class of what people may object to, for as long as a `complaint` rule leaves them the time."""
PERSONAL = frozenset({"personal_data", "child_data", "communications"})
DEFAULT_RULE = "default"
_MARKETS = Sentence(
    "Without deployment.markets the law of every place with a pack counts: state the places you serve",
    "未写 deployment.markets 时，凡有规则包的地区其法律都计入；请写明所服务的地区",
)


@dataclass(frozen=True, slots=True)
class DataClass:
    """One class of rows. `law`: the law's data classes it belongs to; `default`: days without a setting."""

    name: str
    title: Text
    setting: str
    default: int | None
    law: frozenset[str]


CLASSES = (
    DataClass(
        "conversations",
        {"en": "conversations with their turns", "zh": "会话及其轮次"},
        "retention.conversations_days",
        None,
        PERSONAL,
    ),
    DataClass(
        "decisions",
        {"en": "decisions that no kept turn and no appeal names", "zh": "无保留轮次和申诉引用的决定"},
        "retention.decisions_days",
        DEFAULT_DAYS,
        frozenset({LOGS, OBJECTIONS}),
    ),
    DataClass(
        "interventions",
        {"en": "interventions with their statements", "zh": "干预措施及其理由说明"},
        "retention.interventions_days",
        DEFAULT_DAYS,
        PERSONAL | {LOGS, OBJECTIONS},
    ),
    DataClass("appeals", {"en": "appeals", "zh": "申诉"}, "retention.appeals_days", None, PERSONAL),
    DataClass(
        "evidence",
        {
            "en": "evidence that people handed in, with its files",
            "zh": "用户提交的证明材料及其文件",
        },
        "retention.evidence_days",
        DEFAULT_DAYS,
        PERSONAL | {OBJECTIONS},
    ),
    DataClass(
        "guests",
        {"en": "guests who own nothing that is kept", "zh": "名下没有任何保留内容的访客"},
        "edge.guest_days",
        None,
        PERSONAL,
    ),
    DataClass(
        "sign_ins",
        {"en": "ended sessions, links and tokens of administrators", "zh": "管理员已失效的会话、链接与令牌"},
        "retention.sign_ins_days",
        DEFAULT_DAYS,
        frozenset({LOGS}),
    ),
    DataClass(
        "usage",
        {"en": "daily counts of usage", "zh": "每日用量统计"},
        "retention.usage_days",
        None,
        frozenset(),
    ),
)
"""In the order in which they are gone through: what goes with a conversation frees what is kept for it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one rule of law asks: `least` or `most` days for a data class; `binding_from` where not yet."""

    rule_id: str
    data_class: str
    least: int | None
    most: int | None
    binding_from: str | None
    citation: Citation | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "rule": self.rule_id,
            "least_days": self.least,
            "most_days": self.most,
            "binding_from": self.binding_from,
            "source": self.citation.to_dict() if self.citation else None,
        }


@dataclass(frozen=True, slots=True)
class Period:
    """How long a class is kept. `days` None: without end. `rule`: a pack rule, a setting, or `default`."""

    of: DataClass
    days: int | None
    rule: str
    citation: Citation | None
    law: tuple[Asked, ...]

    def before(self, now: int) -> int | None:
        """The instant (ms UTC) up to which a row is due: it is as old as its time, or older."""
        return None if self.days is None else now - self.days * 86_400_000


def periods(settings: Settings, packs: PackSet, world: World, now: int) -> tuple[Period, ...]:
    """The period of every class at an instant (ms UTC). Where law and setting differ the longer one holds."""
    asked = law(settings, packs, world, now)
    return tuple(_period(one, settings, _of(one, asked)) for one in CLASSES)


def contradictions(settings: Settings, packs: PackSet, world: World, now: int) -> list[Sentence]:
    """What no period satisfies, one sentence each, with the rule and the mend."""
    found: list[Sentence] = []
    asked = law(settings, packs, world, now)
    for one in CLASSES:
        least, most = _bounds(_of(one, asked))
        if least and most and _least(least) > _most(most):
            found.append(
                Sentence(
                    f"{one.setting}: the law contradicts itself: {least.rule_id} asks to keep {one.name} "
                    "for "
                    f"{least.least} days, {most.rule_id} to erase them after {most.most}. {_MARKETS}",
                    f"{one.setting}：法律要求相互矛盾："
                    f"{least.rule_id} 要求 {one.name} 保存 {least.least} 天，"
                    f"{most.rule_id} 要求 {most.most} 天后删除。{_MARKETS.zh}",
                )
            )
            continue
        days = _set(one, settings)
        if days is None:
            continue
        if least and days < _least(least):
            found.append(
                Sentence(
                    f"{one.setting}: {days} days are less than the {least.least} that {least.rule_id} "
                    "asks for. "
                    f"Write {least.least} or more. {_MARKETS}",
                    f"{one.setting}：{days} 天少于 {least.rule_id} 所要求的 {least.least} 天。"
                    f"请写 {least.least} 或以上。{_MARKETS.zh}",
                )
            )
        if most and days > _most(most):
            found.append(
                Sentence(
                    f"{one.setting}: {days} days are more than the {most.most} that {most.rule_id} allows. "
                    f"Write {most.most} or less",
                    f"{one.setting}：{days} 天超过 {most.rule_id} 所允许的 {most.most} 天。"
                    f"请写 {most.most} 或以下",
                )
            )
    return found


def law(settings: Settings, packs: PackSet, world: World, now: int) -> tuple[Asked, ...]:
    """What the law of the markets asks, ahead of its date too; of every place with a pack without markets."""
    markets = settings.deployment.markets or sorted(packs.by_country)
    facts = Facts.parse({"as_of": now, "event": "deploy", "offered_markets": list(markets)})
    decision = decide(facts, packs, world)
    found = (_asked(one, packs) for one in decision.obligations)
    return tuple(one for one in found if one is not None)


def _asked(one: Obligation, packs: PackSet) -> Asked | None:
    if one.enforcement not in BINDING and one.binding_from is None:
        return None
    given = one.parameters
    if one.kind in {"retention", "log"}:
        name = str(given.get("data_class", LOGS))
        least, most = _days(given, "min_days", "min_months"), given.get("max_days")
    elif one.kind == "complaint_channel":
        name, most = OBJECTIONS, None
        least = _days(given, "appeal_window_days", "appeal_window_months")
    else:
        return None
    if least is None and most is None:
        return None
    rule = packs.rule(one.rule_id)
    reason = rule.reasons.get("oblige") if rule else None
    ahead = one.binding_from if one.enforcement not in BINDING else None
    return Asked(one.rule_id, name, least, most, ahead, reason.citation if reason else None)


def _days(given: Mapping[str, Any], days: str, months: str) -> int | None:
    """The later end of the two; calendar months at their longest, so that nothing ends early anywhere."""
    both = [int(given[days])] if days in given else []
    if months in given:
        both.append(longest_days(int(given[months])))
    return max(both, default=None)


def _of(one: DataClass, asked: tuple[Asked, ...]) -> tuple[Asked, ...]:
    return tuple(ask for ask in asked if ask.data_class in one.law)


def _bounds(asked: tuple[Asked, ...]) -> tuple[Asked | None, Asked | None]:
    """The longest minimum and the shortest maximum that bind today."""
    now = [one for one in asked if one.binding_from is None]
    least = max((one for one in now if one.least is not None), key=_least, default=None)
    most = min((one for one in now if one.most is not None), key=_most, default=None)
    return least, most


def _least(one: Asked) -> int:
    return one.least or 0


def _most(one: Asked) -> int:
    return one.most or 0


def _period(one: DataClass, settings: Settings, asked: tuple[Asked, ...]) -> Period:
    stated = _set(one, settings)
    days, rule, citation = stated, one.setting, None
    if stated is None:
        days, rule = _default(one, settings), DEFAULT_RULE
    least, most = _bounds(asked)
    if most and (days is None or days > _most(most)):
        days, rule, citation = most.most, most.rule_id, most.citation
    if least and days is not None and days < _least(least):
        days, rule, citation = least.least, least.rule_id, least.citation
    return Period(one, days, rule, citation, asked)


def _set(one: DataClass, settings: Settings) -> int | None:
    """What the operator states; a setting left at its default is none, so that the law may ask for more."""
    table, name = _field(one, settings)
    found: int | None = getattr(table, name)
    return None if found == type(table).model_fields[name].default else found


def _default(one: DataClass, settings: Settings) -> int | None:
    table, name = _field(one, settings)
    found: int | None = type(table).model_fields[name].default
    return one.default if found is None else found


def _field(one: DataClass, settings: Settings) -> tuple[BaseModel, str]:
    table, _, name = one.setting.partition(".")
    return getattr(settings, table), name
