"""What rules and provider terms ask for, gathered, and the rule of precedence over it.

The engine adds findings in any order; `Tally` sorts them, so that the order of rules and packs never
matters. It does not read facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dragoman.core.decision import SCOPES, STEP_UP_SIGNALS, Obligation, Reason, Remark, Text

STRENGTH = ("deny", "not_ready", "step_up", "handoff", "route", "oblige", "warn")
_RANK = {effect: rank for rank, effect in enumerate(STRENGTH)}
_OUTCOME = {
    "deny": "DENY",
    "not_ready": "NOT_READY",
    "step_up": "STEP_UP",
    "handoff": "HANDOFF",
    "route": "ROUTE",
}


def reason_key(reason: Reason) -> str:
    """Reasons are kept once per (effect, rule, code), and sort by it: the strongest effect first."""
    return f"{_RANK[reason.effect]}\0{reason.rule_id}\0{reason.code}"


def duty_key(duty: Obligation) -> str:
    """Duties are kept once per (kind, rule, binding_from), and sort by it: what is due before what stands."""
    return f"{duty.standing:d}\0{duty.kind}\0{duty.rule_id}\0{duty.binding_from or ''}"


@dataclass(frozen=True, slots=True)
class Findings:
    """What some rules come to, ready to be taken over whole; by the keys of `Tally`."""

    reasons: Mapping[str, Reason] = field(default_factory=dict)
    duties: Mapping[str, Obligation] = field(default_factory=dict)
    warnings: Mapping[tuple[str, str], Remark] = field(default_factory=dict)

    @staticmethod
    def of(reasons: Iterable[Reason], duties: Iterable[Obligation], warnings: Iterable[Remark]) -> Findings:
        """These reasons, all of them quiet (a refusal has a scope), duties and warnings."""
        return Findings(
            {reason_key(reason): reason for reason in reasons},
            {duty_key(duty): duty for duty in duties},
            {(warning.code, warning.subject): warning for warning in warnings},
        )

    def joined(self, other: Findings) -> Findings:
        """Both."""
        return Findings(
            {**self.reasons, **other.reasons},
            {**self.duties, **other.duties},
            {**self.warnings, **other.warnings},
        )


@dataclass(slots=True)
class Tally:
    """Findings of one decision. `scopes`: how far the refusals of each effect reach."""

    reasons: dict[str, Reason] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    duties: dict[str, Obligation] = field(default_factory=dict)
    step_up: set[str] = field(default_factory=set)
    not_ready: set[str] = field(default_factory=set)
    warnings: dict[tuple[str, str], Remark] = field(default_factory=dict)
    advice: dict[tuple[str, str], Remark] = field(default_factory=dict)
    residual: set[str] = field(default_factory=set)

    def take(self, findings: Findings) -> None:
        """All of these findings."""
        self.reasons.update(findings.reasons)
        self.duties.update(findings.duties)
        if findings.warnings:
            self.warnings.update(findings.warnings)

    def add(self, reason: Reason, scope: str = "turn") -> None:
        """A reason with the effect it carries; `scope` is how far its refusal reaches."""
        self.reasons[reason_key(reason)] = reason
        if reason.effect not in _OUTCOME:
            return
        widest = max(SCOPES.index(scope), SCOPES.index(self.scopes.get(reason.effect, "turn")))
        self.scopes[reason.effect] = SCOPES[widest]

    def oblige(self, duty: Obligation, reason: Reason) -> None:
        """A duty and the reason for it."""
        self.duties[duty_key(duty)] = duty
        self.reasons[reason_key(reason)] = reason

    def warn(self, remark: Remark) -> None:
        """A warning, once per code and subject."""
        self.warnings[remark.code, remark.subject] = remark

    def advise(self, remark: Remark) -> None:
        """A piece of advice, once per code and subject."""
        self.advice[remark.code, remark.subject] = remark

    def outcome(self) -> tuple[str, str]:
        """The strongest outcome asked for and its scope."""
        for effect, outcome in _OUTCOME.items():
            if effect in self.scopes:
                return outcome, self.scopes[effect]
        due = any(not duty.standing for duty in self.duties.values())
        return ("ALLOW_WITH" if due else "ALLOW"), "turn"

    def sorted_reasons(self) -> tuple[Reason, ...]:
        """All reasons, strongest effect first, then by rule."""
        return tuple([self.reasons[key] for key in sorted(self.reasons)])

    def sorted_obligations(self) -> tuple[Obligation, ...]:
        """What is due first, then the standing duties, by kind and rule."""
        return tuple([self.duties[key] for key in sorted(self.duties)])

    def sorted_signals(self) -> tuple[str, ...]:
        """The signals asked for, in their fixed order."""
        return tuple([signal for signal in STEP_UP_SIGNALS if signal in self.step_up])


def with_effect(reason: Reason, effect: str) -> Reason:
    """The same reason, carrying another effect."""
    return reason if reason.effect == effect else replace(reason, effect=effect)


def remark(code: str, subject: str, en: str, zh: str) -> Remark:
    """A remark in both languages."""
    text: Text = {"en": en, "zh": zh}
    return Remark(code, subject, text)
