"""The doctor's check of the record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dragoman import _native
from dragoman.checks.results import Result, Subject, result
from dragoman.ledger.logs import REGISTRY, SEALED, LedgerError, journals, log_of, shards
from dragoman.ledger.verify import verify_zone
from dragoman.operations.log_copy import counted

VERIFY_MAX_BYTES = 256 << 20
"""LIMIT: bytes of a record that the doctor checks whole; a larger one is checked at its ends."""


def record(subject: Subject) -> Iterator[Result]:
    """Whether the record holds: whole where it is small, else each log's signature and its end."""
    if not shards(subject.data / REGISTRY):
        return
    try:
        folders = [subject.data / REGISTRY, *journals(subject.data)]
        size = sum(path.stat().st_blocks * 512 for folder in folders for path in folder.rglob("*.seg"))
        if size <= VERIFY_MAX_BYTES:
            for what in verify_zone(subject.data).findings:
                yield result("record_wrong", what=what)
        else:
            yield result("record_large", mib=size >> 20)
        for folder in folders:
            yield from _newest(folder, served=subject.served)
    except (LedgerError, OSError) as fault:
        yield result("record_wrong", what=fault)


def _newest(folder: Path, *, served: bool) -> Iterator[Result]:
    shard = shards(folder)[-1]
    log = log_of(shard)
    if (shard / SEALED).exists():
        return
    key = folder / "keys" / f"{shard.name}.key"
    if not key.exists():
        yield result("log_key_missing", path=key, log=log)
    head = json.loads(_native.ledger_head(shard))["checkpoint"]
    behind = counted(shard) - (head["size"] if head else 0)
    if behind and not served:
        yield result("record_unproven", log=log, count=behind)
