"""`GET /changes`: answered at least every 250 ms; relays forget or stop what carries a tag.

The rows are written by the acts (stores.acts); this holds the newest in memory and wakes waiting relays.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from dragoman.core.accounts import Change
from dragoman.events import ChangePublished, emit
from dragoman.ids import now_ms

HOLD_SECONDS = 0.25
KEPT = 1_000
"""LIMIT: changes answered from memory; a relay further behind is told to drop everything."""

Fetch = Callable[[int], list[tuple[int, Change]]]


class ChangeFeed:
    """The newest changes. `fetch(after)` reads committed rows; everything else runs on the plan loop."""

    def __init__(self, fetch: Fetch, newest: int) -> None:
        self._fetch = fetch
        self._kept: deque[tuple[int, Change]] = deque(fetch(max(0, newest - KEPT)), maxlen=KEPT)
        self.seq = newest
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Name the loop that relays wait on."""
        self._loop = loop

    def committed(self) -> None:
        """Called by the writer after a commit that published; never waits."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._refresh)

    async def after(self, seq: int, announced: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The answer to a poll: at once where there is news, else after the hold.

        `announced` gives the rule sets and the configuration as they are when the answer is made.
        """
        if seq == self.seq:
            await self._hold()
        head: dict[str, Any] = {}
        oldest = self._kept[0][0] if self._kept else self.seq + 1
        if seq > self.seq or seq < oldest - 1:
            head = {"reset": True}
            news: list[dict[str, Any]] = []
        else:
            news = [_document(at, change) for at, change in self._kept if at > seq]
        return {**head, "seq": self.seq, "changes": news, **announced(), "now": now_ms()}

    def _refresh(self) -> None:
        for seq, change in self._fetch(self.seq):
            self._kept.append((seq, change))
            self.seq = seq
            emit(ChangePublished(seq, change.effect, ",".join(change.tags)))
        for waiting in self._waiting:
            _let_go(waiting)

    async def _hold(self) -> None:
        """Wait for news or for the end of the hold: one future and one timer, because relays ask all day."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(HOLD_SECONDS, _let_go, waiting)
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting.discard(waiting)


def _let_go(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _document(seq: int, change: Change) -> dict[str, Any]:
    notice = dict(change.notice) if change.notice else None
    return {"seq": seq, "tags": list(change.tags), "effect": change.effect, "notice": notice}
