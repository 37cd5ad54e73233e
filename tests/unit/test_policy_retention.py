"""How long each class is kept: settings within the law of the markets, and what contradicts it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dragoman.control.loaded import Loaded, read_all
from dragoman.control.rule_check import compile_rules
from dragoman.decide.packs import PackSet, load_packs, pack_of
from dragoman.errors import ConfigError
from dragoman.policy.retention import DEFAULT_DAYS, Period, contradictions, periods

NOW = 1_795_608_000_000  # 2026-11-26
IN_FORCE = 1_810_200_000_000  # 2027-05-13 and later


def loaded(tmp_path: Path, text: str) -> Loaded:
    file = tmp_path / "dragoman.toml"
    file.write_text(f'{text}\n[zone]\ndata = "d"\n', encoding="utf-8")
    return read_all(file, compile_rules)


def kept(one: Loaded, now: int = NOW) -> dict[str, Period]:
    return {period.of.name: period for period in periods(one.settings, one.packs, one.world, now)}


def test_without_settings_the_longest_that_the_law_of_the_markets_asks(tmp_path: Path) -> None:
    found = kept(loaded(tmp_path, '[deployment]\nmarkets = ["SG"]'))
    assert {name: (one.days, one.rule) for name, one in found.items()} == {
        "conversations": (None, "default"),
        "decisions": (DEFAULT_DAYS, "default"),
        "interventions": (DEFAULT_DAYS, "default"),
        "appeals": (None, "default"),
        "evidence": (DEFAULT_DAYS, "default"),
        "guests": (30, "default"),
        "sign_ins": (DEFAULT_DAYS, "default"),
        "usage": (None, "default"),
    }
    found = kept(loaded(tmp_path, '[deployment]\nmarkets = ["SG", "KR"]'))
    assert (found["decisions"].days, found["decisions"].rule) == (731, "kr.pipa.logs")
    assert found["decisions"].citation is not None
    assert (found["conversations"].days, found["usage"].days) == (None, None)


def test_without_markets_the_law_of_every_place_counts(tmp_path: Path) -> None:
    assert kept(loaded(tmp_path, ""))["sign_ins"].days == 731


def test_a_rule_counts_from_its_day_and_is_told_before(tmp_path: Path) -> None:
    found = kept(loaded(tmp_path, '[deployment]\nmarkets = ["IN"]'))
    ahead = {one.rule_id: one for one in found["guests"].law}
    assert ahead["in.dpdp.retention"].binding_from == "2027-05-13"
    assert found["guests"].days == 30
    later = kept(loaded(tmp_path, '[deployment]\nmarkets = ["IN"]'), IN_FORCE)
    assert (later["guests"].days, later["guests"].rule) == (366, "in.dpdp.retention")
    assert later["conversations"].days is None, "a minimum ends nothing"


def test_a_setting_below_what_the_law_asks_is_refused_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as fault:
        loaded(tmp_path, '[deployment]\nmarkets = ["KR"]\n[retention]\ninterventions_days = 730')
    (problem,) = fault.value.problems
    assert problem.startswith(
        "retention.interventions_days: 730 days are less than the 731 that kr.pipa.logs"
    )
    loaded(tmp_path, '[deployment]\nmarkets = ["KR"]\n[retention]\ninterventions_days = 731')
    loaded(tmp_path, '[deployment]\nmarkets = ["SG"]\n[retention]\ninterventions_days = 30')


def packs_with(tmp_path: Path, **bounds: int) -> PackSet:
    """The shipped packs, Singapore's retention rule with other bounds."""
    shipped = load_packs()
    pack = shipped.packs["sg"]
    document = {**pack.document, "rules": [dict(one) for one in pack.document["rules"]]}
    for one in document["rules"]:
        if one["rule_id"] == "sg.pdpa.retention":
            one["retention"] = {"data_class": "personal_data", **bounds}
    changed = pack_of(document, "", "sg.toml")
    return PackSet.of([changed if one.id == "sg" else one for one in shipped.packs.values()], ())


def test_a_maximum_ends_what_nobody_ended(tmp_path: Path) -> None:
    one = loaded(tmp_path, '[deployment]\nmarkets = ["SG"]')
    capped = replace(one, packs=packs_with(tmp_path, max_days=90))
    found = kept(capped)
    assert (found["conversations"].days, found["conversations"].rule) == (90, "sg.pdpa.retention")
    assert found["interventions"].days == 90
    assert found["decisions"].days == DEFAULT_DAYS, "a decision names no person"
    assert found["usage"].days is None


@pytest.mark.parametrize(
    ("bounds", "setting", "said"),
    [
        ({"max_days": 90}, 91, "are more than the 90 that sg.pdpa.retention allows"),
        ({"max_days": 90}, 90, None),
        ({"min_days": 90}, 89, "are less than the 90 that sg.pdpa.retention asks for"),
        ({"min_days": 90}, 90, None),
        ({"min_months": 3}, 91, "are less than the 92 that sg.pdpa.retention asks for"),
    ],
)
def test_a_setting_is_held_to_both_bounds(
    tmp_path: Path, bounds: dict[str, int], setting: int, said: str | None
) -> None:
    one = loaded(tmp_path, f'[deployment]\nmarkets = ["SG"]\n[retention]\nconversations_days = {setting}')
    found = contradictions(one.settings, packs_with(tmp_path, **bounds), one.world, NOW)
    assert [one for one in found if one.startswith("retention.conversations_days")] == (
        [] if said is None else [next(text for text in found if said in text)]
    )


def test_law_that_contradicts_itself_is_refused_without_a_setting(tmp_path: Path) -> None:
    one = loaded(tmp_path, '[deployment]\nmarkets = ["SG", "IN"]')
    packs = packs_with(tmp_path, max_days=200)
    assert contradictions(one.settings, packs, one.world, NOW) == [], "not yet"
    found = contradictions(one.settings, packs, one.world, IN_FORCE)
    assert "retention.conversations_days: the law contradicts itself" in found[0]
    longer = kept(replace(one, packs=packs), IN_FORCE)["conversations"]
    assert longer.days == 366, "what may not be erased is kept"
