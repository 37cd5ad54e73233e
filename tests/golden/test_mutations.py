"""A share of the mutation run over packs, and its controls; `make prove` runs every mutant of every pack."""

from __future__ import annotations

import json
import os
import random
import sys
import tomllib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from mutate_packs import KILLED, REFUSED, SURVIVED, Bench, bench, run
from pack_mutants import Capabilities, Mutant, mutants

SHARE = int(os.environ.get("DRAGOMAN_MUTANTS", "100"))


@pytest.fixture(scope="module")
def over() -> Bench:
    return bench()


@pytest.fixture(scope="module")
def every(over: Bench) -> list[Mutant]:
    return [mutant for pack in over.documents for mutant in over.mutants(pack)]


def test_no_mutant_survives(over: Bench, every: list[Mutant]) -> None:
    drawn = random.Random(os.environ.get("DRAGOMAN_SEED", "1"))
    chosen = drawn.sample(every, SHARE)
    fates = {(m.pack, m.rule, m.kind, m.what): over.fate(m) for m in chosen}
    assert [name for name, fate in fates.items() if fate == SURVIVED] == []
    assert sum(fate == KILLED for fate in fates.values()) > SHARE / 3


def test_control_without_its_boundary_cases_a_mutant_survives(over: Bench, every: list[Mutant]) -> None:
    rule = "gb.dpa.complaint"
    (later,) = [m for m in every if m.rule == rule and m.what == "effective_from → 2026-06-20"]
    assert over.fate(later) == KILLED
    today = [(case, parts) for case, parts in over.cases if case.as_of == date(2026, 11, 22)]
    assert replace(over, cases=today).fate(later) == SURVIVED


def test_control_a_pack_unchanged_survives_and_one_that_warns_no_longer_does_not_load(
    over: Bench, every: list[Mutant]
) -> None:
    document = over.documents["hk"]
    assert over.fate(Mutant("hk", "hk.pdpo.access", "none", "nothing", document, (), None)) == SURVIVED
    refused = [m for m in over.mutants("hk") if m.rule == "hk.pdpo.transfer" and m.kind == "on_missing"]
    assert {over.fate(m) for m in refused} <= {REFUSED, KILLED}
    assert REFUSED in {over.fate(m) for m in over.mutants("hk") if m.kind == "enforcement"}


PACK = """
[pack]
id = "zz"
iso = ["NO"]
[[rules]]
rule_id = "zz.age"
kind = "age"
applies_when = { event = ["turn"], not = { seat = ["NO"] }, any = [{ counters = { x = { gte = 5 } } }, { realistic = true }] }
effective_from = 2026-01-01
grandfather = { placed_before = 2026-02-01, until = 2026-03-01 }
enforcement = "grace"
on_missing = "step_up"
title = { en = "a", zh = "b" }
source_refs = ["x"]
[rules.age]
consent_age_by = { NO = 13 }
signal = "guardian"
"""


def test_every_date_number_list_and_flag_is_mutated() -> None:
    made = list(mutants(tomllib.loads(PACK), Capabilities()))
    found = {(m.kind, m.what) for m in made}
    assert ("date", "effective_from → 2026-01-02") in found
    assert ("date", "grandfather.until → 2026-02-28") in found
    assert ("number", "applies_when.any.0.counters.x.gte → 4") in found
    assert ("number", "age.consent_age_by.NO → 14") in found
    assert ("flag", "applies_when.any.1.realistic → False") in found
    assert ("list", "applies_when.event → ['turn', 'deploy']") in found
    assert ("list", "age.consent_age_by → {}") in found
    assert ("enforcement", "enforcement → draft") in found
    assert ("on_missing", "on_missing → deny") in found
    assert not [what for _, what in found if "title" in what or "source_refs" in what]
    assert len({repr(m.document) for m in made}) == len(made), "no two mutants are the same"


CHANNEL = """
[pack]
id = "zz"
[channel]
id = "zz"
capabilities = ["visible_text", "mini_program"]
"""
RULE_OF_CHANNELS = """
[pack]
id = "yy"
[[rules]]
rule_id = "yy.app"
kind = "minors"
applies_when = { feature = ["companion"], any = [{ channel_capability = ["mini_program", "mobile_app"] }] }
on_missing = "deny"
[rules.minors]
forbidden_features = ["companion:x"]
"""
PROVIDER = """
[pack]
id = "xx"
[provider]
basis = ["access_location", "offered_to"]
"""


def test_what_cannot_change_a_decision_is_not_mutated_and_what_can_is() -> None:
    channel, rule, provider = map(tomllib.loads, (CHANNEL, RULE_OF_CHANNELS, PROVIDER))
    both = Capabilities.of([channel, rule, provider])
    assert both == Capabilities(
        frozenset({"visible_text", "mini_program"}), frozenset({"mini_program", "mobile_app"})
    )
    assert {m.what for m in mutants(channel, both)} == {"capabilities → ['visible_text']"}, (
        "one app is enough"
    )
    page = {**channel, "channel": {"capabilities": ["visible_text"]}}
    assert {m.what for m in mutants(page, both)} == {
        f"capabilities → ['visible_text', '{name}']" for name in ("mini_program", "mobile_app")
    }
    asked = {m.what for m in mutants(rule, both)}
    assert "applies_when.any.0.channel_capability → ['mobile_app']" in asked
    assert "applies_when.any.0.channel_capability → ['mini_program']" not in asked, "no channel is an app"
    assert "minors.forbidden_features → []" in asked
    assert "minors.forbidden_features → ['companion:x', 'zz_other']" not in asked
    assert {m.what for m in mutants(provider, both)} == {
        "basis → ['offered_to']", "basis → ['access_location']",
        "basis → ['access_location', 'offered_to', 'operator_seat']",
    }  # fmt: skip
    whole = {**provider, "provider": {"complete": True}}
    assert {m.what for m in mutants(whole, both)} == set(), "it says no to every other place either way"
    some = {**provider, "provider": {"complete": False, "open_codes": ["SG"]}}
    assert "complete → True" in {m.what for m in mutants(some, both)}


def test_a_run_goes_on_where_it_stopped_and_begins_anew_when_asked(tmp_path: Path) -> None:
    results = tmp_path / "found.json"
    first = run(["it"], results, again=False)
    kept = json.loads(results.read_text("utf-8"))
    assert first["survivors"] == []
    assert first["killed"] > 0
    kept["tried"]["it"]["survivors"] = ["from the file"]
    results.write_text(json.dumps(kept), "utf-8")
    assert run(["it"], results, again=False)["survivors"] == ["from the file"]
    assert run(["it"], results, again=True)["survivors"] == []
    results.write_text(json.dumps({**kept, "stamp": "of other packs"}), "utf-8")
    assert run(["it"], results, again=False)["survivors"] == []
