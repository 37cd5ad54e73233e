"""Keeps interventions with their statements of reasons, and decisions that refused; once each, by id."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import sqlalchemy as sa

from dragoman.stores import schema
from dragoman.stores.database import Database
from dragoman.stores.decision_index import enter
from dragoman.stores.tenancy import rows_of

RENEWED_MS = 86_400_000
"""How old the note of when a decision was last made may get before it is made anew."""

Pair = tuple[Mapping[str, Any], Mapping[str, Any]]
"""An intervention as the relay sent it, and its statement."""


class Interventions:
    """Interventions of every tenant of the zone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, pairs: Sequence[Pair]) -> Future[None]:
        """Begin to keep interventions; durable when the future resolves. A known id changes nothing."""

        def work(c: sa.Connection) -> None:
            for intervention, statement in pairs:
                rows = rows_of(c, intervention["tenant"])
                name, at = intervention["id"], intervention["at"]
                rows.insert_missing(schema.interventions, [_row(intervention)])
                document = json.dumps(statement, ensure_ascii=False)
                rows.insert_missing(
                    schema.statements, [{"intervention": name, "at": at, "document": document}]
                )

        return self._database.submit(work)

    def statement(self, tenant: str, principal: str, intervention: str) -> dict[str, Any] | None:
        """The statement of an intervention that concerned this principal, else None."""
        table = schema.interventions

        def work(c: sa.Connection) -> dict[str, Any] | None:
            rows = rows_of(c, tenant)
            if rows.one(table, table.c.intervention == intervention, table.c.principal == principal) is None:
                return None
            found = rows.one(schema.statements, schema.statements.c.intervention == intervention)
            return None if found is None else dict(json.loads(found.document))

        return self._database.read(work)

    def keep_decision(self, tenant: str, document: Mapping[str, Any]) -> Future[None]:
        """Begin to keep a decision that refused, so that its statement can be composed after a restart."""
        row = {
            "decision": document["id"],
            "at": document["as_of"],
            "document": json.dumps(document, ensure_ascii=False),
        }

        def work(c: sa.Connection) -> None:
            rows, table = rows_of(c, tenant), schema.decisions
            if rows.insert_missing(table, [row]):
                enter(rows.of_zone(schema.ZONE_TENANT), tenant, row["at"], document)
            here = (table.c.decision == row["decision"], table.c.at < row["at"] - RENEWED_MS)
            rows.update(table, *here, at=row["at"])

        return self._database.submit(work)

    def decision(self, tenant: str, name: str) -> dict[str, Any] | None:
        """A decision kept before."""
        where = schema.decisions.c.decision == name
        row = self._database.read(lambda c: rows_of(c, tenant).one(schema.decisions, where))
        return None if row is None else dict(json.loads(row.document))


def _row(intervention: Mapping[str, Any]) -> dict[str, Any]:
    rule = intervention.get("rule")
    return {
        "intervention": intervention["id"],
        "turn": intervention["turn"],
        "principal": intervention["principal"],
        "at": intervention["at"],
        "origin": intervention["origin"],
        "rule": rule["id"] if rule else None,
        "action": intervention["action"],
        "document": json.dumps(intervention, ensure_ascii=False),
    }
