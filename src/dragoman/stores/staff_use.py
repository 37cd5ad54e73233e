"""How keys that speak for staff alone are used, by what is kept anyway, and what was found of them.

What was found stands in one row of `zone_meta`; a key that is found anew is an act in control's log.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dragoman.core.accounts import Act
from dragoman.stores.acts import record
from dragoman.stores.database import Database
from dragoman.stores.schema import ZONE_TENANT, decisions, keys, usage_daily, zone_meta
from dragoman.stores.tenancy import rows_of
from dragoman.stores.turn_tables import turns

DOUBTS = "staff_doubts"
"""The row of `zone_meta` that says which keys are doubted, and since when."""
TURNS_LOOKED_AT = 5_000
"""LIMIT: turns of one key that one look reads, the newest."""
KEYS_LOOKED_AT = 1_000
"""LIMIT: keys of one look."""
NAMES = ("safety_identifier", "user")
"""The fields of a request by which callers name an end user."""


class StaffUse:
    """The zone's keys that speak for staff alone."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def staff_keys(self) -> list[tuple[str, str]]:
        """(tenant, key) of every such key that works; not the one of this machine's own start."""
        staff = (keys.c.end_users == "none", keys.c.state == "active", ~keys.c.development)
        query = sa.select(keys.c.tenant, keys.c.key).where(*staff).order_by(keys.c.key).limit(KEYS_LOOKED_AT)
        return self._database.read(lambda c: [(row.tenant, row.key) for row in c.execute(query)])

    def turns(self, tenant: str, key: str, since: int) -> list[dict[str, Any]]:
        """A key's stored turns since an instant (ms UTC), oldest first: at, conversation, user, country."""

        def work(c: sa.Connection) -> list[dict[str, Any]]:
            columns = (turns.c.at, turns.c.conversation, turns.c.options, turns.c.decision)
            query = sa.select(*columns).where(
                turns.c.tenant == tenant, turns.c.key == key, turns.c.at > since
            )
            found = list(c.execute(query.order_by(turns.c.turn.desc()).limit(TURNS_LOOKED_AT)))
            countries = _countries(c, tenant, {row.decision for row in found})
            return [
                {
                    "at": row.at,
                    "conversation": row.conversation,
                    "user": _user(row.options),
                    "country": countries.get(row.decision),
                }
                for row in reversed(found)
            ]

        return self._database.read(work)

    def turns_of_day(self, tenant: str, key: str, day: str) -> int:
        """How many turns a key had on a day (YYYY-MM-DD, UTC), stored or not."""
        these = (usage_daily.c.tenant == tenant, usage_daily.c.key == key, usage_daily.c.day == day)
        query = sa.select(sa.func.coalesce(sa.func.sum(usage_daily.c.turns), 0)).where(*these)
        return int(self._database.read(lambda c: c.execute(query).scalar_one()))

    def doubts(self) -> list[dict[str, Any]]:
        """The keys that are doubted: key, tenant, since (ms UTC), signs."""
        found: list[dict[str, Any]] = self._database.read(_doubts)
        return found

    def keep(self, found: Mapping[tuple[str, str], Sequence[Any]], now: int) -> int:
        """Keep what a look found; each key and sign that is new is entered in the ledger. How many keys."""

        def work(c: sa.Connection) -> None:
            before = {one["key"]: one for one in _doubts(c)}
            kept = []
            for (tenant, key), signs in found.items():
                held = before.get(key, {"since": now, "signs": []})
                known = {one["sign"] for one in held["signs"]}
                told = [asdict(one) for one in signs]
                if any(one["sign"] not in known for one in told):
                    entry = {"act": "key.doubted", "key": key, "signs": told}
                    record(c, self._zone, Act(tenant, entry, None))
                kept.append({"key": key, "tenant": tenant, "since": held["since"], "signs": told})
            rows = rows_of(c, ZONE_TENANT)
            rows.delete(zone_meta, zone_meta.c.name == DOUBTS)
            if kept:
                rows.insert(zone_meta, name=DOUBTS, value=json.dumps(kept))

        if found or self.doubts():
            self._database.write(work)
        return len(found)


def stored_doubts(file: Path) -> list[dict[str, Any]]:
    """The keys that are doubted, of a zone's file that nobody need have open. It reads only."""
    if not file.is_file():
        return []
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as raw:
        if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'zone_meta'").fetchone() is None:
            return []
        row = raw.execute("SELECT value FROM zone_meta WHERE name = ?", (DOUBTS,)).fetchone()
    return [] if row is None else list(json.loads(row[0]))


def _doubts(c: sa.Connection) -> list[dict[str, Any]]:
    row = rows_of(c, ZONE_TENANT).one(zone_meta, zone_meta.c.name == DOUBTS)
    return [] if row is None else list(json.loads(row.value))


def _countries(c: sa.Connection, tenant: str, names: set[str]) -> dict[str, str]:
    """The country of the address that each decision was made for, where its grounds say it."""
    found = rows_of(c, tenant).pick(
        decisions, (decisions.c.decision, decisions.c.grounds), decisions.c.decision.in_(names)
    )
    facts = {row.decision: json.loads(row.grounds or "{}").get("facts", {}) for row in found}
    return {name: str(one["address_country"]) for name, one in facts.items() if one.get("address_country")}


def _user(options: str | None) -> str | None:
    """The end user that a request names."""
    given = json.loads(options or "{}")
    return next((str(given[name]) for name in NAMES if given.get(name)), None)
