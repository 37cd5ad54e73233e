"""The acts on administrators: invite, enrol, change, remove. Called by admin.sock and by the admin pages.

A one-time link is shown once and kept as a keyed hash. Entries in the ledger name ids, never a person's name.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from dragoman.accounts.keys import SECRET_LENGTH, base62
from dragoman.accounts.pepper import Pepper
from dragoman.core.accounts import Act
from dragoman.core.admins import FIRST_START, OPERATOR, PERSON_ROLES, AdminRecord, InviteRecord, PasskeyRecord
from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms
from dragoman.stores.admins import SqlAdmins, link_over
from dragoman.stores.schema import ZONE_TENANT

INVITE_MS = 30 * 60_000
"""LIMIT: a one-time link works for half an hour."""
MAX_NAME = 80
"""LIMIT: characters of a person's name or a passkey's title."""


@dataclass(frozen=True)
class NewInvite:
    """A link as shown once: the fragment of its address."""

    text: str
    record: InviteRecord


@dataclass(frozen=True)
class NewPasskey:
    """What an authenticator made, checked: base64url credential id and COSE key."""

    credential: str
    public_key: str
    sign_count: int
    title: str


class People:
    """Administrators of one zone."""

    def __init__(self, store: SqlAdmins, pepper: Pepper, zone: str) -> None:
        self._store = store
        self._pepper = pepper
        self._zone = zone

    def invite(
        self, by: str, role: str = OPERATOR, name: str | None = None, admin: str | None = None
    ) -> NewInvite:
        """A one-time link for a new person, or for `admin` to come in with a new passkey."""
        now = now_ms()
        if admin is not None:
            known = self.active(admin)
            role, name = known.role, known.name
        if role not in PERSON_ROLES:
            raise _bad("role", "operator or auditor", "须为 operator 或 auditor")
        shown = printable("name", name or role, MAX_NAME)
        text = base62(secrets.token_bytes(32), SECRET_LENGTH)
        made = InviteRecord(
            invite=new_id("inv", self._zone, now),
            verifier=self._verifier(text),
            admin=admin,
            name=shown,
            role=role,
            by=by,
            created_at=now,
            expires_at=now + INVITE_MS,
            used_at=None,
        )
        entry = {"act": "admin.invite", "by": by, "invite": made.invite, "role": role, "admin": admin}
        self._store.add_invite(made, Act(ZONE_TENANT, entry), instead_of_first=by == FIRST_START)
        return NewInvite(text, made)

    def first_invite(self) -> NewInvite | None:
        """The link a start prints; None once an operator can log in."""
        return None if self._store.has_operator() else self.invite(FIRST_START)

    def opened(self, text: str) -> InviteRecord:
        """The link with this text, still unused. Raises RefusedError 403."""
        found = self._store.invite(self._verifier(text), now_ms())
        if found is None:
            raise link_over()
        return found

    def enrol(self, text: str, admin: str, passkey: NewPasskey) -> AdminRecord:
        """Use the link up; `admin` is the id its new person gets, or the id it was made for."""
        invited = self.opened(text)
        if invited.admin not in {None, admin}:
            raise link_over()
        now = now_ms()
        person = (
            AdminRecord(admin, invited.name, invited.role, "active", None, now, now)
            if invited.admin is None
            else self.active(admin)
        )
        entry = {"act": "admin.enrol", "by": person.admin, "invite": invited.invite, "role": person.role}
        self._store.enrol(
            self._verifier(text), person, self._record(admin, passkey, now), Act(ZONE_TENANT, entry)
        )
        return person

    def add_passkey(self, admin: str, passkey: NewPasskey) -> None:
        """One more passkey for somebody who is logged in."""
        made = self._record(admin, passkey, now_ms())
        entry = {"act": "admin.passkey.add", "by": admin, "passkey": made.passkey}
        self._store.add_passkey(made, Act(ZONE_TENANT, entry))

    def remove_passkey(self, admin: str, passkey: str) -> None:
        """Forget one of one's own passkeys; the last one stays."""
        entry = {"act": "admin.passkey.remove", "by": admin, "passkey": passkey}
        if not self._store.remove_passkey(admin, passkey, Act(ZONE_TENANT, entry)):
            raise RefusedError(
                409,
                "passkey_kept",
                {
                    "en": "There is no such passkey of yours, or it is your last one.",
                    "zh": "您没有这个通行密钥，或者它是最后一个。",
                },
            )

    def set_role(self, admin: str, role: str, by: str) -> AdminRecord:
        """Change a person's role, which ends their sessions."""
        if role not in PERSON_ROLES:
            raise _bad("role", "operator or auditor", "须为 operator 或 auditor")
        known = self.active(admin)
        if known.role != role:
            if role != OPERATOR:
                self._must_leave_an_operator(admin)
            entry = {"act": "admin.role", "by": by, "admin": admin, "role": role}
            self._store.set_person(admin, Act(ZONE_TENANT, entry), role=role, changed_at=now_ms())
        return self.active(admin)

    def remove(self, admin: str, by: str, *, even_the_last: bool = False) -> AdminRecord:
        """Remove a person: sessions and passkeys go, the row stays for the record's sake."""
        known = self.active(admin)
        if known.role == OPERATOR and not even_the_last:
            self._must_leave_an_operator(admin)
        entry = {"act": "admin.remove", "by": by, "admin": admin}
        # The subject stays: an identity provider must not let a removed person in again as a new one.
        self._store.set_person(admin, Act(ZONE_TENANT, entry), state="removed", changed_at=now_ms())
        return self._store.person(admin) or known

    def active(self, admin: str) -> AdminRecord:
        """An active person. Raises RefusedError 404."""
        found = self._store.person(admin)
        if found is None or found.state != "active":
            raise RefusedError(
                404,
                "admin_not_found",
                {
                    "en": "No administrator has this id. See `dragoman admin list`.",
                    "zh": "没有这个编号的管理员。见 `dragoman admin list`。",
                },
            )
        return found

    def listing(self) -> list[dict[str, Any]]:
        """Everybody with the number of their passkeys."""
        held: dict[str, int] = {}
        for passkey in self._store.passkeys():
            held[passkey.admin] = held.get(passkey.admin, 0) + 1
        return [
            {
                "admin": one.admin,
                "name": one.name,
                "role": one.role,
                "state": one.state,
                "passkeys": held.get(one.admin, 0),
                "external": one.subject is not None,
                "created_at": one.created_at,
            }
            for one in self._store.people()
        ]

    def passkeys(self, admin: str) -> list[PasskeyRecord]:
        """A person's passkeys."""
        return self._store.passkeys(admin)

    def _must_leave_an_operator(self, admin: str) -> None:
        others = [
            one
            for one in self.listing()
            if one["role"] == OPERATOR
            and one["state"] == "active"
            and (one["passkeys"] or one["external"])
            and one["admin"] != admin
        ]
        if not others:
            raise RefusedError(
                409,
                "last_operator",
                {
                    "en": "This is the last operator who can log in; invite another one first.",
                    "zh": "这是最后一位可以登录的运营者，请先邀请另一位。",
                },
            )

    def _verifier(self, text: str) -> str:
        return self._pepper.digest("admin-invite", text).hex()

    def _record(self, admin: str, passkey: NewPasskey, now: int) -> PasskeyRecord:
        return PasskeyRecord(
            passkey=new_id("psk", self._zone, now),
            admin=admin,
            credential=passkey.credential,
            public_key=passkey.public_key,
            sign_count=passkey.sign_count,
            title=printable("title", passkey.title or "passkey", MAX_NAME),
            created_at=now,
            used_at=None,
        )


def printable(param: str, text: str, limit: int) -> str:
    """The text, where it is 1 to `limit` printable characters. Raises RefusedError 400."""
    if not 1 <= len(text) <= limit or not text.isprintable():
        raise _bad(param, f"1 to {limit} printable characters", f"须为 1 到 {limit} 个可见字符")
    return text


def _bad(param: str, en: str, zh: str) -> RefusedError:
    return RefusedError(
        400, "invalid_value", {"en": f"{param}: {en}.", "zh": f"{param}：{zh}。"}, param=param
    )
