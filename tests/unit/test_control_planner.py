"""Single plans: declared users and territory terms, another zone, staff vouched for, fallbacks, tags, reuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.accounts.simulated import Simulated, facts_of_simulated
from dragoman.control.live import LiveQuestions
from dragoman.control.loaded import Holder, Loaded, read_all
from dragoman.control.planner import Planner, is_reusable
from dragoman.core.decision import Decision
from dragoman.core.facts import Facts
from dragoman.errors import ConfigError, RefusedError
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


def ask(
    loaded: Loaded, person: dict[str, Any], model: str, slug: str = "default", **address: Any
) -> dict[str, Any]:
    question = {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": "c_x", "scopes": ["turns"],
        "route": "/v1/chat/completions", "model": model, "channel": "api",
        "address": {"country": None, "kind": "unknown", "peer": "loopback", **address},
    }  # fmt: skip
    return Planner(Holder(loaded), lambda _: person, lambda _: slug).plan(question, FakeClock()())


def ways(plan: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["provider"], one["model"]) for one in plan["attempts"]]


def test_staff_of_a_supported_seat_may_use_a_vendor(loaded: Loaded) -> None:
    plan = ask(loaded, STAFF, "far")
    assert ways(plan) == [("far", "far-1")]


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


LICENSED = """
[pack]
id = "self-hosted"
version = "0.2.0"
schema_version = "1"
status = "unreviewed"
title = { en = "Weights", zh = "权重" }
[[sources]]
id = "licence"
title = "A licence of the test"
article = "5"
url = "https://licence.example/5"
lang = "en"
retrieved_on = 2026-11-22
official = true
[provider]
id = "self-hosted"
route = "self_hosted"
title = { en = "Weights", zh = "权重" }
territory_terms = false
licence_territory_exclude = ["NO"]
cites = { licence = "licence" }
certainty = { licence = "V" }
"""


def test_a_licence_that_leaves_places_out_counts_like_territory_terms(tmp_path: Path) -> None:
    (tmp_path / "packs" / "providers").mkdir(parents=True)
    file = tmp_path / "dragoman.toml"
    near = 'base_url = "https://models.example/v1"\n'
    config = CONFIG.replace(near, near + 'pack = "self-hosted"\n')
    file.write_text('packs_dir = "packs"\n' + config, encoding="utf-8")
    here = {"country": "SG", "kind": "residential", "peer": "remote"}
    person = {"account": "established", "residence": "SG", "age": 30, "age_source": "verified"}
    simulated = facts_of_simulated(Simulated.parse({"residence": "SG", "place": "SG", "age": 30}))
    for excluded, called in (('["NO"]', False), ("[]", True)):
        text = LICENSED.replace('["NO"]', excluded)
        (tmp_path / "packs" / "providers" / "self-hosted.toml").write_text(text, encoding="utf-8")
        loaded = read_all(file, lambda _: None)
        assert bool(ask(loaded, {**person, "end_users": "declared"}, "near", **here)["attempts"]) is called
        assert bool(ask(loaded, simulated, "near", **here)["attempts"]) is called
        assert ask(loaded, {**person, "end_users": "placed"}, "near", **here)["attempts"], "the control"


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


def test_staff_of_the_operator_answer_to_its_own_word_and_nothing_less(tmp_path: Path) -> None:
    def asked(seat: str, tenants: str, person: dict[str, Any] = STAFF, **address: Any) -> dict[str, Any]:
        file = tmp_path / "dragoman.toml"
        file.write_text(CONFIG.replace('seat = "SG"\n', seat) + tenants, encoding="utf-8")
        return ask(read_all(file, lambda _: None), person, "far", slug="acme", **address)

    def told(words: str, tenant: str = "acme") -> str:
        return f"[tenants.{tenant}]\n{words}\n"

    german, residence, adults = 'seat = "DE"\n', 'staff_residence = "SG"', "staff_adults = true"
    assert asked("", "")["decision"]["step_up"] == ["residence"], "unknown means more duties, for staff too"
    assert asked(german, "")["decision"]["step_up"] == ["age_reliable"]
    placed, grown = asked("", told(residence)), asked(german, told(adults))
    assert ways(placed) == ways(grown) == [("far", "far-1")]
    facts = grown["decision_entry"]["facts"]
    assert facts["age_source"] == "operator", "the record shows whose word it was"
    assert facts["identity.verified"] == ["residence", "age"]
    assert placed["reusable"]
    assert grown["reusable"]
    assert asked("", told(adults))["decision"]["step_up"] == ["residence"], (
        "one word says nothing of the other"
    )
    assert asked(german, told('staff_residence = "DE"'))["decision"]["step_up"] == ["age_reliable"]
    assert asked(german, told(adults, "other"))["attempts"] == [], "another tenant's staff"
    guest = {"end_users": "none", "guest": True, "account": "new"}
    for person in (guest, {"end_users": "declared", "account": "established"}):
        assert asked(german, told(adults), person)["attempts"] == [], "never for guests or declared users"


def test_the_legal_basis_the_operator_states_is_read(tmp_path: Path) -> None:
    def reasons(basis: str) -> list[str]:
        file = tmp_path / "dragoman.toml"
        file.write_text(CONFIG.replace('seat = "SG"\n', f'seat = "DE"\n{basis}\n'), encoding="utf-8")
        plan = ask(read_all(file, lambda _: None), STAFF, "near", country="DE", kind="residential")
        return [] if plan["refusal"] is None else [one["code"] for one in plan["refusal"]["reasons"]]

    assert reasons("") == ["EU_GDPR_CHILD"]
    assert reasons('legal_basis = "consent"') == ["EU_GDPR_CHILD"]
    assert reasons('legal_basis = "contract"') == []
    with pytest.raises(ConfigError, match="legal_basis"):
        reasons('legal_basis = "contracts"')


PACK = """
[pack]
id = "xx"
version = "0.1.0"
schema_version = "1"
iso = ["SG"]
status = "unreviewed"
title = { en = "Test", zh = "测试" }
[[sources]]
id = "s"
title = "A test law"
article = "9"
url = "https://law.example/9"
lang = "en"
retrieved_on = 2026-11-22
official = true
[[rules]]
rule_id = "xx.duty"
kind = "KIND"
applies_when = { event = ["turn"] }
effective_from = FROM
enforcement = "in_force"
on_missing = "oblige"
source_refs = ["s"]
certainty = "v"
reason_code = "XX_DUTY"
title = { en = "A duty of the test", zh = "测试义务" }
[rules.KIND]
"""
CASES = """
[[cases]]
rule_id = "xx.duty"
as_of = 2028-01-01
given = { event = "turn", residence = "SG", address_country = "SG" }
[cases.expect]
reason_codes = ["XX_DUTY"]
[[cases]]
rule_id = "xx.duty"
as_of = 2019-01-01
given = { event = "turn", residence = "SG", address_country = "SG" }
[cases.expect]
absent_codes = ["XX_DUTY"]
"""


def plan_with(tmp_path: Path, kind: str, payload: str, day: str) -> dict[str, Any]:
    """The plan of a turn under one more law with one duty, in force from `day`."""
    text = PACK.replace("KIND", kind).replace("FROM", day) + payload + "\n"
    for folder in ("jurisdictions", "cases"):
        (tmp_path / "packs" / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / "packs" / "cases" / "xx.toml").write_text(CASES, encoding="utf-8")
    (tmp_path / "packs" / "jurisdictions" / "xx.toml").write_text(text, encoding="utf-8")
    file = tmp_path / "dragoman.toml"
    file.write_text('packs_dir = "packs"\n' + CONFIG, encoding="utf-8")
    return ask(read_all(file, lambda _: None), STAFF, "near")


def test_no_profiling_and_no_advertising_are_kept_by_having_none(tmp_path: Path) -> None:
    kept = plan_with(tmp_path, "minors", "ads_profiling = false", "2026-01-01")
    assert kept["attempts"]
    assert "minors" not in kept["must"]
    more = plan_with(tmp_path, "minors", 'ads_profiling = false\nmodes = ["minor"]', "2026-01-01")
    assert more["outcome"] == "NOT_READY", "the control: whatever else it asks is still refused"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [("exit", "one_step = true"), ("minors", 'modes = ["minor"]'), ("crisis", "required = true")],
)
def test_a_duty_that_nothing_carries_out_is_not_ready_with_its_source(
    tmp_path: Path, kind: str, payload: str
) -> None:
    refused = plan_with(tmp_path, kind, payload, "2026-01-01")
    assert (refused["outcome"], refused["attempts"], refused["must"]) == ("NOT_READY", [], [])
    reason = refused["refusal"]["reasons"][0]
    assert (reason["code"], reason["rule_id"]) == ("DUTY_NOT_CARRIED", "xx.duty")
    text = refused["refusal"]["text"]
    assert "A duty of the test: this duty cannot be carried out on this route yet" in text["en"]
    assert "A test law, 9, https://law.example/9" in text["en"]
    assert "测试义务：本接口目前尚不能履行该义务" in text["zh"]
    assert refused["decision_entry"]["outcome"] == "NOT_READY"
    later = plan_with(tmp_path, kind, payload, "2027-06-01")
    assert later["attempts"], "the control: a duty that binds nobody yet refuses nobody"
    assert later["decision"]["id"] != refused["decision"]["id"]


def test_a_plan_is_made_by_one_reading(loaded: Loaded, tmp_path: Path) -> None:
    """Another reading that is swapped in while a plan is made has no part in it."""
    file = tmp_path / "dragoman.toml"
    file.write_text(CONFIG.replace("far-1", "far-2"), encoding="utf-8")
    other = read_all(file, lambda _: None)

    class Swapping(Holder):
        @property
        def loaded(self) -> Loaded:
            now, self._now = self._now, other
            return now

        @loaded.setter
        def loaded(self, loaded: Loaded) -> None:
            self._now = loaded

    question = {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": "c_x", "scopes": ["turns"],
        "route": "/v1/chat/completions", "model": "far", "channel": "api",
        "address": {"country": None, "kind": "unknown", "peer": "loopback"},
    }  # fmt: skip
    planner = Planner(Swapping(loaded), lambda _: STAFF, lambda _: "default")
    for reading, name in ((loaded, "far-1"), (other, "far-2")):
        plan = planner.plan(question, FakeClock()())
        assert (plan["config"], plan["attempts"][0]["model"]) == (reading.config_digest, name)
