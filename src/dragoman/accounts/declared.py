"""Declared facts: what a guest of the pages states of itself, to be told what depends on it.

INVARIANT: nothing here counts as verified. An age says `declared` for its source, a residence is not among
what was verified; which rules take a person's own word is theirs to say (`decide.checks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.accounts.classes import facts_of_guest
from dragoman.accounts.simulated import age_of, country_of
from dragoman.core.facts import FactsError

FIELDS = ("residence", "age")
"""What a guest may state."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What was stated: ISO 3166-1 code, whole years. None is not stated."""

    residence: str | None = None
    age: int | None = None

    @staticmethod
    def parse(given: Mapping[str, Any]) -> Declared:
        """Check what a form gives. Raises FactsError naming the fact, or where it states nothing."""
        made = Declared(country_of("residence", given.get("residence")), age_of(given.get("age")))
        if not made.given:
            raise FactsError("age", "is not stated, and nothing else is")
        return made

    @property
    def given(self) -> bool:
        """Whether anything was stated."""
        return self != NOTHING

    def joined(self, before: Declared) -> Declared:
        """With what was stated before and is not stated now."""
        age = before.age if self.age is None else self.age
        return Declared(self.residence or before.residence, age)


NOTHING = Declared()


def facts_of_declared(declared: Declared) -> dict[str, Any]:
    """The facts of a guest that stated something: a class shared by all who stated the same."""
    facts = facts_of_guest()
    if declared.residence is not None:
        facts["residence"] = declared.residence
    if declared.age is not None:
        facts.update(age=declared.age, age_source="declared")
    return facts


def declared_of(facts: Mapping[str, Any] | None) -> Declared:
    """What the guest of these facts stated."""
    if not facts or not facts.get("guest"):
        return NOTHING
    return Declared(facts.get("residence"), facts.get("age"))
