"""The declared table of data classes and where each is written (data_classes.toml).

A zone is only as closed as this table is whole: what is written somewhere belongs to a class here, or is a
fault. Pure: the caller says which tables and files there are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from dragoman.core.decision import Text
from dragoman.policy.retention import CLASSES as RETAINED

DATABASE = "database"
"""The group of files that hold the tables."""
KEPT = frozenset({"owner", "process", "operator", "never"})
"""Why something is kept, beside the classes of retention."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The whole table. `tables`: table, column, class. `files`: pattern, class. `elsewhere`: class, text."""

    titles: Mapping[str, Text]
    kept: Mapping[str, str]
    tables: Mapping[str, Mapping[str, str]]
    files: Mapping[str, str]
    elsewhere: tuple[tuple[str, Text], ...]

    def undeclared(self, tables: Mapping[str, Iterable[str]]) -> list[str]:
        """What of the tables is in no class: a table's name, or `table.column`."""
        found = []
        for table, columns in sorted(tables.items()):
            known = self.tables.get(table)
            if known is None:
                found.append(table)
            else:
                found += [f"{table}.{column}" for column in columns if column not in known]
        return found

    def class_of(self, path: str) -> str | None:
        """The class of a file, by its path below the data folder with `/`; None: it is in none."""
        return next((name for pattern, name in self.files.items() if _pattern(pattern).match(path)), None)

    def places(self, values: Mapping[str, str]) -> Iterator[tuple[str, Text]]:
        """Each class with a place, in the table's order. `values`: what the configuration says of places."""
        for name in self.titles:
            tables = sorted(table for table, columns in self.tables.items() if name in columns.values())
            if tables:
                shown = ", ".join(tables)
                yield name, {"en": f"zone.db: {shown}", "zh": f"zone.db：{shown}"}
            for pattern in (pattern for pattern, of in self.files.items() if of == name):
                yield name, dict.fromkeys(("en", "zh"), pattern)
            for text in (text for of, text in self.elsewhere if of == name):
                yield name, {lang: one.format_map(values) for lang, one in text.items()}


@cache
def declared() -> Declared:
    """The table as shipped. Raises ValueError where it names a class that is none, or a thing twice."""
    return parsed(resources.files(__package__).joinpath("data_classes.toml").read_text("utf-8"))


def parsed(text: str) -> Declared:
    """A table from its text. Raises ValueError."""
    tree = tomllib.loads(text)
    classes = tree["classes"]
    tables = {name: _columns(name, by_class) for name, by_class in tree["tables"].items()}
    files = {pattern: name for name, patterns in tree["files"].items() for pattern in patterns}
    elsewhere = tuple(
        (one["class"], {"en": one["en"], "zh": one["zh"]}) for one in tree["elsewhere"].values()
    )
    named = {name for columns in tables.values() for name in columns.values()}
    named |= (set(files.values()) - {DATABASE}) | {name for name, _ in elsewhere}
    if strange := sorted(named ^ set(classes)):
        raise ValueError(f"classes that are written nowhere, or are none: {', '.join(strange)}")
    allowed = KEPT | {one.name for one in RETAINED}
    if strange := sorted(name for name, one in classes.items() if one["kept"] not in allowed):
        raise ValueError(f"kept for a reason that is none: {', '.join(strange)}")
    return Declared(
        titles={name: {"en": one["en"], "zh": one["zh"]} for name, one in classes.items()},
        kept={name: one["kept"] for name, one in classes.items()},
        tables=tables,
        files=files,
        elsewhere=elsewhere,
    )


def _columns(table: str, by_class: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, columns in by_class.items():
        for column in columns.split():
            if column in found:
                raise ValueError(f"{table}.{column} is in two classes: {found[column]} and {name}")
            found[column] = name
    return found


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    return re.compile(
        "".join({"**": ".+", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts) + r"\Z"
    )
