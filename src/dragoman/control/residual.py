"""What a plan left open: the rules that read `turn.*`, decided at `POST /turns` with the same engine.

INVARIANT: the plan's decision and what is added here are together the decision with every fact known at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dragoman.control.duties import not_carried
from dragoman.control.grounds import kept
from dragoman.control.loaded import Holder
from dragoman.control.planner import Outcome, Planner, decision_entry, elsewhere
from dragoman.control.refusal import refusal, service_of
from dragoman.core.decision import Decision
from dragoman.core.turns import Due, Residual


class Residuals:
    """Decides, by the reading in use."""

    def __init__(self, planner: Planner, holder: Holder) -> None:
        self._planner = planner
        self._holder = holder

    def decide(self, question: Mapping[str, Any], turn: Mapping[str, int] | None, now: int) -> Residual:
        """What is due beside the plan, or a refusal. `turn`: facts by path, None where they are unknown."""
        base = self._planner.outcome(question, now)
        if turn is None or not base.decision.residual:
            return self._same(base, question, now)
        full = self._planner.outcome(question, now, turn)
        decision = full.decision
        notices = [one for one in full.duties.notices if one not in base.duties.notices]
        allowed = bool(full.attempts)
        left = set(full.duties.must) - set(base.duties.must) - {"notice"}
        if allowed and (left or full.duties.labels != base.duties.labels or full.attempts != base.attempts):
            # The answer to /turns carries notices and a refusal only; whatever else came of it is not lost.
            more = [one for one in decision.obligations if one not in base.decision.obligations]
            decision, allowed = not_carried(decision, more), False
        entry = decision_entry(replace(full, decision=decision), question["tenant"], self._holder.loaded, now)
        return Residual(
            notices=notices if allowed else [],
            refusal=None if allowed else self._refusal(decision),
            due=_due(full) if allowed else (),
            decision=decision.id,
            entry=entry,
            kept=kept(replace(full, decision=decision), self._holder.loaded, question),
        )

    def _same(self, base: Outcome, question: Mapping[str, Any], now: int) -> Residual:
        """Nothing was left open. Where today's reading refuses what an older plan allowed, so does this."""
        keep = kept(base, self._holder.loaded, question)
        if base.attempts:
            return Residual([], None, _due(base), base.decision.id, None, keep)
        entry = decision_entry(base, question["tenant"], self._holder.loaded, now)
        return Residual([], self._refusal(base.decision), (), base.decision.id, entry, keep)

    def _refusal(self, decision: Decision) -> Mapping[str, Any]:
        loaded = self._holder.loaded
        return refusal(decision, service_of(loaded.settings), elsewhere(decision, loaded))


def _due(outcome: Outcome) -> tuple[Due, ...]:
    """Labels and notices of an allowed turn, as its user is shown them."""
    kinds = {one.rule_id: one.kind for one in outcome.decision.obligations}
    labels = [Due(one["kind"], one["rule_id"], None, one.get("text")) for one in outcome.duties.labels]
    notices = [
        Due(kinds.get(one["rule_id"], "notice"), one["rule_id"], one["id"], one["text"])
        for one in outcome.duties.notices
    ]
    return (*labels, *notices)
