"""Changes the knowledge of a running zone in a process of its own, one change at a time.

So reading documents takes neither the time nor the memory of the process that decides turns, and what ends
the one leaves the other. `python -m dragoman.knowledge.intake` is that process: an order as one line of JSON
on standard input, the report as one line on standard output; it ends when its input ends. It leads a process
group, and with it ends every worker that it began.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dragoman.errors import UnavailableError
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.faults import Fault
from dragoman.knowledge.ingest import Held, NothingReadError, Report
from dragoman.knowledge.model import Source

COMMAND = [sys.executable, "-m", "dragoman.knowledge.intake"]
INTAKE_SECONDS = 240.0
"""LIMIT: seconds one change may take."""
INCOMING = "incoming"
"""The folder in the knowledge's where files lie until they were read."""


class Intake:
    """The way in for whoever serves the knowledge in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._one = threading.Lock()
        shutil.rmtree(folder / INCOMING, ignore_errors=True)  # of a process that was ended

    def spool(self) -> tempfile.TemporaryDirectory[str]:
        """A fresh folder for files on their way in, which whoever asked for it removes."""
        incoming = self.folder / INCOMING
        incoming.mkdir(mode=0o700, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=incoming, ignore_cleanup_errors=True)

    def take(self, files: Mapping[str, Path], source: Source) -> Report:
        """As `dragoman.knowledge.ingest.take`; a report without any document is given, not raised."""
        paths = {name: str(path) for name, path in files.items()}
        told = self._ordered(do="take", files=paths, source=source.as_dict())
        return Report(
            held={name: Held(**held) for name, held in told["held"].items()},
            failed={name: Fault(**fault) for name, fault in told["failed"].items()},
        )

    def remove(self, sources: Iterable[Source]) -> None:
        """Take sources away; a sample stays away."""
        self._ordered(do="remove", sources=[source.as_dict() for source in sources])

    def restore_samples(self) -> None:
        """Put what ships on the shelf again."""
        self._ordered(do="restore")

    def _ordered(self, **order: Any) -> dict[str, Any]:
        """What the process reports. Raises UnavailableError where it did not do it; then nothing changed."""
        line = json.dumps({"knowledge": str(self.folder), **order}) + "\n"
        with (
            self._one,
            subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
            ) as child,
        ):
            late = threading.Timer(INTAKE_SECONDS, _end, [child])
            late.start()
            try:
                said = _told(child, line)
                # Not reaped yet: until then its number, the group's, is nobody else's.
                os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            finally:
                late.cancel()
                late.join()
                _end(child)
        told: dict[str, Any] = json.loads(said or '{"failed": "the process that reads documents ended"}')
        if isinstance(told.get("failed"), str):
            raise UnavailableError(told["failed"])
        return told


def _end(child: subprocess.Popen[str]) -> None:
    """End the process and all that it began."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _told(child: subprocess.Popen[str], line: str) -> str:
    """One line for the order; its input stays open, so that it ends when we do."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(line)
        child.stdin.flush()
    except BrokenPipeError:
        return ""
    return child.stdout.readline()


def _take(knowledge: Knowledge, order: Mapping[str, Any]) -> dict[str, Any]:
    files = {name: Path(path) for name, path in order["files"].items()}
    try:
        report = knowledge.take(files, Source.from_dict(order["source"]))
    except NothingReadError as nothing:
        report = nothing.report
    return {
        "held": {name: asdict(held) for name, held in report.held.items()},
        "failed": {name: asdict(fault) for name, fault in report.failed.items()},
    }


def _remove(knowledge: Knowledge, order: Mapping[str, Any]) -> dict[str, Any]:
    for source in order["sources"]:
        knowledge.remove(Source.from_dict(source))
    return {}


def _restore(knowledge: Knowledge, _order: Mapping[str, Any]) -> dict[str, Any]:
    knowledge.restore_samples()
    return {}


_DOES: dict[str, Callable[[Knowledge, Mapping[str, Any]], dict[str, Any]]] = {
    "take": _take,
    "remove": _remove,
    "restore": _restore,
}


def _until_end_of_input() -> None:
    """Whoever gave the order is gone: nobody would hear that it was done, so the workers end as well."""
    while os.read(sys.stdin.fileno(), 64):
        continue
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _report_alone() -> int:
    """Standard output, for the report alone: no worker inherits it, and what else is printed is an error."""
    report = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return report


def main() -> int:
    """Do one order."""
    os.umask(0o077)
    report = _report_alone()
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_until_end_of_input, daemon=True).start()
    try:
        told = _DOES[order["do"]](Knowledge(Path(order["knowledge"])), order)
    except OSError as fault:  # a full disk, a folder that was taken away: the shelf is as it was
        told = {"failed": f"the documents could not be stored: {fault.strerror or type(fault).__name__}"}
    with os.fdopen(report, "w", encoding="utf-8") as out:
        out.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
