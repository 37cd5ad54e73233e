"""Simulated facts: what a guest of stage `local` pretends to be, checked, and as the facts of a class.

They are the facts a real placement would have established, so that a decision can be seen before it is met.
INVARIANT: a class made of them says `simulated`, and so does every entry of a turn that was decided by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dragoman.core.facts import ADDRESS_KINDS, Facts, FactsError
from dragoman.decide.iso3166 import countries

AGE_SOURCES = ("declared", "verified")
"""How the age is pretended to be known."""
VERIFIED = ("real_name", "residence", "phone", "address", "age")
"""What may be pretended to have been verified of a person."""
MAX_AGE = 150
"""LIMIT: years of an age."""
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")
CHANNELS = ("web", "api")
"""Channels of our own that a guest may pretend to come by."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """What is pretended; None is not known.

    `phone`: `+` and a country code, or a whole number. `subdivision`: a part (ISO 3166-2) of
    the countries that residence or place name.
    """

    residence: str | None = None
    place: str | None = None
    subdivision: str | None = None
    address_kind: str = "unknown"
    age: int | None = None
    phone: str | None = None
    channel: str | None = None
    app: str | None = None
    verified: tuple[str, ...] = ()

    @staticmethod
    def parse(given: Mapping[str, Any]) -> Simulated:
        """Check what a form or a file of presets gives. Raises FactsError naming the fact."""
        names = set(Simulated.__slots__)
        for name in given:
            if name not in names:
                raise FactsError(str(name), "is not a fact that can be simulated")
        verified = tuple(dict.fromkeys(given.get("verified") or ()))
        if not set(verified) <= set(VERIFIED):
            raise FactsError("verified", f"holds {', '.join(VERIFIED)} alone")
        kind = given.get("address_kind") or "unknown"
        if kind not in ADDRESS_KINDS:
            raise FactsError("address_kind", f"is one of {', '.join(ADDRESS_KINDS)}")
        channel = given.get("channel") or None
        if channel is not None and channel not in CHANNELS:
            raise FactsError("channel", f"is one of {', '.join(CHANNELS)}")
        made = Simulated(
            country_of("residence", given.get("residence")),
            country_of("place", given.get("place")),
            _text(given.get("subdivision"), upper=True),
            kind,
            age_of(given.get("age")),
            given.get("phone") or None,
            channel,
            given.get("app") or None,
            verified,
        )
        made._check_subdivision()
        checked = Facts.partial(made.facts())
        return Simulated(**{**made.document(), "phone": checked.get("phone"), "verified": verified})

    def _check_subdivision(self) -> None:
        part = self.subdivision
        if part is not None and (
            part[:2] not in {self.residence, self.place} or not _SUBDIVISION.fullmatch(part)
        ):
            raise FactsError("subdivision", "is an ISO 3166-2 code of the country of residence or place")

    def document(self) -> dict[str, Any]:
        """The pretence itself, as a class keeps it and a form shows it."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in Simulated.__slots__
            if (value := getattr(self, name)) is not None
        }

    def facts(self) -> dict[str, Any]:
        """The facts document that a real placement would have given, in the shape decisions read."""
        facts: dict[str, Any] = {"address_kind": self.address_kind}
        simple = {
            "residence": self.residence,
            "address_country": self.place,
            "channel": self.channel,
            "app": self.app,
        }
        for country, part in (
            ("residence", "residence_subdivision"),
            ("address_country", "address_subdivision"),
        ):
            if self.subdivision is not None and simple[country] == self.subdivision[:2]:
                simple[part] = self.subdivision
        facts.update({name: value for name, value in simple.items() if value is not None})
        if self.age is not None:
            facts.update(age=self.age, age_source=AGE_SOURCES["age" in self.verified])
        if self.phone is not None:
            facts.update(phone=self.phone, phone_verified="phone" in self.verified, phone_kind="mobile")
        if self.verified:
            facts["identity"] = {"verified": list(self.verified)}
        return facts


def _text(value: Any, *, upper: bool = False) -> str | None:
    text = str(value).strip() if value else ""
    return (text.upper() if upper else text) or None


def country_of(name: str, value: Any) -> str | None:
    """A country that a form names; None where it names none. Raises FactsError."""
    if not value:
        return None
    code = str(value).strip().upper()
    if code not in countries():
        raise FactsError(name, "is an ISO 3166-1 alpha-2 code")
    return code


def age_of(value: Any) -> int | None:
    """Whole years that a form gives; None where it gives none. Raises FactsError."""
    if value is None or value == "":
        return None
    text = str(value).strip()
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > MAX_AGE:
        raise FactsError("age", "is an age in whole years, 0 to 150")
    return int(text)


def facts_of_simulated(simulated: Simulated) -> dict[str, Any]:
    """The facts of a guest that pretends: a class of its own."""
    return {"end_users": "none", "account": "new", "guest": True, "simulated": simulated.document()}


def simulated_of(facts: Mapping[str, Any] | None) -> Simulated | None:
    """What the person of these facts pretends to be; None where nothing is pretended."""
    found = facts.get("simulated") if facts else None
    return Simulated.parse(found) if isinstance(found, Mapping) else None
