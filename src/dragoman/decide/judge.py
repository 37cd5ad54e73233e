"""One pack rule against the facts: does it apply, what does it oblige to, what does it find missing.

`roster` asks once for each rule, event and phase: what the rule comes to whatever the facts (`outright`), or
an act for `engine` to do for every decision, which writes to the tally. A rule that read a fact left open
becomes residual instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from dragoman.core.decision import Obligation, Remark
from dragoman.decide import checks
from dragoman.decide.conditions import Test
from dragoman.decide.context import Context
from dragoman.decide.kinds import KINDS
from dragoman.decide.rules import BINDING, GRANDFATHERED, PLACED, UPCOMING, Rule
from dragoman.decide.weigh import Findings, Tally, remark, with_effect

FIRM, ASK, ANSWERED = "firm", "ask", "answered"
"""Standing of a rule's denials: firm; provisional (ask for the residence); provisional but answered."""

Act = Callable[[Context, Tally, str], None]
"""One rule done for one decision; the text is the standing of its denials."""

_ACCOUNT_KINDS = frozenset({"age", "identity", "residency", "signals"})


def outright(rule: Rule, event: str, phase: str) -> Findings | None:
    """What the rule comes to once it applies; None where that depends on facts beyond its condition."""
    looks = phase == BINDING and (checks.looks(rule) or _may_hand_off(rule, event))
    return None if looks else _said(rule, event, phase)


def _said(rule: Rule, event: str, phase: str) -> Findings | None:
    """The duties or the warning of a rule that applies, nothing missing; None where facts shape them."""
    if rule.on_missing == "warn" and phase == BINDING:
        # What only warns obliges to nothing; where the kind has a check, it warns of what is missing.
        if KINDS[rule.kind].checks(rule.payload):
            return Findings()
        return Findings.of((rule.reasons["warn"],), (), (rule.remark,))
    if rule.on_missing == "warn" or (phase != BINDING and not rule.duties):
        return Findings.of((), (), (_upcoming(rule, phase),))
    if rule.duties and _facts_shape(rule, event):
        return None
    due = checks.due(rule, event, None) if rule.duties else None
    return _owed(rule, phase, due) if due else Findings()


def _facts_shape(rule: Rule, event: str) -> bool:
    """Whether facts beyond the condition say what the duties are or when they fall due."""
    if rule.kind == "notice":
        return not checks.settled(rule, event)
    opt_out = bool(rule.payload.get("opt_out"))
    return opt_out or rule.kind == "prerequisite" or checks.has_deadline(rule, event)


def _owed(rule: Rule, phase: str, due: str) -> Findings:
    return Findings.of((rule.reasons["oblige"],), rule.obligations[phase, due], ())


def act_of(rule: Rule, event: str, phase: str, test: Test | None) -> Act:
    """The rule for one decision after another, under a condition with the event settled (None: always)."""
    said = _said(rule, event, phase)
    say = _sayer(rule, event, phase) if said is None else None
    missing = checks.check_of(rule) if phase == BINDING else None
    may_hand_off = phase == BINDING and rule.on_missing != "warn" and _may_hand_off(rule, event)

    def act(context: Context, tally: Tally, standing: str) -> None:
        context.touched = False
        if test is not None and test(context) is False:
            return
        context.civil = rule.civil
        found = said if say is None else say(context)
        need = None if missing is None else missing(rule, context)
        handoff = may_hand_off and need is None and _hands_off(rule, context)
        if context.touched:
            tally.residual.add(rule.rule_id)
            return
        if found is not None:
            tally.take(found)
        if need is not None:
            _missing(rule, need, context, tally, standing)
        elif handoff:
            tally.add(rule.reasons["handoff"])

    return act


def _sayer(rule: Rule, event: str, phase: str) -> Callable[[Context], Findings | None]:
    """The duties of a rule that applies, where facts say when they are due or what is in them."""
    ready = {due: _owed(rule, phase, due) for due in ("due", "standing")}
    refusable = phase == BINDING and rule.payload.get("opt_out")

    def say(context: Context) -> Findings | None:
        due = checks.due(rule, event, context)
        if due is None or rule.kind == "notice":
            return ready.get(due or "")
        shaped = _shaped(rule, context, rule.obligations[phase, due])
        if shaped is not None:
            return Findings.of((rule.reasons["oblige"],) if shaped else (), shaped, ())
        refused = _refused_opt_out(rule, context) if refusable else None
        return ready[due] if refused is None else ready[due].joined(Findings.of((), (), (refused,)))

    return say


def settle_reminders(reminders: Iterable[tuple[Rule, Test | None]], context: Context, tally: Tally) -> None:
    """Intervals combine by their minimum: every reminder in play is due at the shortest one."""
    due: list[Rule] = []
    for rule, test in reminders:
        context.touched = False
        if test is not None and test(context) is False:
            continue
        if context.touched:
            tally.residual.add(rule.rule_id)
        else:
            due.append(rule)
    shortest = min((rule.payload["interval_min"] for rule in due), default=0)
    for rule in due:
        context.touched = False
        now = checks.reminder_due(rule.payload["id"], shortest, context)
        if context.touched:
            tally.residual.add(rule.rule_id)
        elif now:
            for duty in rule.obligations[_variant(rule, context), "due"]:
                parameters = {**duty.parameters, "interval_min": shortest}
                tally.oblige(_changed(duty, parameters=parameters), rule.reasons["oblige"])


def _variant(rule: Rule, context: Context) -> str:
    phase = rule.phase_at(context.as_of)
    if phase != PLACED:
        return phase
    return GRANDFATHERED if rule.placed_earlier(context) else BINDING


def _shaped(rule: Rule, context: Context, duties: tuple[Obligation, ...]) -> list[Obligation] | None:
    """The duties with what the facts put into them: numbers held, an agreed copy, a deadline; None: as is."""
    if rule.kind == "prerequisite":
        if rule.when.test(context) is False:
            return []
        return [_changed(duty, parameters=_with_numbers(duty, context)) for duty in duties]
    if _opted_out(rule, context):
        return _instead_of_label(rule, duties)
    deadline = checks.deadline(rule, context)
    return None if deadline is None else [_changed(duty, deadline=deadline) for duty in duties]


def _changed(
    duty: Obligation,
    kind: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    deadline: int | None = None,
) -> Obligation:
    """As `dataclasses.replace`, which takes longer than the rest of the rule."""
    return Obligation(
        kind or duty.kind, duty.rule_id, duty.parameters if parameters is None else parameters,
        duty.enforcement, duty.standing, duty.binding_from, deadline or duty.deadline,
    )  # fmt: skip


def _with_numbers(duty: Obligation, context: Context) -> Mapping[str, Any]:
    """The display duty with the numbers the operator holds, which is what it has to show."""
    numbers = {}
    for name in duty.parameters["evidence"]:
        record = context.get(f"operator.evidence.{name}")
        if record is not None and record.number is not None:
            numbers[name] = record.number
    return {**duty.parameters, "numbers": numbers}


def _opted_out(rule: Rule, context: Context) -> bool:
    opt_out = rule.payload.get("opt_out")
    if not opt_out or context.get("request.unlabelled") is not True:
        return False
    return bool(context.get("agreement.id") == opt_out["agreement"])


def _instead_of_label(rule: Rule, duties: tuple[Obligation, ...]) -> list[Obligation]:
    """An agreed copy without visible label: the recipient is logged and reminded of the duty taken over."""
    opt_out = rule.payload["opt_out"]
    log = {"data_class": "unlabelled_recipients", "min_months": opt_out["log_months"]}
    reminder = {"id": "unlabelled_copy", "trigger": "event", "locale_text": opt_out["locale_text"]}
    return [
        _changed(duty, kind=kind, parameters=parameters)
        for duty in duties
        for kind, parameters in (("log", log), ("notice", reminder))
    ]


def _refused_opt_out(rule: Rule, context: Context) -> Remark | None:
    if context.get("request.unlabelled") is not True or _opted_out(rule, context):
        return None
    return remark("LABEL_OPT_OUT_REFUSED", rule.rule_id,
        "A copy without the visible label needs a signed agreement; the labelled copy is available.",
        "提供无显式标识的副本须签订协议；可获取带标识的版本。")  # fmt: skip


def _may_hand_off(rule: Rule, event: str) -> bool:
    return rule.kind == "crisis" and event == "turn" and bool(rule.payload.get("human_takeover"))


def _hands_off(rule: Rule, context: Context) -> bool:
    if not _may_hand_off(rule, context.event):
        return False
    category = context.get("content.category")
    return category is not None and category in rule.payload.get("triggers", ())


def _upcoming(rule: Rule, phase: str) -> Remark:
    day = rule.starts_on if phase == UPCOMING else rule.grandfathered_on
    title = rule.reasons["warn"].title
    english, chinese = f"Binds from {day}: {title['en']}", f"自 {day} 起适用：{title['zh']}"
    return remark("UPCOMING", rule.rule_id, english, chinese)


def _missing(rule: Rule, need: checks.Need, context: Context, tally: Tally, standing: str) -> None:
    effect = rule.on_missing
    if effect == "warn":
        tally.add(rule.reasons["warn"])
        tally.warn(rule.remark)
        return
    if effect == "gate":
        tally.not_ready.update(need.evidence)
        effect = "not_ready" if context.event == "deploy" else "deny"
    if effect == "oblige":
        return
    if effect == "deny" and standing != FIRM:
        _provisional(rule, tally, standing)
        return
    if effect == "step_up":
        tally.step_up.update(need.signals)
    if effect == "not_ready":
        tally.not_ready.update(need.evidence)
    scope = "account" if rule.kind in _ACCOUNT_KINDS else "session"
    tally.add(rule.reasons[effect], "account" if effect == "step_up" else scope)


def _provisional(rule: Rule, tally: Tally, standing: str) -> None:
    if standing == ASK:
        tally.step_up.add("residence")
        tally.add(with_effect(rule.reasons["deny"], "step_up"), "account")
        return
    tally.warn(remark("DENIAL_ANSWERED", rule.rule_id,
        "Not applied: the person's residence elsewhere is verified.",
        "未适用：该用户在其他地区的居住地已核实。"))  # fmt: skip
