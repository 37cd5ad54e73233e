"""Plans for people who signed up: their facts decide, their phone counts, a rented or foreign number asks for evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.accounts.classes import age_of, facts_of_guest, facts_of_person
from dragoman.accounts.pepper import Pepper
from dragoman.accounts.phones import placed
from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner
from dragoman.core.facts import instant
from dragoman.core.people import Declared, Person
from dragoman.testing.clock import FakeClock

CONFIG = """
[deployment]
seat = "SG"
[zone]
country = "SG"
[providers.far]
base_url = "https://api.openai.com/v1"
[models.far]
provider = "far"
model = "far-1"
[models.shut]
provider = "far"
model = "far-2"
[sms]
url = "http://127.0.0.1:9/messages"
models = ["far"]
"""
NOW = FakeClock()()
HOME = {"country": "SG", "kind": "residential", "peer": "remote"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    file: Path = tmp_path_factory.mktemp("p") / "dragoman.toml"
    file.write_text(CONFIG, encoding="utf-8")
    return read_all(file, lambda _: None)


def person(number: str | None, residence: str | None = None, **said: Any) -> Person:
    phone = None if number is None else placed(number, Pepper(b"p" * 32))[1]
    declared = Declared(residence=residence, **{"least_age": 30, **said})
    return Person("ten_local_a", "prn_local_a", phone, NOW, declared, "", NOW, NOW)


def ask(loaded: Loaded, facts: dict[str, Any], model: str, address: dict[str, Any]) -> dict[str, Any]:
    question = {
        "tenant": "ten_local_a", "app": None, "end_users": "placed", "class": "c_x", "scopes": ["turns"],
        "route": "/v1/chat/completions", "model": model, "channel": "web", "address": address,
    }  # fmt: skip
    return Planner(Holder(loaded), lambda _: facts, lambda _: "default").plan(question, NOW)


def codes(plan: dict[str, Any]) -> list[str]:
    return [one["code"] for one in plan["refusal"]["reasons"]]


def test_a_placed_person_may_use_what_the_operator_opened(loaded: Loaded) -> None:
    facts = facts_of_person(person("+65 8123 4567", "SG"), NOW)
    plan = ask(loaded, facts, "far", HOME)
    assert [one["provider"] for one in plan["attempts"]] == ["far"], plan["refusal"]
    assert plan["reusable"], "equal people share it"
    shut = ask(loaded, facts, "shut", HOME)
    assert (shut["attempts"], codes(shut)[0]) == ([], "PEOPLE_LOCAL_ONLY")
    assert ask(loaded, facts, "dragoman", HOME)["attempts"], "the built-in one is open to everybody"


def test_a_guest_is_another(loaded: Loaded) -> None:
    away = {"country": None, "kind": "vpn", "peer": "remote"}
    guest = ask(loaded, facts_of_guest(), "far", away)
    assert guest["outcome"] != "ALLOW"
    assert ask(loaded, facts_of_guest(), "dragoman", away)["attempts"]


def test_a_number_of_a_denied_country_asks_for_residence_and_denies_nothing_itself(loaded: Loaded) -> None:
    facts = facts_of_person(person("+375 29 123 45 67", "SG"), NOW)
    plan = ask(loaded, facts, "far", HOME)
    assert plan["outcome"] == "STEP_UP", plan["decision"]["reasons"]
    assert "residence" in plan["decision"]["step_up"]
    at_home = ask(loaded, facts_of_person(person("+65 8123 4567", "BY"), NOW), "far", HOME)
    assert at_home["outcome"] == "DENY", "a residence that one declares oneself denies, as it must"


def test_an_address_that_shows_nothing_asks_for_residence(loaded: Loaded) -> None:
    facts = facts_of_person(person("+65 8123 4567", "SG"), NOW)
    plan = ask(loaded, facts, "far", {"country": None, "kind": "vpn", "peer": "remote"})
    assert (plan["outcome"], plan["attempts"]) == ("STEP_UP", [])
    assert "residence" in plan["decision"]["step_up"]


def test_the_facts_of_a_person_hold_no_number_and_no_birth_date(loaded: Loaded) -> None:
    facts = facts_of_person(person("+65 8123 4567", "SG", least_age=None, birth_date="1990-05-31"), NOW)
    assert "81234567" not in str(facts)
    assert "1990" not in str(facts)
    without = facts_of_person(person(None), NOW)
    assert not {"phone", "phone_verified", "identity", "residence"} & set(without)


@pytest.mark.parametrize(
    ("born", "at", "years"),
    [
        ("2008-11-27", "2026-11-27T11:59:59+00:00", 17),
        ("2008-11-27", "2026-11-27T12:00:00+00:00", 18),
        ("2008-02-29", "2026-03-01T11:59:00+00:00", 17),
        ("2008-02-29", "2026-03-01T12:00:00+00:00", 18),
        ("2026-11-27", "2026-11-27T00:00:00+00:00", 0),
    ],
)
def test_nobody_is_taken_for_older_than_they_are_anywhere(born: str, at: str, years: int) -> None:
    assert age_of(Declared(birth_date=born), instant(at)) == years
