"""Every piece of evidence that a shipped pack may ask an operator for has words in both languages."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from dragoman.decide.evidence import all_in_words, in_words, names

PACKS = files("dragoman") / "packs"


def asked_for(table: Any) -> Iterator[str]:
    """Ids under `type` of prerequisites, `evidence`, `mechanism`, `mechanisms`, wherever they stand in a pack."""
    if isinstance(table, Mapping):
        for key, value in table.items():
            if key in {"type", "mechanism", "mechanisms"} and isinstance(value, list):
                yield from (one for one in value if isinstance(one, str))
            elif key == "evidence" and isinstance(value, str | list):
                yield from [value] if isinstance(value, str) else value
            else:
                yield from asked_for(value)
    elif isinstance(table, list):
        for one in table:
            yield from asked_for(one)


def test_what_shipped_packs_ask_for_has_words() -> None:
    folders = [PACKS / name for name in ("jurisdictions", "providers", "channels")]
    found = {
        name
        for folder in folders
        for file in folder.iterdir()
        if file.name.endswith(".toml")
        for name in asked_for(tomllib.loads(file.read_text("utf-8")))
    }
    assert {"icp_filing", "representative.<cc>", "keyword_list"} <= found, (
        "the control: it looks where they are"
    )
    assert sorted(found - set(names())) == []
    baseline = tomllib.loads((PACKS / "baseline.toml").read_text("utf-8"))["operator"]["evidence"]
    known = {re.sub(r"^representative\.[a-z]{2}$", "representative.<cc>", name) for name in baseline}
    assert sorted(known - set(names())) == []


def test_what_code_asks_for_has_words() -> None:
    code = (files("dragoman") / "decide" / "territory.py").read_text("utf-8")
    paths = set(re.findall(r'ask_operator\("[A-Z_]+", "([a-z.]+)"[,)]', code))
    assert "operator.seat" in paths, "the control"
    assert sorted(paths - set(names())) == []
    for prefix in ("data_locations", "retention", "territory_list"):
        assert f"{prefix}.*" in names()


def test_words_are_in_both_languages_and_are_no_ids() -> None:
    for name, text in names().items():
        assert set(text) == {"en", "zh"}, name
        assert re.search(r"[\u4e00-\u9fff]", text["zh"]), name
        for language in ("en", "zh"):
            asked = name.replace("*", "thing")
            assert "_" not in in_words(asked, language), name
            assert name not in text[language], name


def test_alternatives_are_joined_and_an_operators_own_id_stays() -> None:
    assert in_words("genai_filing|algorithm_filing", "zh") == "生成式人工智能服务备案或算法备案"
    assert in_words("outbound_contract|own.permit", "en").endswith(" or own.permit")
    assert "“chats”" in in_words("data_locations.chats", "en")


def test_an_alternative_that_all_have_is_said_once() -> None:
    feature, rule, referral = (
        in_words(one, "en") for one in ("operator.feature", "crisis_rule.selfharm", "crisis_referral.US-NY")
    )
    needed = ["crisis_referral.US-NY|operator.feature", "crisis_rule.selfharm|operator.feature"]
    assert all_in_words(needed, "en") == f"either {feature}, or all of these: {referral}, {rule}"
    assert all_in_words(needed, "zh").count(in_words("operator.feature", "zh")) == 1
    assert all_in_words([*needed, "operator.feature"], "en") == feature, "it is needed in any case"
    control = [*needed, "dpo.sg"]
    assert all_in_words(control, "en").count(feature) == 2, "the control: one lacks the alternative"
    assert all_in_words(needed[:1], "en") == f"{referral} or {feature}"


def test_a_representative_in_the_union_says_where() -> None:
    iso = tomllib.loads((PACKS / "jurisdictions" / "eu.toml").read_text("utf-8"))["pack"]["iso"]
    assert len(iso) == 27, "the words speak of member states; the pack's countries are these and no others"
    assert "in a member state of the Union" in in_words("representative.<cc>", "en")
    assert "欧盟任一成员国" in in_words("representative.<cc>", "zh")
