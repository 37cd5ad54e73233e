"""What the page "why this answer" and the administration's page of a decision say in a reader's words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from dragoman.core.facts import FIELDS
from dragoman.decide.vocabulary import words
from dragoman.web.placement import country_named
from dragoman.web.view import plain_json
from dragoman.web.why_texts import OUTCOMES, REFUSING, WORDS

_TRUTH = {"en": ("no", "yes"), "zh": ("否", "是")}
_OF_COUNTRIES = frozenset({"country", "[country]", "phone"})
"""Types of facts that are countries; a phone number is kept as those that its number can belong to."""


def passport_words(language: str) -> dict[str, Any]:
    """What `passport.html` needs beside a decision."""
    return {
        "w": WORDS[language],
        "outcomes": OUTCOMES[language],
        "refusing": REFUSING[language],
        "duties": words()["obligations"],
        "kinds": {kind: told[language] for kind, told in words()["rule_kinds"].items()},
        "fact_named": partial(fact_named, language=language),
        "fact_shown": partial(fact_shown, language=language),
    }


def fact_named(path: str, language: str) -> str:
    """The name of a fact; of an entry of a table the table's and its own: `Evidence of the operator: icp`."""
    told, entry = _of(path)
    if told is None:
        return path
    if not entry:
        return told[language]
    own = words()["evidence"].get(entry, {}).get(language, entry)
    return f"{told[language]}: {own}" if language == "en" else f"{told[language]}：{own}"


def fact_shown(path: str, value: Any, language: str) -> str:
    """A fact's value as a reader sees it."""
    if isinstance(value, bool):
        return _TRUTH[language][value]
    told, entry = _of(path)
    kind = FIELDS.get(f"{path.removesuffix(entry)}*" if entry else path) if told else None
    many = value if isinstance(value, list) else [value]
    if kind in _OF_COUNTRIES and all(isinstance(one, str) for one in many):
        many = [country_named(one, language) for one in many]
    shown = [one if isinstance(one, str) else plain_json(one) for one in many]
    return (", " if language == "en" else "、").join(shown)


def _of(path: str) -> tuple[Mapping[str, str] | None, str]:
    """What a fact is called, and the part of its path that names an entry of a table."""
    facts = words()["facts"]
    if path in facts:
        return facts[path], ""
    for name, told in facts.items():
        table = name.removesuffix("*")
        if table != name and path.startswith(table):
            return told, path.removeprefix(table)
    return None, ""
