"""What is kept beside a decision: the facts it read and no others, kinds of rules, each provider with its reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_control_planner import CONFIG
from test_simulated import loaded_from, person

from dragoman.accounts.classes import facts_of_guest
from dragoman.control.grounds import kept
from dragoman.control.loaded import Holder, Loaded
from dragoman.control.planner import Outcome, Planner
from dragoman.core.turns import Kept
from dragoman.testing.clock import FakeClock

PLACED = {"end_users": "none", "account": "established"}
DECLARED = {"end_users": "declared", "account": "established", "residence": "SG", "age": 30}
ADDRESS = {"country": "SG", "kind": "residential", "peer": "remote"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_from(tmp_path_factory.mktemp("g"), CONFIG)


def asked(loaded: Loaded, who: dict[str, Any], model: str, **address: Any) -> tuple[Outcome, Kept]:
    question = {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": "c_x", "scopes": ["turns"],
        "route": "/v1/conversations/turns", "model": model, "channel": "api",
        "address": {**ADDRESS, **address},
    }  # fmt: skip
    outcome = Planner(Holder(loaded), lambda _: who).outcome(question, FakeClock()())
    return outcome, kept(outcome, loaded, question)


def providers(keep: Kept) -> dict[str, tuple[bool, list[str]]]:
    found = keep.made()[1]["providers"]
    return {one["provider"]: (one["eligible"], [why["code"] for why in one["reasons"]]) for one in found}


def test_every_provider_is_named_with_the_reason_it_was_not_left(loaded: Loaded) -> None:
    assert providers(asked(loaded, facts_of_guest(), "near")[1]) == {"near": (True, [])}
    declared = providers(asked(loaded, DECLARED, "chain")[1])
    assert declared == {"far": (False, ["END_USERS_NOT_PLACED"]), "near": (True, [])}
    closed = providers(asked(loaded, PLACED, "chain", country="CN")[1])
    assert closed["near"] == (True, []) or closed["near"][1] == ["DECISION_REFUSED"]
    assert closed["far"][0] is False
    assert "PROV_TERRITORY_ACCESS" in closed["far"][1]


def test_a_reason_of_a_term_has_its_source_and_both_languages(loaded: Loaded) -> None:
    made = asked(loaded, PLACED, "far", country="CN")[1].made()[1]
    (only,) = made["providers"]
    why = next(one for one in only["reasons"] if one["code"] == "PROV_TERRITORY_ACCESS")
    assert why["citation"]["url"].startswith("https://")
    assert set(why["text"]) >= {"en", "zh"}
    assert made["kinds"]["openai-api.territory"] == "provider.territory"


def test_kinds_are_those_of_the_packs(loaded: Loaded) -> None:
    outcome, keep = asked(loaded, facts_of_guest(), "near", country="CN")
    kinds = keep.made()[1]["kinds"]
    rules = {one.rule_id for one in outcome.decision.reasons if loaded.packs.rule(one.rule_id)}
    assert rules, "the packs of CN have rules that hold here"
    for rule_id in rules:
        assert kinds[rule_id] == loaded.packs.rule(rule_id).kind  # type: ignore[union-attr]


def test_facts_are_those_that_were_read_and_name_nobody(loaded: Loaded) -> None:
    who = {**DECLARED, "age": 31}
    outcome, keep = asked(loaded, who, "chain")
    facts = keep.made()[1]["facts"]
    assert set(facts) <= set(outcome.decision.read)
    assert facts["address_country"] == "SG"
    assert "31" not in json.dumps(facts), "an age is a band"
    assert set(outcome.facts.values) - set(facts), "what was not read is not shown"


def test_simulated_grounds_say_so_and_ids_tell_who_was_kept_out(loaded: Loaded) -> None:
    outcome, keep = asked(loaded, person("singapore"), "chain")
    assert keep.made()[1]["simulated"] is True
    assert providers(keep)["far"] == (False, ["SIMULATED_NOT_CARRIED_OUT"])
    vouched = {**DECLARED, "end_users": "none"}
    ids = {asked(loaded, who, "chain")[0].decision.id for who in (DECLARED, vouched)}
    assert len(ids) == 2, "the same facts, other providers: other grounds, another id"
    assert outcome.attempts


def test_nothing_is_made_before_it_is_wanted(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("made")

    monkeypatch.setattr("dragoman.control.grounds._grounds", never)
    _, keep = asked(loaded, facts_of_guest(), "near")
    with pytest.raises(AssertionError, match="made"):
        keep.made()
