"""What accounts are made of, and the port through which they are kept. No I/O here.

`stores.accounts` keeps them, `accounts` acts on them, `control` publishes what changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Change:
    """What relays must hear: forget what carries a tag (`drop`), or also end running turns (`stop`)."""

    tags: tuple[str, ...]
    effect: str
    notice: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Act:
    """One act on state: who it is about, the ledger's entry for it, and what relays must hear.

    Change and entry are written in the transaction of the act itself.
    """

    tenant: str
    entry: Mapping[str, Any]
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """A tenant. `state`: active or suspended; times are ms UTC."""

    tenant: str
    slug: str
    title: str
    state: str
    reason: str | None
    created_at: int
    changed_at: int


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as kept: `verifier` is a keyed hash. `end_users`: none, declared or placed. Times are ms UTC."""

    tenant: str
    key: str
    public_id: str
    title: str
    verifier: str
    principal: str
    scopes: tuple[str, ...]
    end_users: str
    development: bool
    state: str
    created_at: int
    expires_at: int | None
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class GuestRecord:
    """A guest of the pages: a principal and the class of its facts."""

    tenant: str
    principal: str
    klass: str
    created_at: int


class GuestRows(Protocol):
    """Where guests are looked through. Writes are durable when they return."""

    def kept_before(self, at: int, after: str, most: int) -> Sequence[GuestRecord]:
        """Guests first kept before `at` (ms UTC), in the order of their principals, those behind `after`."""

    def forget(self, guests: Sequence[GuestRecord]) -> int:
        """Remove those who own nothing that is kept, with what rules remember of their use; how many."""


class AccountStore(Protocol):
    """Where accounts are kept. Writes are durable when they return."""

    def tenants(self) -> Sequence[TenantRecord]:
        """Every tenant of the zone."""

    def tenant(self, reference: str) -> TenantRecord | None:
        """A tenant by id or slug."""

    def add_tenant(self, record: TenantRecord, act: Act) -> None:
        """Keep a new tenant."""

    def set_tenant_state(self, tenant: str, state: str, reason: str | None, at: int, act: Act) -> None:
        """Suspend or resume."""

    def keys(self, tenant: str | None) -> Sequence[KeyRecord]:
        """The keys of a tenant, or of all."""

    def key(self, reference: str) -> KeyRecord | None:
        """A key by its id or its public id."""

    def add_key(self, record: KeyRecord, act: Act) -> None:
        """Keep a new key."""

    def revoke_keys(self, records: Sequence[KeyRecord], at: int, act: Act) -> None:
        """Revoke keys of one tenant together."""

    def guest(self, principal: str) -> GuestRecord | None:
        """A guest by its principal."""

    def add_guest(self, record: GuestRecord) -> None:
        """Keep a new guest; one that is there already stays as it is."""

    def set_guest_class(self, tenant: str, principal: str, klass: str, change: Change) -> None:
        """Give a guest that is kept another class; relays hear of the change."""

    def class_facts(self, klass: str) -> Mapping[str, Any] | None:
        """The facts behind a class."""

    def add_class(self, klass: str, facts: Mapping[str, Any], at: int) -> Future[None]:
        """Begin to keep a class; durable when the future resolves. The same class twice is one."""
