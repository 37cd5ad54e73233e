"""Equal questions share a decision for a minute: never across a date, another reading, or another person's facts.

Every case has its control: the same question a moment before, or without the change, is answered by what is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_control_planner import CONFIG
from test_simulated import loaded_from

from dragoman.control.loaded import Holder, Loaded
from dragoman.control.planner import Outcome, Planner
from dragoman.control.residual import Residuals
from dragoman.control.sharing import SHARED, SHARED_MS
from dragoman.core.turns import Residual
from dragoman.decide.packs import PackSet, read_pack

NOW = 1_795_000_000_000
MIDNIGHT = NOW - NOW % 86_400_000 + 86_400_000
CLASSES: dict[str, dict[str, Any]] = {
    "staff": {"end_users": "none", "account": "established"},
    "home": {"end_users": "placed", "account": "established", "residence": "AQ"},
    "declared": {"end_users": "declared", "account": "established", "residence": "SG", "age": 30},
    "pretending": {"end_users": "placed", "account": "established", "residence": "SG", "age": 30},
}
PACK = """
[pack]
id = "aq"
version = "0.1.0"
schema_version = "1"
status = "unreviewed"
title = {{ en = "Nowhere", zh = "无处" }}
iso = ["AQ"]
timezones = ["UTC"]
[[sources]]
id = "s"
title = "An act"
lang = "en"
official = false
[[rules]]
rule_id = "aq.closed"
kind = "availability"
applies_when = {{ event = ["turn"]{when} }}
effective_from = {day}
enforcement = "in_force"
on_missing = "{missing}"
source_refs = ["s"]
certainty = "v"
reason_code = "AQ_CLOSED"
title = {{ en = "Closed", zh = "关闭" }}
[rules.availability]
mode = "prohibited"
"""
FLIP = PACK.format(day="2026-11-19", when="", missing="deny")
"""Closed from the midnight that follows NOW."""


class Counting(Planner):
    """A planner that counts what it decides anew."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(holder, CLASSES.get, lambda _: "default")
        self.made = 0

    def outcome(
        self, question: Mapping[str, Any], now: int, turn: Mapping[str, int] | None = None
    ) -> Outcome:
        self.made += 1
        return super().outcome(question, now, turn)


class Desk:
    """What answers `POST /turns`, by a reading that can be replaced."""

    def __init__(self, loaded: Loaded) -> None:
        self.holder = Holder(loaded)
        self.planner = Counting(self.holder)
        self.residuals = Residuals(self.planner, self.holder)

    def ask(
        self, now: int = NOW, klass: str = "staff", turn: Mapping[str, int] | None = None, **changes: Any
    ) -> Residual:
        question = {
            "tenant": "ten_local_a", "app": None, "end_users": "none", "class": klass, "scopes": ["turns"],
            "route": "/v1/conversations/turns", "model": "near", "channel": "api",
            "address": {"country": None, "kind": "unknown", "peer": "loopback"},
        }  # fmt: skip
        return self.residuals.decide({**question, **changes}, {"turn.index": 1, **(turn or {})}, now)


def with_pack(loaded: Loaded, text: str) -> Loaded:
    packs = PackSet.of(
        [*(one for one in loaded.packs.packs.values() if one.id != "aq"), read_pack(text, "aq")]
    )
    fields = {name: getattr(loaded, name) for name in Loaded.__dataclass_fields__}
    return Loaded(**{**fields, "packs": packs})


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_from(tmp_path_factory.mktemp("sharing"), CONFIG)


def test_equal_questions_are_decided_once_a_minute(loaded: Loaded) -> None:
    desk = Desk(loaded)
    first = desk.ask(NOW)
    assert desk.ask(NOW + SHARED_MS - 1) is first
    assert desk.planner.made == 1
    again = desk.ask(NOW + SHARED_MS)
    assert desk.planner.made == 2
    assert again.decision == first.decision, "nothing has changed"
    assert again.kept is not None
    assert again.kept.at == NOW + SHARED_MS
    desk.ask(NOW + SHARED_MS - 1)
    assert desk.planner.made == 3, "a clock that was set back finds nothing"


def test_the_order_of_a_question_s_members_is_nothing(loaded: Loaded) -> None:
    desk = Desk(loaded)
    desk.ask()
    desk.ask(address={"peer": "loopback", "kind": "unknown", "country": None})
    assert desk.planner.made == 1


@pytest.mark.parametrize(
    "change",
    [
        {"klass": "home"}, {"klass": "declared"}, {"klass": "pretending"}, {"tenant": "ten_local_b"},
        {"model": "chain"}, {"channel": "web"}, {"app": "app_local_a"}, {"scopes": ["turns", "models"]},
        {"end_users": "placed"}, {"route": "/v1/chat/completions"},
        {"address": {"country": "CN", "kind": "unknown", "peer": "loopback"}},
        {"address": {"country": None, "kind": "vpn", "peer": "loopback"}},
        {"address": {"country": None, "kind": "unknown", "peer": "remote"}},
    ],
)  # fmt: skip
def test_another_question_is_decided_for_itself(loaded: Loaded, change: dict[str, Any]) -> None:
    desk = Desk(loaded)
    desk.ask()
    other = desk.ask(NOW + 1, **change)
    assert desk.planner.made == 2
    assert other == replace(Desk(loaded).ask(NOW + 1, **change), kept=other.kept, entry=other.entry)
    desk.ask(NOW + 2)
    assert desk.planner.made == 2, "the control: the first is still shared"


def test_a_rule_s_first_day_ends_what_was_decided_before_it(loaded: Loaded) -> None:
    desk = Desk(with_pack(loaded, FLIP))
    open_ = desk.ask(MIDNIGHT - 30_000, "home")
    assert open_.refusal is None
    assert desk.ask(MIDNIGHT - 1, "home") is open_, "the control: a millisecond before, it is shared"
    closed = desk.ask(MIDNIGHT, "home")
    assert closed.refusal is not None
    assert closed.refusal["reasons"][0]["code"] == "AQ_CLOSED"
    assert closed.decision != open_.decision
    untouched = desk.ask(MIDNIGHT - 30_000)
    assert desk.ask(MIDNIGHT + 1) is untouched, "the control: another place's date changes nothing"


def test_a_date_that_only_the_rules_left_open_know(loaded: Loaded) -> None:
    """Shared in two steps, with `turn.*` open and known: neither outlives the date."""
    desk = Desk(
        with_pack(loaded, PACK.format(day="2026-11-19", when=", turn_index = { gt = 5 }", missing="deny"))
    )
    late = {"turn.index": 6}
    assert desk.ask(MIDNIGHT - 30_000, "home", late).refusal is None
    made = desk.planner.made
    assert desk.ask(MIDNIGHT - 1, "home", late).refusal is None
    assert desk.planner.made == made, "the control"
    assert desk.ask(MIDNIGHT, "home", {"turn.index": 5}).refusal is None
    assert desk.ask(MIDNIGHT, "home", late).refusal is not None
    assert desk.ask(MIDNIGHT + 1, "home", {"turn.index": 5}).refusal is None


def test_what_a_turn_s_own_facts_decide_is_shared_within_their_bands(loaded: Loaded) -> None:
    desk = Desk(
        with_pack(loaded, PACK.format(day="2020-01-01", when=", turn_index = { gt = 5 }", missing="deny"))
    )
    before = [desk.ask(NOW + n, "home", {"turn.index": n}) for n in range(2, 6)]
    assert {one.refusal is None for one in before} == {True}
    assert {one.decision for one in before} == {before[0].decision}
    assert desk.planner.made == 2, "once with them open, once with them"
    after = desk.ask(NOW + 6, "home", {"turn.index": 6})
    assert after.refusal is not None
    assert after.entry is not None
    assert after.entry["facts"]["turn.index"] == "6+"
    assert desk.ask(NOW + 7, "home", {"turn.index": 5}).refusal is None, "the control: not shared across"


def test_an_entry_is_written_when_its_turn_is(loaded: Loaded) -> None:
    desk = Desk(with_pack(loaded, PACK.format(day="2020-01-01", when="", missing="deny")))
    first, second = desk.ask(NOW, "home"), desk.ask(NOW + 5_000, "home")
    assert desk.planner.made == 1
    assert first.entry is not None
    assert second.entry is not None
    assert (first.entry["at"], second.entry["at"]) == (NOW, NOW + 5_000)
    assert (first.entry["as_of"], second.entry["as_of"]) == (NOW, NOW)
    assert first.decision == second.decision == second.entry["decision"]
    assert str(NOW + 5_000) in second.shown_text


CHANGED = {
    "seat": CONFIG.replace('seat = "SG"', 'seat = "CN"'),
    "evidence": CONFIG.replace(
        "[zone]", '[deployment.evidence.icp_filing]\nnumber = "1"\nexpires = 2027-01-01\n[zone]', 1
    ),
    "staff": CONFIG + '\n[tenants.default]\nstaff_residence = "DE"\nstaff_adults = true\n',
    "fallback": CONFIG.replace('fallbacks = ["near"]', "fallbacks = []"),
    "label": CONFIG + "\n[label]\nalways = false\n",
    "rules": 'rules = ["r.toml"]\n' + CONFIG,
}


@pytest.mark.parametrize("what", sorted(CHANGED))
def test_another_reading_of_the_file_decides_anew(loaded: Loaded, tmp_path: Path, what: str) -> None:
    rule = (
        '[[rules]]\nid = "op.x"\nwords = ["unlikely"]\naction = "flag"\nmessage = { en = "no", zh = "不" }\n'
    )
    (tmp_path / "r.toml").write_text(rule, encoding="utf-8")
    desk = Desk(loaded)
    desk.ask(model="chain")
    desk.ask(model="chain")
    assert desk.planner.made == 1, "the control"
    other = loaded_from(tmp_path, CHANGED[what])
    desk.holder.swap(other)
    found = desk.ask(NOW + 1, model="chain")
    assert desk.planner.made > 1
    fresh = Desk(other).ask(NOW + 1, model="chain")
    assert (found.decision, found.due, found.refusal) == (fresh.decision, fresh.due, fresh.refusal)


def test_a_changed_pack_decides_anew(loaded: Loaded) -> None:
    desk = Desk(loaded)
    assert desk.ask(NOW, "home").refusal is None
    desk.holder.swap(with_pack(loaded, PACK.format(day="2020-01-01", when="", missing="deny")))
    assert desk.ask(NOW + 1, "home").refusal is not None
    desk.holder.swap(loaded)
    assert desk.ask(NOW + 2, "home").refusal is None, "and back"


def test_evidence_ends_with_its_last_day(tmp_path: Path) -> None:
    evaluation = PACK.format(day="2020-01-01", when="", missing="not_ready").replace(
        '[rules.availability]\nmode = "prohibited"', '[rules.evaluation]\nevidence = "test_bank"'
    )
    held = CONFIG.replace(
        "[zone]", '[deployment.evidence.test_bank]\nnumber = "1"\nexpires = 2026-11-18\n[zone]', 1
    )
    desk = Desk(with_pack(loaded_from(tmp_path, held), evaluation.replace('"availability"', '"evaluation"')))
    ready = desk.ask(MIDNIGHT - 30_000, "home")
    assert ready.refusal is None
    assert desk.ask(MIDNIGHT - 1, "home") is ready, "the control: it is the evidence's last day"
    over = desk.ask(MIDNIGHT, "home")
    assert over.refusal is not None
    assert over.refusal["outcome"] == "NOT_READY"


def test_what_is_held_is_bounded(loaded: Loaded) -> None:
    desk = Desk(loaded)
    for n in range(SHARED + 1):
        desk.ask(tenant=f"ten_local_{n}")
    desk.ask(tenant=f"ten_local_{SHARED}")
    assert desk.planner.made == SHARED + 1
    desk.ask(tenant="ten_local_0")
    assert desk.planner.made == SHARED + 2, "forgotten with all others when one more came"
