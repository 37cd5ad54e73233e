"""A bar chart as an SVG document of numbers only, drawn by the server: its colours are the page's.

Each bar has two parts, as shares of the longest bar. Beside it stand both numbers, so that it says as much in
one colour. The page shows the same numbers as a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, LABEL, NUMBERS = 360, 64, 104
"""User units: the drawing, the labels before the bars, the numbers behind them."""
ROW, BAR = 26, 14
LEAST = 2.0
"""User units: a part that is there can be seen."""
LABEL_CHARS = 9
"""LIMIT: characters of a label that are drawn; the whole stands in its title."""


@dataclass(frozen=True)
class Bar:
    """A label, and how many of its turns come out otherwise and as before."""

    label: str
    changed: int
    same: int


def bars(rows: list[Bar]) -> Markup:
    """The drawing, safe to stand in a page; empty without rows."""
    longest = max((row.changed + row.same for row in rows), default=0)
    if not longest:
        return Markup()
    room = WIDTH - LABEL - NUMBERS
    drawn = [_row(at, row, room / longest) for at, row in enumerate(rows)]
    height = ROW * len(rows)
    return Markup(
        '<svg class="bars" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">{}</svg>'
    ).format(WIDTH, height, Markup().join(drawn))


def _row(at: int, row: Bar, scale: float) -> Markup:
    top, middle = at * ROW + (ROW - BAR) / 2, at * ROW + ROW / 2 + 4
    changed, same = _part(row.changed, scale), _part(row.same, scale)
    label = row.label if len(row.label) <= LABEL_CHARS else f"{row.label[: LABEL_CHARS - 1]}…"
    return Markup(
        '<text class="label" x="{}" y="{}">{}</text>'
        '<rect class="changed" x="{}" y="{}" width="{}" height="{}"/>'
        '<rect class="same" x="{}" y="{}" width="{}" height="{}"/>'
        '<text class="numbers" x="{}" y="{}">{} / {}</text>'
    ).format(
        LABEL - 6, middle, escape(label),
        LABEL, top, changed, BAR,
        round(LABEL + changed, 1), top, same, BAR,
        round(LABEL + changed + same + 6, 1), middle, f"{row.changed:,}", f"{row.changed + row.same:,}",
    )  # fmt: skip


def _part(turns: int, scale: float) -> float:
    return round(max(LEAST, turns * scale), 1) if turns else 0.0
