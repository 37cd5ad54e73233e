"""What is counted and kept in memory about people who are not in yet, all of it bounded.

`Attempts` limits tries per address and per account, `Pending` holds a challenge until it is answered once,
`Refusals` lets the ledger know of refusals without letting strangers fill it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from dragoman.errors import RefusedError
from dragoman.ids import now_ms

TRIES = 20
"""LIMIT: attempts to log in, enrol or confirm, per address and per account, in a window."""
WINDOW_MS = 5 * 60_000
"""LIMIT: the window of the tries."""
COUNTED = 10_000
"""LIMIT: addresses and accounts counted at once; the longest unseen is forgotten."""
PENDING = 2_000
"""LIMIT: challenges waiting for their answer; the oldest is forgotten."""
PENDING_MS = 5 * 60_000
"""LIMIT: how long a challenge may be answered."""
ENTERED_A_MINUTE = 30
"""LIMIT: refusals entered in the ledger a minute; further ones are counted in the next entry."""

Clock = Callable[[], int]


class Attempts:
    """Tries in fixed windows, by any key. Asked by several threads."""

    def __init__(self, clock: Clock = now_ms) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, key: str) -> None:
        """Count nothing. Raises RefusedError 429 where there were too many tries already."""
        with self._lock:
            now = self._clock()
            self._refuse_beyond(*self._window(key, now), now)

    def take(self, key: str) -> None:
        """Count one try. Raises RefusedError 429 where there were too many."""
        with self._lock:
            now = self._clock()
            began, tries = self._window(key, now)
            self._seen[key] = (began, tries + 1)
            self._seen.move_to_end(key)
            while len(self._seen) > COUNTED:
                self._seen.popitem(last=False)
            self._refuse_beyond(began, tries, now)

    def forgive(self, key: str) -> None:
        """Forget the tries of a key that succeeded."""
        with self._lock:
            self._seen.pop(key, None)

    def _window(self, key: str, now: int) -> tuple[int, int]:
        """When the key's window began, and its tries."""
        began, tries = self._seen.get(key, (now, 0))
        return (now, 0) if now - began >= WINDOW_MS or now < began else (began, tries)

    @staticmethod
    def _refuse_beyond(began: int, tries: int, now: int) -> None:
        if tries < TRIES:
            return
        wait = max(1, -(-(began + WINDOW_MS - now) // 1000))
        raise RefusedError(
            429,
            "too_many_attempts",
            {
                "en": f"Too many attempts ({TRIES} in {WINDOW_MS // 60_000} minutes). "
                f"Try again in {wait} seconds.",
                "zh": f"尝试次数过多（{WINDOW_MS // 60_000} 分钟内 {TRIES} 次）。请在 {wait} 秒后重试。",
            },
            extra={"retry_after_s": wait},
        )


class Pending:
    """Challenges by browser and purpose; each is taken once."""

    def __init__(self, clock: Clock = now_ms) -> None:
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], tuple[int, Mapping[str, Any]]] = OrderedDict()

    def put(self, browser: str, purpose: str, value: Mapping[str, Any]) -> None:
        """Keep a challenge, in place of an earlier one of this browser and purpose."""
        self._held.pop((browser, purpose), None)
        self._held[(browser, purpose)] = (self._clock(), value)
        while len(self._held) > PENDING:
            self._held.popitem(last=False)

    def take(self, browser: str, purpose: str) -> Mapping[str, Any] | None:
        """The challenge, which is gone by that; None where there is none, or it is over."""
        made, value = self._held.pop((browser, purpose), (0, {}))
        return value if value and 0 <= self._clock() - made < PENDING_MS else None


class Refusals:
    """Says which refusal gets an entry of its own, and how many since the last got none."""

    def __init__(self, clock: Clock = now_ms) -> None:
        self._clock = clock
        self._minute = 0
        self._entered = 0
        self._others = 0

    def next(self) -> int | None:
        """How many refusals this entry also stands for; None where it shall not be entered."""
        minute = self._clock() // 60_000
        if minute != self._minute:
            self._minute, self._entered = minute, 0
        if self._entered >= ENTERED_A_MINUTE:
            self._others += 1
            return None
        self._entered += 1
        others, self._others = self._others, 0
        return others
