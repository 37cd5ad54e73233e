"""What a whole tree of processes has used: CPU from the kernel's own clocks, resident memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
KILL_S = 5.0
"""LIMIT: seconds the kernel may take to end what was killed."""
QUIET_SHARE = 0.03
"""A tree that uses less than this share of one core has finished what the last window left it to do."""
QUIET_STEP_S = 0.1
QUIET_LIMIT_S = 10.0
STOP_S = 45.0
"""LIMIT: seconds a system may take to end by itself."""


@dataclass
class Tree:
    """A started program with all that descends from it (by parent or by session)."""

    process: subprocess.Popen[bytes]
    name: str
    log: Path

    def members(self) -> list[int]:
        """The living processes of the tree."""
        root = self.process.pid
        parents, sessions = _table()
        found = {pid for pid, session in sessions.items() if session == root}
        for pid in parents:
            chain, at = set(), pid
            while at in parents and at not in chain:
                chain.add(at)
                if at == root:
                    found.add(pid)
                    break
                at = parents[at]
        return sorted(found)

    def cpu_ms(self) -> float:
        """User and system time of all processes and of their ended, awaited children."""
        return sum(cpu_ms(pid) for pid in self.members())

    def rss_mb(self) -> dict[str, float]:
        """Resident memory by process, named by command and pid."""
        return {f"{_command(pid)}:{pid}": round(rss_mb(pid), 1) for pid in self.members()}

    def quiet(self) -> bool:
        """Waits until the tree has done its deferred work; False when it did not within the limit."""
        until = time.monotonic() + QUIET_LIMIT_S
        before, at, calm = self.cpu_ms(), time.monotonic(), 0
        while time.monotonic() < until:
            time.sleep(QUIET_STEP_S)
            now, then = self.cpu_ms(), time.monotonic()
            calm = calm + 1 if now - before < QUIET_SHARE * (then - at) * 1000 else 0
            if calm == 2:
                return True
            before, at = now, then
        return False

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        """Ends the tree: politely, then surely. Only processes that were seen in it are touched."""
        members = {pid: _started(pid) for pid in self.members()}
        _signal([self.process.pid], signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            _signal([self.process.pid], signal.SIGKILL)
            self.process.wait()
        # Its children may have sessions of their own; the start time guards against a reused pid.
        left = [pid for pid, started in members.items() if started and _started(pid) == started]
        _signal(left, signal.SIGKILL)
        until = time.monotonic() + KILL_S
        while any(_started(pid) == members[pid] for pid in left) and time.monotonic() < until:
            time.sleep(0.01)

    def tail(self, lines: int = 12) -> str:
        """The end of its log, for an error message."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def start(name: str, command: Sequence[str], *, folder: Path, env: dict[str, str] | None = None) -> Tree:
    """Starts a program in its own session, its output in a log in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    return Tree(process, name, log)


def cpu_ms(pid: int) -> float:
    """The kernel's process clock in ms (living and ended threads) plus awaited children; 0 when gone."""
    try:
        # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of <linux/posix-timers.h>: nanoseconds, not ticks.
        own = time.clock_gettime_ns((~pid << 3) | 2) / 1e6
        fields = _stat(pid)
    except OSError:
        return 0.0
    return own + (int(fields[13]) + int(fields[14])) * TICK_MS


def rss_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the command: [0] state, [1] ppid, [3] session, [13], [14] children."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def _started(pid: int) -> str | None:
    """When a process started, in ticks since boot; None when it is gone."""
    try:
        fields = _stat(pid)
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _table() -> tuple[dict[int, int], dict[int, int]]:
    parents, sessions = {}, {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = _stat(int(entry.name))
                if fields[0] != "Z":
                    parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
    return parents, sessions


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        return "gone"


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
