"""What backup, restore and doctor say, from `texts.toml`, in every shipped language."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from dragoman.errors import DragomanError
from dragoman.ledger.texts import language

LANGUAGES = ("en", "zh")


@cache
def table() -> dict[str, dict[str, str]]:
    """Every text by name."""
    return tomllib.loads(resources.files(__package__).joinpath("texts.toml").read_text("utf-8"))


def in_all(name: str, /, **values: object) -> dict[str, str]:
    """A text in every language. Raises KeyError for a name or a value that is missing."""
    return {lang: table()[name][lang].format_map(values) for lang in LANGUAGES}


def say(name: str, /, **values: object) -> str:
    """A text in the reader's language, by LC_ALL, LC_MESSAGES or LANG."""
    return in_all(name, **values)[language(None)]


class OperationError(DragomanError):
    """Nothing was changed. `text` holds the sentence in every language; `code` is public API."""

    def __init__(self, name: str, /, **values: object) -> None:
        self.text = in_all(name, **values)
        super().__init__(self.text[language(None)])
        self.code = table()[name].get("code", name)
