"""Where a turn's entries stand in its log, found by time: reads entry bundles only, never the whole log.

Entries stand nearly in the order of their `at`: a bisection leads to the place, a search around it finds the
turn. What is not under a checkpoint yet has no place: there is no proof of it either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman import _native
from dragoman.ledger.logs import LedgerError, find_log

BUNDLE = 256
"""Entries of a full bundle (C2SP tlog-tiles)."""
BUNDLES_SEARCHED = 400
"""LIMIT: bundles searched around the place that a time names; 102,400 entries."""
_LENGTH_BYTES = 2


@dataclass(frozen=True)
class Place:
    """An entry of a turn under a log's checkpoint."""

    index: int
    kind: str
    entry: dict[str, Any]


@dataclass(frozen=True)
class TurnPlaces:
    """What a log's signed tree holds of a turn. `covered`: the newest entry under the checkpoint is later."""

    shard: Path
    log: str
    key: str
    size: int
    places: tuple[Place, ...]
    covered: bool


def places_of(data: Path, log: str, turn: str, opened: int, closed: int | None) -> TurnPlaces:
    """Intent and result of a turn in its log, looked for around these times (ms UTC). Raises LedgerError.

    `closed` None: the turn has no result yet.
    """
    shard = find_log(data, log)
    try:
        head = json.loads(_native.ledger_head(shard))
    except OSError as error:
        raise LedgerError(f"{shard}: {error}") from error
    size = int(head["checkpoint"]["size"]) if head["checkpoint"] else 0
    bundles = _Bundles(shard, size)
    found: dict[int, Place] = {}
    for kind, at in (("intent", opened), ("result", closed)):
        if at is not None and kind not in {place.kind for place in found.values()}:
            found.update({place.index: place for place in _around(bundles, turn, at, kind)})
    covered = size > 0 and bundles.last_at() > max(opened, closed or 0)
    return TurnPlaces(shard, log, str(head["key"]), size, tuple(found[at] for at in sorted(found)), covered)


def _around(bundles: _Bundles, turn: str, at: int, kind: str) -> list[Place]:
    """The turn's entries in the bundles from that of an instant outwards, until one is of this kind."""
    needle = f'"turn":{json.dumps(turn, ensure_ascii=False)}'.encode()
    found: list[Place] = []
    for n in _outwards(bundles.at(at), bundles.count, BUNDLES_SEARCHED):
        raw = bundles.read(n)
        if needle not in raw:
            continue
        for place, entry in enumerate(_entries(raw)):
            value = json.loads(entry) if needle in entry else {}
            # A full bundle may hold entries that the checkpoint read before does not cover.
            if value.get("turn") == turn and n * BUNDLE + place < bundles.size:
                found.append(Place(n * BUNDLE + place, str(value.get("kind")), value))
        if any(place.kind == kind for place in found):
            break
    return found


def _outwards(start: int, count: int, most: int) -> Iterator[int]:
    """Bundle numbers from `start` outwards, later ones first."""
    yielded = 0
    for step in range(count):
        for n in dict.fromkeys((start + step, start - step)):
            if 0 <= n < count:
                yield n
                yielded += 1
        if yielded >= most:
            return


class _Bundles:
    """The entry bundles of one log, up to its checkpoint."""

    def __init__(self, shard: Path, size: int) -> None:
        self._folder = shard / "tile" / "entries"
        self.size = size
        self.count = -(-size // BUNDLE)

    def read(self, n: int) -> bytes:
        """A bundle's bytes: the full one, or as much of it as the checkpoint covers. Raises LedgerError."""
        width = min(BUNDLE, self.size - n * BUNDLE)
        partial = self._folder / f"{_number(n)}.p" / str(width)
        whole = self._folder / _number(n)
        # The full bundle may have taken the partial one's place since the checkpoint was read.
        for file in (whole,) if width == BUNDLE else (partial, whole):
            try:
                return file.read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LedgerError(f"{file}: {error}") from error
        raise LedgerError(f"{whole} is missing; a checkpoint follows within a second while the process runs")

    def at(self, instant: int) -> int:
        """The last bundle that begins before an instant, as far as entries stand in the order of time."""
        low, high = 0, self.count
        while low < high:
            middle = (low + high) // 2
            if _at(next(_entries(self.read(middle)))) < instant:
                low = middle + 1
            else:
                high = middle
        return max(0, low - 1)

    def last_at(self) -> int:
        """The time of the newest entry under the checkpoint, ms UTC."""
        last, wanted = b"{}", self.size - (self.count - 1) * BUNDLE
        for number, entry in enumerate(_entries(self.read(self.count - 1))):
            if number < wanted:
                last = entry
        return _at(last)


def _at(entry: bytes) -> int:
    return int(json.loads(entry).get("at", 0))


def _entries(raw: bytes) -> Iterator[bytes]:
    """The entries of a bundle. Raises LedgerError where it is cut short."""
    at = 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + _LENGTH_BYTES], "big")
        at += _LENGTH_BYTES
        if at + length > len(raw):
            raise LedgerError("an entry bundle is cut short")
        yield raw[at : at + length]
        at += length


def _number(n: int) -> str:
    """A bundle's number as a path: three digits a folder, all but the last with an x before them."""
    parts = [f"{n % 1000:03}"]
    while n := n // 1000:
        parts.append(f"x{n % 1000:03}")
    return "/".join(reversed(parts))
