"""What an operator lacks, in words: the ids of `not_ready` as people read them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

_OR = {"en": " or ", "zh": "或"}
_AND = {"en": ", ", "zh": "、"}
_EITHER = {"en": "either {shared}, or all of these: {rest}", "zh": "{shared}；或者以下全部：{rest}"}


@cache
def names() -> Mapping[str, Mapping[str, str]]:
    """Words by id, in both languages; an id that ends in `.*` stands for all that begin so."""
    return tomllib.loads((files("dragoman") / "packs" / "evidence.toml").read_text("utf-8"))


def in_words(needed: str, language: str) -> str:
    """An entry of `not_ready`, any of `a|b`, in words; an id of an operator's own pack stays as it is."""
    return _OR[language].join(_one(name, language) for name in needed.split("|"))


def all_in_words(needed: Sequence[str], language: str) -> str:
    """All entries of `not_ready` in words; an alternative that every one of them has is said once."""
    ways = [entry.split("|") for entry in needed]
    shared = [name for name in ways[0] if all(name in way for way in ways)] if len(ways) > 1 else []
    rest = ["|".join(name for name in way if name not in shared) for way in ways]
    if not shared:
        return _AND[language].join(in_words(entry, language) for entry in needed)
    if not all(rest):  # an entry has nothing else: what is shared is needed in any case, and is enough
        return in_words("|".join(shared), language)
    said = _AND[language].join(in_words(entry, language) for entry in rest)
    return _EITHER[language].format(shared=in_words("|".join(shared), language), rest=said)


def _one(name: str, language: str) -> str:
    known = names()
    if name in known:
        return known[name][language]
    family, _, rest = name.partition(".")
    found = known.get(f"{family}.*")
    return name if found is None or not rest else found[language].replace("*", rest)
