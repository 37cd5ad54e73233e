"""The doctor's checks of the machine: versions, permissions, disk, clock, limits, ports, leftovers."""

from __future__ import annotations

import datetime as dt
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from dragoman.operations.findings import Finding, Patient, answers, found

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


def versions(patient: Patient) -> Iterator[Finding]:
    """Python, SQLite, and whether the native part belongs to the package."""
    machine = patient.machine
    if machine.python < PYTHON_MIN:
        yield found("python_old", version=".".join(map(str, machine.python)))
    sqlite = tuple(int(part) for part in machine.sqlite.split("."))
    backport = SQLITE_BACKPORTS.get((sqlite[0], sqlite[1]))
    if sqlite < SQLITE_MIN and (backport is None or sqlite[2] < backport):
        yield found("sqlite_old", version=machine.sqlite)
    if machine.package is not None and machine.package != machine.native:
        yield found("native_mismatch", native=machine.native, package=machine.package)


def permissions(patient: Patient) -> Iterator[Finding]:
    """Folders and secrets that others may read, and folders of another user."""
    data = patient.data
    if not data.exists():
        return
    if (owner := data.stat().st_uid) != patient.machine.user:
        yield found("not_owner", path=data, owner=owner, here=patient.machine.user)
        return
    for folder in (data, data / "run", data / "secrets"):
        if folder.is_dir() and (mode := stat.S_IMODE(folder.stat().st_mode)) & 0o077:
            yield found("folder_open", path=folder, mode=f"{mode:03o}")
    named = [
        patient.settings.edge.key,
        patient.settings.admin.tls_key,
        *(one.key_file for one in patient.settings.providers.values()),
    ]
    inside = [*data.glob("secrets/*"), *data.glob("*/keys/*.key")]
    for secret in [*inside, *(path for path in named if path is not None)]:
        if secret.is_file() and (mode := stat.S_IMODE(secret.stat().st_mode)) & 0o077:
            yield found("secret_open", path=secret, mode=f"{mode:03o}")


def disk(patient: Patient) -> Iterator[Finding]:
    """Room for the record, and how fast it becomes durable."""
    free = patient.machine.free(patient.data) // MIB
    if free < DISK_LOW_MIB:
        yield found("disk_full" if free < DISK_FULL_MIB else "disk_low", path=patient.data, free=free)
    if patient.data.is_dir() and free >= DISK_FULL_MIB:
        ms = patient.machine.sync(patient.data)
        if ms > SYNC_SLOW_MS:
            yield found("disk_slow", path=patient.data, ms=round(ms))


def clock(patient: Patient) -> Iterator[Finding]:
    """A clock behind the newest checkpoint went back."""
    signed = [path.stat().st_mtime for path in patient.data.glob("*/*/checkpoint")]
    now = patient.machine.now_s()
    if signed and now < max(signed) - CLOCK_SLACK_S:
        yield found("clock_wrong", now=_time(now), signed=_time(max(signed)))


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def limits(patient: Patient) -> Iterator[Finding]:
    """Open files for as many streams as a relay carries."""
    if patient.machine.files < FILES_NEEDED:
        yield found("files_few", limit=patient.machine.files, needed=FILES_NEEDED)


def ports(patient: Patient) -> Iterator[Finding]:
    """Addresses that somebody else listens on. Nothing to ask while the zone is served: it is us."""
    if patient.served:
        return
    for name in ("listen", "admin_listen"):
        address = getattr(patient.settings.zone, name)
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host.strip("[]"), int(port)))
            except OSError:
                yield found("port_taken", address=address, name=f"zone.{name}", holder=listener(int(port)))


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


def leftovers(patient: Patient) -> Iterator[Finding]:
    """Locks that a process holds which does not answer, and sockets of one that was killed."""
    if patient.served:
        return
    holder = lock_holder(patient.data / "zone.lock")
    if holder is not None:
        yield found("control_hung", pid=holder)
        return
    folder = patient.settings.journal.folder or patient.data / "journal"
    if (relay := lock_holder(folder / "lock")) is not None:
        yield found("relay_left", pid=relay)
    for path in sorted((patient.data / "run").glob("*.sock")):
        if not answers(path):
            yield found("sockets_left", path=path)


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
