"""Sessions of guests and of whoever signed up: a signed cookie that names a principal, nothing about it."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from dragoman.accounts.keys import base62
from dragoman.accounts.pepper import Pepper

SESSION_MS = 7 * 86_400_000
"""LIMIT: a session lives for a week."""
_GUEST, _PERSON = "v1", "p1"
"""How cookies begin."""

_SHAPE = re.compile(
    r"^(v1|p1)\.(ten_[0-9a-z_-]{1,96})\.(prn_[0-9a-z_-]{1,96})\.(\d{1,16})\.([0-9A-Za-z]{43})$"
)


@dataclass(frozen=True)
class Session:
    """Whose cookie it is and until when (ms UTC); `signed_up`: it is over with the account."""

    tenant: str
    principal: str
    expires: int
    signed_up: bool = False


def cookie(pepper: Pepper, session: Session) -> str:
    """The cookie's value."""
    kind = _PERSON if session.signed_up else _GUEST
    body = f"{kind}.{session.tenant}.{session.principal}.{session.expires}"
    return f"{body}.{_signature(pepper, body)}"


def open_cookie(pepper: Pepper, value: str, now: int) -> Session | None:
    """The session, or None where the cookie is not ours or is over."""
    match = _SHAPE.match(value)
    if match is None:
        return None
    body = value.rpartition(".")[0]
    if not hmac.compare_digest(_signature(pepper, body), match.group(5)):
        return None
    kind, tenant, principal, expires, _ = match.groups()
    session = Session(tenant, principal, int(expires), signed_up=kind == _PERSON)
    return session if session.expires > now else None


def _signature(pepper: Pepper, body: str) -> str:
    return base62(pepper.digest("session", body), 43)
