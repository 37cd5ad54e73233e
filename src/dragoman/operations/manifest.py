"""The manifest of a backup: what it is of, what is in it, and the registry's signature over both.

The signature is a C2SP signed note by the key of the registry's newest log. Its text begins with a line that
no checkpoint begins with, so neither can be taken for the other.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from dragoman.operations.texts import OperationError

FORMAT = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.note"
FIRST_LINE = "dragoman-backup/v1"
MAX_MANIFEST_BYTES = 64 << 20
"""LIMIT: bytes of a manifest; a tile a line makes some 300 bytes for 256 entries."""
_ED25519 = b"\x01"
_KEY_HASH_BYTES = 4


@dataclass(frozen=True)
class LogHead:
    """One log as it was taken: its signed size and root.

    `complete`: the database holds the rows of every entry below this index.
    """

    folder: str
    shard: str
    log: str
    key: str
    size: int
    root: str
    complete: int


@dataclass(frozen=True)
class Member:
    """One file of the archive."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The whole; times are ms UTC. `secrets`: none, plain or sealed. `needs`: what lies outside."""

    zone: str
    country: str | None
    made_at: int
    version: str
    schema: str
    secrets: str
    registry_key: str
    logs: list[LogHead]
    config: dict[str, Any]
    needs: list[str]
    files: list[Member]
    format: int = FORMAT

    def text(self) -> bytes:
        """The bytes in the archive."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read one. Raises OperationError for what is none of this format."""
        try:
            tree = json.loads(raw)
            if tree["format"] != FORMAT:
                raise OperationError("backup_format", why=f"format {tree['format']}")
            logs = [LogHead(**one) for one in tree.pop("logs")]
            files = [Member(**one) for one in tree.pop("files")]
            return cls(logs=logs, files=files, **tree)
        except (ValueError, KeyError, TypeError) as fault:
            raise OperationError("backup_format", why=type(fault).__name__) from fault


def sign(manifest: bytes, zone: str, key: str, seed: bytes, first: str = FIRST_LINE) -> str:
    """The note over a manifest, by the registry's key. `first` says what is signed."""
    text = _note_text(manifest, zone, first)
    name, key_hash, public = _verifier(key)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    if private.public_key().public_bytes_raw() != public:
        raise OperationError("backup_key_wrong")
    signature = base64.b64encode(key_hash + private.sign(text.encode())).decode()
    return f"{text}\n— {name} {signature}\n"


def check(note: str, manifest: bytes, zone: str, key: str, first: str = FIRST_LINE) -> None:
    """Raises OperationError unless the note is the key's signature over this manifest."""
    text, _, line = note.partition("\n\n")
    try:
        name, key_hash, public = _verifier(key)
        dash, named, encoded = line.rstrip("\n").split(" ")
        raw = base64.b64decode(encoded, validate=True)
        same = (dash, named, raw[:_KEY_HASH_BYTES], text + "\n") == (
            "—",
            name,
            key_hash,
            _note_text(manifest, zone, first),
        )
        signed = (text + "\n").encode() if same else b""  # what is signed is never empty
        Ed25519PublicKey.from_public_bytes(public).verify(raw[_KEY_HASH_BYTES:], signed)
    except (ValueError, binascii.Error, InvalidSignature) as fault:
        raise OperationError("backup_signature") from fault


def _note_text(manifest: bytes, zone: str, first: str) -> str:
    return f"{first}\n{zone}\nsha256:{hashlib.sha256(manifest).hexdigest()}\n"


def _verifier(key: str) -> tuple[str, bytes, bytes]:
    """Name, key hash and public key of a verifier key (`name+hash+base64`). Raises ValueError."""
    name, hexed, encoded = key.split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    wanted = hashlib.sha256(f"{name}\n".encode() + raw).digest()[:_KEY_HASH_BYTES]
    if raw[:1] != _ED25519 or bytes.fromhex(hexed) != wanted:
        raise ValueError("not an Ed25519 verifier key")
    return name, wanted, raw[1:]
