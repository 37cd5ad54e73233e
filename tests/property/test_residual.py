"""The plan and what `POST /turns` adds to it are together the decision with every fact known at once.

A pack of its own holds each kind of rule that may read `turn.*`: notices, repeated ones, reminders, a refusal, a label.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.control import residual
from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner
from dragoman.control.residual import Residuals
from dragoman.core.facts import Facts
from dragoman.core.turns import Residual
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


DAY_MS = 86_400_000
FLIPS = NOW - NOW % DAY_MS + DAY_MS
"""The midnight, UTC, from which the rules of `flipping` hold."""


@pytest.fixture(scope="module")
def flipping(tmp_path_factory: pytest.TempPathFactory) -> list[Loaded]:
    """The worlds with rules that begin at a midnight."""
    folder = tmp_path_factory.mktemp("flipping")
    begins = "effective_from = 2026-11-19"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.RULE", RULE.replace("effective_from = 2020-01-01", begins))
        return [read(folder / "a", RULES), read(folder / "c", [*RULES, LABEL]), read(folder / "e", RULES[:1])]


ASKED = st.lists(
    st.tuples(st.sampled_from(sorted(CLASSES)), FACTS, st.integers(-70_000, 70_000)), min_size=2, max_size=12
)


def told(added: Residual) -> dict[str, Any]:
    """All that a turn gets, without the instants of its decision."""
    entry = {name: one for name, one in (added.entry or {}).items() if name != "as_of"}
    document, grounds = added.kept.made() if added.kept else ({}, {})
    document = {name: one for name, one in document.items() if name != "as_of"}
    said = [names(added.notices), added.due, added.decision, document, grounds, entry]
    return {"said": said, "refusal": added.refusal}


def differing(loaded: Loaded, asked: list[tuple[str, dict[str, int], int]]) -> list[int]:
    """Instants, beside the flip, at which a shared decision is another than a fresh one."""
    planner = Planner(Holder(loaded), CLASSES.get)
    sharing = Residuals(planner, Holder(loaded))
    wrong = []
    for klass, turn, beside in sorted(asked, key=lambda one: one[2]):
        now = FLIPS + beside
        fresh = Residuals(planner, Holder(loaded)).decide(question(klass), turn, now)
        if told(sharing.decide(question(klass), turn, now)) != told(fresh):
            wrong.append(beside)
    return wrong


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 7), asked=ASKED)
def test_shared_is_fresh(
    worlds: list[Loaded], flipping: list[Loaded], which: int, asked: list[tuple[str, dict[str, int], int]]
) -> None:
    assert differing([*worlds, *flipping][which], asked) == []


def test_what_is_shared_too_long_or_too_widely_is_caught(
    worlds: list[Loaded], flipping: list[Loaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative controls of the same check."""
    late = [("placed", {"turn.index": 51}, -10), ("placed", {"turn.index": 51}, 10)]
    other = [("placed", {"turn.index": 2}, 0), ("placed", {"turn.index": 51}, 1)]
    assert differing(flipping[0], late) == differing(worlds[0], other) == []
    with monkeypatch.context() as patch:
        patch.setattr(residual, "ends", lambda now, _: now + 60_000)
        patch.setattr(residual, "min", lambda first, _: first, raising=False)
        assert differing(flipping[0], late) == [10]
    with monkeypatch.context() as patch:
        patch.setattr(residual, "generalise", lambda *_: {})
        assert differing(worlds[0], other) == [1]


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
