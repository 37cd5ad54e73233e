"""What is measured: the models the fake provider knows, and the cells of the table."""

from __future__ import annotations

from dataclasses import dataclass, replace

MODELS = {
    "plain": "chunks=20,bytes=12",
    "s20": "chunks=20,bytes=12",
    "s100": "chunks=100,bytes=12",
    "paced": "chunks=100,bytes=12,gap_ms=20",
    "held": "chunks=40,bytes=12,gap_ms=1000",
}
LANES = {"content": "content", "reasoning": "reasoning", "tool": "tool", "tool-escaped": "tool,escape=1"}
PIECES = (1, 3, 7, 12, 50)
"""Bytes of a chunk in the leak cells."""


def leak_models() -> dict[str, str]:
    """One model a lane and chunk size, with the phrase planted in a third of its text."""
    return {
        f"leak-{lane}-{size}": f"chunks={max(30, 360 // size)},bytes={size},lane={knobs},plant=1"
        for lane, knobs in LANES.items()
        for size in PIECES
    }


@dataclass(frozen=True)
class Cell:
    """One row of the table. `seconds` is a window; `pairs` how often each system is measured."""

    name: str
    title: str
    model: str
    connections: int
    seconds: float
    stream: bool = False
    expect_chars: int = 80
    history_bytes: int = 0
    new_users: bool = False
    peers: bool = True
    pairs: int = 10
    peer_pairs: int = 10


CELLS = (
    Cell("plain8", "plain, 8 connections", "plain", 8, 2.0),
    Cell("plain64", "plain, 64 connections", "plain", 64, 2.0),
    Cell("s20", "20 chunks at once, 8 connections", "s20", 8, 2.0, stream=True),
    Cell("s100", "100 chunks at once, 8 connections", "s100", 8, 3.0, stream=True, expect_chars=400),
    Cell("paced", "100 chunks 20 ms apart, 40 connections", "paced", 40, 6.0, stream=True, expect_chars=400),
    Cell("users", "plain, a new end user each, 8 connections", "plain", 8, 2.0, new_users=True, peers=False),
    Cell("history", "64 KB of history, 8 connections", "plain", 8, 2.0, history_bytes=65_536, peers=False),
)


def short(cell: Cell) -> Cell:
    """The same cell with short windows and all its pairs: about fifteen minutes in all."""
    return replace(cell, seconds=2.5 if cell.name == "paced" else 1.0)


def quick(cell: Cell) -> Cell:
    """The same cell for a run of about four minutes: to see that all works, not to quote."""
    return replace(short(cell), pairs=5, peer_pairs=2)
