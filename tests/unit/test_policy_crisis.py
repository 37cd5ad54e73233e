"""A law's protocol for people in crisis: what carries it out, what is missing, what is to be declared instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.accounts.simulated import facts_of_simulated
from dragoman.checks import zone_checks
from dragoman.checks.results import Subject
from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner
from dragoman.control.rule_check import compile_rules
from dragoman.errors import ConfigError
from dragoman.web.presets import load_presets

NOW = 1_795_694_400_000  # 2026-11-26
RULE = """
[[rules]]
id = "house.selfharm"
words = ["hurt myself", "伤害自己"]
direction = ["in"]
action = "refuse"
category = "selfharm"
message = { en = "You are not alone.", zh = "您并不孤单。" }
"""
COMPANION = '[deployment]\nfeature = "companion"\n'
REFERRAL = """
[crisis.US-NY]
refer = { en = "The test's line: write to line@example.org.", zh = "测试热线：请写信至 line@example.org。" }
"""


def loaded(tmp_path: Path, text: str = "", rule: str | None = RULE) -> Loaded:
    file = tmp_path / "dragoman.toml"
    (tmp_path / "rules.toml").write_text(rule or "", encoding="utf-8")
    file.write_text(f'rules = ["rules.toml"]\n{text}\n[zone]\ndata = "d"\n', encoding="utf-8")
    return read_all(file, compile_rules)


def plan(one: Loaded, preset: str = "new-york", **facts: Any) -> dict[str, Any]:
    """What a turn of a preset's person comes to."""
    person = facts_of_simulated(next(item for item in load_presets() if item.id == preset).simulated)
    question = {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": "c_1", "scopes": ["turns"],
        "route": "/v1/conversations/turns", "model": "dragoman", "channel": "web",
        "address": {"country": "AQ", "kind": "residential", "peer": "loopback"},
    }  # fmt: skip
    planner = Planner(Holder(one), lambda _: {**person, **facts}, lambda _: "default")
    return planner.plan(question, NOW)


def test_a_companion_with_a_rule_and_a_referral_answers_in_new_york(tmp_path: Path) -> None:
    made = plan(loaded(tmp_path, COMPANION + REFERRAL))
    assert (made["outcome"], made["refusal"]) == ("ALLOW_WITH", None)
    assert made["attempts"]
    assert "crisis" not in made["must"]
    assert "us-ny.companion.crisis" in {one["rule_id"] for one in made["decision_entry"]["obligations"]}
    assert made["residual"] == ["us-ny.companion.notice", "us-ny.companion.reminder"], "decided with the turn"


@pytest.mark.parametrize(
    ("text", "rule", "lacks"),
    [
        (COMPANION, RULE, ["crisis_referral.US-NY"]),
        (COMPANION + REFERRAL, None, ["crisis_rule.selfharm"]),
        (COMPANION, None, ["crisis_referral.US-NY", "crisis_rule.selfharm"]),
        (COMPANION + REFERRAL.replace("US-NY", "US-CA"), RULE, ["crisis_referral.US-NY"]),
        (COMPANION + REFERRAL, RULE.replace('"refuse"', '"flag"'), ["crisis_rule.selfharm"]),
        (COMPANION + REFERRAL, RULE.replace('["in"]', '["out"]'), ["crisis_rule.selfharm"]),
        (COMPANION + REFERRAL, RULE.replace('category = "selfharm"', ""), ["crisis_rule.selfharm"]),
        ("", RULE, ["crisis_referral.US-NY|operator.feature"]),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, text: str, rule: str | None, lacks: list[str]) -> None:
    made = plan(loaded(tmp_path, text, rule))
    assert (made["outcome"], made["attempts"]) == ("NOT_READY", [])
    assert made["decision"]["not_ready"] == lacks
    said = made["refusal"]["text"]
    assert "the operator has not set up what this duty needs (crisis)" in said["en"]
    assert "运营者尚未配置履行该义务所需的内容" in said["zh"]
    assert ("a crisis service to refer people to (US-NY)" in said["en"]) == any(
        "referral" in x for x in lacks
    )
    assert ("a rule of its own that recognises" in said["en"]) == any("rule" in x for x in lacks)
    assert ("what kind of service it offers" in said["en"]) == (text == "")


def test_a_referral_for_the_country_stands_for_its_parts(tmp_path: Path) -> None:
    assert plan(loaded(tmp_path, COMPANION + REFERRAL.replace("US-NY", "US")))["attempts"]


def test_a_rule_of_law_that_reads_the_unstated_feature_asks_for_it(tmp_path: Path) -> None:
    person = next(one for one in load_presets() if one.id == "new-york").simulated.document()
    far = {"simulated": {**person, "subdivision": "US-CA"}}
    made = plan(loaded(tmp_path), **far)
    assert made["outcome"] == "NOT_READY"
    assert made["decision"]["not_ready"] == ["operator.feature", "self_harm_protocol"]
    assert "what kind of service it offers" in made["refusal"]["text"]["en"]
    said = plan(loaded(tmp_path, COMPANION), **far)
    assert said["decision"]["not_ready"] == ["self_harm_protocol"], "the control: it is stated"
    assert plan(loaded(tmp_path, '[deployment]\nfeature = "assistant"'), **far)["attempts"]


def test_a_declared_assistant_owes_nothing_of_it(tmp_path: Path) -> None:
    assert plan(loaded(tmp_path, '[deployment]\nfeature = "assistant"', None))["attempts"]


def test_what_no_configuration_carries_stays_refused(tmp_path: Path) -> None:
    """A duty to call a guardian: nothing here can, whatever rules and referrals there are."""
    text = COMPANION + REFERRAL.replace("US-NY", "CN")
    evidence = "".join(
        f'[deployment.evidence.{name}]\nnumber = "1"\n'
        for name in (
            "icp_filing", "genai_registration", "algorithm_filing", "genai_security_assessment",
            "keyword_list", "test_bank",
        )
    )  # fmt: skip
    text = text.replace('feature = "companion"', 'feature = "companion"\nmodel_use = "api"')
    made = plan(loaded(tmp_path, text + evidence), "shanghai")
    assert made["outcome"] == "NOT_READY"
    assert {"cn.companion.crisis", "cn.companion.exit"} <= {
        one["rule_id"] for one in made["refusal"]["reasons"] if one["code"] == "DUTY_NOT_CARRIED"
    }
    assert "cannot be carried out on this route yet (crisis)" in made["refusal"]["text"]["en"]


def test_the_answer_to_who_is_in_crisis_names_the_services(tmp_path: Path) -> None:
    one = loaded(tmp_path, COMPANION + REFERRAL + REFERRAL.replace("US-NY", "US-CA").replace("line", "other"))
    (rule,) = json.loads(one.rules.body)["rules"]
    assert rule["message"] == {
        "en": "You are not alone.\nThe test's other: write to other@example.org."
        "\nThe test's line: write to line@example.org.",
        "zh": "您并不孤单。\n测试热线：请写信至 other@example.org。\n测试热线：请写信至 line@example.org。",
    }
    other = loaded(tmp_path, COMPANION + REFERRAL, RULE.replace('category = "selfharm"', ""))
    (rule,) = json.loads(other.rules.body)["rules"]
    assert rule["message"]["en"] == "You are not alone.", "the control: another rule's message is its own"


def test_the_doctor_and_the_setup_see_what_a_turn_would_meet(tmp_path: Path) -> None:
    text = '[deployment]\nmarkets = ["US"]\n'
    missing = Subject(loaded(tmp_path, text).settings, loaded(tmp_path, text))
    assert "operator.feature" in " ".join(zone_checks.not_ready(missing, "US"))
    stated = loaded(tmp_path, text + 'feature = "assistant"\n')
    assert zone_checks.not_ready(Subject(stated.settings, stated), "US") == ()


@pytest.mark.parametrize("name", ["us-ny", "USA", "US_NY", "*"])
def test_a_place_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no place"):
        loaded(tmp_path, REFERRAL.replace("US-NY", f'"{name}"'))


def test_a_category_that_no_law_here_asks_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="category"):
        loaded(tmp_path, "", RULE.replace('category = "selfharm"', 'category = "self-harm"'))
