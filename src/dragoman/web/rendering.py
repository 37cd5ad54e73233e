"""Time for rendering: one answer at a time, and never more than a share of the time.

Text that means to be slow takes a second and more of the processor that turns are planned on, and whoever
comes by may send it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

SHARE = 0.2
"""LIMIT: of the time, that rendering takes: after an answer the place stays empty four times as long."""
WAIT_S = 2.0
"""LIMIT: seconds that an answer waits for the place; the script then shows it as plain text."""
WAITING = 16
"""LIMIT: answers that wait for the place."""
LOOK_S = 0.02
"""Seconds between two looks at the place."""

T = TypeVar("T")


class Rendering:
    """The place where answers are rendered, for scripts and for pages; one for all guests."""

    def __init__(self) -> None:
        self._taken = False
        self._free_at = 0.0
        self._waiting = 0

    async def made(self, work: Callable[[], T]) -> T | None:
        """What `work` gives; None where the place does not come free in time."""
        if not await self._place():
            return None
        began = time.monotonic()
        self._taken = True
        try:
            return await run_in_threadpool(work)
        finally:
            ended = time.monotonic()
            self._taken, self._free_at = False, ended + (ended - began) * (1 / SHARE - 1)

    async def _place(self) -> bool:
        """Wait until the place is free; it is taken without another wait between."""
        if self._waiting >= WAITING:
            return False
        deadline = time.monotonic() + WAIT_S
        self._waiting += 1
        try:
            while self._taken or time.monotonic() < self._free_at:
                if max(time.monotonic(), self._free_at) >= deadline:
                    return False
                await asyncio.sleep(LOOK_S)
        finally:
            self._waiting -= 1
        return True
