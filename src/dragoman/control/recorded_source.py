"""Where `simulate` reads: a zone's logs, an export of them, or a file of facts documents.

Gives lines to `decide.simulate` and knows of folders and files what it must not. Reads only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dragoman.decide.recorded import Line, RecordError, entry_of
from dragoman.decide.simulate import Source
from dragoman.ledger.logs import LedgerError, journals, shards, whole_entries

LINE_BYTES = 1 << 20
"""LIMIT: bytes of a line of a file; an entry of the ledger has at most 60,000."""
_EXPORTED = frozenset({"log", "index", "entry"})


def source_of(path: Path) -> Source:
    """The source at a path. Raises RecordError where there is none."""
    if path.is_dir():
        folders = [shard for journal in _journals(path) for shard in shards(journal)]
        return Source(str(path), ledger=True, lines=lambda: _logs(folders))
    if not path.is_file():
        raise RecordError(
            f"{path}: there is no such file or folder; give a zone's data folder, the output of `dragoman "
            "ledger export`, or a file with a facts document on each line"
        )
    first = next((entry_of(name, number, raw) for name, number, raw in _lines(path)), None)
    if first is None:
        raise RecordError(f"{path} is empty")
    if set(first) == _EXPORTED:
        return Source(str(path), ledger=True, lines=lambda: _export(path))
    return Source(str(path), ledger=False, lines=lambda: _lines(path))


def _journals(path: Path) -> list[Path]:
    """The journals of a zone's data folder, or the folder itself where it is one."""
    if shards(path):
        return [path]
    try:
        found = journals(path)
    except LedgerError as error:
        raise RecordError(str(error)) from error
    if not found:
        raise RecordError(f"{path} holds no journal, so no turn was recorded there")
    return found


def _logs(folders: list[Path]) -> Iterator[Line]:
    try:
        for shard in folders:
            for entry in whole_entries(shard):
                yield entry.log, entry.index, entry.raw
    except LedgerError as error:
        raise RecordError(str(error)) from error


def _export(path: Path) -> Iterator[Line]:
    """Entries as `dragoman ledger export` wrote them, in the form of the ledger."""
    for name, number, raw in _lines(path):
        line = entry_of(name, number, raw)
        if set(line) != _EXPORTED or not isinstance(line["index"], int):
            raise RecordError(f"{name}, entry {number} is no line of `dragoman ledger export`")
        text = json.dumps(line["entry"], ensure_ascii=False, separators=(",", ":"))
        yield str(line["log"]), line["index"], text.encode()


def _lines(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(LINE_BYTES), b""), 1):
            if len(raw) == LINE_BYTES:
                raise RecordError(f"{path}, entry {number} is longer than {LINE_BYTES} bytes")
            if raw.strip():
                yield str(path), number, raw
