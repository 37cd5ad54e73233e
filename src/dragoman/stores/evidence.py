"""Evidence in the zone's database: the port `core.evidence.EvidenceStore`, and the queue of all tenants."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, fields
from typing import Any, TypeVar

import sqlalchemy as sa

from dragoman.core.evidence import WAITING, EvidenceRecord, EvidenceRows, File
from dragoman.core.people import Verified
from dragoman.stores.database import Database
from dragoman.stores.people import SqlPeopleRows
from dragoman.stores.people_tables import evidence, evidence_files

T = TypeVar("T")

PAGE = 100
"""LIMIT: evidence of one page of the queue."""
_COLUMNS = tuple(evidence.c[one.name] for one in fields(EvidenceRecord))
_DECIDED = ("state", "decided_at", "by", "reason")


class SqlEvidenceRows(SqlPeopleRows):
    """A tenant's evidence on one connection."""

    def evidence(self, name: str) -> EvidenceRecord | None:
        """Evidence by its id."""
        found = self._rows.one(evidence, evidence.c.evidence == name)
        return None if found is None else _record(found)

    def evidence_of(self, person: str, most: int) -> Sequence[EvidenceRecord]:
        """A person's evidence, newest first."""
        found = self._rows.select(
            evidence, evidence.c.person == person, order=evidence.c.at.desc(), limit=most
        )
        return [_record(row) for row in found]

    def kept_bytes(self) -> int:
        """Bytes of all files in the zone."""
        query = sa.select(sa.func.coalesce(sa.func.sum(evidence.c.file_size), 0))
        return int(self._connection.execute(query).scalar_one())

    def add_evidence(self, record: EvidenceRecord, file: File | None) -> None:
        """Keep new evidence with its file."""
        self._rows.insert(evidence, **{**asdict(record), "shows": None})
        if file is not None:
            self._rows.insert(evidence_files, evidence=record.evidence, data=file.data)

    def put_decided(self, record: EvidenceRecord) -> None:
        """Keep what was decided on evidence."""
        shows = json.dumps([asdict(one) for one in record.shows]) if record.shows else None
        values = {name: getattr(record, name) for name in _DECIDED}
        self._rows.update(evidence, evidence.c.evidence == record.evidence, **values, shows=shows)

    def file(self, record: EvidenceRecord) -> File | None:
        """The file of evidence."""
        found = self._rows.one(evidence_files, evidence_files.c.evidence == record.evidence)
        if found is None or record.file_name is None or record.file_type is None:
            return None
        return File(record.file_name, record.file_type, found.data)


class SqlEvidence:
    """The zone's evidence."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def submit(self, tenant: str, work: Callable[[EvidenceRows], T]) -> Future[T]:
        """Run on a tenant's rows in a durable transaction."""
        return self._database.submit(lambda c: work(SqlEvidenceRows(c, tenant, self._zone)))

    def read(self, tenant: str, work: Callable[[EvidenceRows], T]) -> T:
        """Run on a snapshot that cannot be changed."""
        return self._database.read(lambda c: work(SqlEvidenceRows(c, tenant, self._zone)))

    def queue(self, before: int | None = None) -> list[dict[str, Any]]:
        """What waits for a person, the oldest first, then what was decided, the newest first; without words.

        `before` (ms UTC): only what was decided before.
        """
        names = ("tenant", "evidence", "kind", "at", "state", "file_size", "decided_at", "by")
        columns = [evidence.c[name] for name in names]
        waiting = sa.select(*columns).where(evidence.c.state == WAITING).order_by(evidence.c.at).limit(PAGE)
        decided = sa.select(*columns).where(evidence.c.decided_at.is_not(None))
        if before is not None:
            decided = decided.where(evidence.c.decided_at < before)
        decided = decided.order_by(evidence.c.decided_at.desc()).limit(PAGE)
        queries = (decided,) if before is not None else (waiting, decided)
        return self._database.read(
            lambda c: [dict(row) for query in queries for row in c.execute(query).mappings()]
        )


def _record(row: Any) -> EvidenceRecord:
    found = {column.name: getattr(row, column.name) for column in _COLUMNS}
    shows = tuple(Verified(**one) for one in json.loads(row.shows or "[]"))
    return EvidenceRecord(**{**found, "shows": shows})
