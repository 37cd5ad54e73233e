"""Single plans: declared users and territory terms, another zone, staff vouched for, fallbacks, tags, reuse."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.control.live import LiveQuestions
from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner, is_reusable
from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.errors import RefusedError
from dragoman.testing.clock import FakeClock

CONFIG = """
[deployment]
seat = "SG"
contact = "appeals@operator.example"
[zone]
country = "SG"
[zones.eu]
address = "https://eu.example.org"
countries = ["CH", "NO"]
[providers.far]
base_url = "https://api.openai.com/v1"
[providers.near]
base_url = "https://models.example/v1"
[models.far]
provider = "far"
model = "far-1"
[models.near]
provider = "near"
model = "near-1"
[models.chain]
provider = "far"
model = "far-1"
fallbacks = ["near"]
"""
STAFF = {"end_users": "none", "account": "established"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    file = tmp_path_factory.mktemp("p") / "dragoman.toml"
    file.write_text(CONFIG, encoding="utf-8")
    return read_all(file, lambda _: None)


def ask(loaded: Loaded, person: dict[str, Any], model: str, **address: Any) -> dict[str, Any]:
    question = {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": "c_x", "scopes": ["turns"],
        "route": "/v1/chat/completions", "model": model, "channel": "api",
        "address": {"country": None, "kind": "unknown", "peer": "loopback", **address},
    }  # fmt: skip
    return Planner(Holder(loaded), lambda _: person).plan(question, FakeClock()())


def test_staff_of_a_supported_seat_may_use_a_vendor(loaded: Loaded) -> None:
    plan = ask(loaded, STAFF, "far")
    assert plan["attempts"] == [{"provider": "far", "model": "far-1"}]


def test_a_merely_declared_place_does_not_satisfy_territory_terms(loaded: Loaded) -> None:
    declared = {
        "end_users": "declared",
        "account": "established",
        "residence": "SG",
        "age": 30,
        "age_source": "declared",
    }
    plan = ask(loaded, declared, "far", country="SG", kind="residential", peer="remote")
    assert plan["attempts"] == []
    assert plan["outcome"] == "DENY"
    assert plan["refusal"]["reasons"][0]["code"] == "END_USERS_NOT_PLACED"
    assert "only declared" in plan["refusal"]["text"]["en"]
    chain = ask(loaded, declared, "chain", country="SG", kind="residential", peer="remote")
    assert [one["provider"] for one in chain["attempts"]] == ["near"], (
        "the self-hosted fallback is open to them"
    )
    placed = ask(
        loaded, {**declared, "end_users": "placed"}, "far", country="SG", kind="residential", peer="remote"
    )
    assert placed["attempts"], "the control: the same person, placed"


def test_a_place_the_vendor_does_not_serve_is_denied_with_the_source(loaded: Loaded) -> None:
    person = {"end_users": "placed", "account": "established", "residence": "KP"}
    plan = ask(loaded, person, "far", country="KP", kind="residential", peer="remote")
    assert plan["outcome"] == "DENY"
    assert "https://" in plan["refusal"]["text"]["en"]
    assert "appeals@operator.example" in plan["refusal"]["text"]["zh"]
    assert plan["labels"] == []
    assert plan["decision_entry"]["outcome"] == "DENY"


def test_people_of_another_zone_are_sent_there(loaded: Loaded) -> None:
    plan = ask(loaded, {"end_users": "placed", "residence": "CH", "account": "established"}, "near")
    assert plan["outcome"] == "ROUTE"
    assert plan["attempts"] == []
    assert plan["refusal"]["address"] == "https://eu.example.org"
    assert "https://eu.example.org" in plan["refusal"]["text"]["en"]


def test_an_unknown_model_and_an_unknown_class(loaded: Loaded) -> None:
    with pytest.raises(RefusedError) as missing:
        ask(loaded, STAFF, "nothing")
    assert (missing.value.status, missing.value.code) == (404, "model_not_found")
    planner = Planner(Holder(loaded), lambda _: None)
    with pytest.raises(RefusedError) as unknown:
        planner.plan({"class": "c_none", "model": "near", "route": "/v1/completions"}, 0)
    assert unknown.value.code == "unknown_class"


def test_a_decision_that_read_more_than_the_question_holds_is_not_reusable() -> None:
    decision = Decision("dec_1", 0, "ALLOW", "turn", "local", read=("residence", "operator.counters.cn_mau"))
    assert is_reusable(decision, Facts(0, {"residence": "SG"}))
    assert not is_reusable(decision, Facts(0, {"residence": "SG", "operator.counters.cn_mau": 7}))


def test_the_decision_id_stands_for_the_whole_entry(loaded: Loaded) -> None:
    one, same = ask(loaded, STAFF, "near"), ask(loaded, STAFF, "near")
    assert one["decision"]["id"] == same["decision"]["id"]
    assert one["plan"] != same["plan"]
    other = ask(loaded, {**STAFF, "account": "new"}, "near")
    assert other["decision"]["id"] != one["decision"]["id"], "facts of the entry differ, so does its id"


def test_live_questions_that_turn_refused_are_stopped() -> None:
    attempts: dict[str, list[dict[str, str]]] = {
        "plan": [{"provider": "far", "model": "m"}, {"provider": "near", "model": "m"}]
    }

    def plan(question: Any, now: int) -> dict[str, Any]:
        text = {"en": "no", "zh": "不"}
        return {
            "attempts": attempts["plan"],
            "refusal": None if attempts["plan"] else {"text": text},
            "tags": ["packs", "question:1"],
        }

    live = LiveQuestions(plan)
    live.note({"q": 1}, plan(None, 0), 10**13)
    assert live.no_longer_allowed() == []
    attempts["plan"] = attempts["plan"][1:]
    assert [change.tags for change in live.no_longer_allowed()] == [("question:1",)], (
        "one of two providers is gone"
    )
    assert live.no_longer_allowed() == [], "told once"
    attempts["plan"] = []
    assert [change.notice for change in live.no_longer_allowed()] == [{"en": "no", "zh": "不"}]
