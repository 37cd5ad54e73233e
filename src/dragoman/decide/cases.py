"""Golden cases: edits of the baseline document and what must, and must not, come out.

They live beside the packs; a rule without a hit and a miss does not load. `run_case` is what the tests and
`packs check` call; one entry with `each` stands for a case per value. Decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from dragoman.core.decision import Decision
from dragoman.core.facts import Facts, instant
from dragoman.decide.schema import PackError, Table, read_toml

LISTS = (
    "obligations", "advisory", "standing", "absent", "reason_codes", "absent_codes", "cites", "step_up",
    "not_ready", "eligible_models", "ineligible_models", "warnings", "absent_warnings", "advice",
)  # fmt: skip
DUTY_FIELDS = ("enforcement", "binding_from", "deadline", "standing")
"""What `expect.duties` may say of a duty of the case's rule."""


@dataclass(frozen=True, slots=True)
class Case:
    """A golden case: `given` edits the baseline, `expect` says what must and must not come out."""

    rule_id: str | None
    name: str
    as_of: date
    given: Mapping[str, Any]
    unknown: tuple[str, ...]
    expect: Mapping[str, Any]
    where: str


def read_cases(text: str, where: str) -> list[Case]:
    """Golden cases from a TOML file with [[cases]]."""
    top = Table(read_toml(text, where), where)
    items = enumerate(top.raw("cases") or [], 1)
    cases = [case for number, item in items for case in _read_cases(item, f"{where}: case {number}")]
    top.done()
    return cases


def _read_cases(item: Any, where: str) -> Iterator[Case]:
    """The case of one entry; with `each`, one for every value of that fact."""
    table = Table(item, where)
    each = table.take("each", "table", {})
    case = _read_case(table, where)
    if not each:
        yield case
        return
    if len(each) != 1:
        raise PackError(f"{where}: each names one fact and its values")
    ((path, values),) = each.items()
    if not isinstance(values, list) or not values:
        raise PackError(f"{where}: each.{path} is a list of at least one value")
    for value in values:
        yield _with_fact(case, path, value)


def _with_fact(case: Case, path: str, value: Any) -> Case:
    name = f"{case.name}, {path} {value}"
    if path == "as_of":
        return replace(case, name=name, as_of=value)
    edit: Any = value
    for part in reversed(path.split(".")):
        edit = {part: edit}
    return replace(case, name=name, given=_edited(case.given, edit))


def _read_case(table: Table, where: str) -> Case:
    rule_id = table.take("rule_id", "str", None)
    expect = Table(table.raw("expect") or {}, f"{where}: expect")
    wanted = {key: expect.take(key, "str", None) for key in ("outcome", "scope", "enforcement")}
    wanted |= {key: expect.take(key, "[str]", None) for key in LISTS}
    wanted["parameters"] = expect.take("parameters", "table", None)
    wanted["duties"] = _duties(expect)
    expect.done()
    case = Case(
        rule_id=rule_id,
        name=table.take("name", "str", rule_id or ""),
        as_of=table.take("as_of", "date"),
        given=table.take("given", "table", {}),
        unknown=table.take("unknown", "[str]", ()),
        expect={key: value for key, value in wanted.items() if value is not None},
        where=where,
    )
    table.done()
    return case


def _duties(expect: Table) -> Mapping[str, Any] | None:
    wanted: Mapping[str, Any] | None = expect.take("duties", "table", None)
    for kind, fields in (wanted or {}).items():
        inner = Table(fields, f"{expect.where}: duties.{kind}")
        for name in DUTY_FIELDS:
            inner.raw(name)
        inner.done()
    return wanted


def check_cases(rules: Mapping[str, str], cases: Iterable[Case]) -> None:
    """Every rule (id to reason code) needs a hit and a miss. Raises PackError."""
    hits: dict[str, int] = {}
    misses: dict[str, int] = {}
    for case in cases:
        if case.rule_id is None:
            continue
        code = rules.get(case.rule_id)
        if code is None:
            raise PackError(f"{case.where}: rule {case.rule_id} is in no loaded pack")
        if code in case.expect.get("reason_codes", ()):
            hits[case.rule_id] = hits.get(case.rule_id, 0) + 1
        elif code in case.expect.get("absent_codes", ()):
            misses[case.rule_id] = misses.get(case.rule_id, 0) + 1
    for rule_id, code in rules.items():
        for found, name in ((hits, "hit"), (misses, "miss")):
            if rule_id not in found:
                want = "reason_codes" if name == "hit" else "absent_codes"
                raise PackError(f'rule {rule_id} has no {name}: add a case with {want} = ["{code}"]')


def case_facts(case: Case, baseline: Mapping[str, Any]) -> Facts:
    """The baseline with the case's edits."""
    document = _edited(baseline, {**case.given, "as_of": case.as_of})
    return Facts.parse(document).without(case.unknown)


def run_case(case: Case, baseline: Mapping[str, Any], decide: Callable[[Facts], Decision]) -> list[str]:
    """What is wrong, one sentence each; empty if the case holds."""
    decision = decide(case_facts(case, baseline))
    expect, found = case.expect, _found(decision)
    wrong = [
        f"{key} is {found[key]}, not {expect[key]}"
        for key in ("outcome", "scope")
        if key in expect and expect[key] != found[key]
    ]
    for key, pool in _PRESENT.items():
        wrong += [f"{key}: {item} is missing" for item in expect.get(key, ()) if item not in found[pool]]
    for key, pool in _MISSING.items():
        wrong += [f"{key}: {item} is there" for item in expect.get(key, ()) if item in found[pool]]
    for key in ("step_up", "not_ready"):
        if key in expect and tuple(expect[key]) != tuple(found[key]):
            wrong.append(f"{key} is {list(found[key])}, not {list(expect[key])}")
    wrong += _wrong_rule(case, decision) + _wrong_parameters(expect.get("parameters", {}), decision)
    return wrong + _wrong_duties(case, decision) + _wrong_enforcement(case, decision)


_PRESENT = {
    "obligations": "due", "advisory": "advisory", "standing": "standing", "reason_codes": "codes",
    "cites": "cites", "warnings": "warnings", "advice": "advice", "eligible_models": "models",
}  # fmt: skip
_MISSING = {
    "absent": "kinds", "absent_codes": "codes", "absent_warnings": "warnings", "ineligible_models": "models",
}  # fmt: skip


def _found(decision: Decision) -> dict[str, Any]:
    duties = decision.obligations
    return {
        "outcome": decision.outcome,
        "scope": decision.scope,
        "due": {o.kind for o in duties if not o.standing and o.enforcement != "advisory"},
        "advisory": {o.kind for o in duties if o.enforcement == "advisory"},
        "standing": {o.kind for o in duties if o.standing and o.enforcement != "advisory"},
        "kinds": {o.kind for o in duties},
        "codes": {reason.code for reason in decision.reasons},
        "cites": {reason.citation.source for reason in decision.reasons if reason.citation},
        "warnings": {remark.code for remark in decision.warnings},
        "advice": {remark.code for remark in decision.advice},
        "models": set(decision.eligible_models),
        "step_up": decision.step_up,
        "not_ready": decision.not_ready,
    }


def _wrong_rule(case: Case, decision: Decision) -> list[str]:
    """A hit must come from the very rule, and its reason must cite a source."""
    if case.rule_id is None or "reason_codes" not in case.expect:
        return []
    hits = [reason for reason in decision.reasons if reason.rule_id == case.rule_id]
    if not hits:
        return [f"rule {case.rule_id} gave no reason"]
    ahead = {o.rule_id for o in decision.obligations if o.enforcement == "advisory"}
    if case.rule_id in ahead and "advisory" not in case.expect:
        return [f"rule {case.rule_id} is only advisory at that date"]
    if "advisory" in case.expect and case.rule_id not in ahead:
        return [f"rule {case.rule_id} binds at that date"]
    return [] if all(reason.citation for reason in hits) else [f"rule {case.rule_id} cites nothing"]


def _wrong_parameters(wanted: Mapping[str, Any], decision: Decision) -> list[str]:
    wrong = []
    for kind, parameters in wanted.items():
        duties = [o.parameters for o in decision.obligations if o.kind == kind]
        if not any(all(_frozen(duty.get(k)) == _frozen(v) for k, v in parameters.items()) for duty in duties):
            wrong.append(f"no {kind} with {parameters}, only {[dict(duty) for duty in duties]}")
    return wrong


def _frozen(value: Any) -> Any:
    """Lists as tuples, which is how a loaded pack holds them."""
    if isinstance(value, Mapping):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _wrong_duties(case: Case, decision: Decision) -> list[str]:
    """Deadline, enforcement and dates of the duties that the very rule gives rise to."""
    wrong = []
    for kind, wanted in case.expect.get("duties", {}).items():
        found = [o for o in decision.obligations if (o.kind, o.rule_id) == (kind, case.rule_id)]
        if not any(all(getattr(o, name) == _plain(name, v) for name, v in wanted.items()) for o in found):
            wrong.append(f"no {kind} of {case.rule_id} with {wanted}, only {[o.to_dict() for o in found]}")
    return wrong


def _plain(name: str, value: Any) -> Any:
    return instant(value) if name == "deadline" else value


def _wrong_enforcement(case: Case, decision: Decision) -> list[str]:
    wanted = case.expect.get("enforcement")
    found = {reason.enforcement for reason in decision.reasons if reason.rule_id == case.rule_id}
    return [] if wanted is None or found == {wanted} else [f"enforcement is {found}, not {wanted}"]


def _edited(document: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the document with the edits; what is not edited is shared."""
    out = dict(document)
    for key, value in edits.items():
        inner = out.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            out[key] = _edited(inner, value)
        else:
            out[key] = value
    return out
