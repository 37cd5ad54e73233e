"""One-time codes: when one may be sent, what an attempt comes to. Pure but for the randomness of `fresh`.

INVARIANT: a code opens at most once, within its ten minutes and by one of the first ATTEMPTS attempts,
whichever way the clock is set; and not where its number had WRONG_PER_DAY wrong ones in 24 hours.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from dragoman.core.people import Challenge, Sent

CODE_DIGITS = 6
"""LIMIT: digits of a code."""
CODE_MS = 600_000
"""LIMIT: milliseconds that a code can be given back."""
ATTEMPTS = 5
"""LIMIT: attempts at one code, the right one included."""
RESEND_MS = 60_000
"""LIMIT: milliseconds between two codes to a number."""
CODES_PER_HOUR = 5
"""LIMIT: codes to one number in an hour."""
CODES_PER_DAY = 10
"""LIMIT: codes to one number in 24 hours."""
WRONG_PER_DAY = 20
"""LIMIT: wrong attempts at codes of one number in 24 hours; further attempts fail, right or wrong."""
SKEW_MS = 5_000
"""LIMIT: milliseconds that a clock may have gone back and a code still counts as made in the past."""
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
OPEN, USED, VOID = "open", "used", "void"
"""States of a code. A void one could not be sent."""


def fresh() -> str:
    """A new code: six random digits."""
    return f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}d}"


def wait_ms(earlier: Sequence[Challenge], now: int) -> int:
    """Milliseconds until another code may go to a number that was sent these in the last 24 hours; 0: now.

    What a clock made in a future it was in counts for the hour and the day, not for the pause between two.
    """
    waits = [0]
    if earlier:
        last = max(
            (one.created_at for one in earlier if one.state != VOID and one.created_at <= now), default=0
        )
        waits.append(last + RESEND_MS - now)
    for span, most in ((HOUR_MS, CODES_PER_HOUR), (DAY_MS, CODES_PER_DAY)):
        counted = sorted(min(one.created_at, now) for one in earlier if one.created_at > now - span)
        if len(counted) >= most:
            waits.append(counted[-most] + span - now)
    return max(waits)


def wrong(earlier: Sequence[Challenge]) -> int:
    """Wrong attempts among the codes of a number."""
    return sum(one.attempts - (one.state == USED) for one in earlier)


def tried(challenge: Challenge, earlier: Sequence[Challenge], fits: bool, now: int) -> tuple[Challenge, bool]:
    """What a code becomes by an attempt, and whether it opens.

    `earlier`: all codes of its number in 24 hours, itself among them.
    """
    alive = (
        challenge.state == OPEN
        and challenge.created_at - SKEW_MS <= now < challenge.expires_at
        and challenge.attempts < ATTEMPTS
        and wrong(earlier) < WRONG_PER_DAY
    )
    if not alive:
        return challenge, False
    return replace(challenge, state=USED if fits else OPEN, attempts=challenge.attempts + 1), fits


def is_pumped(windows: Sequence[Sent], unproven: int, percent: int) -> bool:
    """Whether codes of a prefix look sent for their price: so many nobody gave back, and of all too few."""
    sent, proved = sum(one.sent for one in windows), sum(one.proved for one in windows)
    return sent - proved >= unproven and proved * 100 < percent * sent
