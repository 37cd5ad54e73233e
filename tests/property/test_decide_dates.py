"""Random packs at random instants: a decision is the same until the instant it names."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dragoman.core.decision import Decision
from dragoman.core.facts import Facts, instant
from dragoman.decide.engine import decide
from dragoman.decide.packs import PackSet, read_pack
from dragoman.decide.roster import FOREVER, Roster, Schedule
from dragoman.decide.world import Offer, World

RUN = settings(
    max_examples=int(os.environ.get("DRAGOMAN_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
WORLD = World.of("local", {"local": (Offer("local", None),)})
HEAD = """
[pack]
id = "zz"
version = "0.1.0"
schema_version = "1"
status = "unreviewed"
title = {{ en = "Test", zh = "测试" }}
iso = ["NO"]
timezones = {zones}
[[sources]]
id = "act"
title = "Act"
"""
RULE = """
[[rules]]
rule_id = "zz.r{number}"
kind = "{kind}"
effective_from = {begin}
{end}{old}enforcement = "{enforcement}"
on_missing = "{missing}"
source_refs = ["act"]
certainty = "V"
reason_code = "R{number}"
title = {{ en = "Rule", zh = "规则" }}
[rules.{kind}]
{payload}
"""
KINDS = {
    "notice": ("oblige", 'id = "n"\ntrigger = "first_turn"\nlocale_text = { en = "a", zh = "甲" }'),
    "prerequisite": ("gate", 'type = ["icp_filing"]'),
    "availability": ("deny", 'mode = "prohibited"'),
    "retention": ("oblige", 'data_class = "x"\nmin_days = 3'),
}
DAYS = st.integers(-3, 3).map(lambda n: date(2026, 11, 22) + timedelta(days=n))
FAR = st.sampled_from([date(2027, 11, 22), date(2027, 11, 23), date(2027, 11, 24)])


@st.composite
def packs(draw: Any) -> PackSet:
    zones = draw(
        st.sampled_from(['["UTC"]', '["Asia/Shanghai"]', '["America/New_York", "Pacific/Honolulu"]'])
    )
    text = HEAD.format(zones=zones)
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(sorted(KINDS)))
        begin = draw(st.one_of(DAYS, DAYS, FAR))
        ends = draw(st.booleans())
        old = draw(st.booleans())
        text += RULE.format(
            number=number,
            kind=kind,
            begin=begin,
            end=f"effective_to = {begin + timedelta(days=draw(st.integers(0, 2)))}\n" if ends else "",
            old=f"grandfather = {{ placed_before = 2026-08-02, until = {draw(DAYS)} }}\n" if old else "",
            enforcement=draw(st.sampled_from(["in_force", "grace"])),
            missing=KINDS[kind][0],
            payload=KINDS[kind][1],
        )
    return PackSet.of([read_pack(text, "zz.toml")])


FACTS = st.builds(
    lambda at, expires, placed: Facts.parse({
        "as_of": at, "residence": "NO", "model": "local",
        "operator": {
            "evidence": {"icp_filing": {"expires": expires}} if expires else {},
            **({"placed_on_market": placed} if placed else {}),
        },
    }),
    st.integers(instant("2026-11-18"), instant("2026-11-27")),
    st.one_of(st.none(), DAYS),
    st.sampled_from([None, date(2026, 8, 1), date(2026, 8, 2)]),
)  # fmt: skip


def shown(decision: Decision) -> dict[str, Any]:
    document = decision.to_dict()
    del document["as_of"]
    return document


def same_until(facts: Facts, loaded: PackSet, part: float) -> bool:
    """Whether a fresh decision inside the interval equals the one made at its beginning."""
    decision = decide(facts, loaded, WORLD)
    end = decision.holds_until or facts.as_of + 40 * 86_400_000
    later = min(end - 1, facts.as_of + int((end - facts.as_of) * part))
    return shown(decide(facts.replaced({"as_of": later}), loaded, WORLD)) == shown(decision)


@RUN
@given(FACTS, packs(), st.one_of(st.floats(0, 1), st.just(1.0)))
def test_cached_is_fresh_for_random_packs_and_instants(facts: Facts, loaded: PackSet, part: float) -> None:
    assert same_until(facts, loaded, part)


class Endless:
    """A schedule that keeps to its dates and names none."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def at(self, now: int) -> Roster:
        return replace(self.schedule.at(now), until=FOREVER)


def test_control_without_the_dates_of_rules_it_is_not() -> None:
    text = HEAD.format(zones='["UTC"]') + RULE.format(
        number=0, kind="availability", begin="2026-11-23", end="", old="", enforcement="in_force",
        missing="deny", payload=KINDS["availability"][1],
    )  # fmt: skip
    loaded = PackSet.of([read_pack(text, "zz.toml")])
    facts = Facts.parse({"as_of": "2026-11-22", "residence": "NO", "model": "local"})
    assert decide(facts, loaded, WORLD).holds_until == instant("2026-11-23T00:00:00+00:00")
    blind = replace(loaded, schedules={key: Endless(one) for key, one in loaded.schedules.items()})

    assert same_until(facts, loaded, 1.0)
    assert not same_until(facts, blind, 1.0)
