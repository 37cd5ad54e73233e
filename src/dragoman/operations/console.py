"""How the verbs of operations refuse and show that they go on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from dragoman.control.cli_common import told_plainly
from dragoman.ledger.logs import LedgerError
from dragoman.operations.archive import Progress as Step
from dragoman.operations.texts import OperationError


@contextmanager
def refusals(*, as_json: bool) -> Iterator[None]:
    """What reading or writing is refused with becomes one of our sentences."""
    with told_plainly(as_json=as_json):
        try:
            yield
        except LedgerError as fault:
            raise OperationError("record_unreadable", why=fault) from fault
        except OSError as fault:
            raise OperationError(
                "file_fault", file=fault.filename or "?", why=fault.strerror or fault
            ) from fault


@contextmanager
def progress(what: str, total: int | None) -> Iterator[Step]:
    """A bar on standard error where a person looks at it; else silence."""
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
