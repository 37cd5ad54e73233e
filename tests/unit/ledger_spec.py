"""A second verifier, written from the specifications alone: RFC 6962 section 2.1, RFC 9162 sections 2.1.3 and 2.1.4,
C2SP signed-note, tlog-checkpoint, tlog-tiles and tlog-proof. It imports nothing of Dragoman.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class SpecError(Exception):
    """Something is not as the specification says."""


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962: MTH over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return node(mth(leaves[:k]), mth(leaves[k:]))


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962: PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def root_from_inclusion(index: int, size: int, leaf_hash: bytes, proof: list[bytes]) -> bytes:
    """RFC 9162, 2.1.3.2. Raises SpecError."""
    if index >= size:
        raise SpecError("index beyond the tree")
    fn, sn, r = index, size - 1, leaf_hash
    for p in proof:
        if sn == 0:
            raise SpecError("proof too long")
        if fn % 2 == 1 or fn == sn:
            r = node(p, r)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise SpecError("proof too short")
    return r


def proof(m: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962: PROOF(m, D[n]), 0 < m <= n."""
    return _subproof(m, leaves, True)


def _subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = _split(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def consistent(first: int, first_root: bytes, second: int, second_root: bytes, hashes: list[bytes]) -> bool:
    """RFC 9162, 2.1.4.2, which leaves out an empty first tree and two equal ones: those need no hashes."""
    if first > second:
        return False
    if first in (0, second):
        return not hashes and first_root == (second_root if first else mth([]))
    steps = list(hashes)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    if not steps:
        return False
    fn, sn = first - 1, second - 1
    while fn % 2 == 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = steps[0]
    for c in steps[1:]:
        if sn == 0:
            return False
        if fn % 2 == 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == first_root and sr == second_root and sn == 0


def b64(text: str, length: int | None = None) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise SpecError(f"base64: {error}") from error
    if base64.b64encode(raw).decode() != text or (length is not None and len(raw) != length):
        raise SpecError("base64: not canonical or another length")
    return raw


@dataclass(frozen=True)
class Key:
    """A verifier key: `<name>+<hex id>+<base64(0x01 ‖ public key)>`."""

    name: str
    id: bytes
    public: bytes

    @classmethod
    def parse(cls, text: str) -> Key:
        name, hex_id, encoded = text.split("+", 2)
        raw = b64(encoded, 33)
        if raw[0] != 1:
            raise SpecError("not an Ed25519 key")
        key_id = hashlib.sha256(name.encode() + b"\n\x01" + raw[1:]).digest()[:4]
        if key_id.hex() != hex_id:
            raise SpecError("key id")
        return cls(name, key_id, raw[1:])


@dataclass(frozen=True)
class Head:
    origin: str
    size: int
    root: bytes


def open_checkpoint(note: bytes, key: Key) -> Head:
    """Verify a signed checkpoint. Raises SpecError."""
    text = note.decode("utf-8")
    if any(ord(c) < 0x20 and c != "\n" for c in text):
        raise SpecError("control character")
    body, separator, signatures = text.rpartition("\n\n")
    if not separator or not signatures.endswith("\n"):
        raise SpecError("no signatures")
    body += "\n"
    signed = [_signed(body, line, key) for line in signatures[:-1].split("\n")]
    if True not in signed:
        raise SpecError("not signed by the key")
    origin, size, root, *rest = body.split("\n")
    if rest != [""] or str(int(size)) != size or origin != key.name:
        raise SpecError("checkpoint text")
    return Head(origin, int(size), b64(root, 32))


def _signed(body: str, line: str, key: Key) -> bool:
    if not line.startswith("— "):
        raise SpecError("signature line")
    name, _, encoded = line[2:].partition(" ")
    raw = b64(encoded)
    if name != key.name or raw[:4] != key.id:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], body.encode())
    except InvalidSignature as error:
        raise SpecError("signature") from error
    return True


def check_proof(text: str, key: Key) -> tuple[int, bytes, Head]:
    """Verify a c2sp.org/tlog-proof@v1 whose extra is the entry; (index, entry, head). Raises SpecError."""
    head, _, note = text.partition("\n\n")
    first, extra, index, *hashes = head.split("\n")
    if first != "c2sp.org/tlog-proof@v1" or not extra.startswith("extra ") or not index.startswith("index "):
        raise SpecError("proof shape")
    entry = b64(extra[6:])
    checkpoint = open_checkpoint(note.encode(), key)
    proof = [b64(line, 32) for line in hashes]
    if root_from_inclusion(int(index[6:]), checkpoint.size, leaf(entry), proof) != checkpoint.root:
        raise SpecError("the root differs")
    return int(index[6:]), entry, checkpoint


def number(n: int) -> str:
    """tlog-tiles: an index as path elements."""
    parts = [f"{n % 1000:03}"]
    while n >= 1000:
        n //= 1000
        parts.insert(0, f"x{n % 1000:03}")
    return "/".join(parts)


def tile_name(n: int, width: int) -> str:
    return number(n) + (f".p/{width}" if width < 256 else "")


def read_entries(prefix: Path, size: int) -> list[bytes]:
    """All entries of a tree from its entry bundles. Raises SpecError."""
    entries: list[bytes] = []
    for n in range((size + 255) // 256):
        width = min(256, size - n * 256)
        data = _file(prefix / "tile/entries" / tile_name(n, width))
        found = []
        while data:
            length = int.from_bytes(data[:2], "big")
            if len(data) < 2 + length:
                raise SpecError("bundle cut short")
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        if len(found) != width:
            raise SpecError("bundle width")
        entries += found
    return entries


def _file(name: Path) -> bytes:
    if not name.is_file():
        raise SpecError(f"{name.name} is missing")
    return name.read_bytes()


def verify_tiles(prefix: Path, key: Key) -> tuple[Head, list[bytes]]:
    """A whole log served as tlog-tiles under `prefix`: head and entries. Raises SpecError."""
    head = open_checkpoint(_file(prefix / "checkpoint"), key)
    entries = read_entries(prefix, head.size)
    row = [leaf(entry) for entry in entries]
    if mth(row) != head.root:
        raise SpecError("root")
    level = 0
    while row:
        for n in range((len(row) + 255) // 256):
            hashes = row[n * 256 : n * 256 + 256]
            if _file(prefix / "tile" / str(level) / tile_name(n, len(hashes))) != b"".join(hashes):
                raise SpecError(f"tile {level}/{n}")
        row = [mth(row[i : i + 256]) for i in range(0, len(row) - len(row) % 256, 256)]
        level += 1
    return head, entries
