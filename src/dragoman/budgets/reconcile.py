"""Compares a provider's own export of usage with ours, per day and model. Pure; it changes nothing.

A difference is not a fault by itself: turns that were cut count here at their worst case, and days may be
another time zone's there.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence

ROWS = 100_000
"""LIMIT: rows of an export."""
_NAMES: dict[str, tuple[str, ...]] = {
    "day": ("day", "date", "usage_date"),
    "model": ("model", "model_name", "snapshot_id"),
    "input": ("input", "input_tokens", "prompt_tokens", "n_context_tokens_total"),
    "output": ("output", "output_tokens", "completion_tokens", "n_generated_tokens_total"),
    "turns": ("requests", "num_requests", "num_model_requests", "n_requests", "turns"),
}
_COUNTS = ("turns", "input", "output")


def read_export(text: str, name: str) -> list[dict[str, Any]]:
    """The rows of an export, CSV or JSON: day, model, input, output, turns (None where it does not say).

    Raises ConfigError that names the row and what is expected.
    """
    try:
        rows = _json(text) if text.lstrip()[:1] in {"[", "{"} else list(csv.DictReader(io.StringIO(text)))
    except (ValueError, csv.Error) as fault:
        said = f"{name}: neither CSV with a header nor JSON: {fault}"
        raise ConfigError([Sentence(said, f"{name}：既不是带表头的 CSV，也不是 JSON")]) from fault
    if len(rows) > ROWS:
        raise ConfigError([Sentence(f"{name}: more than {ROWS} rows", f"{name}：超过 {ROWS} 行")])
    return [
        _row(row, Sentence(f"{name}: row {number}", f"{name}：第 {number} 行"))
        for number, row in enumerate(rows, start=1)
    ]


def compare(theirs: Iterable[Mapping[str, Any]], ours: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each day and model that differs: what they say, what we have (`cut`: turns without usage)."""
    there, here = _summed(theirs, ()), _summed(ours, ("unknown",))
    told = []
    for key in sorted(set(there) | set(here)):
        them, us = there.get(key, {}), here.get(key, {})
        pairs = {count: (them.get(count), us.get(count, 0)) for count in _COUNTS}
        if all(t is None or t == o for t, o in pairs.values()) and them:
            continue
        row: dict[str, Any] = {"day": key[0], "model": key[1], "cut": us.get("unknown", 0)}
        for count, (t, o) in pairs.items():
            row[f"their_{count}"], row[f"our_{count}"] = t, o
        told.append(row)
    return told


def _summed(
    rows: Iterable[Mapping[str, Any]], more: tuple[str, ...]
) -> dict[tuple[str, str], dict[str, Any]]:
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        into = sums.setdefault((row["day"], row["model"]), dict.fromkeys((*_COUNTS, *more)))
        for count in (*_COUNTS, *more):
            if row.get(count) is not None:
                into[count] = (into[count] or 0) + row[count]
    return sums


def _json(text: str) -> list[Any]:
    value = json.loads(text)
    if isinstance(value, dict):
        value = next((item for item in value.values() if isinstance(item, list)), None)
    if not isinstance(value, list):
        raise ValueError("no list of rows")  # noqa: TRY004 - told like every other fault of the file
    return value


def _row(row: Any, place: Sentence) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise ConfigError([Sentence(f"{place}: is no object", f"{place.zh}：不是对象")])
    found = {name: _first(row, names) for name, names in _NAMES.items()}
    if not found["day"] or not found["model"]:
        raise ConfigError(
            [
                Sentence(
                    f"{place}: needs the columns day (or date) and model",
                    f"{place.zh}：须有 day（或 date）与 model 两列",
                )
            ]
        )
    try:
        day = dt.date.fromisoformat(str(found["day"])[:10]).isoformat()
        counts = {name: None if found[name] in {None, ""} else int(found[name]) for name in _COUNTS}
    except ValueError as fault:
        raise ConfigError([Sentence(f"{place}: {fault}", f"{place.zh}：日期或数值无效")]) from fault
    return {"day": day, "model": str(found["model"]), **counts}


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((row[name] for name in names if name in row), None)
