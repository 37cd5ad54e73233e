"""A provider's list of places as it was given: read, every code and name checked, nothing guessed.

Takes TOML or JSON with the keys of a provider pack, or text with one place a line, as the Markdown twins of
region pages are. First step of `refresh`; no I/O.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from dragoman.core.facts import nearest
from dragoman.decide.iso3166 import country, subdivision
from dragoman.decide.schema import PackError

MAX_LIST_BYTES = 1_048_576
"""LIMIT: bytes of a list."""
MAX_PLACES = 512
"""LIMIT: places of a list."""
FORMATS = ("toml", "json", "text")
_KEYS = (
    "territory_allow", "territory_allow_user_assigned", "open_codes", "unsure", "subdivision_exclude",
    "complete", "snapshot_date", "list_note", "snapshot_note",
)  # fmt: skip
_FAULTS_SHOWN = 20
"""LIMIT: faults of one list that are told."""
_BULLET = re.compile(r"^(?:[-*+•]|\d+[.)])\s+")


@dataclass(frozen=True, slots=True)
class PlaceList:
    """Codes that passed. `snapshot`: the day the list says it is of; `sha256`: of the bytes as given."""

    places: tuple[str, ...]
    open_codes: tuple[str, ...]
    subdivisions: tuple[str, ...] | None
    complete: bool
    snapshot: date | None
    note: str | None
    form: str
    sha256: str


def read_list(raw: bytes, mapped: Mapping[str, str]) -> PlaceList:
    """The list in these bytes. `mapped`: names as they stand there, to codes a person chose.

    Raises PackError with every line that is no place, each with the nearest that is one.
    """
    if len(raw) > MAX_LIST_BYTES:
        raise PackError(f"the list is larger than {MAX_LIST_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise PackError(f"the list is no UTF-8 text: {fault}") from fault
    form, data = _parsed(text)
    for key in data:
        if key not in _KEYS and form == "json":
            raise PackError(f"the list: unknown key {key}{nearest(key, _KEYS)}")
    faults: list[str] = []
    listed = [*_texts(data, "territory_allow"), *_texts(data, "territory_allow_user_assigned")]
    places = _codes(listed, mapped, faults)
    open_codes = _codes(_texts(data, "open_codes") or _texts(data, "unsure"), mapped, faults)
    parts = _parts(data, faults)
    if faults:
        more = f"\n  and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise PackError("the list is not taken:\n  " + "\n  ".join(faults[:_FAULTS_SHOWN]) + more)
    if not places:
        raise PackError("the list holds no place")
    return PlaceList(
        places, open_codes, parts, not open_codes and data.get("complete", True) is True, _day(data),
        data.get("list_note"), form, hashlib.sha256(raw).hexdigest(),
    )  # fmt: skip


def _parsed(text: str) -> tuple[str, Mapping[str, Any]]:
    head = text.lstrip()
    if head.startswith(("{", "[")) and not head.startswith("[["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if found is not None:
            return "json", found if isinstance(found, dict) else {"territory_allow": found}
    if head[:1] == "<":
        raise PackError("this is HTML: save the places as text, one a line, or use the page's Markdown twin")
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        found = {}
    if "territory_allow" in found:
        return "toml", found
    return "text", {"territory_allow": list(_lines(text))}


def _lines(text: str) -> Iterable[str]:
    """Places of a text: of its bulleted lines where it has such, as a page does, else of all its lines."""
    lines = [line.strip() for line in text.splitlines()]
    bulleted = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)]
    plain = [line for line in lines if line and not line.startswith("#")]
    return [line.strip().rstrip(",;").strip("`\"'*_ ") for line in bulleted or plain]


def _texts(data: Mapping[str, Any], key: str) -> list[str]:
    found = data.get(key, [])
    if (
        not isinstance(found, list)
        or len(found) > MAX_PLACES
        or not all(isinstance(one, str) for one in found)
    ):
        raise PackError(f"the list: {key} is a list of at most {MAX_PLACES} texts")
    return found


def _codes(listed: Iterable[str], mapped: Mapping[str, str], faults: list[str]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for one in listed:
        try:
            code = country(mapped.get(one, one))
        except ValueError as fault:
            faults.append(str(fault))
            continue
        if code in found:
            faults.append(f'"{one}" is {code}, which "{found[code]}" is already')
        found[code] = one
    return tuple(sorted(found))


def _parts(data: Mapping[str, Any], faults: list[str]) -> tuple[str, ...] | None:
    if "subdivision_exclude" not in data:
        return None
    found = []
    for one in _texts(data, "subdivision_exclude"):
        try:
            found.append(subdivision(one))
        except ValueError as fault:
            faults.append(str(fault))
    return tuple(sorted(set(found)))


def _day(data: Mapping[str, Any]) -> date | None:
    found = data.get("snapshot_date")
    if found is None or isinstance(found, date):
        return found
    try:
        return date.fromisoformat(found)
    except (TypeError, ValueError) as fault:
        raise PackError(f"the list: snapshot_date is a day, for example 2026-01-31: {fault}") from fault
