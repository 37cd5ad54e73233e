"""What was decided lately, shared by equal questions: turns of conversations ask the same thing all the time.

INVARIANT: what is shared is what would be decided now. It ends where a dated rule that was considered changes
and with the reading it was made by; everything else it depends on is in its key.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from dragoman.control.loaded import Loaded

T = TypeVar("T")

SHARED_MS = 60_000
"""How long one decision answers equal questions at the most."""
SHARED = 1_000
"""LIMIT: decisions held to be shared; beyond it all are forgotten."""


class Shared(Generic[T]):
    """Values by key, each for a while, of one reading of the files. For one thread."""

    def __init__(self) -> None:
        self._reading: Loaded | None = None
        self._held: dict[Hashable, tuple[int, int, T]] = {}

    def get(self, reading: Loaded, key: Hashable, now: int) -> T | None:
        """What is held for the key at an instant (ms UTC); nothing before it was made."""
        if reading is not self._reading:
            return None
        made, until, value = self._held.get(key, (0, 0, None))
        return value if made <= now < until else None

    def keep(self, reading: Loaded, key: Hashable, now: int, until: int, value: T) -> None:
        """Hold a value that was made now, until that instant."""
        if reading is not self._reading or len(self._held) >= SHARED:
            self._reading, self._held = reading, {}
        self._held[key] = (now, until, value)


def ends(now: int, holds_until: int | None) -> int:
    """When a decision that was made now must be made anew, ms UTC; `holds_until`: when a date changes it."""
    return now + SHARED_MS if holds_until is None else min(holds_until, now + SHARED_MS)
