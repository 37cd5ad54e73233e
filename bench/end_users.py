"""Signed tokens for end users nobody has seen before, as a tenant's own code makes them: JWT, HS256."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import time
from pathlib import Path

HEADER = "dragoman-user-token"
A_WINDOW = 60_000
"""Tokens of one window: more than it can use."""
LIFETIME_S = 3600
_numbers = itertools.count(1)


def write(path: Path, secret: str, count: int = A_WINDOW) -> Path:
    """A file of `count` tokens, one a line, each for a user of its own, never the same twice in a run."""
    head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    until = int(time.time()) + LIFETIME_S
    with path.open("w", encoding="ascii") as out:
        for number in itertools.islice(_numbers, count):
            signed = f"{head}.{_b64(json.dumps({'sub': f'user-{number}', 'exp': until}).encode())}"
            out.write(
                f"{signed}.{_b64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}\n"
            )
    return path


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
