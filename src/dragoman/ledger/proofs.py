"""Proofs that a stranger can check: an entry is in the signed log, a receipt fits a text.

Needs no network and no database.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman import _native
from dragoman.ledger.logs import LedgerError, find_log, find_turn

_SALT_BYTES = 32
_COMMITTED = ("input", "output", "who")
"""Members of an entry that are commitments: SHA-256(salt ‖ value)."""


@dataclass(frozen=True)
class Proven:
    """A proof that held: the entry, its place and the tree it is in."""

    index: int
    entry: dict[str, Any]
    size: int
    root: str


@dataclass(frozen=True)
class Receipt:
    """`dragoman-receipt` of an answer: `v=1; turn=...; log=...; index=...; salt=<base64url>`."""

    turn: str
    log: str
    index: int
    salt: bytes


def prove(
    data: Path, *, turn: str | None = None, log: str | None = None, index: int | None = None
) -> list[str]:
    """C2SP tlog-proofs of every entry of a turn, or of one entry of a log. Raises LedgerError."""
    if turn is not None:
        places = [(shard, entry.index) for shard, entry in find_turn(data, turn)]
        if not places:
            raise LedgerError(f"no entry of turn {turn} under {data}")
    elif log is not None and index is not None:
        places = [(find_log(data, log), index)]
    else:
        raise LedgerError("name a turn, or a log with --log and an entry with --index")
    try:
        return [_native.ledger_prove(shard, at) for shard, at in places]
    except OSError as error:
        raise LedgerError(f"{error}; a checkpoint follows within a second while the process runs") from error


def log_proved(proof: str) -> str:
    """The log a proof names in its checkpoint's origin, `dragoman/<zone>/<quarter>/<log>`; not checked."""
    return proof.split("\n\n", 1)[1].split("\n", 1)[0].rsplit("/", 1)[1]


def check_proof(proof: str, key: str) -> Proven:
    """The entry of a proof that holds under the log's verifier key. Raises LedgerError where it does not."""
    try:
        index, entry, size, root = _native.ledger_check_proof(proof, key)
        return Proven(index, json.loads(entry), size, root)
    except ValueError as error:
        raise LedgerError(f"the proof does not hold: {error}") from error


def parse_receipt(text: str) -> Receipt:
    """Read a `dragoman-receipt`. Raises LedgerError naming what is wrong."""
    parts = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    if parts.get("v") != "1":
        raise LedgerError("a receipt begins with v=1")
    try:
        padded = parts["salt"] + "=" * (-len(parts["salt"]) % 4)
        salt = base64.b64decode(padded, altchars=b"-_", validate=True)
        receipt = Receipt(parts["turn"], parts["log"], int(parts["index"]), salt)
    except KeyError as error:
        raise LedgerError(f"the receipt lacks {error.args[0]}") from error
    except (binascii.Error, ValueError) as error:
        raise LedgerError(f"the receipt cannot be read: {error}") from error
    if len(salt) != _SALT_BYTES:
        raise LedgerError(f"the receipt's salt has {len(salt)} bytes, expected {_SALT_BYTES}")
    return receipt


def commitment(salt: bytes, value: bytes) -> str:
    """`sha256:` + hex SHA-256(salt ‖ value)."""
    return "sha256:" + hashlib.sha256(salt + value).hexdigest()


def check_commitment(proven: Proven, receipt: Receipt, value: bytes) -> str:
    """Which member of the proven entry commits to `value`. Raises LedgerError if none, or another turn."""
    if proven.entry.get("turn") != receipt.turn:
        raise LedgerError(
            f"the proof is about turn {proven.entry.get('turn')}, the receipt about {receipt.turn}"
        )
    digest = commitment(receipt.salt, value)
    for name in _COMMITTED:
        if proven.entry.get(name) == digest:
            return name
    raise LedgerError(
        "the value is not what the entry commits to (bytes must be exactly those sent or received)"
    )
