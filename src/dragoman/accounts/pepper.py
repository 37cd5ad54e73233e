"""The zone's pepper: 32 random bytes in a 0600 file, under every stored verifier and signature.

Whoever holds the database without this file holds no credential.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from pathlib import Path

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence

PEPPER_BYTES = 32


class Pepper:
    """Keyed digests by purpose; two purposes never share one."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != PEPPER_BYTES:
            raise ConfigError(
                [
                    Sentence(
                        f"the pepper must hold {PEPPER_BYTES} bytes; restore it from a backup",
                        f"pepper 须为 {PEPPER_BYTES} 字节；请从备份恢复",
                    )
                ]
            )
        self._secret = secret

    def digest(self, purpose: str, *parts: str) -> bytes:
        """HMAC-SHA-256 over purpose and parts, each with its length: none runs into the next."""
        mac = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in (purpose, *parts):
            raw = part.encode()
            mac.update(len(raw).to_bytes(8, "big") + raw)
        return mac.digest()

    def matches(self, expected_hex: str, purpose: str, *parts: str) -> bool:
        """Constant-time comparison with a stored digest."""
        return hmac.compare_digest(self.digest(purpose, *parts).hex(), expected_hex)


def open_pepper(file: Path) -> Pepper:
    """Read the file, or create it once with a durable write. Refuses a file that others may read."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise ConfigError(
                [
                    Sentence(
                        f"{file}: readable by others; run chmod 600 on it",
                        f"{file}：他人可读；请对其运行 `chmod 600`",
                    )
                ]
            ) from None
        return Pepper(file.read_bytes())
    secret = os.urandom(PEPPER_BYTES)
    with os.fdopen(handle, "wb") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())
    folder = os.open(file.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    return Pepper(secret)
