"""A backup's secrets under a passphrase: scrypt and ChaCha20-Poly1305, bound to the zone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from dragoman.operations.texts import OperationError

MAGIC = b"dragoman-sealed-1\n"
SALT_BYTES, NONCE_BYTES, KEY_BYTES = 16, 12, 32
COST = 2**16
"""scrypt N with r = 8: 64 MiB and some 0.2 s a guess."""
MIN_PASSPHRASE = 12
"""LIMIT: characters of a passphrase."""
MAX_PASSPHRASE_BYTES = 4096


def passphrase_of(file: Path) -> bytes:
    """The first line of a file that only its owner may read. Raises OperationError."""
    try:
        mode, line = stat.S_IMODE(file.stat().st_mode), file.read_bytes()[:MAX_PASSPHRASE_BYTES]
    except OSError as fault:
        raise OperationError("passphrase_file", file=file, why=fault.strerror) from fault
    line = line.split(b"\n", 1)[0].strip()
    if mode & 0o077:
        raise OperationError("passphrase_mode", file=file)
    if len(line.decode("utf-8", "replace")) < MIN_PASSPHRASE:
        raise OperationError("passphrase_short", file=file, least=MIN_PASSPHRASE)
    return line


def seal(plain: bytes, passphrase: bytes, zone: str) -> bytes:
    """Encrypt; anybody with the passphrase and the zone's name opens it."""
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    box = ChaCha20Poly1305(_key(passphrase, salt)).encrypt(nonce, plain, zone.encode())
    return MAGIC + salt + nonce + box


def unseal(sealed: bytes, passphrase: bytes, zone: str) -> bytes:
    """Decrypt. Raises OperationError for another passphrase, zone or content."""
    body = sealed.removeprefix(MAGIC)
    salt, nonce, box = body[:SALT_BYTES], body[SALT_BYTES:][:NONCE_BYTES], body[SALT_BYTES + NONCE_BYTES :]
    try:
        return ChaCha20Poly1305(_key(passphrase, salt)).decrypt(nonce, box, zone.encode())
    except (InvalidTag, ValueError) as fault:
        raise OperationError("passphrase_wrong") from fault


def _key(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=COST, r=8, p=1).derive(passphrase)
