"""A clock that moves when told, for tests of what depends on instants."""

from __future__ import annotations


class FakeClock:
    """Milliseconds since the epoch, UTC; call it like `ids.now_ms`."""

    def __init__(self, at: int = 1_795_000_000_000) -> None:
        self.at = at

    def __call__(self) -> int:
        """The time now."""
        return self.at

    def advance(self, ms: int) -> int:
        """Move on; the new time."""
        self.at += ms
        return self.at
