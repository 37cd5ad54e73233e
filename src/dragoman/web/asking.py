"""The bar "asking as", and `POST /asking`: a guest of stage `local` says who to ask as.

By a preset or by facts; it works without script. The page goes back to where it was. In another stage neither
exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.accounts.simulated import Simulated
from dragoman.core.facts import FactsError
from dragoman.web.presets import Preset


@dataclass(frozen=True, slots=True)
class Bar:
    """What the bar shows: who is asked as, and every preset as (id, title). `simulated`: None as oneself."""

    who: str | None
    chosen: str | None
    presets: tuple[tuple[str, str], ...]
    simulated: Simulated | None


def bar(simulated: Simulated | None, presets: Sequence[Preset], language: str) -> Bar:
    """The bar in a language. A preset is named by its title, other facts one by one."""
    titles = tuple((one.id, one.title[language]) for one in presets)
    chosen = next((one for one in presets if one.simulated == simulated), None)
    if chosen is not None:
        return Bar(chosen.title[language], chosen.id, titles, simulated)
    return Bar(None if simulated is None else _facts(simulated), None, titles, simulated)


def _facts(simulated: Simulated) -> str:
    """`DE, 30, +49`: what is pretended, the address's country where it is not the residence."""
    place = simulated.place if simulated.place != simulated.residence else None
    kind = simulated.address_kind if simulated.address_kind != "unknown" else None
    age = str(simulated.age) if simulated.age is not None else None
    found = (simulated.residence, place, kind, age, simulated.phone, simulated.channel, simulated.app)
    return ", ".join(one for one in found if one) or "?"


FIELDS = ("residence", "place", "address_kind", "age", "phone", "channel", "app")
"""Fields of the form that hold one value; `verified` holds several."""


def wanted(form: Mapping[str, Sequence[str]], presets: Sequence[Preset]) -> Simulated | None:
    """What a form asks for; None: as oneself again. Raises FactsError naming the field."""
    if form.get("as", [""])[-1] == "self":
        return None
    named = form.get("preset", [""])[-1]
    if named:
        found = next((one for one in presets if one.id == named), None)
        if found is None:
            raise FactsError("preset", "is not one of the presets")
        return found.simulated
    given: dict[str, Any] = {name: form[name][-1].strip() for name in FIELDS if name in form}
    return Simulated.parse({**given, "verified": tuple(form.get("verified", ()))})


def back_to(form: Mapping[str, Sequence[str]]) -> str:
    """The page to go back to: a path of this site, else its first page."""
    path = form.get("back", ["/"])[-1]
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and path.isascii() else "/"
