"""Civil dates of a jurisdiction as instants, in ms UTC.

Used when packs are loaded and for deadlines. A jurisdiction can span time zones: a day begins at the first
midnight in any of them and ends at the last, so that no duty starts late or ends early. Reads no clock.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
ADVISORY_DAYS = 366  # days before its start from which an enacted rule is listed


class Civil:
    """The time zones of one pack."""

    __slots__ = ("_zones",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self._zones = tuple(ZoneInfo(name) for name in names)

    def start(self, day: date) -> int:
        """The first instant at which it is `day` anywhere in the jurisdiction."""
        return min(_midnight(zone, day) for zone in self._zones)

    def end(self, day: date) -> int:
        """The first instant at which `day` is over everywhere in the jurisdiction."""
        return max(_midnight(zone, day + timedelta(days=1)) for zone in self._zones)

    def until(self, day: date) -> int:
        """The first instant at which `day` is over anywhere: the end of what must not outlive it."""
        return _until(self._zones, day)

    def add_months(self, at: int, months: int) -> int:
        """`at` plus calendar months, the day clipped to the month's length."""
        zone = self._zones[0]
        local = datetime.fromtimestamp(at / 1000, zone)
        index = local.year * 12 + local.month - 1 + months
        year, month = divmod(index, 12)
        day = min(local.day, _month_days(year, month + 1))
        return int(local.replace(year=year, month=month + 1, day=day).timestamp() * 1000)


@lru_cache(maxsize=4096)
def _until(zones: tuple[ZoneInfo, ...], day: date) -> int:
    return min(_midnight(zone, day + timedelta(days=1)) for zone in zones)


@lru_cache(maxsize=4096)
def _midnight(zone: ZoneInfo, day: date) -> int:
    return int(datetime.combine(day, time(0), zone).timestamp() * 1000)


def _month_days(year: int, month: int) -> int:
    first = date(year, month, 1)
    following = date(year + month // 12, month % 12 + 1, 1)
    return (following - first).days


@lru_cache(maxsize=64)
def longest_days(months: int) -> int:
    """The most days that `months` calendar months in a row can have (6 months: 184)."""
    spans = []
    for index in range(48):
        start = date(2024 + index // 12, index % 12 + 1, 1)
        later = start.year * 12 + start.month - 1 + months
        spans.append((date(later // 12, later % 12 + 1, 1) - start).days)
    return max(spans)
