"""Signed statements of a tenant about its user: JWT, HS256 only, under the key's own signing secret.

Claims: `sub` (opaque), `residence`, `age`, `locale`, `exp`: declarations; nothing here makes them true.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any

MAX_TOKEN_CHARACTERS = 2048
MAX_LIFETIME_S = 86_400
"""LIMIT: a token may run for a day; a longer one is refused, because a person's facts change."""

_CLAIMS = frozenset({"sub", "residence", "age", "locale", "exp", "iat"})
_HEADER = {"alg": "HS256", "typ": "JWT"}
_COUNTRY = re.compile(r"[A-Z]{2}")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True)
class UserClaims:
    """What a tenant says about its user."""

    sub: str
    residence: str | None
    age: int | None
    locale: str | None
    exp: int
    """Seconds since the epoch."""


class BadTokenError(ValueError):
    """The token cannot be accepted; the message says which part, never a value."""


def sign(secret: str, claims: UserClaims) -> str:
    """A token for these claims."""
    body = {name: value for name, value in vars(claims).items() if value is not None}
    head = f"{_b64(json.dumps(_HEADER).encode())}.{_b64(json.dumps(body).encode())}"
    return f"{head}.{_b64(_mac(secret, head))}"


def read(secret: str, token: str, now_s: int) -> UserClaims:
    """The claims of a token that is whole, ours and in time. Raises BadTokenError."""
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise BadTokenError("longer than 2048 characters")
    head, _, signature = token.rpartition(".")
    if not hmac.compare_digest(_b64(_mac(secret, head)).encode(), signature.encode()):
        raise BadTokenError("not signed with this key's signing secret")
    parts = head.split(".")
    if len(parts) != 2 or _object(parts[0]).get("alg") != "HS256":
        raise BadTokenError("not a JWT with alg HS256")
    return _claims(_object(parts[1]), now_s)


def _claims(body: dict[str, Any], now_s: int) -> UserClaims:
    unknown = set(body) - _CLAIMS
    if unknown:
        raise BadTokenError(f"unknown claim {min(unknown)[:32]!r}; known: {', '.join(sorted(_CLAIMS))}")
    exp, age, residence, locale, sub = (
        body.get(name) for name in ("exp", "age", "residence", "locale", "sub")
    )
    if type(exp) is not int or not now_s < exp <= now_s + MAX_LIFETIME_S:
        raise BadTokenError("exp must lie ahead, at most a day")
    if not isinstance(sub, str) or not _SUBJECT.fullmatch(sub):
        raise BadTokenError("sub must be 1 to 128 printable ASCII characters")
    if residence is not None and not (isinstance(residence, str) and _COUNTRY.fullmatch(residence)):
        raise BadTokenError("residence must be an ISO 3166-1 code in capitals")
    if age is not None and not (type(age) is int and 0 <= age <= 150):
        raise BadTokenError("age must be a whole number from 0 to 150")
    if locale not in (None, "en", "zh"):
        raise BadTokenError("locale must be en or zh")
    return UserClaims(sub, residence, age, locale, exp)


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise BadTokenError("not base64url JSON") from None
    if not isinstance(value, dict):
        raise BadTokenError("not a JSON object")
    return value


def _mac(secret: str, head: str) -> bytes:
    return hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
