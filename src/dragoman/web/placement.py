"""The bar of stage `public`: where a person is taken to be, from what that follows, how to correct it."""

from __future__ import annotations

from dataclasses import dataclass

from phonenumbers.geodata.locale import LOCALE_DATA

from dragoman.decide.iso3166 import name_in

PROVEN_KINDS = frozenset({"residential", "mobile"})
"""Kinds of address that show where somebody is (`decide.places.UNPROVEN_KINDS` are the others)."""


@dataclass(frozen=True, slots=True)
class Placed:
    """What a turn of a guest takes for the place: ISO 3166-1 code (None: unknown) and kind of the address.

    `contact` is how the operator is reached, None where it did not say.
    """

    country: str | None
    kind: str
    contact: str | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """The bar. `place` is None where no place is known; `proven`: whether such an address shows the place."""

    place: str | None
    kind: str
    proven: bool
    contact: str | None


def placement(placed: Placed, language: str) -> Placement:
    """The bar in a language."""
    place = None if placed.country is None else country_named(placed.country, language)
    return Placement(place, placed.kind, placed.kind in PROVEN_KINDS, placed.contact)


def country_named(country: str, language: str) -> str:
    """`Germany (DE)`; the code alone where the name is not known."""
    names = LOCALE_DATA.get(country, {})
    name = names.get(language, "")
    if name.startswith("*"):  # the same as in that language
        name = names.get(name[1:], "")
    name = name or name_in(country, language) or ""
    return f"{name} ({country})" if name else country
