"""Strict reading of pack tables: every key is asked for by name and type, and what is left over is an error.

Used only while packs load. Errors say file, rule and mend; `packs.load_file` adds the line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from dragoman.core.facts import nearest
from dragoman.decide.iso3166 import countries, subdivisions

MAX_PACK_BYTES = 1_048_576  # LIMIT: one pack file, bytes
MAX_ITEMS = 1024  # LIMIT: entries of one list or map in a pack


Fields = Mapping[str, str]
"""Keys of a table and the type of each (see `check`); `!` before it: needed."""
_NO_FIELDS: Fields = {}


class PackError(ValueError):
    """A pack that cannot be loaded; the message names file, rule and what to mend."""


class Table:
    """One TOML table being read. `done` raises for any key nobody asked for.

    `fields`: what `get` may ask for, by type (`!`: needed); the published schema is made of the same.
    """

    def __init__(self, data: Any, where: str, fields: Fields = _NO_FIELDS) -> None:
        if not isinstance(data, Mapping):
            raise PackError(f"{where}: is a table")
        self._data = data
        self._fields = fields
        self._asked: set[str] = set()
        self.where = where

    def take(self, key: str, kind: str, default: Any = ...) -> Any:
        """The value of `key` checked as `kind` (see `check`); `default` where it is absent."""
        self._asked.add(key)
        if key not in self._data:
            if default is ...:
                close = nearest(key, set(self._data) - self._asked)
                raise PackError(f"{self.where}: {key} is missing{close}")
            return default
        return check(kind, self._data[key], f"{self.where}: {key}")

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a declared key, checked as it is declared; `default` where it is absent."""
        kind = self._fields[key]
        return self.take(key, kind.removeprefix("!"), ... if kind.startswith("!") else default)

    def has(self, key: str) -> bool:
        """Whether the key is there, without asking for it."""
        return key in self._data

    def raw(self, key: str) -> Any:
        """The unchecked value of `key`, or None."""
        self._asked.add(key)
        return self._data.get(key)

    def done(self) -> None:
        """Raise PackError for the first key nobody asked for."""
        for key in self._data:
            if key not in self._asked:
                raise PackError(f"{self.where}: unknown key {key}{nearest(key, self._asked)}")


def read_toml(text: str, where: str) -> dict[str, Any]:
    """A TOML document of bounded size. Raises PackError."""
    if len(text) > MAX_PACK_BYTES:
        raise PackError(f"{where}: larger than {MAX_PACK_BYTES} bytes")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise PackError(f"{where}: not TOML: {error}") from error


def check(kind: str, value: Any, where: str) -> Any:
    """`value` if it has the type `kind`: a scalar below, a|b, [x] or {x}. A condition is compiled later."""
    if kind.startswith("["):
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise PackError(f"{where} is a list")
        return tuple(check(kind[1:-1], item, where) for item in value)
    if kind.startswith("{"):
        if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
            raise PackError(f"{where} is a table")
        return {key: check(kind[1:-1], item, f"{where}.{key}") for key, item in value.items()}
    if "|" in kind:
        if value not in kind.split("|"):
            choices = kind.split("|")
            raise PackError(f"{where} is one of {', '.join(choices)}{nearest(str(value), choices)}")
        return value
    return _SCALARS[kind](value, where)


def _str(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise PackError(f"{where} is a text")
    return value


def _int(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise PackError(f"{where} is a whole number, 0 or more")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PackError(f"{where} is a number")
    return value


def _bool(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise PackError(f"{where} is true or false")
    return value


def _date(value: Any, where: str) -> date:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise PackError(f"{where} is a local date, unquoted: 2026-02-20")
    return value


def _text(value: Any, where: str) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not {"en", "zh"} <= set(value):
        raise PackError(f"{where} is a text in at least en and zh")
    return {key: _str(item, f"{where}.{key}") for key, item in value.items()}


def _period(value: Any, where: str) -> Mapping[str, int]:
    if not isinstance(value, Mapping) or len(value) != 1 or not set(value) <= {"hours", "days", "months"}:
        raise PackError(f"{where} is one of {{hours}}, {{days}} or {{months}}")
    return {key: _int(item, where) for key, item in value.items()}


def _country(value: Any, where: str) -> str:
    if not isinstance(value, str) or value not in countries():
        hint = f'; write "{value.upper()}"' if isinstance(value, str) and value.upper() in countries() else ""
        raise PackError(f"{where}: {value!r} is no ISO 3166-1 code{hint}")
    return value


def _place(value: Any, where: str) -> str:
    """A country or an ISO 3166-2 subdivision of one."""
    return _subdivision(value, where) if isinstance(value, str) and "-" in value else _country(value, where)


def _subdivision(value: Any, where: str) -> str:
    if not isinstance(value, str) or value not in subdivisions():
        close = nearest(value.upper(), subdivisions()) if isinstance(value, str) else ""
        raise PackError(f"{where}: {value!r} is no ISO 3166-2 code{close}")
    return value


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise PackError(f"{where} is a table")
    return value


_SCALARS = {
    "str": _str, "int": _int, "number": _number, "bool": _bool, "date": _date, "text": _text,
    "period": _period, "country": _country, "place": _place, "subdivision": _subdivision, "table": _table,
    "condition": _table,
}  # fmt: skip
