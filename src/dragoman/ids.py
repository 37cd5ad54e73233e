"""Identifiers: `<kind>_<zone>_<uuid>`. The zone inside lets any process refuse another zone's id unread.

Fresh ids are UUIDv7 (sortable by time); ids derived from a secret are UUIDv8 and need no row to exist.
"""

from __future__ import annotations

import os
import re
import time
import uuid

_SHAPE = re.compile(
    r"^([a-z]{2,8})_([a-z0-9-]{1,32})_([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$"
)
ZONE_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}$"


def now_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def new_id(kind: str, zone: str, at_ms: int | None = None) -> str:
    """A fresh id; 74 random bits beside the millisecond."""
    stamp = now_ms() if at_ms is None else at_ms
    body = (stamp & (2**48 - 1)).to_bytes(6, "big") + os.urandom(10)
    return f"{kind}_{zone}_{_marked(body, 7)}"


def derived_id(kind: str, zone: str, secret_digest: bytes) -> str:
    """The id that belongs to a keyed digest of at least 16 bytes: equal digest, equal id."""
    return f"{kind}_{zone}_{_marked(secret_digest[:16], 8)}"


def zone_of(identifier: str) -> str | None:
    """The zone named inside an id, or None where the text is no id of ours."""
    match = _SHAPE.match(identifier)
    return match.group(2) if match else None


def kind_of(identifier: str) -> str | None:
    """The kind in front of an id, or None where the text is no id of ours."""
    match = _SHAPE.match(identifier)
    return match.group(1) if match else None


def _marked(body: bytes, version: int) -> uuid.UUID:
    raw = bytearray(body)
    raw[6] = (raw[6] & 0x0F) | (version << 4)
    raw[8] = (raw[8] & 0x3F) | 0x80
    return uuid.UUID(bytes=bytes(raw))
