"""Keeps administrators' sessions and machine tokens, and enters log-ins and refusals in control's ledger.

Rows hold keyed hashes only. Whoever is removed or changes role has no session left once that is visible.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from dragoman.core.accounts import Act
from dragoman.core.admins import AUDITOR, AdminRecord, PasskeyRecord, SessionRecord, TokenRecord
from dragoman.errors import RefusedError
from dragoman.stores import schema
from dragoman.stores.acts import record
from dragoman.stores.admins import add_person, end_given
from dragoman.stores.database import Database
from dragoman.stores.schema import ZONE_TENANT
from dragoman.stores.tenancy import TenantRows, rows_of

SESSIONS_SHOWN = 500
"""LIMIT: sessions of one listing."""
TOKENS = 200
"""LIMIT: machine tokens that work; revoked and ended ones beyond as many are forgotten."""


class SqlAccess:
    """Sessions and tokens of one zone's administrators."""

    def __init__(self, database: Database, zone: str) -> None:
        self._database = database
        self._zone = zone

    def session(self, verifier: str) -> tuple[SessionRecord, AdminRecord] | None:
        """A session and its active person, or None."""
        table = schema.admin_sessions

        def work(c: sa.Connection) -> tuple[SessionRecord, AdminRecord] | None:
            rows = rows_of(c, ZONE_TENANT)
            row = rows.one(table, table.c.verifier == verifier)
            return None if row is None else _with_person(rows, _session(row))

        return self._database.read(work)

    def sessions(self) -> list[tuple[SessionRecord, AdminRecord]]:
        """Every session, newest first."""
        table = schema.admin_sessions

        def work(c: sa.Connection) -> list[tuple[SessionRecord, AdminRecord]]:
            rows = rows_of(c, ZONE_TENANT)
            found = rows.select(table, order=table.c.created_at.desc(), limit=SESSIONS_SHOWN)
            pairs = (_with_person(rows, _session(row)) for row in found)
            return [pair for pair in pairs if pair is not None]

        return self._database.read(work)

    def open(
        self,
        made: SessionRecord,
        act: Act,
        *,
        passkey: PasskeyRecord | None = None,
        newcomer: AdminRecord | None = None,
        role: str | None = None,
    ) -> None:
        """Log a person in, which ends every earlier session of theirs.

        `passkey` carries the sign count just seen; `newcomer` is kept first; `role` is what an identity
        provider says now. RefusedError 401 where the person is no longer active or the count does not rise.
        """

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, ZONE_TENANT)
            if newcomer is not None:
                add_person(c, newcomer)
            if role is not None:
                where = schema.admins.c.admin == made.admin
                changed = rows.update(schema.admins, where, schema.admins.c.role != role, role=role)
                if changed and role == AUDITOR:
                    end_given(rows, made.admin, role, made.created_at)
            if _person(rows, made.admin) is None:
                raise not_let_in()
            if passkey is not None:
                _count(rows, passkey, made.created_at)
            rows.delete(schema.admin_sessions, schema.admin_sessions.c.admin == made.admin)
            rows.insert(schema.admin_sessions, **asdict(made))
            record(c, self._zone, act)

        self._database.write(work)

    def renew(self, old: SessionRecord, made: SessionRecord, act: Act, passkey: PasskeyRecord | None) -> None:
        """Put a session proved anew in the old one's place; RefusedError 401 where that is gone."""

        def work(c: sa.Connection) -> None:
            rows, table = rows_of(c, ZONE_TENANT), schema.admin_sessions
            if passkey is not None:
                _count(rows, passkey, made.fresh_at)
            where = (table.c.session == old.session, table.c.verifier == old.verifier)
            if rows.delete(table, *where) != 1 or _person(rows, made.admin) is None:
                raise not_let_in()
            rows.insert(table, **asdict(made))
            record(c, self._zone, act)

        self._database.write(work)

    def seen(self, session: str, at: int) -> Future[int]:
        """Begin to note that a session was used."""
        table = schema.admin_sessions
        where = table.c.session == session
        return self._database.submit(lambda c: rows_of(c, ZONE_TENANT).update(table, where, seen_at=at))

    def end(self, act: Act, *, session: str | None = None, admin: str | None = None) -> int:
        """End one session, or all of a person; how many."""
        table = schema.admin_sessions
        where = table.c.session == session if session is not None else table.c.admin == admin

        def work(c: sa.Connection) -> int:
            ended = rows_of(c, ZONE_TENANT).delete(table, where)
            if ended:
                record(c, self._zone, act)
            return ended

        return self._database.write(work)

    def forget_ended(self, created_before: int, seen_before: int) -> Future[int]:
        """Begin to remove sessions that are over."""
        table = schema.admin_sessions
        over = sa.or_(table.c.created_at < created_before, table.c.seen_at < seen_before)
        return self._database.submit(lambda c: rows_of(c, ZONE_TENANT).delete(table, over))

    def token(self, verifier: str, now: int) -> TokenRecord | None:
        """A token that works, or None."""
        table = schema.admin_tokens
        where = (table.c.verifier == verifier, table.c.revoked_at.is_(None), table.c.expires_at > now)
        row = self._database.read(lambda c: rows_of(c, ZONE_TENANT).one(table, *where))
        return _token(row) if row else None

    def tokens(self) -> list[TokenRecord]:
        """Tokens, newest first, revoked and ended ones included."""
        table = schema.admin_tokens
        rows = self._database.read(
            lambda c: rows_of(c, ZONE_TENANT).select(table, order=table.c.created_at.desc(), limit=2 * TOKENS)
        )
        return [_token(row) for row in rows]

    def add_token(self, made: TokenRecord, act: Act) -> None:
        """Keep a token; RefusedError 409 beyond the limit."""
        table = schema.admin_tokens

        def work(c: sa.Connection) -> None:
            rows = rows_of(c, ZONE_TENANT)
            working = (table.c.revoked_at.is_(None), table.c.expires_at > made.created_at)
            if len(rows.select(table, *working)) >= TOKENS:
                raise RefusedError(
                    409,
                    "too_many_tokens",
                    {
                        "en": f"At most {TOKENS} tokens; revoke one first.",
                        "zh": f"令牌最多 {TOKENS} 个，请先撤销一个。",
                    },
                )
            over = sa.or_(table.c.revoked_at.is_not(None), table.c.expires_at <= made.created_at)
            for row in rows.select(table, over, order=table.c.created_at.desc())[TOKENS - 1 :]:
                rows.delete(table, table.c.token == row.token)
            rows.insert(table, **asdict(made))
            record(c, self._zone, act)

        self._database.write(work)

    def revoke_token(self, token: str, at: int, act: Act) -> TokenRecord:
        """Stop a token. RefusedError 404 where there is none."""
        table = schema.admin_tokens

        def work(c: sa.Connection) -> TokenRecord:
            rows = rows_of(c, ZONE_TENANT)
            if rows.update(table, table.c.token == token, table.c.revoked_at.is_(None), revoked_at=at):
                record(c, self._zone, act)
            row = rows.one(table, table.c.token == token)
            if row is None:
                text = {"en": "No token has this id.", "zh": "没有这个编号的令牌。"}
                raise RefusedError(404, "token_not_found", text)
            return _token(row)

        return self._database.write(work)

    def enter(self, entry: Mapping[str, Any]) -> Future[None]:
        """Begin to enter something that changed no row: a refused log-in, a statement that was read."""
        return self._database.submit(lambda c: record(c, self._zone, Act(ZONE_TENANT, entry)))


def forget_log_ins(connection: sa.Connection) -> None:
    """End every log-in and every open link of a backup. Passkeys and tokens stay as it holds them."""
    rows = rows_of(connection, ZONE_TENANT)
    rows.delete(schema.admin_sessions)
    rows.delete(schema.admin_invites, schema.admin_invites.c.used_at.is_(None))


def not_let_in() -> RefusedError:
    """What every failed log-in gets, whatever failed."""
    return RefusedError(
        401,
        "not_let_in",
        {
            "en": "This did not let you in. Try again, or ask for a new link: dragoman admin invite",
            "zh": "未能登录。请重试，或用 dragoman admin invite 获取新的链接。",
        },
    )


def _count(rows: TenantRows, passkey: PasskeyRecord, now: int) -> None:
    """Keep the sign count just seen, where it is higher than the one kept or neither counts."""
    table = schema.admin_passkeys
    seen = passkey.sign_count
    rises = sa.or_(table.c.sign_count < seen, sa.and_(table.c.sign_count == 0, sa.literal(seen) == 0))
    if rows.update(table, table.c.passkey == passkey.passkey, rises, sign_count=seen, used_at=now) != 1:
        raise not_let_in()


def _person(rows: TenantRows, admin: str) -> AdminRecord | None:
    row = rows.one(schema.admins, schema.admins.c.admin == admin, schema.admins.c.state == "active")
    return AdminRecord(*(getattr(row, name) for name in AdminRecord.__slots__)) if row else None


def _with_person(rows: TenantRows, session: SessionRecord) -> tuple[SessionRecord, AdminRecord] | None:
    person = _person(rows, session.admin)
    return None if person is None else (session, person)


def _session(row: Any) -> SessionRecord:
    return SessionRecord(*(getattr(row, name) for name in SessionRecord.__slots__))


def _token(row: Any) -> TokenRecord:
    return TokenRecord(*(getattr(row, name) for name in TokenRecord.__slots__))
