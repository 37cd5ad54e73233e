"""What a plan left open: the rules that read `turn.*`, decided at `POST /turns` with the same engine.

INVARIANT: the plan's decision and what is added here are together the decision with every fact known at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dragoman.control.grounds import kept
from dragoman.control.loaded import Holder, Loaded
from dragoman.control.planner import Outcome, Planner, decision_entry, elsewhere, is_reusable
from dragoman.control.refusal import refusal, service_of
from dragoman.control.sharing import Shared, ends
from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.core.turns import Due, Residual
from dragoman.decide.generalise import generalise
from dragoman.policy.duties import not_carried


@dataclass(frozen=True, slots=True)
class _Base:
    """What a question comes to with `turn.*` open; what that is for a turn where nothing was left open."""

    outcome: Outcome
    same: Residual
    until: int
    """Until when it is so, ms UTC; the instant it was made where it must not be shared."""


class Residuals:
    """Decides, by the reading in use. Equal questions share what was decided (`sharing`); for one thread."""

    def __init__(self, planner: Planner, holder: Holder) -> None:
        self._planner = planner
        self._holder = holder
        self._bases = Shared[_Base]()
        self._wholes = Shared[Residual]()

    def decide(self, question: Mapping[str, Any], turn: Mapping[str, int] | None, now: int) -> Residual:
        """What is due beside the plan, or a refusal. `turn`: facts by path, None where they are unknown."""
        loaded = self._holder.loaded
        asked = json.dumps(question, sort_keys=True)
        base = self._bases.get(loaded, asked, now) or self._base(loaded, asked, question, now)
        if turn is None or not base.outcome.decision.residual:
            return _entered(base.same, now)
        # Facts with the same generalisation get the same decision, which is kept under one id.
        key = (asked, tuple(generalise(Facts(now, turn), loaded.packs).items()))
        whole = self._wholes.get(loaded, key, now)
        if whole is None:
            full = self._planner.outcome(question, now, turn)
            whole = self._whole(loaded, base.outcome, full, question, now)
            if base.until > now and is_reusable(full.decision, base.outcome.facts):
                until = min(base.until, full.decision.holds_until or base.until)
                self._wholes.keep(loaded, key, now, until, whole)
        return _entered(whole, now)

    def _base(self, loaded: Loaded, asked: str, question: Mapping[str, Any], now: int) -> _Base:
        outcome = self._planner.outcome(question, now)
        base = _Base(outcome, self._same(loaded, outcome, question, now), now)
        if is_reusable(outcome.decision, outcome.facts):
            until = ends(now, outcome.decision.holds_until)
            base = replace(base, until=until)
            self._bases.keep(loaded, asked, now, until, base)
        return base

    def _whole(
        self, loaded: Loaded, base: Outcome, full: Outcome, question: Mapping[str, Any], now: int
    ) -> Residual:
        """What the rules that read `turn.*` add to the decision that left them open."""
        decision = full.decision
        notices = [one for one in full.duties.notices if one not in base.duties.notices]
        allowed = bool(full.attempts)
        left = set(full.duties.must) - set(base.duties.must) - {"notice"}
        if allowed and (left or full.duties.labels != base.duties.labels or full.attempts != base.attempts):
            # The answer to /turns carries notices and a refusal only; whatever else came of it is not lost.
            more = [one for one in decision.obligations if one not in base.decision.obligations]
            decision, allowed = not_carried(decision, more), False
        made = replace(full, decision=decision)
        return Residual(
            notices=notices if allowed else [],
            refusal=None if allowed else self._refusal(loaded, decision),
            due=_due(full) if allowed else (),
            decision=decision.id,
            entry=decision_entry(made, question["tenant"], loaded, now),
            kept=kept(made, loaded, question),
        )

    def _same(self, loaded: Loaded, base: Outcome, question: Mapping[str, Any], now: int) -> Residual:
        """Nothing was left open. Where today's reading refuses what an older plan allowed, so does this."""
        keep = kept(base, loaded, question)
        if base.attempts:
            return Residual([], None, _due(base), base.decision.id, None, keep)
        entry = decision_entry(base, question["tenant"], loaded, now)
        return Residual([], self._refusal(loaded, base.decision), (), base.decision.id, entry, keep)

    @staticmethod
    def _refusal(loaded: Loaded, decision: Decision) -> Mapping[str, Any]:
        return refusal(decision, service_of(loaded.settings), elsewhere(decision, loaded))


def _entered(residual: Residual, now: int) -> Residual:
    """The same for a turn of now: its entry, where it has one, is written now, whenever it was decided."""
    return residual if residual.entry is None else replace(residual, entry={**residual.entry, "at": now})


def _due(outcome: Outcome) -> tuple[Due, ...]:
    """Labels and notices of an allowed turn, as its user is shown them."""
    kinds = {one.rule_id: one.kind for one in outcome.decision.obligations}
    labels = [
        Due(one["kind"], one["rule_id"], None, one.get("text"), _machine(one))
        for one in outcome.duties.labels
    ]
    notices = [
        Due(kinds.get(one["rule_id"], "notice"), one["rule_id"], one["id"], one["text"])
        for one in outcome.duties.notices
    ]
    return (*labels, *notices)


def _machine(label: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a label says to machines."""
    return {name: label[name] for name in ("format", "fields")} if "format" in label else None
