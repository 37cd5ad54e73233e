"""ISO 3166: codes of places and their parts, and the code that an English name stands for.

Read once from the package; used while packs and lists are checked. A name or code that is none is answered
with the nearest that is one, never guessed.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

NEAR = 0.7
"""How alike a name must be to be suggested, from 0 to 1."""
_CODE = re.compile(r"[A-Za-z]{2}\Z")
_ARTICLES = frozenset({"the"})


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes, and the user-assigned codes that official lists use."""
    data = _data("iso3166.toml")
    return frozenset(data["assigned"]) | frozenset(data["user_assigned"])


@cache
def subdivisions() -> frozenset[str]:
    """ISO 3166-2 codes of the parts of countries."""
    return frozenset(
        f"{code}-{part}" for code, parts in _data("iso3166-2.toml").items() for part in parts.split()
    )


@cache
def names() -> Mapping[str, str]:
    """The English name of each code."""
    found: Mapping[str, str] = _data("iso3166.toml")["names"]
    return found


def name_in(code: str, language: str) -> str | None:
    """A place's name in a language (`en`, `zh`) where this package has one."""
    found: Mapping[str, str] = _data("iso3166.toml").get(f"names_{language}", {})
    return found.get(code) or (names().get(code) if language == "en" else None)


def named(code: str) -> str:
    """A code with the name of its place."""
    name = names().get(code)
    return f"{code} ({name})" if name else code


def country(text: str) -> str:
    """The code that a code or an English name stands for. Raises ValueError with the nearest place.

    A code is one of ISO 3166-1 in capitals; a code with a name behind it must be of that name's place.
    """
    code, _, name = text.partition(" ")
    if code in countries() and (not name or _by_name().get(_key(name)) == code):
        return code
    if _CODE.match(code) and name:
        found = _by_name().get(_key(name))
        if found:
            raise ValueError(f'"{text}": the code of {name} is {found}')
    if text.upper() in countries():
        raise ValueError(f'"{text}": codes are capitals; write {named(text.upper())}')
    if _CODE.match(text):
        alias = _by_name().get(_key(text))
        hint = f"; write {named(alias)}" if alias else "; write the place's name to find its code"
        raise ValueError(f'"{text}" is no ISO 3166-1 code{hint}')
    by_name = _by_name().get(_key(text))
    if by_name:
        return by_name
    near = difflib.get_close_matches(_key(text), list(_by_name()), n=1, cutoff=NEAR)
    hint = f"; the nearest is {named(_by_name()[near[0]])}" if near else ""
    raise ValueError(f'"{text}" is no place of ISO 3166-1{hint}')


def subdivision(code: str) -> str:
    """The code, if it is one of ISO 3166-2. Raises ValueError with the nearest."""
    if code in subdivisions():
        return code
    near = difflib.get_close_matches(code.upper(), sorted(subdivisions()), n=1, cutoff=NEAR)
    raise ValueError(f'"{code}" is no ISO 3166-2 code' + (f"; the nearest is {near[0]}" if near else ""))


@cache
def _by_name() -> Mapping[str, str]:
    data = _data("iso3166.toml")
    return {_key(name): code for code, name in data["names"].items()} | {
        _key(name): code for name, code in data["other_names"].items()
    }


def _key(name: str) -> str:
    """A name as it is compared: case, accents, punctuation and articles make no difference."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    words = re.sub(
        r"[^a-z0-9]+", " ", plain.replace("&", " and ").replace("'", "").replace("\u2019", "")
    ).split()
    return " ".join("saint" if word == "st" else word for word in words if word not in _ARTICLES)


@cache
def _data(name: str) -> Mapping[str, Any]:
    return tomllib.loads((files("dragoman") / "packs" / name).read_text("utf-8"))
