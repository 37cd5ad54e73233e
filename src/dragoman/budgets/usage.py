"""Usage and spend by tenant, key, app, model, provider and day: rows grouped, as JSON or as CSV. Pure.

Amounts of different currencies are never added up. A cell that a spreadsheet would take for a formula is
guarded.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dragoman.errors import RefusedError

BY = ("tenant", "key", "app", "model", "provider", "upstream", "day")
"""What usage can be grouped by."""
OWN_BY = ("day", "model", "app")
"""What a caller may group its own usage by."""
SUMS = ("turns", "input", "cached", "output", "unknown", "spend", "unpriced")
DAYS = 400
"""LIMIT: days of one report."""
ROWS = 100_000
"""LIMIT: rows of one report."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def span(begin: str | None, end: str | None, today: dt.date) -> tuple[str, str]:
    """First and last day of a report, `YYYY-MM-DD`; the last 30 days by default. Raises RefusedError 400."""
    last = _day(end, "to") if end else today
    # Counted, not moved: a day of the first or the last year has none so far before or after it.
    first = _day(begin, "from") if begin else dt.date.fromordinal(max(1, last.toordinal() - 29))
    if not 0 <= (last - first).days < DAYS:
        raise _bad("from", f"must be before `to`, and at most {DAYS} days", f"须早于 to，且至多 {DAYS} 天")
    return first.isoformat(), last.isoformat()


def grouping(text: str | None, known: Sequence[str]) -> list[str]:
    """The columns to group by; `day` by default. Raises RefusedError 400."""
    by = list(dict.fromkeys(part.strip() for part in (text or "day").split(",")))
    if odd := [name for name in by if name not in known]:
        choice = ", ".join(known)
        raise _bad("by", f"{odd[0][:40]!r} is none of {choice}", f"{odd[0][:40]!r} 不在 {choice} 之中")
    return by


def grouped(rows: Iterable[Mapping[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """Sums of rows by these columns and the currency, in their order."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        name = tuple(row[column] for column in (*by, "currency"))
        into = sums.setdefault(name, {**{c: row[c] for c in (*by, "currency")}, **dict.fromkeys(SUMS, 0)})
        for column in SUMS:
            into[column] += row[column]
    return [sums[name] for name in sorted(sums)]


def to_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV with a header (RFC 4180), safe to open in a spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([guarded(row.get(column)) for column in columns])
    return out.getvalue()


def guarded(value: object) -> object:
    """A cell; text that could be read as a formula gets an apostrophe in front."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return "" if value is None else value


def columns_of(by: Sequence[str]) -> list[str]:
    """The columns of a report grouped so."""
    return [*by, *SUMS, "currency"]


def _day(text: str, param: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise _bad(param, "must be a day, YYYY-MM-DD", "须为日期，格式 YYYY-MM-DD") from None


def _bad(param: str, en: str, zh: str) -> RefusedError:
    return RefusedError(
        400, "invalid_value", {"en": f"{param}: {en}.", "zh": f"{param}：{zh}。"}, param=param
    )
