"""Keeps administrators, their passkeys and their one-time links in the zone's database.

Every write carries its ledger entry in the same transaction and is durable when it returns. It
decides nothing about credentials: verifiers come in as keyed hashes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dragoman.core.accounts import Act
from dragoman.core.admins import AUDITOR, FIRST_START, OPERATOR, AdminRecord, InviteRecord, PasskeyRecord
from dragoman.errors import RefusedError
from dragoman.stores import schema
from dragoman.stores.acts import record
from dragoman.stores.database import Database
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import TenantRows, rows_of

LIST_LIMIT = 1_000
"""LIMIT: people, passkeys or links of one listing."""
PEOPLE = 500
"""LIMIT: active administrators of a zone."""
PASSKEYS_EACH = 20
"""LIMIT: passkeys of one person."""
INVITES_KEPT = 200
"""LIMIT: one-time links kept, used and ended ones included; older ones are forgotten."""

_ADMIN_EXISTS = (
    "SELECT 1 FROM admins WHERE role = ? AND state = 'active' AND (subject IS NOT NULL OR EXISTS "
    "(SELECT 1 FROM admin_passkeys p WHERE p.tenant = admins.tenant AND p.admin = admins.admin)) LIMIT 1"
)


def admin_exists(database_file: Path) -> bool:
    """Whether the zone has an active operator who can log in. Reads the file only; False where there is none.

    For the gate of public stages: may be asked before control opens the zone, and while it runs.
    """
    if not database_file.is_file():
        return False
    with closing(sqlite3.connect(f"{database_file.absolute().as_uri()}?mode=ro", uri=True)) as raw:
        known = raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'admins'").fetchone()
        return known is not None and raw.execute(_ADMIN_EXISTS, (OPERATOR,)).fetchone() is not None


class SqlAdmins:
    """People, passkeys and links of one zone."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def has_operator(self) -> bool:
        """Whether an active operator can log in."""
        statement = sa.text(_ADMIN_EXISTS.replace("?", ":role"))
        return self._database.read(lambda c: c.execute(statement, {"role": OPERATOR}).first()) is not None

    def people(self) -> list[AdminRecord]:
        """Everybody, removed ones included, oldest first."""
        table = schema.admins
        rows = self._read(lambda r: r.select(table, order=table.c.created_at, limit=LIST_LIMIT))
        return [_admin(row) for row in rows]

    def person(self, admin: str) -> AdminRecord | None:
        """A person by id."""
        row = self._read(lambda r: r.one(schema.admins, schema.admins.c.admin == admin))
        return _admin(row) if row else None

    def by_subject(self, subject: str) -> AdminRecord | None:
        """A person by what an identity provider calls them."""
        row = self._read(lambda r: r.one(schema.admins, schema.admins.c.subject == subject))
        return _admin(row) if row else None

    def passkeys(self, admin: str | None = None) -> list[PasskeyRecord]:
        """A person's passkeys, or all."""
        table = schema.admin_passkeys
        where = () if admin is None else (table.c.admin == admin,)
        rows = self._read(lambda r: r.select(table, *where, order=table.c.created_at, limit=LIST_LIMIT))
        return [_passkey(row) for row in rows]

    def by_credential(self, credential: str) -> PasskeyRecord | None:
        """The passkey with this credential id (base64url)."""
        table = schema.admin_passkeys
        row = self._read(lambda r: r.one(table, table.c.credential == credential))
        return _passkey(row) if row else None

    def invite(self, verifier: str, now: int) -> InviteRecord | None:
        """A link that still works, by its verifier."""
        row = self._read(lambda r: r.one(schema.admin_invites, *_open_invite(verifier, now)))
        return _invite(row) if row else None

    def add_invite(self, made: InviteRecord, act: Act, *, instead_of_first: bool = False) -> None:
        """Keep a link. `instead_of_first`: links made at earlier starts stop working."""

        def work(c: sa.Connection) -> None:
            rows, table = rows_of(c, ZONE_TENANT), schema.admin_invites
            if instead_of_first:
                rows.delete(table, table.c.by == made.by, table.c.used_at.is_(None))
            rows.insert(table, **_values(made))
            old = rows.select(table, order=table.c.created_at.desc(), limit=INVITES_KEPT + 1)[INVITES_KEPT:]
            for row in old:
                rows.delete(table, table.c.invite == row.invite)
            record(c, self._zone, act)

        self._database.write(work)

    def enrol(self, verifier: str, person: AdminRecord, passkey: PasskeyRecord, act: Act) -> None:
        """Use a link up and keep the passkey it was for; a known person loses every older one, and is out.

        Raises RefusedError 403 where the link is used or over, in one transaction with everything else.
        """

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, ZONE_TENANT)
            used = rows.update(
                schema.admin_invites, *_open_invite(verifier, passkey.created_at), used_at=passkey.created_at
            )
            if used != 1:
                raise link_over()
            if rows.one(schema.admins, schema.admins.c.admin == person.admin) is None:
                add_person(c, person)
            else:
                rows.delete(schema.admin_passkeys, schema.admin_passkeys.c.admin == person.admin)
                rows.delete(schema.admin_sessions, schema.admin_sessions.c.admin == person.admin)
            rows.insert(schema.admin_passkeys, **_values(passkey))
            if person.role == OPERATOR:  # the link of the start was for the first one alone
                links = schema.admin_invites
                rows.delete(links, links.c.by == FIRST_START, links.c.used_at.is_(None))
            record(c, self._zone, act)

        self._database.write(work)

    def add_passkey(self, passkey: PasskeyRecord, act: Act) -> None:
        """One more passkey of a person; RefusedError 409 beyond the limit."""

        def work(c: sa.Connection) -> None:
            rows, table = rows_of(c, ZONE_TENANT), schema.admin_passkeys
            if len(rows.select(table, table.c.admin == passkey.admin)) >= PASSKEYS_EACH:
                raise RefusedError(
                    409,
                    "too_many_passkeys",
                    {
                        "en": f"At most {PASSKEYS_EACH} passkeys each; remove one first.",
                        "zh": f"每人最多 {PASSKEYS_EACH} 个通行密钥，请先删除一个。",
                    },
                )
            rows.insert(table, **_values(passkey))
            record(c, self._zone, act)

        self._database.write(work)

    def remove_passkey(self, admin: str, passkey: str, act: Act) -> bool:
        """Forget a passkey of this person, never the last one; whether it was done."""

        def work(c: sa.Connection) -> bool:
            rows, table = rows_of(c, ZONE_TENANT), schema.admin_passkeys
            held = rows.select(table, table.c.admin == admin)
            if len(held) < 2 or passkey not in {row.passkey for row in held}:
                return False
            rows.delete(table, table.c.admin == admin, table.c.passkey == passkey)
            record(c, self._zone, act)
            return True

        return self._database.write(work)

    def set_person(self, admin: str, act: Act, **values: Any) -> None:
        """Change role, state or name; every session of the person ends, a removed one loses all passkeys.

        What somebody made who is no operator any more ends too: links and tokens (`end_given`).
        """

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, ZONE_TENANT)
            rows.update(schema.admins, schema.admins.c.admin == admin, **values)
            rows.delete(schema.admin_sessions, schema.admin_sessions.c.admin == admin)
            if values.get("state") == "removed":
                rows.delete(schema.admin_passkeys, schema.admin_passkeys.c.admin == admin)
                table = schema.admin_invites
                rows.delete(table, table.c.admin == admin, table.c.used_at.is_(None))
                end_given(rows, admin, None, values["changed_at"])
            elif values.get("role") == AUDITOR:
                end_given(rows, admin, AUDITOR, values["changed_at"])
            record(c, self._zone, act)

        self._database.write(work)

    def _read(self, ask: Any) -> Any:
        return self._database.read(lambda c: ask(rows_of(c, ZONE_TENANT)))


def add_person(connection: sa.Connection, person: AdminRecord) -> None:
    """Keep a new person; RefusedError 409 beyond the limit."""
    rows = rows_of(connection, ZONE_TENANT)
    if len(rows.select(schema.admins, schema.admins.c.state == "active")) >= PEOPLE:
        raise RefusedError(
            409,
            "too_many_admins",
            {"en": f"At most {PEOPLE} administrators.", "zh": f"管理员最多 {PEOPLE} 人。"},
        )
    rows.insert(schema.admins, **_values(person))


def end_given(rows: TenantRows, admin: str, role: str | None, at: int) -> None:
    """End what a person made: open links, and tokens that may more than `role` (None: every token)."""
    links, tokens = schema.admin_invites, schema.admin_tokens
    rows.delete(links, links.c.by == admin, links.c.used_at.is_(None))
    beyond = () if role is None else (tokens.c.role == OPERATOR,)
    rows.update(tokens, tokens.c.by == admin, tokens.c.revoked_at.is_(None), *beyond, revoked_at=at)


def link_over() -> RefusedError:
    """What a used, ended or unknown link gets: one answer for all three."""
    return RefusedError(
        403,
        "link_over",
        {
            "en": "This link was used, has ended, or is not ours. Ask for a new one: dragoman admin invite",
            "zh": "该链接已被使用、已过期或不是本系统签发。请用 dragoman admin invite 重新获取。",
        },
    )


def _open_invite(verifier: str, now: int) -> Sequence[sa.ColumnElement[bool]]:
    table = schema.admin_invites
    return (table.c.verifier == verifier, table.c.used_at.is_(None), table.c.expires_at > now)


def _values(made: Any) -> dict[str, Any]:
    return asdict(made)


def _of(row: Any, names: Sequence[str]) -> Mapping[str, Any]:
    return {name: getattr(row, name) for name in names}


def _admin(row: Any) -> AdminRecord:
    return AdminRecord(**_of(row, AdminRecord.__slots__))


def _passkey(row: Any) -> PasskeyRecord:
    return PasskeyRecord(**_of(row, PasskeyRecord.__slots__))


def _invite(row: Any) -> InviteRecord:
    return InviteRecord(**_of(row, InviteRecord.__slots__))
