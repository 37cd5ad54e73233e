"""The dates ahead: which rules turn, and what each changes, held against decisions made anew on both sides."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from dragoman.admin.texts import LANGUAGES, TEXTS
from dragoman.core.decision import OUTCOMES
from dragoman.core.facts import EVENTS, Evidence, Facts
from dragoman.decide.ahead import ALWAYS, BEGINS, BINDS_OLDER, ENDS, Ahead, Change, Date
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet, baseline_document, load_packs
from dragoman.decide.world import World

DAY_MS = 86_400_000


def ms(day: str) -> int:
    return int(dt.datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp() * 1000)


NOW, UNTIL = ms("2026-11-26"), ms("2028-11-26")


@pytest.fixture(scope="module")
def packs() -> PackSet:
    return load_packs()


def person(place: str, **leaves: Any) -> Facts:
    facts = Facts.parse({**baseline_document(), "as_of": "2026-11-26"})
    named = {
        "residence": place,
        "address_country": place,
        **{k.replace("__", "."): v for k, v in leaves.items()},
    }
    return facts.replaced(named)


def ahead(packs: PackSet, **people: Facts) -> Ahead:
    return Ahead(packs, World.from_packs(packs), people)


def on(dates: list[Date], rule_id: str) -> tuple[Date, str]:
    return next((one, turn.change) for one in dates for turn in one.turns if turn.rule.rule_id == rule_id)


def test_a_rule_for_older_systems_binds_them_on_its_day(packs: PackSet) -> None:
    older = {"operator__placed_on_market": dt.date(2026, 5, 1)}
    its = ahead(packs, DE=person("DE", **older))
    date, change = on(its.dates(NOW, UNTIL, its.in_play(NOW)), "eu.aiact.marking")
    assert (change, date.turns[0].day) == (BINDS_OLDER, "2026-12-02")
    began = {duty for one in date.changes for duty in one.duties_begin}
    assert ("label.machine", "eu.aiact.marking") in began
    assert any(
        (one.rule_id, one.binding_from) == ("eu.aiact.marking", "2026-12-02") for one in its.advice(NOW)
    )
    new = ahead(packs, DE=person("DE"))  # the control: placed after, so bound already
    date, _ = on(new.dates(NOW, UNTIL, new.in_play(NOW)), "eu.aiact.marking")
    assert ("label.machine", "eu.aiact.marking") not in {d for one in date.changes for d in one.duties_begin}
    assert all(one.rule_id != "eu.aiact.marking" for one in new.advice(NOW))


def test_only_packs_in_play_unless_all_are_asked_for(packs: PackSet) -> None:
    its = ahead(packs, SG=person("SG"))
    own = {turn.rule.pack for one in its.dates(NOW, UNTIL, its.in_play(NOW)) for turn in one.turns}
    every = {turn.rule.pack for one in its.dates(NOW, UNTIL, packs.packs) for turn in one.turns}
    assert own <= {"sg", "api"}
    assert {"eu", "us-wa", "in"} <= every
    assert ahead(packs).dates(NOW, UNTIL, ()) == [], "no market, no pack"


def test_every_turn_within_the_span_is_there_and_none_beyond(packs: PackSet) -> None:
    its = ahead(packs)
    found = {
        (t.rule.rule_id, t.change, one.at) for one in its.dates(NOW, UNTIL, packs.packs) for t in one.turns
    }
    for pack in packs.packs.values():
        for rule in pack.rules:
            wanted = {BEGINS: rule.starts, ENDS: rule.ends, BINDS_OLDER: rule.grandfathered_until}
            for change, at in wanted.items():
                inside = at is not None and NOW < at <= UNTIL
                assert ((rule.rule_id, change, at) in found) is inside, (rule.rule_id, change)
    assert {change for _, change, _ in found} >= {BEGINS, BINDS_OLDER}


def test_evidence_that_ends_is_a_date_with_what_is_then_missing(packs: PackSet) -> None:
    last = dt.date(2027, 3, 1)
    held = {"operator__evidence__icp_filing": Evidence("n", last)}
    its = ahead(packs, CN=person("CN", **held))
    date = next(one for one in its.dates(NOW, UNTIL, ()) if any("icp_filing" in c.lacks for c in one.changes))
    assert date.turns == ()
    assert date.at == ms("2027-03-01") + DAY_MS - 8 * 3_600_000, "its last day is over in Shanghai"
    kept_out = next(one for one in date.changes if "turn" in one.events)
    assert (kept_out.before.startswith("ALLOW"), kept_out.after) == (True, "DENY")
    forever = ahead(packs, CN=person("CN"))
    assert not any(c.lacks for one in forever.dates(NOW, UNTIL, ()) for c in one.changes), "the control"


@pytest.mark.parametrize("place", ["CN", "DE", "US", "IN", "VN"])
def test_changes_are_what_is_decided_anew_on_both_sides(packs: PackSet, place: str) -> None:
    facts = person(place, feature="companion", operator__placed_on_market=dt.date(2026, 1, 1))
    world = World.from_packs(packs)
    dates = Ahead(packs, world, {place: facts}).dates(NOW, UNTIL, packs.packs)
    assert dates
    for date in dates:
        told = {event: one for one in date.changes for event in one.events}
        for event in ALWAYS:
            sides = [
                decide(facts.replaced({"event": event, "as_of": at}), packs, world)
                for at in (date.at - 1, date.at)
            ]
            bound = [
                {(o.kind, o.rule_id) for o in one.obligations if o.binding_from is None} for one in sides
            ]
            one = told.get(event)
            assert (bound[1] - bound[0], bound[0] - bound[1]) == _duties(one), (date.at, event)
            if one is not None:
                assert (one.before, one.after) == (sides[0].outcome, sides[1].outcome)
                assert set(one.lacks) == set(sides[1].not_ready) - set(sides[0].not_ready)


def _duties(one: Change | None) -> tuple[set[Any], set[Any]]:
    return (set(), set()) if one is None else (set(one.duties_begin), set(one.duties_end))


def test_every_word_is_there_in_both_languages() -> None:
    wanted: Mapping[str, Any] = {f"outcome_{one}": 1 for one in OUTCOMES} | {
        f"event_{one}": 1 for one in EVENTS
    }
    wanted |= {f"turn_{one}": 1 for one in (BEGINS, ENDS, BINDS_OLDER)}
    for language in LANGUAGES:
        assert [name for name in wanted if not TEXTS[language].get(name)] == []
