"""Forgets guests who can come back no more and own nothing that is kept. The ledger stays as it is.

A guest is a cookie that lives for a week, and a row from its first question on; where anybody may come by,
the rows would only grow. Rows go in steps, a transaction each, beside what others do.
"""

from __future__ import annotations

from collections.abc import Callable

from dragoman.accounts.sessions import SESSION_MS
from dragoman.core.accounts import GuestRows

AT_ONCE = 500
"""LIMIT: guests looked at in one step."""
DAY_MS = 86_400_000


def forget_guests(rows: GuestRows, days: int, now: int, stopping: Callable[[], bool] = lambda: False) -> int:
    """Forget those who were first kept `days` ago or earlier (`now`: ms UTC); how many.

    The row is made while the cookie lives, so who was first kept a cookie's life ago has none that works.
    """
    before = now - max(days * DAY_MS, SESSION_MS)
    forgotten, after = 0, ""
    while not stopping():
        looked = rows.kept_before(before, after, AT_ONCE)
        if looked:
            forgotten += rows.forget(looked)
            after = looked[-1].principal
        if len(looked) < AT_ONCE:
            break
    return forgotten
