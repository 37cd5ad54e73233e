"""Files of the operator's own evidence in the zone's database, kept until an operator removes them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms
from dragoman.stores.acts import enter
from dragoman.stores.database import ERASED, Database
from dragoman.stores.people_tables import filing_files, filings
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import rows_of

FILES_EACH = 10
"""LIMIT: files of one piece of the operator's evidence."""
FILES = 500
"""LIMIT: files of all the operator's evidence."""


class Filings:
    """The zone's own files. Each act is entered in the ledger in its transaction."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def by_evidence(self) -> dict[str, list[dict[str, Any]]]:
        """Every file under the evidence it is of, oldest first, without what it holds."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        rows = self._database.read(
            lambda c: rows_of(c, ZONE_TENANT).select(filings, order=filings.c.filing, limit=FILES)
        )
        for row in rows:
            told = {name: getattr(row, name) for name in ("filing", "name", "size", "sha256", "at", "by")}
            found[row.evidence].append(told)
        return dict(found)

    def add(self, evidence: str, files: Mapping[str, bytes], by: str) -> None:
        """Keep files by their names, all of them or none. RefusedError 409 where there is no room."""

        def work(c: sa.Connection) -> None:
            rows, at = rows_of(c, ZONE_TENANT), now_ms()
            kept = rows.pick(filings, (filings.c.evidence,), limit=FILES)
            if len(kept) + len(files) > FILES:
                raise _full(FILES, "in all", "全部凭证合计")
            if sum(row.evidence == evidence for row in kept) + len(files) > FILES_EACH:
                raise _full(FILES_EACH, "for one piece of evidence", "每项凭证")
            for name, data in files.items():
                filing, sha256 = new_id("fil", self._zone), hashlib.sha256(data).hexdigest()
                about = {"filing": filing, "evidence": evidence, "name": name, "size": len(data)}
                rows.insert(filings, **about, sha256=sha256, at=at, by=by)
                rows.insert(filing_files, filing=filing, data=data)
                said = {"filing": filing, "of": evidence, "digest": f"sha256:{sha256}"}
                self._enter(c, "filing.add", by, said)

        self._database.write(work)

    def read(self, filing: str, by: str) -> tuple[str, bytes] | None:
        """A file's name and what it holds, once it is entered that it was given out; None: there is none."""

        def work(c: sa.Connection) -> tuple[str, bytes] | None:
            rows = rows_of(c, ZONE_TENANT)
            about = rows.one(filings, filings.c.filing == filing)
            held = rows.one(filing_files, filing_files.c.filing == filing)
            if about is None or held is None:
                return None
            self._enter(c, "filing.read", by, {"filing": filing})
            return about.name, held.data

        return self._database.write(work)

    def remove(self, filing: str, by: str) -> str | None:
        """Remove a file; what it was of, or None where there is none."""

        def work(c: sa.Connection) -> str | None:
            rows = rows_of(c, ZONE_TENANT)
            about = rows.one(filings, filings.c.filing == filing)
            if about is None:
                return None
            for column in (filing_files.c.filing, filings.c.filing):
                rows.delete(column.table, column == filing)
            self._enter(c, "filing.remove", by, {"filing": filing, "of": about.evidence})
            c.info[ERASED] = True
            return str(about.evidence)

        return self._database.write(work)

    def _enter(self, c: sa.Connection, act: str, by: str, about: dict[str, Any]) -> None:
        enter(c, self._zone, ZONE_TENANT, {"kind": "action", "act": act, "by": by, **about}, now_ms())


def _full(most: int, of: str, of_zh: str) -> RefusedError:
    text = {
        "en": f"At most {most} files {of}. Remove some first.",
        "zh": f"{of_zh}最多 {most} 个文件，请先移除一些。",
    }
    return RefusedError(409, "too_many_filings", text)
