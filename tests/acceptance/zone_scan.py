"""Looks for marked words in packets, streams and files, in any form they may travel in."""

from __future__ import annotations

import base64
import re
import sqlite3
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

INFLATED_BYTES = 16 << 20
"""LIMIT: bytes made of one compressed stream."""
_GZIP = b"\x1f\x8b\x08"  # RFC 1952, 2.3.1
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")  # RFC 1950, 2.2
IPV4, ARP = 0x0800, 0x0806
TCP = 6
SYN = 0x02


@dataclass(frozen=True)
class Mark:
    """What every word of a zone's people begins with, and their phone numbers without `+`.

    A word is the mark, a field's name in letters, and a number.
    """

    word: str
    phones: tuple[str, ...]

    def spellings(self) -> dict[str, bytes]:
        """The mark as it is, in hex, in base64 at each alignment without what neighbours change, in UTF-16."""
        raw = self.word.encode()
        shifted = [base64.b64encode(b"x" * pad + raw)[4 if pad else 0 : -4] for pad in range(3)]
        return {
            "raw": raw,
            "hex": raw.hex().encode(),
            "HEX": raw.hex().upper().encode(),
            **{f"base64+{pad}": one for pad, one in enumerate(shifted)},
            "utf-16": self.word.encode("utf-16-le"),
            "utf-16be": self.word.encode("utf-16-be"),
        }

    def found(self, data: bytes) -> Counter[str]:
        """How often each field, or each form that hides its name, is in some bytes; inflated too."""
        hits = self._plain(data)
        for inflated in _inflated(data):
            hits.update({f"compressed {name}": count for name, count in self._plain(inflated).items()})
        return hits

    def _plain(self, data: bytes) -> Counter[str]:
        hits: Counter[str] = Counter()
        forms = self.spellings()
        raw = forms.pop("raw")
        if raw in data:
            named = re.findall(re.escape(raw) + rb"([a-z]*)", data)
            hits.update(name.decode() or "cut" for name in named)
        for form, spelled in forms.items():
            if count := data.count(spelled):
                hits[form] += count
        for phone in self.phones:
            if count := data.count(phone.encode()):
                hits["phone"] += count
        return hits


def _inflated(data: bytes) -> Iterator[bytes]:
    view = memoryview(data)  # most beginnings are none: nothing is copied for them
    for start, bits in ((_GZIP, 31), *((one, 15) for one in _ZLIB)):
        at = data.find(start)
        while at >= 0:
            try:
                found = zlib.decompressobj(bits).decompress(view[at : at + INFLATED_BYTES], INFLATED_BYTES)
                if found:
                    yield found
            except zlib.error:
                pass  # two bytes that only look like a beginning
            at = data.find(start, at + 1)


@dataclass(frozen=True)
class Packet:
    """What a frame says of itself. `ports`: source and destination, of TCP alone."""

    kind: int
    source: str
    target: str
    ports: tuple[int, int]
    flags: int
    seq: int
    body: bytes


def read(frame: bytes) -> Packet:
    """An Ethernet frame with IPv4, or ARP, or what else there is."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == ARP:
        return Packet(kind, _dotted(frame[28:32]), _dotted(frame[38:42]), (0, 0), 0, 0, b"")
    if kind != IPV4:
        return Packet(kind, frame[6:12].hex(), frame[:6].hex(), (0, 0), 0, 0, frame[14:])
    header = (frame[14] & 0x0F) * 4
    total = struct.unpack_from(">H", frame, 16)[0]
    inner = frame[14 + header : 14 + total]
    source, target = _dotted(frame[26:30]), _dotted(frame[30:34])
    if frame[23] != TCP:
        return Packet(kind, source, target, (0, 0), 0, 0, inner)
    here, there, seq = struct.unpack_from(">HHI", inner)
    return Packet(kind, source, target, (here, there), inner[13], seq, inner[(inner[12] >> 4) * 4 :])


def _dotted(raw: bytes) -> str:
    return ".".join(map(str, raw))


def streams(packets: Iterable[Packet]) -> Iterator[bytes]:
    """What each side of each TCP connection said, in its order, whatever the packets' edges; then other bodies."""
    open_now: dict[tuple[str, str, tuple[int, int]], list[tuple[int, bytes]]] = {}
    over: list[list[tuple[int, bytes]]] = []
    for one in packets:
        if one.ports == (0, 0):
            if one.body:
                yield one.body
            continue
        key = one.source, one.target, one.ports
        if one.flags & SYN and key in open_now:
            over.append(open_now.pop(key))
        if one.body:
            open_now.setdefault(key, []).append((one.seq, one.body))
    for parts in (*over, *open_now.values()):
        yield _joined(parts)


def _joined(parts: list[tuple[int, bytes]]) -> bytes:
    """Segments by their sequence numbers, which wrap at 2^32; what was sent again counts once, a gap stays one."""
    half, first = 1 << 31, parts[0][0]
    placed = sorted(((seq - first + half) % (1 << 32), body) for seq, body in parts)
    whole, start, end = bytearray(), placed[0][0], placed[0][0]
    for seq, body in placed:
        if seq > end:
            whole += b"\0"  # what is between was not seen: the two do not touch
            start += seq - end - 1
            end = seq
        whole[seq - start : seq - start + len(body)] = body
        end = max(end, seq + len(body))
    return bytes(whole)


def in_packets(mark: Mark, packets: list[Packet]) -> Counter[str]:
    """Marked words in what connections carried."""
    hits: Counter[str] = Counter()
    for stream in streams(packets):
        hits += mark.found(stream)
    return hits


def in_files(mark: Mark, folder: Path) -> dict[str, Counter[str]]:
    """Marked words in every byte of every file, by file; in names of files; and in every value of a database."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if hits := mark.found(name.encode()):
            found[name] += hits
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if hits := mark.found(data):
            found[name] += hits
        if data.startswith(b"SQLite format 3\0") and (hits := _in_values(mark, path)):
            found[f"{name} (values)"] += hits
    return dict(found)


def _in_values(mark: Mark, file: Path) -> Counter[str]:
    """A long value lies on pages that are not neighbours: a word across their edge is whole only here."""
    hits: Counter[str] = Counter()
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as raw:
        tables = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in raw.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, str | bytes):
                        hits += mark.found(value if isinstance(value, bytes) else value.encode())
    return hits
