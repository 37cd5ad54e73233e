"""Simulated facts: checked, decided by like real ones, shown and never carried to a provider with terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_control_planner import CONFIG, ask

from dragoman.accounts.classes import facts_of_guest
from dragoman.accounts.simulated import Simulated, facts_of_simulated, simulated_of
from dragoman.control import pretence
from dragoman.control.loaded import Loaded, read_all
from dragoman.core.facts import FactsError
from dragoman.errors import RefusedError
from dragoman.knowledge.model import Asker
from dragoman.web import asking
from dragoman.web.context import Guest, PagesContext
from dragoman.web.presets import load_presets

PRESETS = load_presets()


def person(name: str) -> dict[str, Any]:
    return facts_of_simulated(next(one for one in PRESETS if one.id == name).simulated)


def loaded_from(folder: Path, text: str) -> Loaded:
    file = folder / "dragoman.toml"
    file.write_text(text, encoding="utf-8")
    return read_all(file, lambda _: None)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    return loaded_from(tmp_path_factory.mktemp("s"), CONFIG)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"residence": "XX"}, "residence"),
        ({"place": "<script>"}, "place"),
        ({"age": "-1"}, "age"),
        ({"age": "9" * 5000}, "age"),
        ({"age": "0" * 5000}, "age"),
        ({"age": "\u0663"}, "age"),
        ({"phone": "49"}, "phone"),
        ({"address_kind": "moon"}, "address_kind"),
        ({"verified": ("soul",)}, "verified"),
        ({"subdivision": "US-NY"}, "subdivision"),
        ({"residence": "US", "subdivision": "DE-BE"}, "subdivision"),
        ({"residence": "US", "subdivision": "US-<b>"}, "subdivision"),
        ({"channel": "carrier pigeon"}, "channel"),
        ({"app": "x" * 257}, "app"),
        ({"tenant": "other"}, "tenant"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(given: dict[str, Any], field: str) -> None:
    with pytest.raises(FactsError) as refused:
        Simulated.parse(given)
    assert refused.value.path == field


def test_a_class_gives_back_what_was_pretended() -> None:
    for preset in PRESETS:
        assert simulated_of(facts_of_simulated(preset.simulated)) == preset.simulated
        assert set(preset.title) == {"en", "zh"}
    assert simulated_of(facts_of_guest()) is None
    assert len({one.id for one in PRESETS}) == 6


def test_a_pretended_place_replaces_the_real_one(loaded: Loaded) -> None:
    plan = ask(loaded, person("berlin"), "near", country="KP", kind="vpn", peer="remote")
    facts = plan["decision_entry"]["facts"]
    assert (facts["residence"], facts["address_country"], facts["address_kind"]) == (
        "DE",
        "DE",
        "residential",
    )
    unknown = ask(loaded, person("vpn"), "near")["decision_entry"]["facts"]
    assert "address_country" not in unknown, "not even of whoever sits at this machine"
    assert unknown["address_kind"] == "vpn"
    real = ask(loaded, facts_of_guest(), "near")["decision_entry"]["facts"]
    assert real["address_country"] == "SG", "the control"


def test_a_part_of_a_country_is_of_residence_and_place(loaded: Loaded) -> None:
    made = Simulated.parse({"residence": "us", "place": "SG", "subdivision": "us-ny"})
    assert made.facts()["residence_subdivision"] == "US-NY"
    assert "address_subdivision" not in made.facts()
    florida = {"residence": "US", "place": "US", "subdivision": "US-FL"}
    known = {"residence": "US", "place": "US"}
    for given, subjects in ((florida, ["US-FL"]), (known, ["US-?"])):
        decision = ask(loaded, facts_of_simulated(Simulated.parse(given)), "near")["decision"]
        assert [one["subject"] for one in decision["warnings"] if one["code"] == "NO_PACK"] == subjects
    new_york = ask(loaded, person("new-york"), "near")["decision"]
    assert new_york["warnings"] == [], "its law is in a pack"
    assert "us-ny.companion.notice" in {one["rule_id"] for one in new_york["obligations"]}
    berlin = ask(loaded, person("berlin"), "near")["decision"]
    assert berlin["warnings"] == [], "the control: no such law beside the Union's is known of"


def test_documents_are_searched_as_the_simulated_person(loaded: Loaded, tmp_path: Path) -> None:
    real = Asker("ten", "KP")
    settings = loaded.settings
    assert pretence.asker(real, person("berlin"), settings) == Asker("ten", "DE")
    assert pretence.asker(real, person("vpn"), settings) == Asker("ten", None)
    assert pretence.asker(real, person("shop-customer"), settings) == Asker("ten", "SG", ("osmanthus-lane",))
    assert pretence.asker(real, facts_of_guest(), settings) == real
    assert pretence.asker(real, None, settings) == real, "a class that was never made here"
    assert pretence.asker(real, person("berlin"), public(tmp_path).settings) == real


def test_plan_and_entry_say_that_it_is_simulated(loaded: Loaded) -> None:
    plan = ask(loaded, person("singapore"), "near")
    assert plan["simulated"] is True
    assert plan["decision_entry"]["simulated"] is True
    assert plan["reusable"], "everything it read came with the class"
    real = ask(loaded, facts_of_guest(), "near")
    assert "simulated" not in real
    assert "simulated" not in real["decision_entry"]


def test_a_provider_with_territory_terms_is_decided_about_but_never_called(loaded: Loaded) -> None:
    plan = ask(loaded, person("singapore"), "far")
    assert plan["attempts"] == []
    assert plan["outcome"] in {"ALLOW", "ALLOW_WITH"}, "the decision itself stands"
    assert plan["refusal"]["outcome"] == "NOT_CARRIED_OUT"
    assert plan["refusal"]["reasons"][0]["code"] == "SIMULATED_NOT_CARRIED_OUT"
    assert "Not carried out" in plan["refusal"]["text"]["en"]
    assert "未执行" in plan["refusal"]["text"]["zh"]
    chain = ask(loaded, person("singapore"), "chain")
    assert [one["provider"] for one in chain["attempts"]] == ["near"]
    real = {
        "end_users": "placed",
        "account": "established",
        "residence": "SG",
        "age": 30,
        "age_source": "verified",
    }
    placed = ask(loaded, real, "far", country="SG", kind="residential", peer="remote")
    assert [one["provider"] for one in placed["attempts"]] == ["far"], "the control: the same person, placed"


def test_a_refusal_is_one_also_for_who_pretends(loaded: Loaded) -> None:
    plan = ask(loaded, person("shanghai"), "far")
    assert plan["outcome"] not in {"ALLOW", "ALLOW_WITH"}
    assert plan["refusal"]["outcome"] == plan["outcome"]
    assert plan["simulated"] is True


def public(folder: Path) -> Loaded:
    text = CONFIG.replace("[deployment]\n", '[deployment]\nstage = "public"\n', 1).replace(
        "[zone]\n",
        '[edge]\ntrusted_proxies = ["10.0.0.0/8"]\n[zone]\npublic_url = "https://chat.example"\n',
        1,
    )
    return loaded_from(folder, text)


def test_in_another_stage_nothing_is_simulated(tmp_path: Path, loaded: Loaded) -> None:
    there = public(tmp_path)
    plan = ask(there, person("shanghai"), "near", country="SG", kind="residential", peer="remote")
    assert "simulated" not in plan
    assert "residence" not in plan["decision_entry"]["facts"]
    here = ask(loaded, person("shanghai"), "near", country="SG", kind="residential", peer="remote")
    assert here["decision_entry"]["facts"]["residence"] == "CN", "the control"


def test_the_form() -> None:
    assert asking.wanted({"preset": ["berlin"]}, PRESETS) == PRESETS[1].simulated
    assert asking.wanted({"as": ["self"], "preset": ["berlin"]}, PRESETS) is None
    made = asking.wanted({"residence": ["de"], "age": [" 16 "], "phone": [""], "verified": ["age"]}, PRESETS)
    assert made == Simulated(residence="DE", age=16, verified=("age",))
    with pytest.raises(FactsError):
        asking.wanted({"preset": ["atlantis"]}, PRESETS)


@pytest.mark.parametrize(
    ("given", "goes"),
    [
        ("/c/x?y=1", "/c/x?y=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nb", "/"),
    ],
)
def test_it_goes_back_to_this_site_alone(given: str, goes: str) -> None:
    assert asking.back_to({"back": [given]}) == goes


def test_pages_mounted_without_a_zone_simulate_nothing() -> None:
    field: Any = PagesContext.__dataclass_fields__["simulate"].default
    with pytest.raises(RefusedError) as refused:
        field(Guest("ten", "prn"), None)
    assert refused.value.status == 404
