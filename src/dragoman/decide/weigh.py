"""What rules and provider terms ask for, gathered, and the rule of precedence over it.

The engine adds findings in any order; `Tally` sorts them, so that the order of rules and packs never
matters. It does not read facts.
"""

from __future__ import annotations

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


@dataclass(slots=True)
class Tally:
    """Findings of one decision. Reasons are kept once per (code, rule, effect)."""

    reasons: dict[tuple[str, str, str], Reason] = field(default_factory=dict)
    scopes: dict[str, str] = field(default_factory=dict)
    obligations: dict[tuple[str, str, str | None], Obligation] = field(default_factory=dict)
    step_up: set[str] = field(default_factory=set)
    not_ready: set[str] = field(default_factory=set)
    warnings: dict[tuple[str, str], Remark] = field(default_factory=dict)
    advice: dict[tuple[str, str], Remark] = field(default_factory=dict)
    residual: set[str] = field(default_factory=set)

    def add(self, reason: Reason, scope: str = "turn") -> None:
        """A reason with the effect it carries; `scope` is how far its refusal reaches."""
        self.reasons[reason.code, reason.rule_id, reason.effect] = reason
        if reason.effect not in _OUTCOME:
            return
        widest = max(SCOPES.index(scope), SCOPES.index(self.scopes.get(reason.effect, "turn")))
        self.scopes[reason.effect] = SCOPES[widest]

    def oblige(self, obligation: Obligation, reason: Reason) -> None:
        """A duty and the reason for it."""
        key = (obligation.kind, obligation.rule_id, obligation.binding_from)
        self.obligations[key] = obligation
        self.reasons[reason.code, reason.rule_id, reason.effect] = reason

    def warn(self, remark: Remark) -> None:
        """A warning, once per code and subject."""
        self.warnings[remark.code, remark.subject] = remark

    def advise(self, remark: Remark) -> None:
        """A piece of advice, once per code and subject."""
        self.advice[remark.code, remark.subject] = remark

    def outcome(self) -> tuple[str, str]:
        """The strongest outcome asked for and its scope."""
        effects = {effect for _, _, effect in self.reasons}
        for effect, outcome in _OUTCOME.items():
            if effect in effects:
                return outcome, self.scopes[effect]
        due = any(not obligation.standing for obligation in self.obligations.values())
        return ("ALLOW_WITH" if due else "ALLOW"), "turn"

    def sorted_reasons(self) -> tuple[Reason, ...]:
        """All reasons, strongest effect first, then by rule."""
        keys = sorted(self.reasons, key=lambda key: (_RANK[key[2]], key[1], key[0]))
        return tuple(self.reasons[key] for key in keys)

    def sorted_obligations(self) -> tuple[Obligation, ...]:
        """What is due first, then the standing duties, by kind and rule."""
        found = self.obligations.values()
        return tuple(sorted(found, key=lambda o: (o.standing, o.kind, o.rule_id, o.binding_from or "")))

    def sorted_signals(self) -> tuple[str, ...]:
        """The signals asked for, in their fixed order."""
        return tuple(signal for signal in STEP_UP_SIGNALS if signal in self.step_up)


def with_effect(reason: Reason, effect: str) -> Reason:
    """The same reason, carrying another effect."""
    return reason if reason.effect == effect else replace(reason, effect=effect)


def remark(code: str, subject: str, en: str, zh: str) -> Remark:
    """A remark in both languages."""
    text: Text = {"en": en, "zh": zh}
    return Remark(code, subject, text)
