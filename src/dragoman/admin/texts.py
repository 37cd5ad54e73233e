"""What the admin pages say in their own words, in English and Chinese: read from FILES, which hold it."""

from __future__ import annotations

import tomllib
from importlib import resources

LANGUAGES = ("en", "zh")
FILES = ("pages.toml", "documents.toml", "setup.toml", "law.toml", "decisions.toml", "reviews.toml")


def _texts() -> dict[str, dict[str, str]]:
    folder = resources.files(__package__)
    named = [text for file in FILES for text in tomllib.loads((folder / file).read_text("utf-8")).items()]
    return {language: {name: text[language] for name, text in named} for language in LANGUAGES}


TEXTS = _texts()
"""LANGUAGE → name of a text → the text."""
