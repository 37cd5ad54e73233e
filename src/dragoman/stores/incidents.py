"""Keeps a zone's incidents and what became of each report; every act is entered in control's ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import sqlalchemy as sa

from dragoman.core.accounts import Act
from dragoman.core.incidents import OPEN, Became, Incident, Report
from dragoman.errors import RefusedError
from dragoman.stores.acts import record
from dragoman.stores.database import Database
from dragoman.stores.incident_tables import incident_reports, incidents
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import TenantRows, rows_of

OPEN_MOST = 100
"""LIMIT: incidents that are open at once."""
SHOWN = 200
"""LIMIT: incidents of one listing that are over, the newest; those that are open all stand in it."""
REPORTS = 500
"""LIMIT: reports on one incident. Packs ask for fewer; more would be a fault, not a cut."""


class SqlIncidents:
    """The zone's incidents."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def open(self, made: Incident) -> None:
        """Keep a new one with the reports that are due on it. RefusedError 409 where too many are open."""
        if len(made.reports) > REPORTS:
            raise ValueError(f"more than {REPORTS} reports on one incident")

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, ZONE_TENANT)
            if (
                len(rows.pick(incidents, (incidents.c.incident,), incidents.c.closed_at.is_(None)))
                >= OPEN_MOST
            ):
                text = {
                    "en": f"{OPEN_MOST} incidents are open. Close one first.",
                    "zh": f"已有 {OPEN_MOST} 个事件未结束，请先结束一个。",
                }
                raise RefusedError(409, "too_many_incidents", text)
            kept = {one.name: getattr(made, one.name) for one in fields(made) if one.name != "reports"}
            rows.insert(incidents, **{**kept, "triggers": json.dumps(made.triggers)})
            rows.insert_all(incident_reports, [_row(made.incident, one) for one in made.reports])
            self._enter(c, "incident.opened", made.opened_by, made.entry())

        self._database.write(work)

    def settle(self, incident: str, n: int, became: Became) -> Incident:
        """Note what became of one report. RefusedError 404, 409."""

        def work(c: sa.Connection) -> Incident:
            rows = rows_of(c, ZONE_TENANT)
            found = _one(rows, incident)
            held = next((one for one in found.reports if one.n == n), None)
            if held is None:
                raise _nothing()
            if held.state != OPEN:
                text = {"en": "This report is settled already.", "zh": "该报告已处理。"}
                raise RefusedError(409, "report_settled", text)
            table = incident_reports
            rows.update(table, table.c.incident == incident, table.c.n == n, **asdict(became))
            said = {"incident": incident, "n": n, "rule_id": held.rule_id, "state": became.state}
            self._enter(c, "incident.report", became.by, said)
            return _one(rows, incident)

        return self._database.write(work)

    def close(self, incident: str, by: str, at: int) -> Incident:
        """End one on which no report is open. RefusedError 404, 409."""

        def work(c: sa.Connection) -> Incident:
            rows = rows_of(c, ZONE_TENANT)
            found = _one(rows, incident)
            if found.closed_at is not None:
                return found
            if any(one.state == OPEN for one in found.reports):
                text = {
                    "en": "Reports on it are open: say of each that it was made, or why it is not due.",
                    "zh": "该事件仍有未处理的报告：请逐项注明已报告，或说明为何无须报告。",
                }
                raise RefusedError(409, "reports_open", text)
            rows.update(incidents, incidents.c.incident == incident, closed_at=at)
            self._enter(c, "incident.closed", by, {"incident": incident})
            return replace(found, closed_at=at)

        return self._database.write(work)

    def all(self) -> list[Incident]:
        """Every open incident, then the newest that are over."""

        def work(c: sa.Connection) -> list[Incident]:
            rows = rows_of(c, ZONE_TENANT)
            over, newest = incidents.c.closed_at, incidents.c.known_at.desc()
            found = rows.select(incidents, over.is_(None), order=newest, limit=OPEN_MOST)
            found += rows.select(incidents, over.is_not(None), order=newest, limit=SHOWN)
            return [_made(rows, row) for row in found]

        return self._database.read(work)

    def _enter(self, c: sa.Connection, act: str, by: str, said: Mapping[str, Any]) -> None:
        record(c, self._zone, Act(ZONE_TENANT, {"act": act, "by": by, **said}))


def _one(rows: TenantRows, incident: str) -> Incident:
    row = rows.one(incidents, incidents.c.incident == incident)
    if row is None:
        raise _nothing()
    return _made(rows, row)


def _made(rows: TenantRows, row: sa.Row[Any]) -> Incident:
    table = incident_reports
    found = rows.select(table, table.c.incident == row.incident, order=table.c.n, limit=REPORTS)
    return Incident(
        incident=row.incident,
        triggers=tuple(json.loads(row.triggers)),
        known_at=row.known_at,
        about=row.about,
        opened_at=row.opened_at,
        opened_by=row.opened_by,
        reports=tuple(_report(one) for one in found),
        closed_at=row.closed_at,
    )


_TOLD = ("stage", "authority")
"""Texts by language, kept as JSON."""


def _row(incident: str, report: Report) -> dict[str, Any]:
    texts = {name: getattr(report, name) for name in _TOLD}
    kept = {name: None if text is None else json.dumps(dict(text)) for name, text in texts.items()}
    held = {one.name: getattr(report, one.name) for one in fields(Report)}
    return {"incident": incident, **held, **kept}


def _report(row: sa.Row[Any]) -> Report:
    held = {one.name: getattr(row, one.name) for one in fields(Report)}
    return Report(**{**held, **{name: held[name] and json.loads(held[name]) for name in _TOLD}})


def _nothing() -> RefusedError:
    return RefusedError(404, "not_found", {"en": "There is no such incident.", "zh": "没有该事件。"})
