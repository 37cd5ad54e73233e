"""What a reader is told of a decision: every fact and every kind of rule has a name in both languages."""

from __future__ import annotations

import pytest

from dragoman.core.facts import FIELDS
from dragoman.decide.kinds import KINDS
from dragoman.decide.vocabulary import words
from dragoman.web.passport_words import fact_named, fact_shown


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_fact_and_kind_of_rule_has_a_name_of_its_own(language: str) -> None:
    for section, wanted in (("facts", FIELDS), ("rule_kinds", KINDS)):
        told = words()[section]
        assert set(told) == set(wanted), section
        assert len({one[language] for one in told.values()}) == len(wanted), "none is told like another"


def test_a_fact_is_told_in_the_readers_words() -> None:
    assert (fact_named("phone", "en"), fact_shown("phone", ["SG"], "en")) == (
        "Country of the phone number",
        "Singapore (SG)",
    )
    assert fact_shown("phone", ["US", "CA"], "zh") == "美国 (US)、加拿大 (CA)"
    assert (fact_named("phone_verified", "zh"), fact_shown("phone_verified", True, "zh")) == (
        "电话号码已验证",
        "是",
    )
    assert fact_named("operator.data_locations.profile", "en") == "Where data are kept: profile"
    assert fact_shown("operator.data_locations.profile", "CN", "en") == "China (CN)"
    assert fact_shown("operator.evidence.x", {"until": None}, "en") == '{"until": null}'


def test_a_fact_of_another_release_is_shown_as_it_was_kept() -> None:
    assert (fact_named("gone.fact", "zh"), fact_shown("gone.fact", [1, "CN"], "zh")) == ("gone.fact", "1、CN")
    assert fact_shown("app", "CN", "en") == "CN", "the control: no country"
