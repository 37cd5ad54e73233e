"""Writes small MMDB files, so that tests have addresses to look up. No shipped file holds real data."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MARK = b"\xab\xcd\xefMaxMind.com"
_RECORD_BITS = 32
_EMPTY = -1
_UINT16, _UINT32, _UINT64 = 5, 6, 9


@dataclass(frozen=True)
class _Uint:
    """A number of the type that readers ask for."""

    kind: int
    value: int


def mmdb(networks: Mapping[str, Mapping[str, Any]], built: int, kind: str = "Test") -> bytes:
    """A file (format 2.0, IPv6 tree) with a record for each network. `built`: seconds UTC.

    Networks must not contain one another. IPv4 is kept under ::/96, as readers expect.
    """
    nodes: list[list[int]] = [[_EMPTY, _EMPTY]]
    data = b""
    leaves: dict[tuple[int, int], int] = {}
    for text, record in networks.items():
        bits = _bits(ipaddress.ip_network(text))
        at = 0
        for bit in bits[:-1]:
            if nodes[at][bit] == _EMPTY:
                nodes.append([_EMPTY, _EMPTY])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        leaves[at, bits[-1]] = len(data)
        data += _encoded(record)
    tree = b"".join(
        struct.pack(">II", *(_pointer(nodes, leaves, at, side) for side in (0, 1)))
        for at in range(len(nodes))
    )
    about = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": _Uint(_UINT64, built),
        "database_type": kind,
        "description": {"en": "made by a test"},
        "ip_version": 6,
        "languages": ["en"],
        "node_count": _Uint(_UINT32, len(nodes)),
        "record_size": _RECORD_BITS,
    }
    return tree + bytes(16) + data + _MARK + _encoded(about)


def _bits(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> list[int]:
    width = 128
    length = network.prefixlen + (96 if network.version == 4 else 0)
    return [int(network.network_address) >> (width - 1 - n) & 1 for n in range(length)]


def _pointer(nodes: list[list[int]], leaves: Mapping[tuple[int, int], int], at: int, side: int) -> int:
    if (at, side) in leaves:
        return len(nodes) + 16 + leaves[at, side]
    return nodes[at][side] if nodes[at][side] != _EMPTY else len(nodes)


def _encoded(value: object) -> bytes:
    if isinstance(value, bool):
        return _control(14, int(value))
    if isinstance(value, int):
        return _encoded(_Uint(_UINT16 if value < 1 << 16 else _UINT32, value))
    if isinstance(value, _Uint):
        raw = value.value.to_bytes((value.value.bit_length() + 7) // 8, "big")
        return _control(value.kind, len(raw)) + raw
    if isinstance(value, str):
        return _control(2, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return _control(11, len(value)) + b"".join(map(_encoded, value))
    if isinstance(value, Mapping):
        pairs = (_encoded(str(name)) + _encoded(one) for name, one in value.items())
        return _control(7, len(value)) + b"".join(pairs)
    raise TypeError(f"no MMDB form for {type(value).__name__}")


def _control(kind: int, size: int) -> bytes:
    """The control byte of a value of at most 284 bytes or members."""
    short, more = (size, b"") if size < 29 else (29, bytes([size - 29]))
    if kind <= 7:
        return bytes([kind << 5 | short]) + more
    return bytes([short, kind - 7]) + more
