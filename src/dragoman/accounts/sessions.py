"""Guest sessions: a signed cookie that names a principal, and nothing about a person."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from dragoman.accounts.keys import base62
from dragoman.accounts.pepper import Pepper

SESSION_MS = 7 * 86_400_000
"""LIMIT: a guest session lives for a week."""

_SHAPE = re.compile(r"^v1\.(ten_[0-9a-z_-]{1,96})\.(prn_[0-9a-z_-]{1,96})\.(\d{1,16})\.([0-9A-Za-z]{43})$")


@dataclass(frozen=True)
class Session:
    """Whose cookie it is and until when (ms UTC)."""

    tenant: str
    principal: str
    expires: int


def cookie(pepper: Pepper, session: Session) -> str:
    """The cookie's value."""
    body = f"v1.{session.tenant}.{session.principal}.{session.expires}"
    return f"{body}.{_signature(pepper, body)}"


def open_cookie(pepper: Pepper, value: str, now: int) -> Session | None:
    """The session, or None where the cookie is not ours or is over."""
    match = _SHAPE.match(value)
    if match is None:
        return None
    body = value.rpartition(".")[0]
    if not hmac.compare_digest(_signature(pepper, body), match.group(4)):
        return None
    session = Session(match.group(1), match.group(2), int(match.group(3)))
    return session if session.expires > now else None


def _signature(pepper: Pepper, body: str) -> str:
    return base62(pepper.digest("session", body), 43)
