"""The plan and what `POST /turns` adds to it are together the decision with every fact known at once.

A pack of its own holds each kind of rule that may read `turn.*`: notices, repeated ones, reminders, a refusal, a label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner
from dragoman.control.residual import Residuals
from dragoman.core.facts import Facts
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet, read_pack

PACK = """
[pack]
id = "aq"
version = "0.1.0"
schema_version = "1"
status = "unreviewed"
title = { en = "Nowhere", zh = "无处" }
iso = ["AQ"]
timezones = ["UTC"]
[[sources]]
id = "s"
title = "An act"
lang = "en"
official = false
"""
RULE = """
[[rules]]
rule_id = "aq.{name}"
kind = "{kind}"
applies_when = {{ {when} }}
effective_from = 2020-01-01
enforcement = "in_force"
on_missing = "{missing}"
source_refs = ["s"]
certainty = "v"
reason_code = "AQ_{code}"
title = {{ en = "{name}", zh = "{name}" }}
[rules.{kind}]
{body}
"""
TEXT = 'locale_text = { en = "x", zh = "y" }'
TURN = 'event = ["turn"]'
RULES = [
    ("always", "notice", TURN, "oblige", f'id = "always"\ntrigger = "event"\n{TEXT}'),
    ("first", "notice", TURN, "oblige", f'id = "first"\ntrigger = "first_turn"\n{TEXT}'),
    ("monthly", "notice", TURN, "oblige", f'id = "monthly"\ntrigger = "session"\nevery = {{ days = 30 }}\n{TEXT}'),
    ("hour", "reminder", TURN, "oblige", f'id = "hour"\ninterval_min = 60\n{TEXT}'),
    ("three", "reminder", f'{TURN}, feature = ["companion"]', "oblige", f'id = "three"\ninterval_min = 180\n{TEXT}'),
    ("night", "notice", f"{TURN}, continuous_minutes = {{ gte = 480 }}", "oblige", f'id = "night"\ntrigger = "event"\n{TEXT}'),
    ("end", "availability", f"{TURN}, turn_index = {{ gt = 50 }}", "deny", 'mode = "prohibited"'),
]  # fmt: skip
LABEL = (
    "label",
    "label.visible",
    f"{TURN}, turn_index = {{ gte = 10 }}",
    "oblige",
    f'modality = ["text"]\n{TEXT}',
)
CLASSES = {
    "placed": {"end_users": "placed", "account": "established", "residence": "AQ"},
    "elsewhere": {"end_users": "placed", "account": "established", "residence": "SG"},
    "staff": {"end_users": "none", "account": "established"},
}
NOW = 1_795_000_000_000


def pack(rules: list[tuple[str, str, str, str, str]]) -> str:
    return PACK + "".join(
        RULE.format(name=n, code=n.upper(), kind=k, when=w, missing=m, body=b) for n, k, w, m, b in rules
    )


def read(folder: Path, rules: list[tuple[str, str, str, str, str]], feature: str = "assistant") -> Loaded:
    """A reading with the pack among the shipped ones. Cases are for packs in use; these rules are tested here."""
    folder.mkdir(parents=True)
    file = folder / "dragoman.toml"
    file.write_text(
        f'[deployment]\nseat = "SG"\nfeature = "{feature}"\naudience = "public"\n', encoding="utf-8"
    )
    loaded = read_all(file, lambda _: None)
    packs = PackSet.of([*loaded.packs.packs.values(), read_pack(pack(rules), "aq.toml")])
    fields = {name: getattr(loaded, name) for name in Loaded.__dataclass_fields__}
    return Loaded(**{**fields, "packs": packs})


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> list[Loaded]:
    folder = tmp_path_factory.mktemp("residual")
    return [
        read(folder / "a", RULES),
        read(folder / "b", RULES, "companion"),
        read(folder / "c", [*RULES, LABEL]),
        read(folder / "d", RULES[3:5], "companion"),
        read(folder / "e", RULES[:1]),
    ]


def question(klass: str) -> dict[str, Any]:
    return {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": klass, "scopes": ["turns"],
        "route": "/v1/conversations/turns", "model": "dragoman", "channel": "api",
        "address": {"country": "AQ", "kind": "residential", "peer": "remote"},
    }  # fmt: skip


MINUTES = st.sampled_from([0, 1, 59, 60, 61, 179, 180, 479, 480, 43_199, 43_200, 10**6])
FACTS = st.fixed_dictionaries(
    {"turn.index": st.sampled_from([1, 2, 9, 10, 50, 51, 5000])},
    optional={
        "turn.continuous_minutes": MINUTES,
        "turn.minutes_since.hour": MINUTES,
        "turn.minutes_since.three": MINUTES,
        "turn.minutes_since.monthly": MINUTES,
        "turn.minutes_since.night": MINUTES,
    },
)


def names(notices: Any) -> list[str]:
    return sorted(one["id"] for one in notices)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 4), klass=st.sampled_from(sorted(CLASSES)), turn=FACTS)
def test_plan_and_residual_are_the_whole_decision(
    worlds: list[Loaded], which: int, klass: str, turn: Any
) -> None:
    loaded = worlds[which]
    planner = Planner(Holder(loaded), CLASSES.get)
    residuals = Residuals(planner, Holder(loaded))
    plan = planner.plan(question(klass), NOW)
    added = residuals.decide(question(klass), turn, NOW)
    at_once = planner.outcome(question(klass), NOW, turn)
    if added.refusal is None:
        assert at_once.attempts
        assert sorted(names(plan["notices"]) + names(added.notices)) == names(at_once.duties.notices)
        assert plan["labels"] == at_once.duties.labels, "what /turns cannot carry is refused"
        assert sorted(one.notice for one in added.due if one.notice) == names(at_once.duties.notices)
    else:
        assert added.notices == []
        assert added.kept is not None
        assert added.kept.decision == added.kept.made()[0]["id"] == added.decision
        assert not at_once.attempts or plan["labels"] != at_once.duties.labels
    if not plan["residual"]:
        assert (added.notices, added.entry, added.refusal) == ([], None, None)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 4), turn=FACTS)
def test_the_engine_itself_agrees(worlds: list[Loaded], which: int, turn: Any) -> None:
    """Below the planner: nothing decided with `turn.*` open changes when the facts are there."""
    loaded = worlds[which]
    person = {
        "residence": "AQ",
        "address_country": "AQ",
        "event": "turn",
        "model": "dragoman",
        "account": "established",
    }
    facts = Facts.parse({"as_of": NOW, **person})
    opened = decide(facts, loaded.packs, loaded.world, open=("turn.",))
    whole = decide(Facts(facts.as_of, {**facts.values, **turn}), loaded.packs, loaded.world)
    before = {(one.kind, one.rule_id) for one in opened.obligations}
    after = {(one.kind, one.rule_id) for one in whole.obligations}
    assert before <= after
    assert {rule for _, rule in after - before} <= set(opened.residual)
    reasons = {(one.code, one.effect) for one in whole.reasons} - {
        (one.code, one.effect) for one in opened.reasons
    }
    assert {code.removeprefix("AQ_").lower() for code, _ in reasons} <= {
        r.removeprefix("aq.") for r in opened.residual
    }


def test_each_kind_of_rule_has_its_moment(worlds: list[Loaded]) -> None:
    def added(which: int, **turn: int) -> tuple[list[str], str | None]:
        planner = Planner(Holder(worlds[which]), CLASSES.get)
        facts = {f"turn.{name.replace('__', '.')}": value for name, value in turn.items()}
        found = Residuals(planner, Holder(worlds[which])).decide(question("placed"), facts, NOW)
        return names(found.notices), found.refusal["outcome"] if found.refusal else None

    first = {"index": 1, "continuous_minutes": 0}
    assert added(0, **first) == (["first", "monthly"], None)
    later = {"index": 2, "continuous_minutes": 59, "minutes_since__monthly": 100}
    assert added(0, **later) == ([], None)
    assert added(0, **{**later, "continuous_minutes": 60}) == (["hour"], None)
    assert added(0, **{**later, "continuous_minutes": 60, "minutes_since__hour": 5}) == ([], None)
    assert added(0, **{**later, "minutes_since__monthly": 43_200}) == (["monthly"], None)
    assert added(1, **{**later, "continuous_minutes": 60}) == (["hour", "three"], None), (
        "the shortest interval"
    )
    assert added(0, **{**later, "continuous_minutes": 480}) == (["hour", "night"], None)
    assert added(0, index=51, continuous_minutes=0, minutes_since__monthly=1) == ([], "DENY")
    assert added(2, index=10, continuous_minutes=0, minutes_since__monthly=1) == ([], "NOT_READY"), (
        "a label late"
    )
    assert added(0, index=2)[0] == ["hour", "monthly", "night"], "unknown is due"


def test_an_entry_names_the_decision_that_was_made(worlds: list[Loaded]) -> None:
    planner = Planner(Holder(worlds[0]), CLASSES.get)
    found = Residuals(planner, Holder(worlds[0])).decide(question("placed"), {"turn.index": 51}, NOW)
    assert found.entry is not None
    assert found.kept is not None
    assert found.entry["decision"] == found.decision == found.kept.made()[0]["id"]
    assert found.decision != planner.plan(question("placed"), NOW)["decision"]["id"]
    assert found.entry["outcome"] == "DENY"
    assert {"turn.index"} <= set(found.entry["facts"])
    stateless = Residuals(planner, Holder(worlds[0])).decide(question("placed"), None, NOW)
    assert (stateless.notices, stateless.entry) == ([], None)
