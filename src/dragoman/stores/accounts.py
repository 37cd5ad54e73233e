"""Keeps tenants, keys, guests and classes: the port `core.accounts.AccountStore` over the zone's database."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import sqlalchemy as sa

from dragoman.core.accounts import Act, Change, GuestRecord, KeyRecord, TenantRecord
from dragoman.ids import now_ms
from dragoman.stores import schema
from dragoman.stores.acts import publish, record
from dragoman.stores.database import AFTER_COMMIT, Database
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import rows_of

T = TypeVar("T")

LIST_LIMIT = 10_000
"""LIMIT: rows of one listing."""
REMEMBERED = 10_000
"""LIMIT: keys, and tenants, kept in memory for the relays' questions."""


class SqlAccounts:
    """Accounts in the zone's database; every write is durable when it returns."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone
        self._lock = threading.Lock()
        self._generation = 0
        self._keys: dict[str, KeyRecord] = {}
        self._tenants: dict[str, TenantRecord] = {}

    def tenants(self) -> Sequence[TenantRecord]:
        """Every tenant of the zone."""
        query = sa.select(schema.tenants).order_by(schema.tenants.c.created_at).limit(LIST_LIMIT)
        return self._database.read(lambda c: [_tenant(row) for row in c.execute(query)])

    def tenant(self, reference: str) -> TenantRecord | None:
        """A tenant by id or slug."""
        held, generation = self._tenants.get(reference), self._generation
        if held is not None:
            return held
        table = schema.tenants
        query = sa.select(table).where(sa.or_(table.c.tenant == reference, table.c.slug == reference))
        row = self._database.read(lambda c: c.execute(query).first())
        found = _tenant(row) if row else None
        self._remember(self._tenants, reference, found, generation)
        return found

    def add_tenant(self, record_: TenantRecord, act: Act) -> None:
        """Keep a new tenant."""

        def work(c: sa.Connection) -> None:
            rows_of(c, record_.tenant).insert(
                schema.tenants,
                slug=record_.slug,
                title=record_.title,
                state=record_.state,
                reason=record_.reason,
                created_at=record_.created_at,
                changed_at=record_.changed_at,
            )
            record(c, self._zone, act)

        self._database.write(work)

    def set_tenant_state(self, tenant: str, state: str, reason: str | None, at: int, act: Act) -> None:
        """Suspend or resume."""

        def work(c: sa.Connection) -> None:
            rows_of(c, tenant).update(schema.tenants, state=state, reason=reason, changed_at=at)
            c.info.setdefault(AFTER_COMMIT, []).append(self._forget)
            record(c, self._zone, act)

        self._database.write(work)

    def keys(self, tenant: str | None) -> Sequence[KeyRecord]:
        """The keys of a tenant, or of all."""
        query = sa.select(schema.keys).order_by(schema.keys.c.created_at).limit(LIST_LIMIT)
        if tenant is not None:
            query = query.where(schema.keys.c.tenant == tenant)
        return self._database.read(lambda c: [_key(row) for row in c.execute(query)])

    def key(self, reference: str) -> KeyRecord | None:
        """A key by its id or its public id; the row says whose it is."""
        held, generation = self._keys.get(reference), self._generation
        if held is not None:
            return held
        table = schema.keys
        column = table.c.key if reference.startswith("key_") else table.c.public_id
        row = self._database.read(lambda c: c.execute(sa.select(table).where(column == reference)).first())
        found = _key(row) if row else None
        self._remember(self._keys, reference, found, generation)
        return found

    def add_key(self, record_: KeyRecord, act: Act) -> None:
        """Keep a new key."""
        values = {name: getattr(record_, name) for name in KeyRecord.__slots__ if name != "tenant"}
        values["scopes"] = json.dumps(list(record_.scopes))

        def work(c: sa.Connection) -> None:
            rows_of(c, record_.tenant).insert(schema.keys, **values)
            record(c, self._zone, act)

        self._database.write(work)

    def revoke_keys(self, records: Sequence[KeyRecord], at: int, act: Act) -> None:
        """Revoke keys of one tenant together."""

        def work(c: sa.Connection) -> None:
            for one in records:
                where = schema.keys.c.key == one.key
                rows_of(c, one.tenant).update(schema.keys, where, state="revoked", revoked_at=at)
            c.info.setdefault(AFTER_COMMIT, []).append(self._forget)
            record(c, self._zone, act)

        self._database.write(work)

    def guest(self, principal: str) -> GuestRecord | None:
        """A guest by its principal; the row says whose it is."""
        query = sa.select(schema.principals).where(schema.principals.c.principal == principal)
        row = self._database.read(lambda c: c.execute(query).mappings().first())
        if row is None:
            return None
        return GuestRecord(row["tenant"], principal, row["class"], row["created_at"])

    def add_guest(self, record_: GuestRecord) -> None:
        """Keep a new guest; one that is there already stays as it is."""
        row = {"principal": record_.principal, "kind": "guest", "created_at": record_.created_at}
        row["class"] = record_.klass
        self._database.write(lambda c: rows_of(c, record_.tenant).insert_missing(schema.principals, [row]))

    def set_guest_class(self, tenant: str, principal: str, klass: str, change: Change) -> None:
        """Give a guest that is kept another class; relays hear of the change."""

        def work(c: sa.Connection) -> None:
            where = schema.principals.c.principal == principal
            rows_of(c, tenant).update(schema.principals, where, **{"class": klass})
            publish(c, change, now_ms())

        self._database.write(work)

    def class_facts(self, klass: str) -> Mapping[str, Any] | None:
        """The facts behind a class."""
        where = schema.classes.c["class"] == klass
        row = self._database.read(lambda c: rows_of(c, ZONE_TENANT).one(schema.classes, where))
        return None if row is None else dict(json.loads(row.facts))

    def add_class(self, klass: str, facts: Mapping[str, Any], at: int) -> Future[None]:
        """Begin to keep a class; durable when the future resolves. The same class twice is one."""
        row = {"class": klass, "facts": json.dumps(dict(facts), sort_keys=True), "created_at": at}

        def work(c: sa.Connection) -> None:
            rows_of(c, ZONE_TENANT).insert_missing(schema.classes, [row])

        return self._database.submit(work)

    def _remember(self, held: dict[str, T], reference: str, found: T | None, generation: int) -> None:
        """Keep a row unless something changed since its reading began."""
        with self._lock:
            if found is None or generation != self._generation:
                return
            if len(held) >= REMEMBERED:
                held.clear()
            held[reference] = found

    def _forget(self) -> None:
        with self._lock:
            self._generation += 1
            self._keys.clear()
            self._tenants.clear()


def _tenant(row: Any) -> TenantRecord:
    return TenantRecord(*(getattr(row, name) for name in TenantRecord.__slots__))


def _key(row: Any) -> KeyRecord:
    values = {name: getattr(row, name) for name in KeyRecord.__slots__}
    values["scopes"] = tuple(json.loads(row.scopes))
    return KeyRecord(**values)
