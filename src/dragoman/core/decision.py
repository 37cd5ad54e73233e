"""The decision document: outcome, reasons, duties, and what would change it, as frozen values.

Made by `decide.engine`, read by the planner, the ledger and people. It holds no personal data and never
decides anything itself. Field names are public API (docs/decisions.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OUTCOMES = ("DENY", "NOT_READY", "STEP_UP", "HANDOFF", "ROUTE", "ALLOW_WITH", "ALLOW")
"""Strongest first: the first that any rule asks for wins, and all reasons stay listed."""

NOT_CARRIED_OUT = "not_carried_out"
"""Effect of the one reason that a decision was only shown; beside it the decision stands as for anybody."""

SCOPES = ("turn", "session", "account")
"""How far a refusal reaches, narrowest first."""

QUIET = frozenset({"oblige", "warn"})
"""Effects of reasons that keep no one from an answer."""

BINDING = frozenset({"in_force", "grace"})
"""Enforcements with full effect; the others are listed in a decision and oblige nobody yet."""

AIGC = "aigc_cn"
"""The format of machine labels that GB 45438-2025 asks for: metadata under the key `AIGC`."""

STEP_UP_SIGNALS = ("real_name", "residence", "age_reliable", "guardian", "verifiable_parent")

OBLIGATION_KINDS = (
    "label.visible", "label.machine", "notice", "reminder", "display", "consent", "retention",
    "localise", "log", "right", "complaint_channel", "human_review", "content",
    "statement_of_reasons", "minors", "crisis", "exit", "report", "incident", "evaluation",
)  # fmt: skip
"""The closed list of duties. A kind that nothing carries out refuses the turn."""

Text = Mapping[str, str]
"""The same sentence by language: at least `en` and `zh`."""


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a rule stands: title of the source, article, address; the last two may be empty."""

    source: str
    article: str
    url: str

    def to_dict(self) -> dict[str, str]:
        """Return JSON values."""
        return {"source": self.source, "article": self.article, "url": self.url}


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that had an effect. `effect`: deny, not_ready, step_up, handoff, route, oblige or warn.

    `enforcement` is that of a law's rule: with `grace` fines are suspended and the effect is full.
    """

    code: str
    rule_id: str
    title: Text
    citation: Citation | None
    effect: str
    certainty: str | None
    text: Text
    enforcement: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; `enforcement` where it is not `in_force`."""
        unusual = {"enforcement": self.enforcement} if self.enforcement not in (None, "in_force") else {}
        return {
            "code": self.code,
            "rule_id": self.rule_id,
            "title": dict(self.title),
            "citation": self.citation.to_dict() if self.citation else None,
            "effect": self.effect,
            "certainty": self.certainty,
            "text": dict(self.text),
            **unusual,
        }


@dataclass(frozen=True, slots=True)
class Obligation:
    """A duty. `standing` ones hold all the time and leave ALLOW; times are ms UTC, dates ISO 8601."""

    kind: str
    rule_id: str
    parameters: Mapping[str, Any]
    enforcement: str
    standing: bool = False
    binding_from: str | None = None
    deadline: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        out: dict[str, Any] = {
            "kind": self.kind,
            "rule_id": self.rule_id,
            "parameters": dict(self.parameters),
            "enforcement": self.enforcement,
            "standing": self.standing,
        }
        if self.binding_from is not None:
            out["binding_from"] = self.binding_from
        if self.deadline is not None:
            out["deadline"] = self.deadline
        return out


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning or a piece of advice: it changes no outcome. `subject` is a rule, pack or place."""

    code: str
    subject: str
    text: Text

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"code": self.code, "subject": self.subject, "text": dict(self.text)}


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why.

    `read` lists the paths of all facts read, unknown ones too. The last four fields are for the planner
    and not part of the document: `permitted` names the providers each model may be reached through,
    `holds_until` is the next instant (ms UTC) at which a dated rule that was considered changes, `residual`
    the rules left undecided because they read a fact left open, and `left_out` why the terms of the named
    model's other providers do not let it through.
    """

    id: str
    as_of: int
    outcome: str
    scope: str
    zone: str
    reasons: tuple[Reason, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    step_up: tuple[str, ...] = ()
    not_ready: tuple[str, ...] = ()
    advice: tuple[Remark, ...] = ()
    eligible_models: tuple[str, ...] = ()
    warnings: tuple[Remark, ...] = ()
    read: tuple[str, ...] = ()
    packs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    permitted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    holds_until: int | None = None
    residual: tuple[str, ...] = ()
    left_out: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)

    @property
    def allowed(self) -> bool:
        """Whether the turn may go on: ALLOW, ALLOW_WITH, or ROUTE among models of this zone."""
        if self.outcome == "ROUTE":
            return not any(r.effect == "route" and r.code == "ZONE_OTHER" for r in self.reasons)
        return self.outcome in ("ALLOW", "ALLOW_WITH")

    def to_dict(self) -> dict[str, Any]:
        """The decision document: JSON values only."""
        return {
            "id": self.id,
            "as_of": self.as_of,
            "outcome": self.outcome,
            "scope": self.scope,
            "reasons": [reason.to_dict() for reason in self.reasons],
            "obligations": [obligation.to_dict() for obligation in self.obligations],
            "step_up": list(self.step_up),
            "not_ready": list(self.not_ready),
            "advice": [remark.to_dict() for remark in self.advice],
            "eligible_models": list(self.eligible_models),
            "warnings": [remark.to_dict() for remark in self.warnings],
            "read": list(self.read),
            "zone": self.zone,
            "packs": {name: dict(pack) for name, pack in self.packs.items()},
        }
