"""Obligations of a decision that fall due in a turn, as the labels and notices the relay carries out.

A duty that is due and that nothing carries out makes the turn NOT_READY, with its rule and source. It would
stay in `must` besides, so that a relay refuses what slipped through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.core.decision import AIGC, BINDING, QUIET, Decision, Obligation, Reason
from dragoman.decide.packs import PackSet
from dragoman.policy.crisis import NOTHING, Crisis, crisis_of
from dragoman.policy.rules import Rule
from dragoman.settings import Label, Settings

OPERATOR_LABEL = "operator.label_always"
CARRIED_AFTER = frozenset(
    {"retention", "localise", "log", "right", "complaint_channel", "human_review", "statement_of_reasons",
     "report", "incident", "evaluation", "consent"}
)  # fmt: skip
"""Duties met around the turn (by the record, the store, the pages, the operator), not inside its answer."""

AIGC_KEYS = (
    "Label", "ContentProducer", "ProduceID", "ReservedCode1",
    "ContentPropagator", "PropagateID", "ReservedCode2",
)  # fmt: skip
"""The keys of the metadata `AIGC`, all of them and no other (GB 45438-2025). The answer fills in `ProduceID`,
whoever passes a file on what is of the propagator."""
GENERATED = "1"
"""`Label` of what is known to be generated."""

MACHINE_FORMATS = frozenset({AIGC, "http"})
"""Formats of machine labels that a text answer can carry. `http` is the response header `AI-Disclosure`
(draft-abaris-aicdh-01) beside the label in the answer's metadata; the others are for files."""

MET_BY_ABSENCE: Mapping[str, Any] = {"ads_profiling": False}
"""What a duty to minors may ask and is kept by having none: nothing profiles people or advertises."""


@dataclass(frozen=True)
class Duties:
    """What a plan tells the relay to do."""

    labels: list[dict[str, Any]]
    notices: list[dict[str, Any]]
    must: list[str]


@dataclass(frozen=True)
class Means:
    """What the operator has set up for duties that need something of it.

    `by_feature`: rules that read which feature is offered, where the operator has not stated it.
    """

    crisis: Crisis = NOTHING
    by_feature: frozenset[str] = frozenset()


NO_MEANS = Means()
FEATURE = "operator.feature"
"""What an operator lacks who has not stated which feature it offers."""


def means_of(settings: Settings, rules: Sequence[Rule], packs: PackSet) -> Means:
    """What the configuration, its rules and the packs amount to."""
    rules_of_packs = (rule for pack in packs.packs.values() for rule in pack.rules)
    reading = frozenset(one.rule_id for one in rules_of_packs if "feature" in one.condition.paths)
    unstated = reading if settings.deployment.feature is None else frozenset[str]()
    return Means(crisis_of(settings, rules, packs), unstated)


def duties(decision: Decision, settings: Settings, model: str, means: Means = NO_MEANS) -> Duties:
    """Labels, notices and `must` of an allowed turn with a model, by the name its users know."""
    due = _due(decision)
    labels = [label for one in due for label in _labels(one, settings)]
    notices = [_notice(one) for one in due if one.kind in {"notice", "reminder"}]
    notices += [_display(one, model) for one in due if one.kind == "display" and _numbers(one)]
    left = {_name(one) for one in uncarried(decision, means)}
    must = {label["kind"] for label in labels} | ({"notice"} if notices else set()) | left
    return Duties(labels, notices, sorted(must))


def uncarried(decision: Decision, means: Means = NO_MEANS) -> tuple[Obligation, ...]:
    """Duties due in the turn that nothing here carries out yet."""
    return tuple(one for one in _due(decision) if _is_uncarried(one, means))


def not_carried(
    decision: Decision, left: Sequence[Obligation], means: Means = NO_MEANS, *, feature_known: bool = False
) -> Decision:
    """The decision as NOT_READY: each duty that is not carried out, with title and source of its rule.

    `not_ready` says what the operator has to set up or state. `feature_known`: the turn itself says which
    feature it uses, so that stating one would change nothing.
    """
    obliging = {reason.rule_id: reason for reason in decision.reasons if reason.effect == "oblige"}
    reasons = tuple(
        Reason(
            code="DUTY_NOT_CARRIED",
            rule_id=one.rule_id,
            title=reason.title if reason else _untitled(one),
            citation=reason.citation if reason else None,
            effect="not_ready",
            certainty=reason.certainty if reason else None,
            text=(_not_set_up if _lacks(one, means) else _not_yet)(
                reason.title if reason else _untitled(one), _name(one)
            ),
        )
        for one in left
        for reason in [obliging.get(one.rule_id)]
    )
    needs = {need for one in left for need in _needs(one, means, feature_known=feature_known)}
    return replace(
        decision,
        outcome="NOT_READY",
        scope="session",
        reasons=(*reasons, *decision.reasons),
        not_ready=tuple(sorted({*decision.not_ready, *needs})),
    )


def with_feature_asked(decision: Decision, means: Means, *, feature_known: bool = False) -> Decision:
    """The decision, naming the unstated feature where a rule that reads it stands in the way."""
    against = {one.rule_id for one in decision.reasons if one.effect not in QUIET}
    if feature_known or not against & means.by_feature:
        return decision
    return replace(decision, not_ready=tuple(sorted({*decision.not_ready, FEATURE})))


def _needs(one: Obligation, means: Means, *, feature_known: bool) -> list[str]:
    """What would have it carried out, or not asked for: any of `a|b` will do."""
    state = [FEATURE] if one.rule_id in means.by_feature and not feature_known else []
    lacks = _lacks(one, means)
    return ["|".join([lack, *state]) for lack in lacks] if lacks else state


def _lacks(one: Obligation, means: Means) -> tuple[str, ...] | None:
    return means.crisis.lacks(one) if one.kind == "crisis" else None


def _due(decision: Decision) -> list[Obligation]:
    return [one for one in decision.obligations if not one.standing and one.enforcement in BINDING]


def _is_uncarried(one: Obligation, means: Means) -> bool:
    if one.kind == "crisis":
        return _lacks(one, means) != ()
    if one.kind == "content":
        return one.parameters.get("action") in {"block", "route_human"}
    if one.kind == "label.machine":
        return _for_text(one) and one.parameters.get("format") not in MACHINE_FORMATS
    if one.kind == "display":
        return not _numbers(one)
    if one.kind == "minors":
        return dict(one.parameters) != MET_BY_ABSENCE
    return one.kind not in CARRIED_AFTER | {"label.visible", "notice", "reminder"}


def _name(one: Obligation) -> str:
    """The duty as `must` names it; a machine label with its format, because relays know the plain kind."""
    return f"{one.kind}.{one.parameters.get('format')}" if one.kind == "label.machine" else one.kind


def _untitled(one: Obligation) -> dict[str, str]:
    return {"en": one.rule_id, "zh": one.rule_id}


def _not_yet(title: Mapping[str, str], name: str) -> dict[str, str]:
    english = title["en"].rstrip(".")
    chinese = title.get("zh", title["en"]).rstrip("。")
    return {
        "en": f"{english}: this duty cannot be carried out on this route yet ({name}).",
        "zh": f"{chinese}：本接口目前尚不能履行该义务（{name}）。",
    }


def _not_set_up(title: Mapping[str, str], name: str) -> dict[str, str]:
    english = title["en"].rstrip(".")
    chinese = title.get("zh", title["en"]).rstrip("。")
    return {
        "en": f"{english}: the operator has not set up what this duty needs ({name}).",
        "zh": f"{chinese}：运营者尚未配置履行该义务所需的内容（{name}）。",
    }


def with_operator_label(decision: Decision, label: Label) -> Decision:
    """The decision with the operator's own label as a duty, so that the record shows it. It names no law."""
    text = {"locale_text": label.text.model_dump()}
    own = Obligation("label.visible", OPERATOR_LABEL, text, "in_force")
    outcome = "ALLOW_WITH" if decision.outcome == "ALLOW" else decision.outcome
    return replace(decision, outcome=outcome, obligations=(own, *decision.obligations))


def _labels(one: Obligation, settings: Settings) -> list[dict[str, Any]]:
    if one.kind == "label.visible" and _for_text(one):
        text = _text(one.parameters.get("locale_text"), settings.label.text.model_dump())
        return [{"kind": "label.visible", "rule_id": one.rule_id, "text": text}]
    if one.kind == "label.machine" and one.parameters.get("format") in MACHINE_FORMATS and _for_text(one):
        kind = one.parameters["format"]
        fields = aigc(settings.deployment.name) if kind == AIGC else {"mode": "ai-originated"}
        return [{"kind": "label.machine", "rule_id": one.rule_id, "format": kind, "fields": fields}]
    return []


def aigc(producer: str) -> dict[str, str]:
    """The metadata `AIGC` of what this service generated."""
    return {**dict.fromkeys(AIGC_KEYS, ""), "Label": GENERATED, "ContentProducer": producer}


def _for_text(one: Obligation) -> bool:
    """Whether the label concerns text answers: its modality names text, or names none."""
    modality = one.parameters.get("modality")
    return modality is None or "text" in ([modality] if isinstance(modality, str) else modality)


def _notice(one: Obligation) -> dict[str, Any]:
    text = _text(one.parameters.get("locale_text"), {"en": one.rule_id, "zh": one.rule_id})
    return {"id": str(one.parameters.get("id") or one.rule_id), "rule_id": one.rule_id, "text": text}


def _display(one: Obligation, model: str) -> dict[str, Any]:
    """What has to be displayed, as a notice: the model, and the numbers under which it is filed."""
    shown = _text(one.parameters.get("text"), _untitled(one))
    held = " · ".join((model, *_numbers(one)))
    return {
        "id": one.rule_id,
        "rule_id": one.rule_id,
        "text": {"en": f"{shown['en']}: {held}", "zh": f"{shown['zh']}：{held}"},
    }


def _numbers(one: Obligation) -> list[str]:
    return [str(number) for number in one.parameters.get("numbers", {}).values()]


def _text(given: Any, otherwise: dict[str, str]) -> dict[str, str]:
    if not given:
        return otherwise
    english = str(given.get("en") or otherwise["en"])
    return {"en": english, "zh": str(given.get("zh") or english)}
