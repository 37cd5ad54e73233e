"""A person's own placement: where it is taken to be and from what, what speaks against it, what is not known.

Pure. What a person declares it corrects itself; what was proved it proves anew.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dragoman.accounts import texts
from dragoman.accounts.classes import age_of, counted, proved
from dragoman.core.people import Declared, PeopleRows, Person, Verified
from dragoman.decide.iso3166 import countries
from dragoman.decide.places import UNPROVEN_KINDS

CORRECTIONS_PER_DAY = 20
"""LIMIT: times in a day that a person may change what it declared."""
LEAST_AGE = 150
"""LIMIT: years that an age may be."""
DAY_MS = 86_400_000
FIELDS = ("residence", "residence_subdivision", "birth_date", "least_age")
"""What a person declares."""
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}")


@dataclass(frozen=True, slots=True)
class Address:
    """What the relay knows of where a request came from: ISO 3166-1 code, kind."""

    country: str | None
    kind: str

    @property
    def shows_place(self) -> bool:
        """Whether such an address shows where somebody is."""
        return self.country is not None and self.kind not in UNPROVEN_KINDS


def declared(given: Mapping[str, Any], now: int) -> Declared:
    """What a request declares. Raises RefusedError 400 naming the field; a code in small letters is taken."""
    residence, part = _country(given.get("residence")), given.get("residence_subdivision")
    if part is not None:
        part = part.strip().upper() if isinstance(part, str) else ""
        if not _SUBDIVISION.fullmatch(part) or part[:2] != residence:
            raise texts.invalid(
                "residence_subdivision",
                "an ISO 3166-2 code of the country of residence",
                "须为居住国家（地区）的 ISO 3166-2 代码",
            )
    least, born = given.get("least_age"), _date(given.get("birth_date"), now)
    if least is not None and (type(least) is not int or not 0 <= least <= LEAST_AGE):
        raise texts.invalid("least_age", f"whole years, 0 to {LEAST_AGE}", f"须为 0 到 {LEAST_AGE} 的整数")
    if least is not None and born is not None:
        raise texts.invalid("least_age", "give it or birth_date, not both", "不能与 birth_date 同时提供")
    return Declared(residence, part, born, least)


def correct(rows: PeopleRows, name: str, said: Declared, now: int) -> Person:
    """Take a person's word in place of what it said before; relays hear of it. Raises RefusedError."""
    person = rows.person(name)
    if person is None:
        raise texts.refused("not_a_person")
    if said == person.declared:
        return person
    today = now // DAY_MS
    done = person.corrections if person.corrected_on == today else 0
    if done >= CORRECTIONS_PER_DAY:
        raise texts.wait("too_many_corrections", DAY_MS - now % DAY_MS)
    after = replace(person, declared=said, corrected_on=today, corrections=done + 1)
    rows.put_person(after)
    rows.changed(name)
    rows.enter({"act": "person.corrected"})
    return after


def end_sessions(rows: PeopleRows, name: str, now: int) -> None:
    """End every session of a person. Raises RefusedError 404."""
    person = rows.person(name)
    if person is None:
        raise texts.refused("not_a_person")
    # A session made in this very millisecond is over too.
    rows.put_person(replace(person, sessions_from=max(now, person.sessions_from) + 1))
    rows.changed(name)
    rows.enter({"act": "person.sessions_ended"})


def document(person: Person, address: Address, now: int) -> dict[str, Any]:
    """The placement as its person reads it (docs/signup.md). Times are seconds UTC."""
    phone, said, shown = person.phone, counted(person, now), proved(person, now)
    age = age_of(said, now)
    return {
        "object": "placement",
        "person": person.person,
        "residence": {
            "country": said.residence,
            "subdivision": said.residence_subdivision,
            **_known_by("residence", shown, known=said.residence is not None),
        },
        "phone": None
        if phone is None
        else {
            "countries": list(phone.regions),
            "kind": phone.kind,
            "known_by": "code",
            "proved_at": person.proved_at // 1000,
        },
        "address": {"country": address.country, "kind": address.kind, "shows_place": address.shows_place},
        "age": {
            "least": age,
            "birth_date": said.birth_date,
            **_known_by("age", shown, known=age is not None),
        },
        "verified": [{"fact": one.fact, "until": one.until} for one in shown.values()],
        "in_play": _in_play(person, said.residence, address),
        "contradictions": [_told(one, shown) for one in _contradictions(person, said, address)],
        "unknown": [_told(one, shown) for one in _unknown(person, said, address, age)],
    }


def _known_by(fact: str, shown: Mapping[str, Verified], *, known: bool) -> dict[str, Any]:
    if fact in shown:
        return {"known_by": "verified", "until": shown[fact].until}
    return {"known_by": "declared" if known else None}


def _in_play(person: Person, home: str | None, address: Address) -> list[dict[str, Any]]:
    """The countries whose law counts, each with the signals that bring it in. None takes one away."""
    found: dict[str, list[str]] = {}
    if home is not None:
        found.setdefault(home, []).append("residence")
    if address.country is not None:
        found.setdefault(address.country, []).append("address")
    for country in person.phone.regions if person.phone is not None else ():
        found.setdefault(country, []).append("phone")
    return [{"country": country, "by": by} for country, by in sorted(found.items())]


def _contradictions(person: Person, known: Declared, address: Address) -> Iterator[str]:
    home, regions = known.residence, person.phone.regions if person.phone is not None else ()
    if person.declared.residence not in {None, home}:
        yield "residence_verified"
    if home is not None and regions and home not in regions:
        yield "residence_phone"
    if home is not None and address.country is not None and address.country != home:
        yield "residence_address"
    if home is None and address.country is not None and regions and address.country not in regions:
        yield "phone_address"
    if person.phone is not None and person.phone.kind == "voip":
        yield "phone_rented"


def _unknown(person: Person, known: Declared, address: Address, age: int | None) -> Iterator[str]:
    if known.residence is None:
        yield "residence"
    if person.phone is None:
        yield "phone"
    elif len(person.phone.regions) > 1:
        yield "phone_country"
    if not address.shows_place:
        yield "place"
    if age is None:
        yield "age"


_SAID = {
    "residence_verified": (
        "You say that you live elsewhere than was verified: that does not count until other evidence is in.",
        "您填写的居住地与已核实的不同：在提交新的证明之前，您的填写不予采用。",
        "evidence",
    ),
    "residence_phone": (
        "You live in one country and your number is of another: the law of both counts.",
        "您的居住地与手机号归属地不同：两地法律均适用。",
        "residence",
    ),
    "residence_address": (
        "You live in one country and are connected from another: for as long as that is so, both count.",
        "您的居住地与当前网络所在地不同：在此期间两地法律均适用。",
        "residence",
    ),
    "phone_address": (
        "Your number is of one country, you are connected from another. Say where you live.",
        "手机号归属地与当前网络所在地不同，请填写居住地。",
        "residence",
    ),
    "phone_rented": (
        "Numbers of this kind can be rented from anywhere, so yours shows little of where you live.",
        "此类号码可在任何地方租用，难以说明您的居住地。",
        "residence",
    ),
    "residence": (
        "Where you live: nothing that counts here shows it. What depends on it is not assumed.",
        "居住地：没有可采用的依据；与其有关的事项不作推定。",
        "residence",
    ),
    "phone": (
        "A phone: the number of this account went to somebody else.",
        "手机号：本账户的号码已归他人。",
        "phone",
    ),
    "phone_country": (
        "Which country your number belongs to: several share its code, and all of them count.",
        "号码归属国家（地区）：多个国家（地区）共用其区号，全部计入。",
        None,
    ),
    "place": (
        "Where you are now: your address does not show it. No country is left out for that.",
        "当前所在地：您的网络地址无法说明；不会因此排除任何国家（地区）。",
        None,
    ),
    "age": (
        "How old you are: you have not said. What depends on it is not assumed.",
        "年龄：您未填写；与其有关的事项不作推定。",
        "age",
    ),
}


def _told(code: str, shown: Mapping[str, Verified]) -> dict[str, Any]:
    """A contradiction or what is unknown; nothing is asked for that evidence showed already."""
    en, zh, lifted = _SAID[code]
    return {"code": code, "text": {"en": en, "zh": zh}, "asks_for": None if lifted in shown else lifted}


def _country(value: Any) -> str | None:
    if value is None:
        return None
    code = value.strip().upper() if isinstance(value, str) else ""
    if code not in countries():
        raise texts.invalid("residence", "an ISO 3166-1 alpha-2 code", "须为 ISO 3166-1 两位代码")
    return code


def _date(value: Any, now: int) -> str | None:
    if value is None:
        return None
    today = dt.datetime.fromtimestamp(now / 1000, dt.UTC).date()
    try:
        born = dt.date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else None
    except ValueError:
        born = None
    if born is None or born > today or today.year - born.year > LEAST_AGE:
        raise texts.invalid("birth_date", "a past date such as 1990-05-31", "须为过去的日期，例如 1990-05-31")
    return born.isoformat()
