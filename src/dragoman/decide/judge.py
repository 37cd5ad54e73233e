"""One pack rule against the facts: does it apply, what does it oblige to, what does it find missing.

Called by `engine` for every rule in play at the event; writes its finding to the tally. A rule that read a
fact left open becomes residual instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dragoman.core.decision import Obligation, Remark
from dragoman.decide import checks
from dragoman.decide.context import Context
from dragoman.decide.kinds import KINDS
from dragoman.decide.rules import ABSENT, ADVISORY, Rule
from dragoman.decide.weigh import Tally, remark, with_effect

FIRM, ASK, ANSWERED = "firm", "ask", "answered"
"""Standing of a rule's denials: firm; provisional (ask for the residence); provisional but answered."""

_ACCOUNT_KINDS = frozenset({"age", "identity", "residency", "signals"})


@dataclass(frozen=True, slots=True)
class Reminder:
    """A reminder that applies; whether it is due is settled over all of them (minimum interval)."""

    rule: Rule
    phase: str


def consider(rule: Rule, context: Context, tally: Tally, standing: str, reminders: list[Reminder]) -> None:
    """Evaluate one rule and add what it finds."""
    phase = rule.phase(context)
    if phase == ABSENT:
        return
    context.touched = False
    context.civil = rule.civil
    if rule.condition.test(context) is False:
        return
    if context.touched:
        tally.residual.add(rule.rule_id)
        return
    if rule.kind == "reminder" and rule.on_missing != "warn":
        reminders.append(Reminder(rule, phase))
        return
    if rule.plain:
        due = "due" if rule.due_at is None or context.event in rule.due_at else "standing"
        for obligation in rule.obligations[_variant(rule, context, phase), due]:
            tally.oblige(obligation, rule.reasons["oblige"])
        return
    finding = _find(rule, context, phase)
    if context.touched:
        tally.residual.add(rule.rule_id)
    else:
        _record(rule, finding, context, tally, standing)


@dataclass(frozen=True, slots=True)
class _Finding:
    """What a rule that applies comes to: its duties, what is missing, what it warns of, when."""

    phase: str
    obligations: tuple[Obligation, ...]
    need: checks.Need | None
    handoff: bool = False
    remark: Remark | None = None


def _find(rule: Rule, context: Context, phase: str) -> _Finding:
    if rule.on_missing == "warn" and phase == ADVISORY:
        return _Finding(phase, (), None, remark=_upcoming(rule, context))
    if rule.on_missing == "warn":
        # What only warns obliges to nothing; where the kind has a check, it warns of what is missing.
        return _Finding(phase, (), checks.missing(rule, context) or _unless_checked(rule))
    obligations = _obligations(rule, context, phase)
    if phase == ADVISORY:
        return _Finding(phase, obligations, None, remark=None if rule.duties else _upcoming(rule, context))
    need = checks.missing(rule, context)
    return _Finding(phase, obligations, need, _hands_off(rule, context), _refused_opt_out(rule, context))


def _unless_checked(rule: Rule) -> checks.Need | None:
    return None if KINDS[rule.kind].checks(rule.payload) else checks.Need()


def _record(rule: Rule, finding: _Finding, context: Context, tally: Tally, standing: str) -> None:
    if finding.remark is not None:
        tally.warn(finding.remark)
    if rule.on_missing == "warn":
        if finding.need is not None:
            tally.add(rule.reasons["warn"])
            tally.warn(rule.remark)
        return
    for obligation in finding.obligations:
        tally.oblige(obligation, rule.reasons["oblige"])
    if finding.need is not None:
        _missing(rule, finding.need, context, tally, standing)
    elif finding.handoff:
        tally.add(rule.reasons["handoff"])


def settle_reminders(reminders: list[Reminder], context: Context, tally: Tally) -> None:
    """Intervals combine by their minimum: every reminder in play is due at the shortest one."""
    if not reminders:
        return
    shortest = min(reminder.rule.payload["interval_min"] for reminder in reminders)
    for reminder in reminders:
        rule = reminder.rule
        context.touched = False
        due = checks.reminder_due(rule.payload["id"], shortest, context)
        if context.touched:
            tally.residual.add(rule.rule_id)
        elif due:
            for obligation in rule.obligations[_variant(rule, context, reminder.phase), "due"]:
                parameters = {**obligation.parameters, "interval_min": shortest}
                tally.oblige(replace(obligation, parameters=parameters), rule.reasons["oblige"])


def _obligations(rule: Rule, context: Context, phase: str) -> tuple[Obligation, ...]:
    if not rule.duties or rule.when.test(context) is False:
        return ()
    due = checks.due(rule, context)
    if due is None:
        return ()
    obligations = rule.obligations[_variant(rule, context, phase), due]
    if rule.kind == "prerequisite":
        return tuple(_with_number(obligation, context) for obligation in obligations)
    if _opted_out(rule, context):
        return _instead_of_label(rule, obligations)
    deadline = checks.deadline(rule, context)
    if deadline is None:
        return obligations
    return tuple(replace(obligation, deadline=deadline) for obligation in obligations)


def _variant(rule: Rule, context: Context, phase: str) -> str:
    if phase != ADVISORY:
        return "binding"
    return "upcoming" if context.as_of < rule.starts else "grandfathered"


def _with_number(obligation: Obligation, context: Context) -> Obligation:
    """The display duty with the numbers the operator holds, which is what it has to show."""
    numbers = {}
    for name in obligation.parameters["evidence"]:
        record = context.get(f"operator.evidence.{name}")
        if record is not None and record.number is not None:
            numbers[name] = record.number
    return replace(obligation, parameters={**obligation.parameters, "numbers": numbers})


def _opted_out(rule: Rule, context: Context) -> bool:
    opt_out = rule.payload.get("opt_out")
    if not opt_out or context.get("request.unlabelled") is not True:
        return False
    return bool(context.get("agreement.id") == opt_out["agreement"])


def _instead_of_label(rule: Rule, obligations: tuple[Obligation, ...]) -> tuple[Obligation, ...]:
    """An agreed copy without visible label: the recipient is logged and reminded of the duty taken over."""
    opt_out = rule.payload["opt_out"]
    out = []
    for obligation in obligations:
        log = {"data_class": "unlabelled_recipients", "min_months": opt_out["log_months"]}
        reminder = {"id": "unlabelled_copy", "trigger": "event", "locale_text": opt_out["locale_text"]}
        out.append(replace(obligation, kind="log", parameters=log))
        out.append(replace(obligation, kind="notice", parameters=reminder))
    return tuple(out)


def _refused_opt_out(rule: Rule, context: Context) -> Remark | None:
    opt_out = rule.payload.get("opt_out")
    if not opt_out or context.get("request.unlabelled") is not True or _opted_out(rule, context):
        return None
    return remark("LABEL_OPT_OUT_REFUSED", rule.rule_id,
        "A copy without the visible label needs a signed agreement; the labelled copy is available.",
        "提供无显式标识的副本须签订协议；可获取带标识的版本。")  # fmt: skip


def _hands_off(rule: Rule, context: Context) -> bool:
    if rule.kind != "crisis" or not rule.payload.get("human_takeover") or context.event != "turn":
        return False
    category = context.get("content.category")
    return category is not None and category in rule.payload.get("triggers", ())


def _upcoming(rule: Rule, context: Context) -> Remark:
    day = rule.binding_from(context)
    title = rule.reasons["warn"].title
    english, chinese = f"Binds from {day}: {title['en']}", f"自 {day} 起适用：{title['zh']}"
    return remark("UPCOMING", rule.rule_id, english, chinese)


def _missing(rule: Rule, need: checks.Need, context: Context, tally: Tally, standing: str) -> None:
    effect = rule.on_missing
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
