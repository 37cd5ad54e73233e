"""API keys: `dragoman_<zone>_<public id>_<secret>_<crc>`, shown once, stored as a keyed hash.

Pure but for randomness. The checksum lets scanners and this code refuse a mistyped key without a look-up.
"""

from __future__ import annotations

import re
import secrets
import zlib
from dataclasses import dataclass

from dragoman.accounts.pepper import Pepper

PREFIX = "dragoman"
KEY_REGEX = r"dragoman_[a-z0-9][a-z0-9-]{0,31}_[0-9A-Za-z]{16}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}"
"""Published for secret scanners."""

PUBLIC_ID_LENGTH = 16
SECRET_LENGTH = 43
"""Base62 characters that hold 256 random bits."""

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SHAPE = re.compile(f"^{KEY_REGEX}$")


@dataclass(frozen=True)
class KeyText:
    """The parts of a well-formed key."""

    zone: str
    public_id: str
    secret: str

    def __str__(self) -> str:
        body = f"{PREFIX}_{self.zone}_{self.public_id}_{self.secret}"
        return f"{body}_{checksum(body)}"

    def __repr__(self) -> str:
        return f"KeyText({self.zone}, {self.public_id}, ...)"


def mint(zone: str) -> KeyText:
    """A fresh key for a zone."""
    public_id = "".join(secrets.choice(_ALPHABET) for _ in range(PUBLIC_ID_LENGTH))
    return KeyText(zone, public_id, base62(secrets.token_bytes(32), SECRET_LENGTH))


def parse(text: str) -> KeyText | None:
    """The parts of a key, or None where shape or checksum do not fit."""
    if not text.isascii() or not _SHAPE.match(text):
        return None
    body, _, crc = text.rpartition("_")
    if checksum(body) != crc:
        return None
    _, zone, public_id, secret = body.split("_")
    return KeyText(zone, public_id, secret)


def verifier(pepper: Pepper, key: KeyText) -> str:
    """What is stored: no credential itself, useless without the pepper."""
    return pepper.digest("key", key.zone, key.public_id, key.secret).hex()


def verify(pepper: Pepper, key: KeyText, stored: str) -> bool:
    """Whether the key is the one stored, in constant time."""
    return pepper.matches(stored, "key", key.zone, key.public_id, key.secret)


def signing_secret(pepper: Pepper, key_id: str) -> str:
    """The secret a tenant signs its users' tokens with; derived, so that no table holds it."""
    return "dragomansign_" + base62(pepper.digest("user-token", key_id), SECRET_LENGTH)


def checksum(body: str) -> str:
    """CRC-32 in six base62 digits."""
    return base62(zlib.crc32(body.encode()).to_bytes(4, "big"), 6)


def base62(raw: bytes, length: int) -> str:
    """Big-endian base62 with leading zeros, `length` digits."""
    number = int.from_bytes(raw, "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
