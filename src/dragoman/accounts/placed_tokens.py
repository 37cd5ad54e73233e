"""Tokens by which a key speaks for somebody whom Dragoman placed: JWT, Ed25519 only, minted by this zone.

A person who is signed in asks for one, for one key, and gives it to whoever runs the app behind that key. It
names the person and where the person's own request came from; whoever holds the key can neither make one nor
change it. Claims: `iss` (the zone), `aud` (the key), `sub` (the person), `iat`, `exp`, `jti`, `at` (`iat`
in ms), `country` and `kind` of the person's address.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dragoman.accounts.pepper import Pepper
from dragoman.accounts.placement import Address
from dragoman.core.facts import ADDRESS_KINDS

LIFETIME_S = 900
"""LIMIT: seconds a token works."""
CHARACTERS = 1_024
"""LIMIT: characters of a token."""
LOOKUPS = 32
"""LIMIT: times that relays may ask who stands behind one token; each keeps the answer for minutes."""
COUNTED = 50_000
"""LIMIT: tokens in use at once, whose look-ups are counted; a further one is refused until others end."""
EACH = 64
"""LIMIT: tokens of one person in use at once."""
MINUTE_S = 60
_HEADER = {"alg": "EdDSA", "typ": "dragoman-user+jwt"}
_JTI_BYTES = 16
_JTI = re.compile(r"[A-Za-z0-9_-]{22}")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Placed:
    """What a token says. Times are seconds UTC, `at` in ms; `country` is ISO 3166-1, None where unknown."""

    iss: str
    aud: str
    sub: str
    iat: int
    exp: int
    jti: str
    at: int
    country: str | None
    kind: str


@dataclass(frozen=True, slots=True)
class _Minute:
    """Tokens in use that end in one minute: how often each was asked about, how many each person has."""

    asked: dict[str, int] = field(default_factory=dict)
    people: Counter[str] = field(default_factory=Counter)


class BadTokenError(ValueError):
    """The token cannot be accepted; the message says which part, never a value."""


class OtherZoneError(BadTokenError):
    """It says that it is another zone's: `zone`. Nothing shows that this is true."""

    def __init__(self, zone: str) -> None:
        super().__init__("minted by another zone")
        self.zone = zone


class PlacedTokens:
    """Mints and reads the tokens of one zone. Look-ups are counted in memory: a restart begins anew."""

    def __init__(self, pepper: Pepper, zone: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(pepper.digest("placed-token", zone))
        self._public = self._key.public_key()
        self._zone = zone
        self._ending: dict[int, _Minute] = {}

    def mint(self, person: str, key: str, address: Address, now: int) -> tuple[str, int]:
        """A token of a person for a key, made now (ms UTC), and when it ends (seconds UTC)."""
        iat = now // 1000
        exp = iat + LIFETIME_S
        jti = _b64(secrets.token_bytes(_JTI_BYTES))
        said = Placed(self._zone, key, person, iat, exp, jti, now, address.country, address.kind)
        head = f"{_b64(json.dumps(_HEADER).encode())}.{_b64(json.dumps(asdict(said)).encode())}"
        return f"{head}.{_b64(self._key.sign(head.encode()))}", exp

    def read(self, token: str, key: str, now_s: int) -> Placed:
        """What a token says that is whole, ours, for this key, in time and not asked about too often.

        Raises BadTokenError.
        """
        if len(token) > CHARACTERS:
            raise BadTokenError(f"longer than {CHARACTERS} characters")
        parts = token.split(".")
        if len(parts) != 3 or _object(parts[0]) != _HEADER:
            raise BadTokenError("not a token that this service mints for people who signed up")
        body = _object(parts[1])
        issuer = body.get("iss")
        if isinstance(issuer, str) and issuer != self._zone:
            raise OtherZoneError(issuer[:64])
        try:
            self._public.verify(_raw(parts[2]), f"{parts[0]}.{parts[1]}".encode())
        except InvalidSignature:
            raise BadTokenError("not signed by this service") from None
        said = _claims(body)
        if said.aud != key:
            raise BadTokenError("minted for another key")
        if not said.iat <= now_s < said.exp <= said.iat + LIFETIME_S:
            raise BadTokenError("its time is over")
        self._count(said, now_s)
        return said

    def _count(self, said: Placed, now_s: int) -> None:
        """Count a look-up; in the time that a few minutes' books take, however many tokens there are."""
        for minute in [one for one in self._ending if (one + 1) * MINUTE_S <= now_s]:
            del self._ending[minute]
        book = self._ending.setdefault(said.exp // MINUTE_S, _Minute())
        count = book.asked.get(said.jti, 0)
        if count >= LOOKUPS:
            raise BadTokenError("used too often; have the person ask for another")
        if count == 0:
            if sum(one.people[said.sub] for one in self._ending.values()) >= EACH:
                raise BadTokenError("its person has too many others; use one of them")
            if sum(len(one.asked) for one in self._ending.values()) >= COUNTED:
                raise BadTokenError("too many others are in use; try again in a minute")
            book.people[said.sub] += 1
        book.asked[said.jti] = count + 1


def _claims(body: dict[str, Any]) -> Placed:
    """The claims of a body that we signed; checked all the same, so that none is taken for another."""
    try:
        said = Placed(**body)
    except TypeError:
        raise BadTokenError("its claims are not those of such a token") from None
    words = (said.iss, said.aud, said.sub, said.jti, said.kind)
    right = all(isinstance(one, str) for one in words) and said.kind in ADDRESS_KINDS
    times = all(type(one) is int for one in (said.iat, said.exp, said.at))
    place = said.country is None or (
        isinstance(said.country, str) and _COUNTRY.fullmatch(said.country) is not None
    )
    if not (right and times and place and _JTI.fullmatch(said.jti)):
        raise BadTokenError("its claims are not those of such a token")
    return said


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_raw(part))
    except (ValueError, RecursionError):
        raise BadTokenError("not base64url JSON") from None
    if not isinstance(value, dict):
        raise BadTokenError("not a JSON object")
    return value


def _raw(part: str) -> bytes:
    """The bytes of a part. One text for each: another spelling of the same bytes is refused."""
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadTokenError("not base64url") from None
    if _b64(raw) != part:
        raise BadTokenError("not base64url")
    return raw


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
