"""Obligations of a decision that fall due in a turn, as the labels and notices the relay carries out.

What is due in the turn and nothing here carries out stays in `must`, so that the relay refuses the turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.core.decision import Decision, Obligation
from dragoman.settings import Label, Settings

OPERATOR_LABEL = "operator.label_always"
BINDING = frozenset({"in_force", "grace"})
"""Enforcements with full effect; the others are listed in the decision and oblige nobody yet."""

CARRIED_AFTER = frozenset(
    {"retention", "localise", "log", "right", "complaint_channel", "human_review", "statement_of_reasons",
     "report", "incident", "evaluation", "display", "consent"}
)  # fmt: skip
"""Duties met around the turn (by the record, the store, the pages, the operator), not inside its answer."""

MACHINE_FORMATS = frozenset({"aigc_cn", "http"})
"""Formats of machine labels that a text answer can carry. `http` is the response header `AI-Disclosure`
(draft-abaris-aicdh-01) beside the label in the answer's metadata; the others are for files."""

_FIELDS: dict[str, dict[str, str]] = {"aigc_cn": {"Label": "1"}, "http": {"mode": "ai-originated"}}


@dataclass(frozen=True)
class Duties:
    """What a plan tells the relay to do."""

    labels: list[dict[str, Any]]
    notices: list[dict[str, Any]]
    must: list[str]


def duties(decision: Decision, settings: Settings) -> Duties:
    """Labels, notices and `must` of an allowed turn."""
    due = [one for one in decision.obligations if not one.standing and one.enforcement in BINDING]
    labels = [label for one in due for label in _labels(one, settings)]
    notices = [_notice(one) for one in due if one.kind in {"notice", "reminder"}]
    left = (
        {one.kind for one in due}
        - CARRIED_AFTER
        - {"label.visible", "label.machine", "notice", "reminder", "content"}
    )
    must = {label["kind"] for label in labels} | ({"notice"} if notices else set()) | left | _unmet(due)
    return Duties(labels, notices, sorted(must))


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


def _unwritten(one: Obligation) -> str | None:
    """A machine label that is due on text and that nothing here can write."""
    kind = one.parameters.get("format")
    unwritten = one.kind == "label.machine" and kind not in MACHINE_FORMATS and _for_text(one)
    return f"label.machine.{kind}" if unwritten else None


def _for_text(one: Obligation) -> bool:
    """Whether the label concerns text answers: its modality names text, or names none."""
    modality = one.parameters.get("modality")
    return modality is None or "text" in ([modality] if isinstance(modality, str) else modality)


def _notice(one: Obligation) -> dict[str, Any]:
    text = _text(one.parameters.get("locale_text"), {"en": one.rule_id, "zh": one.rule_id})
    return {"id": str(one.parameters.get("id") or one.rule_id), "rule_id": one.rule_id, "text": text}


def _unmet(due: Sequence[Obligation]) -> set[str]:
    """Duties nothing here carries out: content nothing recognises yet, machine labels nothing writes."""
    blocking = [
        one
        for one in due
        if one.kind == "content" and one.parameters.get("action") in {"block", "route_human"}
    ]
    unwritten = {kind for one in due if (kind := _unwritten(one)) is not None}
    return unwritten | ({"content"} if blocking else set())


def _text(given: Any, otherwise: dict[str, str]) -> dict[str, str]:
    if not given:
        return otherwise
    english = str(given.get("en") or otherwise["en"])
    return {"en": english, "zh": str(given.get("zh") or english)}
