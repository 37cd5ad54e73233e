"""What libraries or the interpreter would print on standard error becomes one of our lines.

Their words are left out: they may hold what a person wrote. It never hides that something was said.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType

from dragoman.events import LibrarySaid, emit, fault_place


class ForeignLines(logging.Handler):
    """Takes every record of the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say who, of what kind, and where; never what."""
        fault = record.exc_info[1] if record.exc_info else None
        kind = type(fault).__name__ if fault is not None else record.levelname.lower()
        where = fault_place(fault) if fault is not None else f"{record.filename}:{record.lineno}"
        emit(LibrarySaid(record.name, kind, where))


def take_over() -> None:
    """From now on nobody else writes on standard error."""
    logging.basicConfig(level=logging.WARNING, handlers=[ForeignLines()], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _ended


def _uncaught(kind: type[BaseException], fault: BaseException, _: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        emit(LibrarySaid("interpreter", kind.__name__, fault_place(fault)))


def _ended(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None:
        emit(LibrarySaid("thread", told.exc_type.__name__, fault_place(told.exc_value)))
