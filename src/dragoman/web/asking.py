"""The bar "asking as", and `POST /asking`: a guest of stage `local` says who to ask as.

By a preset or by facts; it works without script. The page goes back to where it was. In another stage neither
exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.accounts.declared import FIELDS as STATED_FIELDS
from dragoman.accounts.declared import Declared
from dragoman.accounts.simulated import Simulated
from dragoman.core.facts import FactsError
from dragoman.web.placement import country_named
from dragoman.web.presets import Preset
from dragoman.web.texts import TEXTS


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
    return Bar(None if simulated is None else _facts(simulated, language), None, titles, simulated)


def _facts(simulated: Simulated, language: str) -> str:
    """`Germany (DE), at home, 30, +49`: what is pretended, and the address's country where it is another."""
    place = simulated.place if simulated.place != simulated.residence else None
    is_known = simulated.address_kind != "unknown"
    kind = TEXTS[language][f"address_{simulated.address_kind}"] if is_known else None
    age = str(simulated.age) if simulated.age is not None else None
    part = simulated.subdivision or ""
    home = part if part[:2] == simulated.residence else simulated.residence
    named = [country_named(one, language) for one in (home, place) if one]
    found = (*named, kind, age, simulated.phone, simulated.channel, simulated.app)
    return {"zh": "、"}.get(language, ", ").join(one for one in found if one) or "?"


def stated(declared: Declared, language: str) -> str:
    """`Germany (DE), 30`: what a guest stated of itself."""
    home = [country_named(declared.residence, language)] if declared.residence else []
    age = [] if declared.age is None else [TEXTS[language]["stated_age"].format(age=declared.age)]
    return {"zh": "、"}.get(language, ", ").join(home + age)


_WRONG = {
    "residence": ("residence", "country"),
    "place": ("place", "country"),
    "subdivision": ("part", "part"),
    "age": ("age", "age"),
    "phone": ("phone", "phone"),
}
"""Of the fields that a person types: the texts of its label, and of what it takes."""


def unset(fault: FactsError, language: str) -> str:
    """Why the facts of a form were not taken, in a language; a fault that no form of ours makes as it is."""
    t = TEXTS[language]
    if fault.path not in _WRONG:
        return str(fault)
    label, takes = _WRONG[fault.path]
    return f"{t[f'asking_{label}']}{t['gap']}{t[f'asking_wrong_{takes}']}"


FIELDS = ("residence", "place", "subdivision", "address_kind", "age", "phone", "channel", "app")
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


def declares(form: Mapping[str, Sequence[str]]) -> Declared | None:
    """What a form states; None: nothing any more. Raises FactsError naming the field."""
    if form.get("as", [""])[-1] == "nothing":
        return None
    return Declared.parse({name: form[name][-1] for name in STATED_FIELDS if name in form})


def back_to(form: Mapping[str, Sequence[str]]) -> str:
    """The page to go back to: a path of this site, else its first page."""
    path = form.get("back", ["/"])[-1]
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if plain and path.isascii() else "/"
