"""Registered people, counted by the zone itself: a threshold of a law is passed by whoever signs up."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from dragoman.control.app import Control
from dragoman.control.counted import counted, passes, with_counts
from dragoman.core.facts import Facts
from dragoman.core.people import Declared, Person, Phone
from dragoman.decide.engine import decide
from dragoman.decide.iso3166 import countries
from dragoman.decide.packs import load_packs
from dragoman.decide.vocabulary import words
from dragoman.ids import new_id, now_ms
from dragoman.testing.ports import free_port

CONFIG = """
packs_dir = "own"
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
[deployment]
roles = ["in_intermediary"]
"""
THRESHOLD = "in_registered = { gte = 5000000 }"
DEPLOYED: dict[str, Any] = {
    "as_of": "2026-11-22",
    "event": "deploy",
    "residence": "IN",
    "address_country": "IN",
    "audience": "public",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A zone whose pack of India has a duty from three registered people on, instead of five million."""
    (tmp_path / "own" / "jurisdictions").mkdir(parents=True)
    shipped = (files("dragoman") / "packs" / "jurisdictions" / "in.toml").read_text("utf-8")
    assert shipped.count(THRESHOLD) == 1
    (tmp_path / "own" / "jurisdictions" / "in.toml").write_text(
        shipped.replace(THRESHOLD, "in_registered = { gte = 3 }"), encoding="utf-8"
    )
    (tmp_path / "dragoman.toml").write_text(
        CONFIG.format(listen=free_port(), admin=free_port()), encoding="utf-8"
    )
    return tmp_path / "dragoman.toml"


@pytest.fixture
def control(file: Path) -> Iterator[Control]:
    control = Control(file)
    control.start()
    yield control
    control.stop()


def live(control: Control, residence: str | None, *regions: str) -> None:
    """Somebody new."""
    tenant, now = control.core.guest_tenant().tenant, now_ms()
    name = new_id("prn", "local", now)
    phone = Phone(name, regions, "mobile", regions[0], "+1", regions[0])
    person = Person(tenant, name, phone, now, Declared(residence, None, None, 18), "r", now, now)
    control.core.signed_up.submit(tenant, lambda rows: rows.put_person(person)).result()


def is_told(control: Control) -> bool:
    loaded = control.core.holder.loaded
    decision = decide(Facts.parse(DEPLOYED), loaded.packs, loaded.world)
    return "IN_SSMI" in {one.code for one in (*decision.reasons, *decision.warnings)}


def test_who_signs_up_counts_by_residence_and_by_phone(control: Control) -> None:
    assert counted(control.core.signed_up) == {}
    live(control, "SG", "SG")
    live(control, "IN", "SG")
    live(control, None, "PK", "IN")
    live(control, "IN", "IN")
    live(control, "CN", "HK")
    assert counted(control.core.signed_up) == {"in_registered": 3, "cn_registered": 1}


def test_a_threshold_that_is_passed_decides_from_then_on(control: Control) -> None:
    for _ in range(2):
        live(control, "IN", "SG")
    control.recount.look()
    seq = control.core.newest_seq()
    assert not is_told(control), "the control: two are too few"
    live(control, "IN", "SG")
    assert not is_told(control), "until it is counted"
    control.recount.look()
    assert is_told(control)
    assert [change.tags for _, change in control.core.changes_after(seq)][:1] == [("config",)]
    live(control, "IN", "SG")
    control.recount.look()
    seq = control.core.newest_seq()
    live(control, "IN", "SG")
    control.recount.look()
    assert control.core.changes_after(seq) == [], "no plan is made anew where no rule changes its mind"
    control.reloader.reload()
    assert is_told(control), "a reading of the files does not forget it"


def test_who_starts_counts_before_anybody_asks(file: Path) -> None:
    for told in (False, True):
        control = Control(file)
        control.start()
        try:
            assert is_told(control) is told
            for _ in range(3):
                live(control, "IN", "SG")
        finally:
            control.stop()


def test_what_the_operator_states_stands_where_it_is_more(control: Control) -> None:
    loaded = control.core.holder.loaded
    deployment = loaded.settings.deployment.model_copy(update={"counters": {"in_registered": 7, "cn_mau": 5}})
    stated = loaded.settings.model_copy(update={"deployment": deployment})
    whole = type(loaded)(**{**vars(loaded), "settings": stated})
    for count, most in ((3, 7), (9, 9)):
        facts = with_counts(whole, {"in_registered": count}).world.deployment
        assert facts["operator.counters.in_registered"] == most
        assert facts["operator.counters.cn_mau"] == 5


def test_what_is_counted_is_a_counter_that_the_packs_know() -> None:
    assert {"cn_registered", "in_registered"} == set(words()["counted"]) <= set(words()["counters"])
    assert {one["country"] for one in words()["counted"].values()} <= countries()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (0, 4_999_999, False),
        (4_999_999, 5_000_000, True),
        (5_000_001, 9_000_000, False),
        (6_000_000, 1, True),
    ],
)
def test_a_count_matters_where_a_rule_changes_its_mind(old: int, new: int, expected: bool) -> None:
    packs = load_packs()
    assert passes(packs, {"in_registered": old}, {"in_registered": new}) is expected
    assert passes(packs, {"unread": old}, {"unread": new}) is False
