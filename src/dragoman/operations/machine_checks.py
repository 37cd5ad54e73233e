"""The doctor's checks of the machine: versions, permissions, disk, clock, limits, ports, leftovers."""

from __future__ import annotations

import datetime as dt
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from dragoman.checks.results import Result, Subject, answers, result

PYTHON_MIN = (3, 11)
SQLITE_MIN = (3, 51, 3)
SQLITE_BACKPORTS = {(3, 50): 7, (3, 44): 6}
"""By branch: the release that has the mended WAL race as well."""
DISK_FULL_MIB, DISK_LOW_MIB = 512, 5_120
SYNC_SLOW_MS = 20.0
CLOCK_SLACK_S = 300.0
FILES_NEEDED = 24_576
"""Two for each of 10,000 streams, and what else is open."""
MIB = 1 << 20


def versions(subject: Subject) -> Iterator[Result]:
    """Python, SQLite, and whether the native part belongs to the package."""
    machine = subject.machine
    if machine.python < PYTHON_MIN:
        yield result("python_old", version=".".join(map(str, machine.python)))
    sqlite = tuple(int(part) for part in machine.sqlite.split("."))
    backport = SQLITE_BACKPORTS.get((sqlite[0], sqlite[1]))
    if sqlite < SQLITE_MIN and (backport is None or sqlite[2] < backport):
        yield result("sqlite_old", version=machine.sqlite)
    if machine.package is not None and machine.package != machine.native:
        yield result("native_mismatch", native=machine.native, package=machine.package)


def permissions(subject: Subject) -> Iterator[Result]:
    """Folders and secrets that others may read, and folders of another user."""
    data = subject.data
    if not data.exists():
        return
    if (owner := data.stat().st_uid) != subject.machine.user:
        yield result("not_owner", path=data, owner=owner, here=subject.machine.user)
        return
    for folder in (data, data / "run", data / "secrets"):
        if folder.is_dir() and (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
            yield result("folder_open", path=folder, mode=f"{mode:03o}")
    named = [
        subject.settings.edge.key,
        subject.settings.admin.tls_key,
        *(one.key_file for one in subject.settings.providers.values()),
    ]
    inside = [*data.glob("secrets/*"), *data.glob("*/keys/*.key")]
    for secret in [*inside, *(path for path in named if path is not None)]:
        if secret.is_file() and (mode := stat.S_IMODE(secret.stat().st_mode)) & 0o077:
            yield result("secret_open", path=secret, mode=f"{mode:03o}")


def disk(subject: Subject) -> Iterator[Result]:
    """Room for the record, and how fast it becomes durable."""
    free = subject.machine.free(subject.data) // MIB
    if free < DISK_LOW_MIB:
        yield result("disk_full" if free < DISK_FULL_MIB else "disk_low", path=subject.data, free=free)
    if subject.data.is_dir() and free >= DISK_FULL_MIB:
        ms = subject.machine.sync(subject.data)
        if ms > SYNC_SLOW_MS:
            yield result("disk_slow", path=subject.data, ms=round(ms))


def clock(subject: Subject) -> Iterator[Result]:
    """A clock behind the newest checkpoint went back."""
    signed = [path.stat().st_mtime for path in subject.data.glob("*/*/checkpoint")]
    now = subject.machine.now_s()
    if signed and now < max(signed) - CLOCK_SLACK_S:
        yield result("clock_wrong", now=_time(now), signed=_time(max(signed)))


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def limits(subject: Subject) -> Iterator[Result]:
    """Open files for as many streams as a relay carries."""
    if subject.machine.files < FILES_NEEDED:
        yield result("files_few", limit=subject.machine.files, needed=FILES_NEEDED)


def ports(subject: Subject) -> Iterator[Result]:
    """Addresses that somebody else listens on. Nothing to ask while the zone is served: it is us."""
    if subject.served:
        return
    for name in ("listen", "admin_listen"):
        address = getattr(subject.settings.zone, name)
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), int(port)))
            except OSError:
                yield result("port_taken", address=address, name=f"zone.{name}", holder=listener(int(port)))


def listener(port: int) -> str:
    """Who listens on a TCP port: `process 12 (name)`, or in general words where the system does not say."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in _lines(Path(table))[1:]:
            cells = line.split()
            if cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{cells[9]}]")
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) in inodes:
                pid = link.parts[2]
                return f"process {pid} ({''.join(_lines(Path('/proc') / pid / 'comm')).strip()})"
        except OSError:
            continue  # it ended, or is another user's
    return "another program"


def leftovers(subject: Subject) -> Iterator[Result]:
    """Locks that a process holds which does not answer, and sockets of one that was killed."""
    if subject.served:
        return
    holder = lock_holder(subject.data / "zone.lock")
    if holder is not None:
        yield result("control_hung", pid=holder)
        return
    folder = subject.settings.journal.folder or subject.data / "journal"
    if (relay := lock_holder(folder / "lock")) is not None:
        yield result("relay_left", pid=relay)
    for path in sorted((subject.data / "run").glob("*.sock")):
        if not answers(path):
            yield result("sockets_left", path=path)


def lock_holder(file: Path) -> int | None:
    """The process that holds the file's lock, as the system lists it."""
    if not file.exists():
        return None
    inode = file.stat().st_ino
    for line in _lines(Path("/proc/locks")):
        cells = line.split()
        if len(cells) > 5 and cells[1] == "FLOCK" and cells[5].rpartition(":")[2] == str(inode):
            return int(cells[4])
    return None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8").splitlines()
    except OSError:
        return []
