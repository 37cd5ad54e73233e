"""A zone's record for tests: a registry and the relay's log, closed."""

from __future__ import annotations

import json
from pathlib import Path

from dragoman import _native
from dragoman.canonical import canonical
from dragoman.ledger.proofs import commitment

SEGMENT = 256 * 1024
"""Bytes; the shortest that a journal takes."""


def turn_entries(n: int, salt: bytes = b"s" * 32) -> list[bytes]:
    """Intent and result of turn `trn_<n>`."""
    intent = {"v": 1, "kind": "intent", "turn": f"trn_{n}", "at": n, "input": commitment(salt, b"question")}
    result = {
        "v": 1,
        "kind": "result",
        "turn": f"trn_{n}",
        "at": n,
        "output": commitment(salt, "答案".encode()),
    }
    return [
        canonical({**intent, "tenant": "ten"}),
        canonical({**result, "tenant": "ten", "status": "finished"}),
    ]


def make_zone(data: Path, turns: int = 3) -> Path:
    """A zone with a relay's log of some turns, admitted by the registry; both closed."""
    relay = _native.Journal(data / "journal", "local", segment_bytes=SEGMENT)
    for n in range(turns):
        relay.append_many(turn_entries(n))
    opened = json.loads(relay.read(0, 1)[0][1])
    relay.close()
    registry = _native.Journal(data / "registry", "local", segment_bytes=SEGMENT)
    admitted = {name: opened[name] for name in ("log", "key", "origin", "at")}
    registry.append(canonical({"v": 1, "kind": "registry", "event": "log_admitted", **admitted}))
    registry.close()
    return data
