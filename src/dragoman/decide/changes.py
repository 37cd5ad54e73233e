"""What differs between two decisions on the same facts: outcome, reasons, duties, what is asked for.

For `simulate`. Deadlines are left out, because they are counted from the instant; so are warnings, which bind
nobody. A difference is a frozen value, so that equal ones are counted together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.core.decision import Decision, Obligation

REASON, OBLIGATION, PARAMETER, NEED, PROVIDER, SCOPE = (
    "reason", "obligation", "parameter", "need", "provider", "scope",
)  # fmt: skip
"""What a difference is of. Only the first three name a rule."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is otherwise; `before` or `after` None where it is not there.

    | of | name | before, after |
    |---|---|---|
    | `reason` | reason code | its effects |
    | `obligation` | kind | enforcement, day from which it binds, `standing` |
    | `parameter` | kind and field of a duty | the value as JSON |
    | `need` | signal or evidence asked for | `step_up` or `not_ready` |
    | `provider` | model and provider | `open` |
    | `scope` | empty | how far a refusal reaches |
    """

    rule_id: str | None
    of: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """Outcome before and after, and every difference, sorted."""

    before: str
    after: str
    differences: tuple[Difference, ...]


def change(before: Decision, after: Decision) -> Change | None:
    """How the second decision differs from the first, or None."""
    found = [
        *_tables(REASON, _reasons(before), _reasons(after)),
        *_obligations(before.obligations, after.obligations),
        *_plain(NEED, _needs(before), _needs(after)),
        *_plain(PROVIDER, _providers(before, after), _providers(after, before)),
    ]
    if before.scope != after.scope:
        found.append(Difference(None, SCOPE, "", before.scope, after.scope))
    if not found and before.outcome == after.outcome:
        return None
    return Change(before.outcome, after.outcome, tuple(sorted(found, key=_order)))


def _order(one: Difference) -> tuple[str, ...]:
    return (one.rule_id or "", one.of, one.name, one.before or "", one.after or "")


def _reasons(decision: Decision) -> Mapping[tuple[str, str], str]:
    effects: dict[tuple[str, str], list[str]] = {}
    for reason in decision.reasons:
        effects.setdefault((reason.rule_id, reason.code), []).append(reason.effect)
    return {key: " ".join(found) for key, found in effects.items()}


def _tables(
    of: str, before: Mapping[tuple[str, str], str], after: Mapping[tuple[str, str], str]
) -> Iterator[Difference]:
    if before == after:
        return
    for key in {**before, **after}:
        one, other = before.get(key), after.get(key)
        if one != other:
            yield Difference(key[0], of, key[1], one, other)


def _obligations(before: Iterable[Obligation], after: Iterable[Obligation]) -> Iterator[Difference]:
    one, other = _by_rule(before), _by_rule(after)
    yield from _tables(OBLIGATION, _standings(one), _standings(other))
    for key in one.keys() & other.keys():
        for old, new in zip(one[key], other[key], strict=False):
            if old.parameters is not new.parameters and old.parameters != new.parameters:
                yield from _parameters(key, old.parameters, new.parameters)


def _by_rule(obligations: Iterable[Obligation]) -> Mapping[tuple[str, str], list[Obligation]]:
    found: dict[tuple[str, str], list[Obligation]] = {}
    for one in obligations:
        found.setdefault((one.rule_id, one.kind), []).append(one)
    return found


def _standings(found: Mapping[tuple[str, str], list[Obligation]]) -> Mapping[tuple[str, str], str]:
    return {key: "; ".join(_standing(one) for one in duties) for key, duties in found.items()}


def _standing(one: Obligation) -> str:
    since = f" from {one.binding_from}" if one.binding_from else ""
    return f"{one.enforcement}{since}{', standing' if one.standing else ''}"


def _parameters(key: tuple[str, str], old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for field in sorted({*old, *new}):
        one, other = old.get(field), new.get(field)
        if one != other:
            yield Difference(key[0], PARAMETER, f"{key[1]}.{field}", _told(one), _told(other))


def _told(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True, default=_listed)


def _listed(value: Any) -> Any:
    """JSON values of what packs hold beside them: frozen tables, dates."""
    return dict(value) if isinstance(value, Mapping) else str(value)


def _needs(decision: Decision) -> Mapping[str, str]:
    return {
        **dict.fromkeys(decision.step_up, "step_up"),
        **dict.fromkeys(decision.not_ready, "not_ready"),
    }


def _providers(decision: Decision, other: Decision) -> Mapping[str, str]:
    """Of models that both permit, in a turn that goes on; what closes a model is told by its reasons."""
    if not (decision.allowed and other.allowed):
        return {}
    return {
        f"{model} · {provider}": "open"
        for model, providers in decision.permitted.items()
        if model in other.permitted
        for provider in providers
    }


def _plain(of: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Difference]:
    if before == after:
        return
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield Difference(None, of, name, before.get(name), after.get(name))
