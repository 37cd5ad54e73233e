"""What the ledger has of a turn, with proofs: reads the relay's logs beside their writer."""

from __future__ import annotations

from pathlib import Path

from dragoman import _native
from dragoman.assistants.passport import (
    ELSEWHERE,
    NOT_FOUND,
    PARTLY,
    PENDING,
    PROVEN,
    UNREADABLE,
    Proof,
    Record,
    closed_at,
)
from dragoman.core.conversations import Whole
from dragoman.events import EdgeFailed, emit, fault_place
from dragoman.ledger.logs import LedgerError
from dragoman.ledger.places import TurnPlaces, places_of


def record_of(data: Path, zone: str, whole: Whole) -> Record:
    """The proofs of a turn's intent and result, from the zone's data folder."""
    brief, texts = whole
    if brief.log.removeprefix("log_").rpartition("_")[0] != zone:
        return Record(ELSEWHERE, brief.log)
    closed = closed_at(brief, texts.result)
    try:
        found = places_of(data, brief.log, brief.turn, brief.at, closed)
        proofs = tuple(
            Proof(one.kind, one.index, _native.ledger_prove(found.shard, one.index)) for one in found.places
        )
    except (LedgerError, OSError) as fault:
        emit(EdgeFailed("turn_record", type(fault).__name__, fault_place(fault)))
        return Record(UNREADABLE)
    return Record(_state(found, closed), found.log, found.key, proofs)


def _state(found: TurnPlaces, closed: int | None) -> str:
    kinds = {one.kind for one in found.places}
    if "result" in kinds:
        return PROVEN
    if kinds:
        return PARTLY
    return NOT_FOUND if closed is not None and found.covered else PENDING
