"""`POST /asking`: a guest of stage `local` says who to ask as, by a preset or by facts.

It works without script. The page goes back to where it was. In another stage the route does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.accounts.simulated import Simulated
from dragoman.core.facts import FactsError
from dragoman.web.presets import Preset

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
