"""The names that packs understand: listed with their readers and meaning, and nothing else is let through."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dragoman.core.decision import OBLIGATION_KINDS
from dragoman.core.facts import EVENTS, Facts, FactsError
from dragoman.decide.packs import baseline_document, load_packs
from dragoman.decide.vocabulary import KINDS, check_names, known_names, vocabulary, words

PACKS = load_packs()
ENGINE = Path(__file__).parents[2] / "src/dragoman/decide"


def named(kind: str) -> dict[str, Any]:
    return {entry["name"]: entry for entry in vocabulary(PACKS)[kind]}


def test_every_kind_is_listed_with_words_in_both_languages() -> None:
    found = vocabulary(PACKS)
    assert set(found) == {"packs", *KINDS}
    for kind in KINDS:
        for entry in found[kind]:
            assert entry["meaning"]["en"], entry
            assert re.search(r"[\u4e00-\u9fff]", entry["meaning"]["zh"]), entry
    assert set(EVENTS) <= set(named("events"))
    assert {entry["name"] for entry in found["obligations"]} == set(OBLIGATION_KINDS)


def test_the_names_of_the_specification_are_there() -> None:
    assert {"assistant", "customer_service", "companion"} <= set(named("features"))
    assert {"genai_filing", "representative.<cc>", "self_harm_protocol"} <= set(named("evidence"))
    assert {"cn_mau", "kr_dau_3m", "in_registered", "us_ca_mau", "br_minors"} <= set(named("counters"))
    assert {"text", "image", "audio", "video"} <= set(named("modalities"))


def test_a_name_says_which_rules_read_it() -> None:
    assert "cn.companion.reminder" in named("features")["companion"]["rules"]
    assert "cn.transfer" in named("counters")["cn_outbound_persons_ytd"]["rules"]
    assert "cn.gate.icp" in named("evidence")["icp_filing"]["rules"]
    assert "eu.dsa.sor" in named("roles")["dsa_hosting"]["rules"]
    assert "sg.pdpa.breach" in named("obligations")["incident"]["rules"]
    assert named("reason_codes")["SG_PDPA_BREACH"]["rules"] == ["sg.pdpa.breach"]


def test_every_code_of_the_engine_has_words() -> None:
    code = "".join(file.read_text("utf-8") for file in ENGINE.glob("*.py"))
    given = set(
        re.findall(r'(?:remark|Reason|Remark|warn|ask|deny|ask_operator|_place)\(\s*"([A-Z_]{6,})"', code)
    )
    assert {"NO_PACK", "LIST_STALE", "PROV_MIN_AGE", "ZONE_OTHER"} <= given, (
        "the control: it looks where they are"
    )
    assert sorted(given - set(words()["reason_codes"])) == []


@pytest.mark.parametrize(
    ("change", "path", "nearest"),
    [
        ({"feature": "compnion"}, "feature", "companion"),
        ({"modality": ["txt"]}, "modality", "text"),
        ({"operator": {"roles": ["ai_providr"]}}, "operator.roles", "ai_provider"),
        ({"operator": {"evidence": {"icp_filling": {}}}}, "operator.evidence.icp_filling", "icp_filing"),
        ({"operator": {"counters": {"cn_mua": 3}}}, "operator.counters.cn_mua", "cn_mau"),
        ({"operator": {"data_locations": {"personal_dat": "SG"}}}, "operator.data_locations.personal_dat",
         "personal_data"),
    ],
)  # fmt: skip
def test_a_misspelled_name_is_an_error_with_the_nearest(
    change: dict[str, Any], path: str, nearest: str
) -> None:
    facts = Facts.parse({"as_of": "2026-11-22", **change})
    with pytest.raises(FactsError, match=f'did you mean "{nearest}"') as error:
        check_names(facts, PACKS)
    assert error.value.path == path


def test_what_is_known_passes() -> None:
    check_names(Facts.parse(baseline_document()), PACKS)
    evidence = {"representative.kr": {"number": "1"}, "representative.ie": {}}
    operator = {"evidence": evidence, "counters": {"br_minors": 1}, "roles": ["dsa_hosting"]}
    check_names(
        Facts.parse({"as_of": "2026-11-22", "feature": "companion:elder", "operator": operator}), PACKS
    )
    assert "representative.kr" in known_names(PACKS)["evidence"]
