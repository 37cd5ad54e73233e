"""One pack rule in the form the engine evaluates: dates as instants, condition compiled, texts ready.

Built by `packs` from TOML, read by `engine`. A rule with a draft or uncertain source may only warn; anything
stronger does not load. Holds no behaviour of a kind: that is `kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from dragoman.core.decision import QUIET, Citation, Obligation, Reason, Remark, Text
from dragoman.decide.civil import ADVISORY_DAYS, DAY_MS, Civil
from dragoman.decide.conditions import ALWAYS, Condition, compile_condition
from dragoman.decide.context import Context
from dragoman.decide.kinds import KINDS, Duty
from dragoman.decide.schema import Fields, PackError, Table

ENFORCEMENT = "in_force|grace|advisory|draft"
ON_MISSING = "oblige|warn|step_up|not_ready|gate|deny"
CERTAINTY = "V|v|g|?"
RULE: Fields = {
    "rule_id": "!str", "kind": "!" + "|".join(KINDS), "applies_when": "condition", "effective_from": "date",
    "effective_to": "date", "grandfather": "table", "enforcement": f"!{ENFORCEMENT}",
    "on_missing": f"!{ON_MISSING}", "source_refs": "![str]", "certainty": f"!{CERTAINTY}",
    "citation_certainty": CERTAINTY, "reason_code": "!str", "title": "!text", "text": "text",
}  # fmt: skip
"""The envelope of a rule; beside it stands the table named after its kind."""
GRANDFATHER: Fields = {"placed_before": "!date", "until": "!date"}
EFFECTS = ("deny", "not_ready", "step_up", "handoff", "oblige", "warn")

ABSENT, ADVISORY, BINDING = "absent", "advisory", "binding"
UPCOMING, GRANDFATHERED = "upcoming", "grandfathered"
"""The two ways to be advisory: before the start, and for what was on the market before."""
PLACED = "placed"
"""Binding or grandfathered, by when the operator's system was placed on the market."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a jurisdiction or channel pack. Instants are ms UTC; `ends` None means open."""

    rule_id: str
    kind: str
    pack: str
    civil: Civil
    condition: Condition
    listed: int
    starts: int
    ends: int | None
    starts_on: str | None
    placed_before: date | None
    grandfathered_until: int
    grandfathered_on: str | None
    enforcement: str
    on_missing: str
    certainty: str
    reason_code: str
    payload: Mapping[str, Any]
    when: Condition
    reasons: Mapping[str, Reason]
    duties: tuple[Duty, ...]
    obligations: Mapping[tuple[str, str], tuple[Obligation, ...]]
    remark: Remark
    trees: tuple[Any, ...]
    source_refs: tuple[str, ...]

    def phase_at(self, now: int) -> str:
        """ABSENT, UPCOMING, BINDING or PLACED at `now`, ms UTC, whatever the facts."""
        if now < self.listed or (self.ends is not None and now >= self.ends):
            return ABSENT
        if now < self.starts:
            return UPCOMING
        return PLACED if self.placed_before is not None and now < self.grandfathered_until else BINDING

    def placed_earlier(self, context: Context) -> bool:
        """Whether the operator's system is known to be older than what the rule binds at once."""
        placed = context.get("operator.placed_on_market")
        return placed is not None and self.placed_before is not None and placed < self.placed_before

    def phase(self, context: Context) -> str:
        """ABSENT, ADVISORY (listed, not yet binding) or BINDING at the time of the context."""
        phase = self.phase_at(context.as_of)
        if phase == PLACED:
            return ADVISORY if self.placed_earlier(context) else BINDING
        return ADVISORY if phase == UPCOMING else phase

    def instants(self) -> tuple[int, ...]:
        """Every moment at which the phase can change by itself."""
        moments = [self.listed, self.starts, self.grandfathered_until]
        if self.ends is not None:
            moments.append(self.ends)
        return tuple(moment for moment in moments if moment > 0)


def read_rule(data: Any, pack: str, civil: Civil, sources: Mapping[str, Citation], where: str) -> Rule:
    """A rule from its TOML table. Raises PackError."""
    table = Table(data, where, RULE)
    rule_id = table.get("rule_id")
    table.where = where = f"{where.rsplit(': rule', 1)[0]}: rule {rule_id}"
    kind = table.get("kind")
    payload, when, when_tree = _payload(table, kind, where)
    tree = table.raw("applies_when")
    condition = ALWAYS if tree is None else compile_condition(tree, f"{where}: applies_when")
    enforcement = table.get("enforcement")
    on_missing = table.get("on_missing")
    certainty = table.get("certainty")
    table.get("citation_certainty", None)
    _only_warns(enforcement, certainty, on_missing, where)
    _allowed(kind, on_missing, payload, where)
    begins, starts_on = _begin(table, civil, on_missing, where)
    last = table.get("effective_to", None)
    before, until, until_on = _grandfather(table, civil, where)
    refs = _refs(table, sources, where)
    reasons = _reasons(table, rule_id, (certainty, enforcement), sources[refs[0]])
    duties = KINDS[kind].duties(payload)
    remark = Remark(reasons["warn"].code, rule_id, reasons["warn"].text)
    table.done()
    return Rule(
        rule_id=rule_id,
        kind=kind,
        pack=pack,
        civil=civil,
        condition=condition,
        listed=_listed(begins, enforcement),
        starts=begins,
        ends=None if last is None else civil.end(last),
        starts_on=starts_on,
        placed_before=before,
        grandfathered_until=until,
        grandfathered_on=until_on,
        enforcement=enforcement,
        on_missing=on_missing,
        certainty=certainty,
        reason_code=reasons["warn"].code,
        payload=payload,
        when=when,
        reasons=reasons,
        duties=duties,
        obligations=_obligations(rule_id, duties, enforcement, starts_on, until_on),
        remark=remark,
        trees=(tree, when_tree),
        source_refs=refs,
    )


def _payload(table: Table, kind: str, where: str) -> tuple[Mapping[str, Any], Condition, Any]:
    node: Any = None
    for depth, part in enumerate(kind.split(".")):
        node = table.raw(part) if depth == 0 else (node or {}).get(part)
    inner = Table(node if node is not None else {}, f"{where}: {kind}", KINDS[kind].fields)
    payload = {}
    for key in KINDS[kind].fields:
        value = inner.get(key)
        if value is not None:
            payload[key] = value
    tree = inner.raw("when") if KINDS[kind].has_when else None
    inner.done()
    when = ALWAYS if tree is None else compile_condition(tree, f"{where}: {kind}.when")
    return payload, when, tree


def _only_warns(enforcement: str, certainty: str, on_missing: str, where: str) -> None:
    if on_missing == "warn":
        return
    if enforcement in ("draft", "advisory"):
        raise PackError(f'{where}: enforcement = "{enforcement}" may only warn; write on_missing = "warn"')
    if certainty == "?":
        raise PackError(f'{where}: certainty = "?" may only warn; write on_missing = "warn"')


def _allowed(kind: str, on_missing: str, payload: Mapping[str, Any], where: str) -> None:
    allowed = (*KINDS[kind].on_missing, "warn")
    if on_missing not in allowed:
        raise PackError(f"{where}: on_missing of {kind} is one of {', '.join(allowed)}")
    if on_missing in ("not_ready", "gate", "deny") and not KINDS[kind].checks(payload):
        wanted = (KINDS[kind].check or "").replace("|", " or ")
        raise PackError(
            f'{where}: nothing can be missing for on_missing = "{on_missing}"; give {kind} {wanted}'
        )


def _begin(table: Table, civil: Civil, on_missing: str, where: str) -> tuple[int, str | None]:
    first = table.get("effective_from", None)
    if first is None:
        if on_missing != "warn":
            raise PackError(f"{where}: effective_from is missing; only what merely warns may leave it out")
        return 0, None
    return civil.start(first), first.isoformat()


def _listed(begins: int, enforcement: str) -> int:
    # Only an enacted rule is listed ahead; drafts and guidance warn from their date on.
    return max(0, begins - ADVISORY_DAYS * DAY_MS) if enforcement in ("in_force", "grace") else begins


def _grandfather(table: Table, civil: Civil, where: str) -> tuple[date | None, int, str | None]:
    data = table.raw("grandfather")
    if data is None:
        return None, 0, None
    inner = Table(data, f"{where}: grandfather", GRANDFATHER)
    before, until = inner.get("placed_before"), inner.get("until")
    inner.done()
    return before, civil.start(until), until.isoformat()


def _refs(table: Table, sources: Mapping[str, Citation], where: str) -> tuple[str, ...]:
    refs: tuple[str, ...] = table.get("source_refs")
    if not refs:
        raise PackError(f"{where}: source_refs names no source; an uncited rule does not load")
    for ref in refs:
        if ref not in sources:
            raise PackError(f"{where}: source {ref} is not in [[sources]]")
    return refs


def _reasons(table: Table, rule_id: str, marks: tuple[str, str], citation: Citation) -> Mapping[str, Reason]:
    certainty, enforcement = marks
    code = table.get("reason_code")
    title: Text = table.get("title")
    text: Text = table.get("text", title)
    return {
        effect: Reason(
            code, rule_id, title, citation, effect, certainty, title if effect in QUIET else text, enforcement
        )
        for effect in EFFECTS
    }


def _obligations(
    rule_id: str, duties: tuple[Duty, ...], enforcement: str, starts_on: str | None, until_on: str | None
) -> Mapping[tuple[str, str], tuple[Obligation, ...]]:
    """Ready-made obligations by (phase, due or standing), so that deciding builds few objects."""
    made: dict[tuple[str, str], tuple[Obligation, ...]] = {}
    for standing in ("due", "standing"):
        still = standing == "standing"
        made[BINDING, standing] = tuple(
            Obligation(duty.kind, rule_id, duty.parameters, enforcement, still) for duty in duties
        )
        for phase, day in ((UPCOMING, starts_on), (GRANDFATHERED, until_on)):
            made[phase, standing] = tuple(
                Obligation(duty.kind, rule_id, duty.parameters, "advisory", still, day) for duty in duties
            )
    return made
