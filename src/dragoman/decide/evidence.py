"""What an operator lacks, in words: the ids of `not_ready` as people read them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_OR = {"en": " or ", "zh": "或"}


@cache
def names() -> Mapping[str, Mapping[str, str]]:
    """Words by id, in both languages; an id that ends in `.*` stands for all that begin so."""
    return tomllib.loads((files("dragoman") / "packs" / "evidence.toml").read_text("utf-8"))


def in_words(needed: str, language: str) -> str:
    """An entry of `not_ready`, any of `a|b`, in words; an id of an operator's own pack stays as it is."""
    return _OR[language].join(_one(name, language) for name in needed.split("|"))


def _one(name: str, language: str) -> str:
    known = names()
    if name in known:
        return known[name][language]
    family, _, rest = name.partition(".")
    found = known.get(f"{family}.*")
    return name if found is None or not rest else found[language].replace("*", rest)
