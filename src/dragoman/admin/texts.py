"""What the admin pages say in their own words, in English and Chinese: read from FILES, which hold it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

LANGUAGES = ("en", "zh")
FILES = ("pages.toml", "documents.toml", "setup.toml", "law.toml", "decisions.toml", "reviews.toml")


def read(files: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, str]]:
    """LANGUAGE → name → text, of (file, its tables). ValueError where a name comes twice."""
    found: dict[str, tuple[str, Mapping[str, str]]] = {}
    for file, tables in files:
        for name, text in tables.items():
            if name in found:
                raise ValueError(f"{file}: the text {name} is in {found[name][0]} already")
            found[name] = (file, text)
    return {language: {name: text[language] for name, (_, text) in found.items()} for language in LANGUAGES}


def _texts() -> dict[str, dict[str, str]]:
    folder = resources.files(__package__)
    return read((file, tomllib.loads((folder / file).read_text("utf-8"))) for file in FILES)


TEXTS = _texts()
"""LANGUAGE → name of a text → the text."""
