"""A Dragoman whose disk and clock a test breaks from outside, and the times at which its record became durable.

`faults.c` is compiled and preloaded: the product itself knows nothing of it. Linux with a C compiler only.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
ORDERS = struct.Struct("=iiq")
NOTE = struct.Struct("=5Q2I")
WRITE, SYNC = 1, 2
POSSIBLE = sys.platform == "linux" and shutil.which("cc") is not None


class Fault(IntEnum):
    """What happens to file calls, as in `faults.c`."""

    NONE = 0
    NO_SPACE = 1
    WRITE_ERROR = 2
    SYNC_ERROR = 3
    HANG = 4
    SLOW = 5
    READ_ONLY = 6
    LIE = 7
    """A sync that says it was done and was not: with it every promise must be seen to break."""


class Orders:
    """The shared file through which a running process is told how to fail."""

    def __init__(self, folder: Path) -> None:
        library, self.path = folder / "faults.so", folder / "orders"
        self.trace = folder / "trace"
        build = ["cc", "-O1", "-fPIC", "-shared", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(build, check=True)
        self.path.write_bytes(bytes(ORDERS.size))
        self.trace.touch()
        with self.path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ORDERS.size)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULTS_ORDERS": str(self.path),
            "FAULTS_TRACE": str(self.trace),
        }

    def give(self, journal: Fault = Fault.NONE, database: Fault = Fault.NONE, wall_seconds: int = 0) -> None:
        """From now on fail like this; without arguments nothing does."""
        self._map[:] = ORDERS.pack(journal, database, wall_seconds)


@dataclass(frozen=True)
class Write:
    """A write of the journal that was seen: its bytes, and when it was done (ns of the monotonic clock)."""

    inode: int
    ended: int
    data: bytes


@dataclass
class Trace:
    """What the journal wrote and synced, in the order of its doing."""

    writes: list[Write] = field(default_factory=list)
    syncs: list[tuple[int, int, int]] = field(default_factory=list)
    """inode, begun, ended."""

    @classmethod
    def read(cls, path: Path, at: int = 0) -> Trace:
        """The notes from byte `at` of the file on."""
        trace, raw = cls(), path.read_bytes()
        while at + NOTE.size <= len(raw):
            begun, ended, inode, _, length, kind, _ = NOTE.unpack_from(raw, at)
            at += NOTE.size
            if kind == WRITE:
                trace.writes.append(Write(inode, ended, raw[at : at + length]))
            else:
                trace.syncs.append((inode, begun, ended))
            at += length
        return trace

    def durable(self, write: Write) -> int | None:
        """When a write became durable: the end of the first sync of its file that began after it; None: never."""
        ends = [end for inode, begun, end in self.syncs if inode == write.inode and begun >= write.ended]
        return min(ends) if ends else None


def now_ns() -> int:
    """The clock of the trace."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
