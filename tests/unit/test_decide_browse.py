"""Packs looked through by place, kind and words; each rule with its cases, each term with its source."""

from __future__ import annotations

import json

import pytest

from dragoman.admin.texts import LANGUAGES, TEXTS
from dragoman.decide import browse
from dragoman.decide.browse import Wanted
from dragoman.decide.cli_common import json_values
from dragoman.decide.packs import PackSet, load_packs


@pytest.fixture(scope="module")
def packs() -> PackSet:
    return load_packs()


def of_packs(packs: PackSet, **wanted: str) -> set[str]:
    return {row["pack"] for row in browse.found(packs, Wanted(**wanted))}


def test_a_place_has_the_law_of_its_country_and_of_its_parts(packs: PackSet) -> None:
    assert of_packs(packs, place="DE") == {"eu"}
    assert of_packs(packs, place="IT") == {"eu", "it"}
    assert of_packs(packs, place="US-CA") == {"us", "us-ca"}
    assert {"us", "us-ca", "us-ny"} <= of_packs(packs, place="US")
    assert of_packs(packs, place="us-ca") == {"us-ca"}, "a pack is itself"
    assert of_packs(packs, place="HK") == {"hk"}, "no law of another place"
    assert not browse.found(packs, Wanted(place="ZZ"))
    assert not browse.is_place(packs, "ZZ")
    assert browse.is_place(packs, "FR")


def test_kinds_and_words_narrow(packs: PackSet) -> None:
    every = browse.found(packs, Wanted())
    assert len(every) == len({row["rule_id"] for row in every})
    for kind in browse.kinds(packs):
        rows = browse.found(packs, Wanted(kind=kind))
        assert rows
        assert {row["kind"] for row in rows} == {kind}
    both = browse.found(packs, Wanted(kind="notice", place="DE"))
    assert {row["rule_id"] for row in both} < {
        row["rule_id"] for row in browse.found(packs, Wanted(place="DE"))
    }
    assert [row["rule_id"] for row in browse.found(packs, Wanted(text="连续使用 两小时"))] == [
        "cn.companion.reminder"
    ]
    assert browse.found(packs, Wanted(text="JOINT DECREE 21"))
    assert not browse.found(packs, Wanted(text="reminder no-such-word"))


def test_each_rule_has_its_cases_and_each_row_is_json(packs: PackSet) -> None:
    for row in browse.found(packs, Wanted()):
        told = browse.one(packs, row["pack"], row["rule_id"])
        assert told is not None
        assert told["sources"][0]["source"]
        assert json.loads(json.dumps(json_values(told)))["rule_id"] == row["rule_id"]
        if row["enforcement"] is not None:
            assert len(told["cases"]) >= 2, row["rule_id"]
    assert browse.one(packs, "cn", "eu.aiact.notice") is None, "a rule belongs to its pack"
    assert browse.one(packs, "zz", "cn.companion.reminder") is None


def test_every_word_of_a_row_is_there_in_both_languages(packs: PackSet) -> None:
    wanted = {f"pack_kind_{one['kind']}" for one in browse.heads(packs)} | {
        "status_reviewed",
        "status_unreviewed",
    }
    for row in browse.found(packs, Wanted()):
        wanted.add(f"certainty_{row['certainty']}")
        wanted.add(f"enforcement_{row['enforcement']}" if row["enforcement"] else f"term_{row['kind'][9:]}")
    for language in LANGUAGES:
        assert {name for name in wanted if not TEXTS[language].get(name)} == set()
