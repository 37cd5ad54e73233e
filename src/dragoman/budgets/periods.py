"""Windows of time of limits, in UTC: their names in buckets, their beginnings and ends. Pure.

The relay makes the same names (`crates/relay/src/budget/period.rs`); a golden file holds the two together.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

_FORMATS = {"minute": "%Y%m%dT%H%M", "hour": "%Y%m%dT%H", "day": "%Y%m%d", "month": "%Y%m"}
_PER_OF_LENGTH = {13: "minute", 11: "hour", 8: "day", 6: "month"}
_STEPS = {"minute": dt.timedelta(minutes=1), "hour": dt.timedelta(hours=1), "day": dt.timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Window:
    """One window: its name, first instant and the first instant after it (ms UTC)."""

    name: str
    starts: int
    ends: int


def window_at(per: str, now: int) -> Window:
    """The window of `per` (minute, hour, day, month) that holds an instant (ms UTC)."""
    moment = dt.datetime.fromtimestamp(now / 1000, dt.UTC)
    return _window(per, moment.strftime(_FORMATS[per]))


def window_named(name: str) -> Window:
    """The window with this name. Raises ValueError."""
    per = _PER_OF_LENGTH.get(len(name))
    if per is None or not name.replace("T", "").isascii():
        raise ValueError(f"{name[:20]!r} names no window")
    window = _window(per, name)
    if window.name != name:
        raise ValueError(f"{name!r} names no window")
    return window


def _window(per: str, name: str) -> Window:
    begins = dt.datetime.strptime(name, _FORMATS[per]).replace(tzinfo=dt.UTC)
    ends = (begins + dt.timedelta(days=32)).replace(day=1) if per == "month" else begins + _STEPS[per]
    return Window(begins.strftime(_FORMATS[per]), _ms(begins), _ms(ends))


def _ms(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 1000
