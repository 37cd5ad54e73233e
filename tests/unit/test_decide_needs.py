"""What a place's rules ask the operator to hold, held against what decisions say is missing."""

from __future__ import annotations

import datetime as dt

import pytest

from dragoman.core.facts import EVENTS, Evidence, Facts
from dragoman.decide.engine import decide
from dragoman.decide.needs import FACTS, Need, needs
from dragoman.decide.packs import PackSet, baseline_document, load_packs
from dragoman.decide.world import World


@pytest.fixture(scope="module")
def packs() -> PackSet:
    return load_packs()


def person(place: str, held: bool) -> Facts:
    facts = Facts.parse({**baseline_document(), "as_of": "2026-11-26"})
    facts = facts.replaced({"residence": place, "address_country": place, "offered_markets": ()})
    gone = () if held else [path for path in facts.values if path.startswith("operator.evidence.")]
    return facts.without(gone)


def of(packs: PackSet, facts: Facts) -> list[Need]:
    return needs(facts, packs, World.from_packs(packs))


@pytest.mark.parametrize("place", ["CN", "DE", "GB", "KR", "BR", "VN", "JP", "SG", "US"])
def test_what_decisions_miss_is_what_is_told_missing(packs: PackSet, place: str) -> None:
    world = World.from_packs(packs)
    for held in (True, False):
        facts = person(place, held)
        missing = {one.wanted for one in of(packs, facts) if one.held is None and one.from_day is None}
        for event in EVENTS:
            decision = decide(facts.replaced({"event": event}), packs, world)
            lacked = {one for one in decision.not_ready if not one.startswith(FACTS)}
            assert lacked <= missing, (place, event)
    assert all(one.held for one in of(packs, person(place, held=True)) if "<cc>" not in one.wanted)
    assert not any(one.held for one in of(packs, person(place, held=False)))


def test_any_of_several_answers_and_the_one_that_lasts_is_told(packs: PackSet) -> None:
    soon, later = dt.date(2026, 12, 1), dt.date(2029, 1, 1)
    facts = person("DE", held=False).replaced(
        {
            "operator.evidence.transfer_clauses.eu": Evidence("C-1", soon),
            "operator.evidence.transfer_rules.eu": Evidence("R-1", later),
        }
    )
    (need,) = [one for one in of(packs, facts) if one.rule.rule_id == "eu.gdpr.transfer"]
    assert need.held is not None
    assert (need.held.name, need.held.number, need.held.expires) == ("transfer_rules.eu", "R-1", later)
    assert "transfer_adequacy.eu" in need.names


def test_what_has_ended_is_missing_again(packs: PackSet) -> None:
    for last, wanted in ((dt.date(2026, 11, 26), True), (dt.date(2026, 11, 25), False)):
        facts = person("CN", held=False).replaced({"operator.evidence.icp_filing": Evidence("n", last)})
        (need,) = [one for one in of(packs, facts) if one.rule.rule_id == "cn.gate.icp"]
        assert (need.held is not None) is wanted, "it holds to the end of its last day"


def test_a_rule_ahead_of_its_day_is_told_with_it_and_other_places_are_not(packs: PackSet) -> None:
    facts = person("US", held=False).replaced({"feature": "companion"})
    found = {one.rule.rule_id: one for one in of(packs, facts)}
    assert found["us-wa.companion.protocol"].from_day == "2027-01-01"
    assert found["us-ca.companion.protocol"].from_day is None
    assert {one.rule.pack.partition("-")[0] for one in found.values()} == {"us"}
