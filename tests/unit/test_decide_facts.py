"""Strict facts, and the corners of the engine that no shipped pack reaches."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Any

import pytest

from dragoman.core.facts import Evidence, Facts, FactsError, instant
from dragoman.decide.civil import Civil, longest_days
from dragoman.decide.combine import retention_bounds
from dragoman.decide.engine import decide
from dragoman.decide.generalise import band, generalise
from dragoman.decide.packs import PackSet, baseline_document, load_packs, read_pack
from dragoman.decide.places import phone_regions
from dragoman.decide.world import Offer, World

PACKS = load_packs()
WORLD = World.from_packs(PACKS)
LOCAL = {"local": (Offer("local", None),)}


def facts(**changes: Any) -> Facts:
    return Facts.parse({**baseline_document(), **changes})


@pytest.mark.parametrize(
    ("document", "path", "says"),
    [
        ({}, "as_of", "is missing"),
        ({"as_of": "2026-11-22", "residnce": "DE"}, "residnce", 'did you mean "residence"'),
        ({"as_of": "2026-11-22", "residence": "de"}, "residence", 'write "DE"'),
        ({"as_of": "2026-11-22", "residence": "Germany"}, "residence", "alpha-2"),
        ({"as_of": "2026-11-22", "age": -1}, "age", "0 or more"),
        ({"as_of": "2026-11-22", "age": True}, "age", "whole number"),
        ({"as_of": "2026-11-22", "age": 151}, "age", "0 to 150"),
        ({"as_of": "2026-11-22", "event": "trun"}, "event", 'did you mean "turn"'),
        ({"as_of": "2026-11-22", "phone": "12"}, "phone", "international form"),
        ({"as_of": "2026-11-22", "turn": {"indx": 1}}, "turn.indx", 'did you mean "turn.index"'),
        ({"as_of": "2026-11-22", "turn": 3}, "turn", "table"),
        ({"as_of": "2026-11-22T10:00:00"}, "as_of", "needs its zone"),
        ({"as_of": "2026-11-22", "modality": ["text"] * 600}, "modality", "at most 512"),
        ({"as_of": "2026-11-22", "app": "x" * 300}, "app", "1 to 256"),
        (
            {"as_of": "2026-11-22", "organisation": {"owners": [{"country": "DE"}]}},
            "organisation.owners",
            "percent",
        ),
        (
            {"as_of": "2026-11-22", "operator": {"evidence": {"x": {"until": 1}}}},
            "operator.evidence.x",
            "{number, expires}",
        ),
    ],
)
def test_a_wrong_document_names_the_field(document: dict[str, Any], path: str, says: str) -> None:
    with pytest.raises(FactsError) as error:
        Facts.parse(document)
    assert error.value.path == path
    assert says in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"as_of": NaN}', "x" * 300_000, "[" * 100_000])
def test_what_is_no_document_is_an_error(text: str) -> None:
    with pytest.raises(FactsError):
        Facts.from_json(text)


def test_a_null_is_unknown_and_maps_are_leaves() -> None:
    document = {
        "as_of": 1,
        "age": None,
        "operator": {"evidence": {"representative.kr": {"expires": "2026-01-02"}}},
    }
    parsed = Facts.parse(document)
    assert dict(parsed.values) == {"operator.evidence.representative.kr": Evidence(None, date(2026, 1, 2))}


def test_a_date_is_noon_utc() -> None:
    assert instant("2026-11-22") == instant("2026-11-22T12:00:00+00:00") == instant(date(2026, 11, 22))


@pytest.mark.parametrize(
    ("phone", "regions"),
    [
        ("+86", ("CN",)), ("+85291234567", ("HK",)), ("+77011234567", ("KZ",)), ("+79161234567", ("RU",)),
        ("+7", ("KZ", "RU")), ("+33123456789", ("FR",)), ("+999", ()),
    ],
)  # fmt: skip
def test_the_country_of_a_number(phone: str, regions: tuple[str, ...]) -> None:
    assert phone_regions(phone) == regions


def test_a_day_begins_first_and_ends_last() -> None:
    civil = Civil(("America/New_York", "Pacific/Honolulu"))
    day = date(2026, 1, 1)
    assert civil.start(day) == int(datetime(2026, 1, 1, 5, tzinfo=UTC).timestamp() * 1000)
    assert civil.end(day) == int(datetime(2026, 1, 2, 10, tzinfo=UTC).timestamp() * 1000)


def test_months_are_calendar_months() -> None:
    civil = Civil(("UTC",))
    assert civil.add_months(instant("2026-01-31"), 1) == instant("2026-02-28")
    assert civil.add_months(instant("2026-11-30"), 2) == instant("2027-01-30")
    assert longest_days(6) == 184
    assert longest_days(0) == 0


def test_retention_takes_the_longest_minimum_and_the_shortest_maximum() -> None:
    assert retention_bounds([{"min_days": 180, "min_months": 6}, {"max_days": 200}, {"max_days": 190}]) == (
        184,
        190,
    )
    assert retention_bounds([{"anchor": "no longer needed"}]) == (0, None)


RULES = """
[pack]
id = "zz"
version = "0.1.0"
schema_version = "1"
status = "reviewed"
title = { en = "Test", zh = "测试" }
iso = ["NO"]

[[sources]]
id = "act"
title = "Test Act"

[[rules]]
rule_id = "zz.keep"
kind = "retention"
effective_from = 2020-01-01
enforcement = "in_force"
on_missing = "oblige"
source_refs = ["act"]
certainty = "V"
reason_code = "ZZ_KEEP"
title = { en = "Keep", zh = "保存" }
[rules.retention]
data_class = "logs"
min_months = 6

[[rules]]
rule_id = "zz.erase"
kind = "retention"
effective_from = 2020-01-01
enforcement = "grace"
on_missing = "oblige"
source_refs = ["act"]
certainty = "V"
reason_code = "ZZ_ERASE"
title = { en = "Erase", zh = "删除" }
[rules.retention]
data_class = "logs"
max_days = 180

[[rules]]
rule_id = "zz.crisis"
kind = "crisis"
applies_when = { event = ["turn"] }
effective_from = 2020-01-01
enforcement = "in_force"
on_missing = "oblige"
source_refs = ["act"]
certainty = "V"
reason_code = "ZZ_CRISIS"
title = { en = "Crisis", zh = "危机" }
[rules.crisis]
human_takeover = true
triggers = ["selfharm"]

[[rules]]
rule_id = "zz.local"
kind = "residency"
applies_when = { event = ["order"] }
effective_from = 2020-01-01
enforcement = "in_force"
on_missing = "deny"
source_refs = ["act"]
certainty = "V"
reason_code = "ZZ_LOCAL"
title = { en = "Local", zh = "本地" }
[rules.residency]
data_class = "profile"
collect_in = ["NO"]
"""


def test_contradicting_retention_stops_the_deployment_only() -> None:
    packs, world = PackSet.of([read_pack(RULES, "zz.toml")]), World.of("local", LOCAL)
    at_deploy = decide(facts(residence="NO", event="deploy"), packs, world)
    at_turn = decide(facts(residence="NO"), packs, world)

    assert at_deploy.outcome == "NOT_READY"
    assert at_deploy.not_ready == ("retention.logs",)
    assert [w.code for w in at_turn.warnings if w.subject == "logs"] == ["RETENTION_CONFLICT"]
    assert {o.enforcement for o in at_turn.obligations if o.rule_id == "zz.erase"} == {"grace"}
    assert at_turn.packs["zz"]["status"] == "reviewed"


def test_a_crisis_hands_off_and_a_database_abroad_is_refused() -> None:
    packs, world = PackSet.of([read_pack(RULES, "zz.toml")]), World.of("local", LOCAL)
    crisis = decide(facts(residence="NO", content={"category": "selfharm"}), packs, world)
    abroad = decide(
        facts(residence="NO", event="order", operator={"data_locations": {"profile": "SG"}}), packs, world
    )
    at_home = decide(
        facts(residence="NO", event="order", operator={"data_locations": {"profile": "NO"}}), packs, world
    )

    assert crisis.outcome == "HANDOFF"
    assert (abroad.outcome, abroad.scope) == ("DENY", "account")
    assert at_home.outcome == "ALLOW"


def test_another_zone_is_routed_and_never_forwarded() -> None:
    world = World.of("sg-1", LOCAL, zones={"CN": "cn-1", "SG": "sg-1"})
    away, here = decide(facts(residence="CN"), PACKS, world), decide(facts(), PACKS, world)

    assert away.outcome == "ROUTE"
    assert not away.allowed
    assert [a.code for a in away.advice] == ["GO_TO_ZONE"]
    assert here.allowed


def test_a_model_with_two_providers_goes_through_the_permitted_one() -> None:
    world = World.of("local", {"m": (Offer("main", "openai-api"), Offer("own", "self-hosted"))})
    decision = decide(facts(residence="HK", address_country="HK", model="m"), PACKS, world)

    assert decision.outcome == "ALLOW"
    assert decision.permitted == {"m": ("own",)}
    assert "PROVIDER_LEFT_OUT" in {w.code for w in decision.warnings}


def test_a_licence_excludes_the_operators_seat() -> None:
    world = World.of("local", {"m": (Offer("own", "self-hosted", frozenset({"DE"})),)})
    assert decide(facts(model="m"), PACKS, world).outcome == "ALLOW"
    assert decide(facts(model="m", operator={"seat": "DE"}), PACKS, world).outcome == "DENY"
    assert decide(facts(model="m", operator={}), PACKS, world).not_ready == ("operator.seat",)


def test_an_unloaded_provider_pack_is_an_error_not_a_permission() -> None:
    world = World.of("local", {"m": (Offer("main", "nowhere"),)})
    with pytest.raises(KeyError, match="nowhere"):
        decide(facts(model="m"), PACKS, world)


def test_the_deployment_fills_in_what_the_facts_leave_out() -> None:
    world = World.of("local", LOCAL, deployment={"offered_markets": ["CN"], "operator": {"model_use": "api"}})
    decision = decide(facts(offered_markets=None), PACKS, world)
    assert "cn" in decision.packs
    assert "operator.model_use" in decision.read


def test_evidence_ends_with_its_last_day_and_the_decision_says_when() -> None:
    record = {"genai_registration": {"number": "n", "expires": date(2026, 11, 30)}}
    operator = baseline_document()["operator"]
    operator["evidence"] |= record
    given = facts(residence="CN", address_country="CN", operator=operator)
    decision = decide(given, PACKS, WORLD)
    assert decision.outcome == "ALLOW_WITH"
    assert decision.holds_until == int(datetime(2026, 11, 30, 16, tzinfo=UTC).timestamp() * 1000)
    after = decide(given.replaced({"as_of": decision.holds_until}), PACKS, WORLD)
    assert after.outcome == "DENY"
    assert after.id != decision.id


def test_deadlines_count_from_receipt() -> None:
    given = facts(
        residence="US", event="order", order={"kind": "ncii_removal"}, received_at="2026-11-20T10:00:00Z"
    )
    (duty,) = [o for o in decide(given, PACKS, WORLD).obligations if o.kind == "content"]
    assert duty.deadline == instant("2026-11-22T10:00:00Z")
    erasure = facts(residence="FR", event="erasure", received_at="2026-01-31T10:00:00+01:00")
    (right,) = [o for o in decide(erasure, PACKS, WORLD).obligations if o.rule_id == "eu.gdpr.erasure"]
    assert right.deadline == instant("2026-02-28T09:00:00Z")


def test_bands_cut_where_a_rule_changes_its_mind() -> None:
    general = generalise(facts(age=17, phone="+8613800138000"), PACKS)
    assert general["age"] == "16-<18"
    assert general["phone"] == ["CN"]
    assert general["operator.evidence.icp_filing"] == {"held": True, "expires": None}
    assert band(99_999, (1, 100_000)) == "1-<100000"
    assert band(100_000, (1, 100_000)) == "100000+"


def test_the_id_is_the_same_inside_a_band_and_another_under_other_packs() -> None:
    adult = facts(age=35, model="google-gemini-api")
    one = decide(adult, PACKS, WORLD)
    assert "age" in one.read
    assert decide(adult.replaced({"age": 60}), PACKS, WORLD).id == one.id
    assert decide(adult.replaced({"age": 17}), PACKS, WORLD).id != one.id
    fewer = PackSet.of(pack for pack in PACKS.packs.values() if pack.id != "ru")
    assert decide(adult, fewer, WORLD).id != one.id


def test_a_permitted_model_does_not_read_what_others_ask() -> None:
    local, named = decide(facts(), PACKS, WORLD), decide(facts(model="openai-api"), PACKS, WORLD)
    assert local.eligible_models == ("local",)
    assert "age" not in local.read
    assert "address_kind" not in local.read
    assert "address_kind" in named.read


def test_a_decision_stays_cheap() -> None:
    """LIMIT: median 200 us of CPU on a quiet machine; five times that here, on a busy one."""
    given = facts(residence="CN", address_country="CN", phone="+86", feature="companion")
    spent = []
    for _ in range(200):
        begun = time.thread_time_ns()
        decide(given, PACKS, WORLD)
        spent.append(time.thread_time_ns() - begun)
    assert sorted(spent)[100] < 1_000_000
