"""Log-ins: random cookies of which only keyed hashes are kept, with an idle and an absolute limit.

A browser that is not in yet has a random cookie too, of which nothing is kept: it binds challenges and forms
to that browser. Logging in puts a fresh one in its place.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from dragoman.accounts.keys import PREFIX, SECRET_LENGTH, base62, checksum
from dragoman.accounts.pepper import Pepper
from dragoman.core.accounts import Act
from dragoman.core.admins import TOKEN_ROLES, AdminRecord, PasskeyRecord, SessionRecord, TokenRecord
from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms
from dragoman.stores.admin_access import SqlAccess
from dragoman.stores.schema import ZONE_TENANT

OIDC = "oidc"
"""How a log-in came about that an identity provider vouched for."""
COOKIE = "__Host-dragoman_admin"
"""Browsers take it with Secure only; from http://localhost too, which they trust."""
SEEN_MS = 60_000
"""How exactly the last use of a session is kept."""
MAX_TOKEN_DAYS = 365
"""LIMIT: days a machine token may work."""
TOKEN_REGEX = rf"{PREFIX}admin_[a-z0-9][a-z0-9-]{{0,31}}_[0-9A-Za-z]{{43}}_[0-9A-Za-z]{{6}}"
"""Published for secret scanners."""

_COOKIE_SHAPE = re.compile(rf"[as]\.[0-9A-Za-z]{{{SECRET_LENGTH}}}")
_TOKEN_SHAPE = re.compile(TOKEN_REGEX)


@dataclass(frozen=True)
class Limits:
    """How long a log-in lasts, ms: unused, at all, and until the identity provider is asked again."""

    idle: int
    total: int
    oidc: int

    def of(self, method: str) -> int:
        """How long a log-in by this method lasts."""
        return min(self.oidc, self.total) if method == OIDC else self.total


@dataclass(frozen=True)
class NewToken:
    """A machine token as shown once."""

    text: str
    record: TokenRecord


class Sessions:
    """Sessions and machine tokens of one zone."""

    def __init__(
        self,
        access: SqlAccess,
        pepper: Pepper,
        zone: str,
        limits: Limits,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._access = access
        self._pepper = pepper
        self._zone = zone
        self._limits = limits
        self.clock = clock

    def anonymous(self) -> str:
        """A cookie for a browser that is not in."""
        return f"a.{_secret()}"

    def csrf(self, cookie: str) -> str:
        """The token that forms of this browser carry."""
        return base62(self._pepper.digest("admin-csrf", cookie), SECRET_LENGTH)

    def is_csrf(self, cookie: str, token: str) -> bool:
        """Whether a form came from a page that this browser was given."""
        return hmac.compare_digest(self.csrf(cookie).encode(), token.encode())

    def browser(self, cookie: str) -> str:
        """What challenges of this browser are held under."""
        return self._pepper.digest("admin-browser", cookie).hex()

    def open(self, cookie: str) -> tuple[SessionRecord, AdminRecord] | None:
        """The log-in behind a cookie, or None where there is none or it is over."""
        if not cookie.startswith("s.") or not is_cookie(cookie):
            return None
        found = self._access.session(self._verifier(cookie))
        if found is None or not self.is_alive(found[0]):
            return None
        now = self.clock()
        if now - found[0].seen_at >= SEEN_MS:
            self._access.seen(found[0].session, now)
        return found

    def is_alive(self, session: SessionRecord) -> bool:
        """Whether a session is within both limits; a clock set back ends it too."""
        now = self.clock()
        return (
            -SEEN_MS <= now - session.created_at < self._limits.of(session.method)
            and -SEEN_MS <= now - session.seen_at < self._limits.idle
        )

    def log_in(  # noqa: PLR0913 - what a log-in may bring, by name
        self,
        admin: str,
        method: str,
        *,
        passkey: PasskeyRecord | None = None,
        newcomer: AdminRecord | None = None,
        role: str | None = None,
        proved_at: int | None = None,
    ) -> str:
        """Log in: every earlier session of the person ends. The cookie's value, known to nobody else.

        `proved_at`: when an identity provider saw the person; None: just now.
        """
        now, cookie = self.clock(), f"s.{_secret()}"
        session = new_id("ses", self._zone, now)
        made = SessionRecord(
            session, self._verifier(cookie), admin, method, now, now, now if proved_at is None else proved_at
        )
        entry = {"act": "admin.login", "by": admin, "session": session, "method": method}
        if passkey is not None:
            entry["passkey"] = passkey.passkey
        if role is not None:
            entry["role"] = role
        act = Act(ZONE_TENANT, entry)
        self._access.open(made, act, passkey=passkey, newcomer=newcomer, role=role)
        self._access.forget_ended(now - self._limits.total, now - self._limits.idle)
        return cookie

    def confirm(self, old: SessionRecord, method: str, passkey: PasskeyRecord | None = None) -> str:
        """Note that the person proved to be there; the cookie changes, the limits do not."""
        now, cookie = self.clock(), f"s.{_secret()}"
        made = replace(old, verifier=self._verifier(cookie), seen_at=now, fresh_at=now)
        entry = {"act": "admin.confirm", "by": old.admin, "session": old.session, "method": method}
        self._access.renew(old, made, Act(ZONE_TENANT, entry), passkey)
        return cookie

    def end(self, by: str, *, session: str | None = None, admin: str | None = None) -> int:
        """End one session or all of a person; how many."""
        entry = {"act": "admin.logout", "by": by, "session": session, "admin": admin}
        return self._access.end(Act(ZONE_TENANT, entry), session=session, admin=admin)

    def listing(self) -> list[dict[str, str | int]]:
        """Who is logged in now."""
        return [
            {
                "session": session.session,
                "admin": person.admin,
                "name": person.name,
                "role": person.role,
                "method": session.method,
                "created_at": session.created_at,
                "seen_at": session.seen_at,
            }
            for session, person in self._access.sessions()
            if self.is_alive(session)
        ]

    def create_token(self, by: str, title: str, role: str, days: int) -> NewToken:
        """A machine token, shown once."""
        if role not in TOKEN_ROLES:
            raise _bad("role", "operator, auditor or metrics", "须为 operator、auditor 或 metrics")
        if not 1 <= days <= MAX_TOKEN_DAYS:
            raise _bad("days", f"1 to {MAX_TOKEN_DAYS}", f"须为 1 到 {MAX_TOKEN_DAYS}")
        now = self.clock()
        body = f"{PREFIX}admin_{self._zone}_{_secret()}"
        text = f"{body}_{checksum(body)}"
        made = TokenRecord(
            token=new_id("atk", self._zone, now),
            verifier=self._token_verifier(text),
            title=title,
            role=role,
            by=by,
            created_at=now,
            expires_at=now + days * 86_400_000,
            revoked_at=None,
        )
        entry = {"act": "admin.token.create", "by": by, "token": made.token, "role": role}
        self._access.add_token(made, Act(ZONE_TENANT, entry))
        return NewToken(text, made)

    def token(self, text: str) -> TokenRecord | None:
        """The working token with this text, or None."""
        if not is_token(text):
            return None
        body, _, crc = text.rpartition("_")
        if checksum(body) != crc:
            return None
        return self._access.token(self._token_verifier(text), self.clock())

    def tokens(self) -> list[TokenRecord]:
        """Every token kept."""
        return self._access.tokens()

    def revoke_token(self, token: str, by: str) -> TokenRecord:
        """Stop a token at once."""
        entry = {"act": "admin.token.revoke", "by": by, "token": token}
        return self._access.revoke_token(token, self.clock(), Act(ZONE_TENANT, entry))

    def _verifier(self, cookie: str) -> str:
        return self._pepper.digest("admin-session", cookie).hex()

    def _token_verifier(self, text: str) -> str:
        return self._pepper.digest("admin-token", text).hex()


def is_cookie(value: str) -> bool:
    """Whether a cookie has the form of ours."""
    return value.isascii() and _COOKIE_SHAPE.fullmatch(value) is not None


def is_token(value: str) -> bool:
    """Whether a text has the form of a machine's token."""
    return value.isascii() and _TOKEN_SHAPE.fullmatch(value) is not None


def _secret() -> str:
    return base62(secrets.token_bytes(32), SECRET_LENGTH)


def _bad(param: str, en: str, zh: str) -> RefusedError:
    return RefusedError(
        400, "invalid_value", {"en": f"{param}: {en}.", "zh": f"{param}：{zh}。"}, param=param
    )
