"""What a rule of each kind finds missing, and when its duties fall due.

Called by `engine` for a rule that applies. Pure: reads facts through the context and returns values; it never
decides an outcome (that is `weigh`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dragoman.decide.conditions import feature_matches
from dragoman.decide.context import Context
from dragoman.decide.kinds import KINDS

if TYPE_CHECKING:
    from dragoman.decide.rules import Rule

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Need:
    """What is missing: signals the person can supply, evidence the operator lacks."""

    signals: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


PROHIBITED = Need()
SELF_DECLARED = "declared"
"""The `age_source` of an age that the person said."""


def one_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Evidence of which any one will do, as the single entry `a|b`."""
    return ("|".join(names),)


Check = Callable[["Rule", Context], Need | None]
"""What the rule asks for and does not find, or None."""


def looks(rule: Rule) -> bool:
    """Whether it matters what the rule asks for and does not find."""
    return check_of(rule) is not None and rule.on_missing != "oblige"


def check_of(rule: Rule) -> Check | None:
    """How to find what is missing; None where nothing can be."""
    asks = KINDS[rule.kind].checks(rule.payload) or rule.on_missing == "step_up"
    return _MISSING.get(rule.kind) if asks else None


def _prerequisite(rule: Rule, context: Context) -> Need | None:
    if rule.when.test(context) is False:
        return None
    wanted = rule.payload["type"]
    if context.holds_any(rule.payload.get("any_of", wanted)):
        return None
    return Need(evidence=one_of(wanted))


def _availability(rule: Rule, _context: Context) -> Need | None:
    return PROHIBITED if rule.payload["mode"] == "prohibited" else None


_SIGNAL_FACTS: Mapping[str, tuple[str, ...]] = {
    "address": ("address_country",),
    "phone": ("phone",),
    "residence": ("residence",),
    "org_seat": ("organisation.seat",),
    "org_owner": ("organisation.owners",),
    "channel": ("channel",),
}


def _signals(rule: Rule, context: Context) -> Need | None:
    for name in rule.payload["required"]:
        facts = _SIGNAL_FACTS.get(name)
        known = context.verified(name) if facts is None else context.get(facts[0]) is not None
        if not known:
            return Need(signals=("residence",))
    if rule.payload.get("mismatch_policy") == "step_up" and not context.verified("residence"):
        residence, address = context.get("residence"), context.get("address_country")
        if residence and address and residence != address:
            return Need(signals=("residence",))
    return None


def _identity(rule: Rule, context: Context) -> Need | None:
    if not rule.payload["real_name"] or context.verified("real_name"):
        return None
    if "phone" in rule.payload.get("methods", ()) and context.get("phone_verified") is True:
        regions = rule.payload.get("phone_regions")
        found = set(context.phone_regions)  # none where no number is stated: that shows nothing
        if regions is None or (found and found <= set(regions)):
            return None
    return Need(signals=("real_name",))


def _age(rule: Rule, context: Context) -> Need | None:
    payload, signal = rule.payload, rule.payload["signal"]
    age = context.get("age")
    limit = _age_limit(payload, context)
    if age is not None and limit is not None and age >= limit:
        return None
    if signal == "age_reliable":
        return None if _reliable(payload, context) else Need(signals=("age_reliable",))
    if context.get("guardian_consent.given") is True:
        methods = payload.get("methods")
        if not methods or context.get("guardian_consent.method") in methods:
            return None
    # Whoever is old enough answers with an age; asking an adult for a guardian would be absurd.
    return Need(signals=("age_reliable",) if age is None else (signal,))


def _reliable(payload: Mapping[str, Any], context: Context) -> bool:
    source = context.get("age_source")
    declared = source == SELF_DECLARED and payload.get("self_declaration_ok", False)
    return context.verified("age") or declared or source in payload.get("methods", ())


def _age_limit(payload: Mapping[str, Any], context: Context) -> int | None:
    by_country = payload.get("consent_age_by")
    if by_country:
        limits = [by_country[code] for code in context.countries if code in by_country]
        return max(limits) if limits else None
    limit = payload.get("consent_age", payload.get("min"))
    return int(limit) if limit is not None else None


def _residency(rule: Rule, context: Context) -> Need | None:
    payload = rule.payload
    wanted = (*payload.get("collect_in", ()), *payload.get("store_in", ()))
    place = context.get(f"operator.data_locations.{payload['data_class']}")
    return None if place in wanted else Need(evidence=(f"data_locations.{payload['data_class']}",))


def _transfer(rule: Rule, context: Context) -> Need | None:
    for tier in rule.payload.get("thresholds", ()):
        count = context.get(f"operator.counters.{tier['metric']}") or 0
        if tier["from"] <= count < tier.get("to", float("inf")):
            wanted = tuple(tier["mechanism"])
            if not context.holds_any(wanted):
                return Need(evidence=one_of(wanted))
    mechanisms = rule.payload.get("mechanisms", ())
    if mechanisms and not context.holds_any(mechanisms):
        return Need(evidence=one_of(mechanisms))
    return None


def _content(rule: Rule, context: Context) -> Need | None:
    operator_list = rule.payload.get("operator_list", {})
    if not operator_list.get("required") or context.holds(operator_list["evidence"]):
        return None
    return Need(evidence=(operator_list["evidence"],))


def _evidence(rule: Rule, context: Context) -> Need | None:
    name = rule.payload.get("evidence")
    return None if name is None or context.holds(name) else Need(evidence=(name,))


def _minors(rule: Rule, context: Context) -> Need | None:
    forbidden = rule.payload.get("forbidden_features")
    if forbidden:
        return None if feature_matches(context.get("feature"), frozenset(forbidden)) is False else PROHIBITED
    if rule.on_missing == "step_up":
        given = context.get("guardian_consent.given") is True
        return None if given else Need(signals=("guardian",))
    return None


_MISSING: Mapping[str, Check] = {
    "availability": _availability,
    "prerequisite": _prerequisite,
    "signals": _signals,
    "identity": _identity,
    "age": _age,
    "residency": _residency,
    "transfer": _transfer,
    "content": _content,
    "evaluation": _evidence,
    "crisis": _evidence,
    "minors": _minors,
}


def due(rule: Rule, event: str, context: Context | None) -> str | None:
    """`due` in this event, `standing`, or None where the duty is not owed now.

    Without a context only for what is `settled`.
    """
    if rule.kind == "notice":
        return _notice_due(rule, event, context)
    if rule.kind == "content" and event == "complaint" and "order_sla_min" in rule.payload:
        return "due"  # a complaint that has to be answered like an order
    events = KINDS[rule.kind].due_at
    return "due" if events is None or event in events else "standing"


def settled(rule: Rule, event: str) -> bool:
    """Whether a notice's trigger and the event alone say when it is due."""
    trigger = rule.payload["trigger"]
    if trigger in ("policy", "event"):
        return True
    if trigger == "signup":
        return event == "signup" or "every" not in rule.payload
    return event != "turn"


def _notice_due(rule: Rule, event: str, context: Context | None) -> str | None:
    trigger = rule.payload["trigger"]
    if trigger == "policy":
        return "standing"
    if trigger == "event":
        return "due"
    if trigger == "signup":
        return "due" if event == "signup" or _again(rule, context) else None
    if event != "turn" or context is None:
        return None
    index = context.get("turn.index")
    first = index is None or index <= 1
    return "due" if first or _again(rule, context) else None


def _again(rule: Rule, context: Context | None) -> bool:
    """Whether a repeated notice is due again; one never recorded as given is."""
    every = rule.payload.get("every")
    if every is None or context is None:
        return False
    since = context.get(f"turn.minutes_since.{rule.payload['id']}")
    if since is None:
        return True
    return bool(since >= minutes_of(every))


def minutes_of(every: Mapping[str, int]) -> int:
    """The shortest that a period can be, in minutes: a calendar month has at least 28 days."""
    return every.get("hours", 0) * 60 + every.get("days", 0) * 1440 + every.get("months", 0) * 28 * 1440


def reminder_due(notice: str, interval_min: int, context: Context) -> bool:
    """Whether `interval_min` has passed both since the reminder and since the use began. Unknown is due.

    A reminder of an earlier use says nothing of this one: were it due by that alone, not knowing of it would
    lower a duty.
    """
    minutes = (context.get(f"turn.minutes_since.{notice}"), context.get("turn.continuous_minutes"))
    return all(one is None or one >= interval_min for one in minutes)


def has_deadline(rule: Rule, event: str) -> bool:
    """Whether `deadline` may name one at this event."""
    if rule.kind == "content":
        return event in ("order", "complaint") and "order_sla_min" in rule.payload
    return (rule.kind, event) in (("right", "erasure"), ("complaint", "complaint"))


def deadline(rule: Rule, context: Context) -> int | None:
    """When an accepted complaint, request or order must be answered, in ms UTC."""
    payload = rule.payload
    if rule.kind == "right" and context.event == "erasure" and "sla" in payload:
        return _after(context, _received(context), payload["sla"])
    if rule.kind == "complaint" and context.event == "complaint":
        hours = payload.get("ack_hours", payload.get("resolve_days", 0) * 24)
        return _received(context) + hours * HOUR_MS if hours else None
    if rule.kind == "content" and context.event in ("order", "complaint") and "order_sla_min" in payload:
        return _received(context) + int(payload["order_sla_min"]) * MINUTE_MS
    return None


def _received(context: Context) -> int:
    received = context.get("received_at")
    if received is not None:
        return int(received)
    context.timed = True
    return context.as_of


def _after(context: Context, start: int, period: Mapping[str, int]) -> int:
    if "months" in period:
        return context.months_after(start, period["months"])
    return start + (period.get("days", 0) * 24 + period.get("hours", 0)) * HOUR_MS
