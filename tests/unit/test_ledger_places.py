"""A turn's entries are found by time in a log of many, also where the clock jumped; what is not there is not found."""

from __future__ import annotations

from pathlib import Path

import pytest
from ledger_spec import Key
from ledger_spec import check_proof as spec_check
from ledger_zone import SEGMENT, make_zone

from dragoman import _native
from dragoman.canonical import canonical
from dragoman.ledger import places
from dragoman.ledger.logs import LedgerError, entries, log_of
from dragoman.ledger.places import places_of

TURNS = 700
"""Two entries each: five full bundles and a partial one."""


def entry(kind: str, turn: str, at: int) -> bytes:
    return canonical({"v": 1, "kind": kind, "turn": turn, "at": at, "tenant": "ten"})


def shard_of(data: Path) -> Path:
    return next((data / "journal").glob("20*"))


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_zone(tmp_path_factory.mktemp("z"), TURNS)


def found(data: Path, turn: int, opened: int, closed: int | None) -> list[tuple[str, int]]:
    held = places_of(data, log_of(shard_of(data)), f"trn_{turn}", opened, closed)
    return [(place.kind, place.index) for place in held.places]


def test_every_turn_is_found_where_it_stands(zone: Path) -> None:
    stands = {(one.value.get("turn"), one.value["kind"]): one.index for one in entries(shard_of(zone))}
    for turn in (0, 1, 126, 127, 128, 255, 383, 384, 511, 698, 699):
        expected = [(kind, stands[f"trn_{turn}", kind]) for kind in ("intent", "result")]
        assert found(zone, turn, turn, turn) == expected, turn


def test_a_wrong_time_is_searched_around(zone: Path) -> None:
    assert len(found(zone, 699, 0, 0)) == 2
    assert len(found(zone, 3, 10**12, 10**12)) == 2


def test_the_search_is_bounded(zone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "BUNDLES_SEARCHED", 2)
    assert found(zone, 699, 0, 0) == []
    assert len(found(zone, 699, 699, 699)) == 2


def test_what_is_not_in_the_log_is_not_found(zone: Path) -> None:
    log = log_of(shard_of(zone))
    held = places_of(zone, log, "trn_none", 5, 5)
    assert (held.places, held.covered) == ((), True), "later entries are under the checkpoint"
    assert not places_of(zone, log, "trn_none", TURNS, TURNS).covered
    with pytest.raises(LedgerError, match="no log"):
        places_of(zone, "log_local_0000000000000000", "trn_1", 1, 1)


def test_a_result_far_from_its_intent_is_found_and_other_turns_are_not_taken(tmp_path: Path) -> None:
    journal = _native.Journal(tmp_path / "journal", "local", segment_bytes=SEGMENT)
    journal.append(entry("intent", "trn_long", 1_000))
    many = [entry("intent", f"trn_long{n}", 1_000 + n) for n in range(600)]
    for at in range(0, 600, 100):
        journal.append_many(many[at : at + 100])
    journal.append(entry("result", "trn_long", 1_600))
    journal.close()
    assert [k for k, _ in found(tmp_path, "long", 1_000, 1_600)] == ["intent", "result"]  # type: ignore[arg-type]
    assert found(tmp_path, "long", 1_000, None) == [("intent", 1)]  # type: ignore[arg-type]


def test_its_proofs_hold_for_another_verifier_and_a_cut_bundle_is_said(zone: Path, tmp_path: Path) -> None:
    held = places_of(zone, log_of(shard_of(zone)), "trn_300", 300, 300)
    for place in held.places:
        index, raw, _ = spec_check(_native.ledger_prove(held.shard, place.index), Key.parse(held.key))
        assert (index, raw) == (place.index, canonical(place.entry))
    cut = make_zone(tmp_path / "cut", 3)
    bundle = next((shard_of(cut) / "tile" / "entries").rglob("*.p/*"))
    bundle.write_bytes(bundle.read_bytes()[:-1])
    with pytest.raises(LedgerError, match="cut short"):
        places_of(cut, log_of(shard_of(cut)), "trn_2", 2, 2)
