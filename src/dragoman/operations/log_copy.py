"""A log as it is at its newest checkpoint, taken beside its writer.

Order: the checkpoint first, then the tiles, then the segments, so that what is read later holds at least what
the checkpoint covers; the segments are cut where it ends. Reads only.
"""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dragoman import _native
from dragoman.ledger.logs import LedgerError, log_of, shards
from dragoman.operations.texts import OperationError

CHECKPOINT_WAIT_S = 30.0
"""How long to wait for a checkpoint over all that was acknowledged; a running writer signs once a second."""
POLL_S = 0.05
ATTEMPTS = 5
"""How often a log is listed again where a file went away: its writer renames and replaces files."""
_SEGMENT = re.compile(r"^(\d{20})\.(\d+)\.seg$")
_HEADER = struct.Struct("<IIIIQ16s")
"""Length, CRC, previous CRC, kind, index, log id (docs/ledger.md)."""
_TRAILER, _TRAILER_BODY, _ALIGN = 3, struct.Struct("<QQ"), 8
_READ_ENTRIES = 1000


@dataclass(frozen=True)
class Piece:
    """A file of the archive: `length` bytes of `source` from its start, or `content`."""

    name: str
    source: Path | None = None
    length: int = 0
    content: bytes = b""


@dataclass(frozen=True)
class LogCopy:
    """A log at one checkpoint."""

    shard: Path
    log: str
    key: str
    size: int
    root: str
    pieces: list[Piece]


def counted(shard: Path) -> int:
    """How many whole entries are there; all that was acknowledged is among them. Raises LedgerError."""
    at = _signed(shard)[0]
    try:
        reader = _native.LogReader(shard)
        while batch := reader.read(at, _READ_ENTRIES):
            at = batch[-1][0] + 1
    except OSError as error:
        raise LedgerError(f"{shard}: {error}") from error
    return at


def await_checkpoint(shard: Path, size: int) -> None:
    """Return once a checkpoint covers `size` entries. Raises OperationError where none comes."""
    deadline = time.monotonic() + CHECKPOINT_WAIT_S
    while (signed := _signed(shard)[0]) < size:
        if time.monotonic() > deadline:
            raise OperationError("log_unsigned", shard=shard, count=size - signed)
        time.sleep(POLL_S)


def take(shard: Path, prefix: str) -> LogCopy:
    """What to copy of a log; names begin with `prefix`. Raises OperationError, LedgerError."""
    for _ in range(ATTEMPTS):
        note = (shard / "checkpoint").read_bytes()
        size, root = _signed(shard)
        if (shard / "checkpoint").read_bytes() != note:
            continue
        try:
            pieces = [
                Piece(f"{prefix}/checkpoint", content=note),
                *_tiles(shard, prefix),
                *_segments(shard, prefix, size),
            ]
        except FileNotFoundError:
            continue
        head = json.loads(_native.ledger_head(shard))
        return LogCopy(shard, log_of(shard), str(head["key"]), size, root, pieces)
    raise OperationError("log_moving", what=shard)


def shards_of(journal: Path) -> list[Path]:
    """The shard folders that hold a log."""
    return [shard for shard in shards(journal) if any((shard / "segments").glob("*.seg"))]


def _signed(shard: Path) -> tuple[int, str]:
    """Size and root of the checkpoint, its signature checked; (0, "") before the first."""
    try:
        head = json.loads(_native.ledger_head(shard))["checkpoint"]
    except OSError as error:
        raise LedgerError(f"{shard}: {error}") from error
    return (0, "") if head is None else (int(head["size"]), str(head["root"]))


def _tiles(shard: Path, prefix: str) -> Iterator[Piece]:
    """Every tile there is. Partial ones (`N.p/W`) are read at once: their writer removes them later."""
    for path in sorted((shard / "tile").rglob("*")):
        if path.is_file() and path.suffix != ".tmp":
            name = f"{prefix}/{path.relative_to(shard).as_posix()}"
            if path.parent.suffix == ".p":
                yield Piece(name, content=path.read_bytes())
            else:
                yield Piece(name, source=path, length=path.stat().st_size)


def _segments(shard: Path, prefix: str, size: int) -> Iterator[Piece]:
    newest: dict[int, int] = {}
    for path in (shard / "segments").iterdir():
        if match := _SEGMENT.match(path.name):
            first, generation = int(match[1]), int(match[2])
            newest[first] = max(generation, newest.get(first, 0))
    for first, generation in sorted(newest.items()):
        if first < size:
            path = shard / "segments" / f"{first:020}.{generation}.seg"
            yield Piece(f"{prefix}/segments/{path.name}", source=path, length=end_of(path, size))


def end_of(segment: Path, size: int) -> int:
    """Where in a segment its last group below index `size` ends. Raises OperationError where none does."""
    at = end = 0
    with segment.open("rb") as file:
        while len(head := file.read(_HEADER.size)) == _HEADER.size:
            length, _, _, kind, _, _ = _HEADER.unpack(head)
            if kind == 0:
                break
            span = -(-(_HEADER.size + length) // _ALIGN) * _ALIGN
            body = file.read(span - _HEADER.size)
            at += span
            if kind == _TRAILER:
                first, count = _TRAILER_BODY.unpack(body[: _TRAILER_BODY.size])
                if first + count > size:
                    break
                end = at
    if end == 0:
        raise OperationError("log_moving", what=segment)
    return end
