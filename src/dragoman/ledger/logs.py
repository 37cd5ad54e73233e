"""Where a zone's logs lie, and their entries. Reads only; never opens a journal that a process writes.

A zone's data folder has `registry/` (control's own log, where verification starts) and `journal/` (the
relay's), each with one folder per quarter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman import _native

REGISTRY = "registry"
"""Folder of control's own log inside the zone's data folder."""
JOURNAL = "journal"
"""Folder of the relay's log inside the zone's data folder."""
SEALED = "sealed"
"""In a shard's folder: the log came with a backup, and nobody writes on it."""
_SHARD = re.compile(r"^\d{4}q[1-4](?:r\d{2})?$")
_READ_ENTRIES = 1000
"""LIMIT: entries read at once."""


class LedgerError(Exception):
    """A log cannot be read or holds no such entry; the message says which and what to do."""


@dataclass(frozen=True)
class Entry:
    """One entry where it stands."""

    log: str
    index: int
    raw: bytes

    @property
    def value(self) -> dict[str, Any]:
        """The entry's JSON."""
        value: dict[str, Any] = json.loads(self.raw)
        return value


def shards(journal: Path) -> list[Path]:
    """The shard folders of a journal's folder, oldest first."""
    if not journal.is_dir():
        return []
    return sorted(path for path in journal.iterdir() if path.is_dir() and _SHARD.match(path.name))


def journals(data: Path) -> list[Path]:
    """The journal folders of a zone besides the registry. Raises LedgerError if neither is there."""
    if not data.is_dir():
        raise LedgerError(f"{data} is no folder; give the zone's data folder with --data")
    found = sorted(
        path for path in data.iterdir() if path.name != REGISTRY and path.is_dir() and shards(path)
    )
    if not found and not shards(data / REGISTRY):
        raise LedgerError(
            f"{data} holds no log; expected {REGISTRY}/ and {JOURNAL}/ with folders like 2026q4/"
        )
    return found


def all_shards(data: Path) -> list[Path]:
    """Every shard folder of a zone, the registry's first."""
    return [shard for folder in (data / REGISTRY, *journals(data)) for shard in shards(folder)]


def log_of(shard: Path) -> str:
    """The name of the log in a shard's folder. Raises LedgerError."""
    return str(_head(shard)["log"])


def key_of(shard: Path) -> str:
    """The verifier key that the log names in its first entry. Raises LedgerError."""
    return str(_head(shard)["key"])


def _head(shard: Path) -> dict[str, Any]:
    try:
        head: dict[str, Any] = json.loads(_native.ledger_head(shard))
    except OSError as error:
        raise LedgerError(f"{shard}: {error}") from error
    return head


def entries(shard: Path, start: int = 0) -> Iterator[Entry]:
    """The entries of one log from an index on. Raises LedgerError."""
    log = log_of(shard)
    try:
        reader = _native.LogReader(shard)
        while batch := reader.read(start, _READ_ENTRIES):
            for index, raw in batch:
                yield Entry(log, index, raw)
            start = batch[-1][0] + 1
    except OSError as error:
        raise LedgerError(f"{shard}: {error}") from error


def whole_entries(shard: Path) -> Iterator[Entry]:
    """As `entries`; a log that breaks off before its checkpoint's end raises LedgerError there."""
    covered = _covered(shard)
    reached = 0
    for entry in entries(shard):
        yield entry
        reached = entry.index + 1
    if reached < covered:
        raise LedgerError(
            f"{_segment(shard, reached)} is damaged or cut short at entry {reached} of {covered}"
        )


def _covered(shard: Path) -> int:
    checkpoint = _head(shard)["checkpoint"]
    if checkpoint is not None:
        return int(checkpoint["size"])
    if (shard / "checkpoint").exists():
        raise LedgerError(f"{shard / 'checkpoint'} is damaged: it is no checkpoint that its log signed")
    return 0


def _segment(shard: Path, index: int) -> Path:
    """The file that would hold an entry."""
    files = sorted((shard / "segments").glob("*.seg"))
    before = [file for file in files if int(file.name.partition(".")[0]) <= index]
    return before[-1] if before else shard / "segments"


def find_shard(journal: Path, log: str) -> Path | None:
    """The shard of a journal's folder that holds a log, or None. Raises LedgerError."""
    return next((shard for shard in shards(journal) if log_of(shard) == log), None)


def is_copy(journal: Path, log: str) -> bool:
    """Whether a log came here with a backup: what was begun in it may have gone on elsewhere."""
    try:
        shard = find_shard(journal, log)
    except LedgerError:
        return True  # nobody can say
    return shard is not None and (shard / SEALED).exists()


def find_log(data: Path, log: str) -> Path:
    """The shard folder of a log by its name. Raises LedgerError."""
    for shard in all_shards(data):
        if log_of(shard) == log:
            return shard
    raise LedgerError(f"no log {log} under {data}")


def find_turn(data: Path, turn: str) -> list[tuple[Path, Entry]]:
    """Every entry of a turn, in the order of the record."""
    needle = f'"turn":{json.dumps(turn, ensure_ascii=False)}'.encode()
    return [
        (shard, entry)
        for shard in all_shards(data)
        for entry in entries(shard)
        if needle in entry.raw and entry.value.get("turn") == turn
    ]
