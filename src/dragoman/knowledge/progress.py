"""Shows an ingestion's progress on a terminal as a bar, elsewhere as one line every five seconds.

It writes to stderr only, so that a verb's answer stays alone on stdout.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dragoman.knowledge.ingest import Progress as Step

LINE_SECONDS = 5.0


@contextmanager
def shown(
    stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Step], None]]:
    """Give the function that `ingest` calls with each step."""
    out = sys.stderr if stream is None else stream
    if not out.isatty():
        yield _Lines(out, clock)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=out)) as bars:
        task = bars.add_task("read", total=None)
        yield lambda step: bars.update(
            task, description=step.stage, completed=step.done, total=step.total, refresh=step.stage != "read"
        )


class _Lines:
    """Says where it stands at most every LINE_SECONDS, and at each change of stage."""

    def __init__(self, out: TextIO, clock: Callable[[], float]) -> None:
        self._out = out
        self._clock = clock
        self._stage = "read"
        self._said = clock()

    def __call__(self, step: Step) -> None:
        now = self._clock()
        if step.stage == self._stage and now - self._said < LINE_SECONDS:
            return
        self._stage, self._said = step.stage, now
        print(f"{step.stage}: {step.done} of {step.total} files", file=self._out, flush=True)
