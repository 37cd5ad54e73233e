"""Obligations of a decision that fall due in a turn, as the labels and notices the relay carries out.

A duty that is due and that nothing carries out makes the turn NOT_READY, with its rule and source. It would
stay in `must` besides, so that a relay refuses what slipped through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.core.decision import BINDING, Decision, Obligation, Reason
from dragoman.settings import Label, Settings

OPERATOR_LABEL = "operator.label_always"
CARRIED_AFTER = frozenset(
    {"retention", "localise", "log", "right", "complaint_channel", "human_review", "statement_of_reasons",
     "report", "incident", "evaluation", "consent"}
)  # fmt: skip
"""Duties met around the turn (by the record, the store, the pages, the operator), not inside its answer."""

MACHINE_FORMATS = frozenset({"aigc_cn", "http"})
"""Formats of machine labels that a text answer can carry. `http` is the response header `AI-Disclosure`
(draft-abaris-aicdh-01) beside the label in the answer's metadata; the others are for files."""

MET_BY_ABSENCE: Mapping[str, Any] = {"ads_profiling": False}
"""What a duty to minors may ask and is kept by having none: nothing profiles people or advertises."""

_FIELDS: dict[str, dict[str, str]] = {"aigc_cn": {"Label": "1"}, "http": {"mode": "ai-originated"}}


@dataclass(frozen=True)
class Duties:
    """What a plan tells the relay to do."""

    labels: list[dict[str, Any]]
    notices: list[dict[str, Any]]
    must: list[str]


def duties(decision: Decision, settings: Settings, model: str) -> Duties:
    """Labels, notices and `must` of an allowed turn with a model, by the name its users know."""
    due = _due(decision)
    labels = [label for one in due for label in _labels(one, settings)]
    notices = [_notice(one) for one in due if one.kind in {"notice", "reminder"}]
    notices += [_display(one, model) for one in due if one.kind == "display" and _numbers(one)]
    left = {_name(one) for one in uncarried(decision)}
    must = {label["kind"] for label in labels} | ({"notice"} if notices else set()) | left
    return Duties(labels, notices, sorted(must))


def uncarried(decision: Decision) -> tuple[Obligation, ...]:
    """Duties due in the turn that nothing here carries out yet."""
    return tuple(one for one in _due(decision) if _is_uncarried(one))


def not_carried(decision: Decision, left: Sequence[Obligation]) -> Decision:
    """The decision as NOT_READY: each duty that cannot be carried out, with title and source of its rule."""
    obliging = {reason.rule_id: reason for reason in decision.reasons if reason.effect == "oblige"}
    reasons = tuple(
        Reason(
            code="DUTY_NOT_CARRIED",
            rule_id=one.rule_id,
            title=reason.title if reason else _untitled(one),
            citation=reason.citation if reason else None,
            effect="not_ready",
            certainty=reason.certainty if reason else None,
            text=_not_yet(reason.title if reason else _untitled(one), _name(one)),
        )
        for one in left
        for reason in [obliging.get(one.rule_id)]
    )
    return replace(decision, outcome="NOT_READY", scope="session", reasons=(*reasons, *decision.reasons))


def _due(decision: Decision) -> list[Obligation]:
    return [one for one in decision.obligations if not one.standing and one.enforcement in BINDING]


def _is_uncarried(one: Obligation) -> bool:
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
        fields = _FIELDS[kind] | ({"ContentProducer": settings.deployment.name} if kind == "aigc_cn" else {})
        return [{"kind": "label.machine", "rule_id": one.rule_id, "format": kind, "fields": fields}]
    return []


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
