"""How long a promised effect may take: as promised under DRAGOMAN_EXACT=1, and with room for a busy machine else.

`make prove` asks exactly, on a machine of its own; `make test` asks whether the effect comes at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

SLACK_SECONDS = 0.0 if os.environ.get("DRAGOMAN_EXACT") == "1" else 30.0
SLOW_SECONDS = 60.0
"""What a busy machine may take for anything that has to come."""


def within(seconds: float) -> float:
    """The seconds that a test allows for what is promised in `seconds`."""
    return seconds + SLACK_SECONDS


def eventually(
    what: str, check: Callable[[], bool], seconds: float = SLOW_SECONDS, every: float = 0.02
) -> None:
    """Return once `check` holds. Raises AssertionError naming `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < until, what
        time.sleep(every)
