"""How many new guests are kept in a minute where anybody may come by: no more than may ask.

What is kept of a guest is a row, for weeks (`edge.guest_days`), and it is kept before the relay counts its
turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dragoman.accounts import texts

MINUTE_S = 60.0


class Newcomers:
    """A bucket that fills with so many places a minute; `a_minute` None: nobody is counted."""

    def __init__(
        self, a_minute: Callable[[], int | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._a_minute = a_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._used = 0.0
        self._at = clock()

    def admit(self) -> None:
        """Let one more be kept. Raises RefusedError 429 where there were too many."""
        most = self._a_minute()
        if most is None:
            return
        with self._lock:
            now = self._clock()
            freed = (now - self._at) / MINUTE_S * most
            self._used, self._at = max(0.0, self._used - freed), now
            if self._used + 1 > most:
                raise texts.refused("guest_pool_empty")
            self._used += 1
