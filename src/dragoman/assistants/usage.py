"""The facts `turn.*` of a turn about to begin, from what is stored of its conversation and its person.

`turn.index` counts along the branch. `turn.continuous_minutes` is the person's, over all conversations: a use
ends with a gap of half an hour. `turn.minutes_since` counts a reminder only within the running use.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.core.turns import Shown, Use

GAP_MS = 30 * 60_000
"""A pause of this length between two turns ends a use."""
_MINUTE_MS = 60_000


def continued(use: Use | None, now: int) -> Use:
    """The use that a turn at `now` belongs to: the running one, or a new one."""
    if use is None or not 0 <= now - use.last_at <= GAP_MS:
        return Use(now, now)
    return Use(use.began_at, now)


def turn_facts(index: int, use: Use | None, shown: Sequence[Shown], now: int) -> dict[str, int]:
    """The facts by path. What a clock that went backwards makes unknown is left out: unknown is due."""
    facts = {"turn.index": index}
    known = use is None or use.last_at <= now
    current = continued(use, now)
    if known:
        facts["turn.continuous_minutes"] = (now - current.began_at) // _MINUTE_MS
    for one in shown:
        if one.at > now or (one.kind == "reminder" and (not known or one.at < current.began_at)):
            continue
        facts[f"turn.minutes_since.{one.notice}"] = (now - one.at) // _MINUTE_MS
    return facts
