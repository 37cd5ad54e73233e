"""Which jurisdictions are in play: residence, current place, offered markets, country of a verified phone.

First question of a decision. An unclear address never removes a place; a place in play by phone alone is
provisional. Reads facts through the context, decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import phonenumbers

from dragoman.decide.context import Context
from dragoman.decide.packs import PackSet
from dragoman.decide.weigh import Tally, remark

SHORTEST_NUMBER = 5  # characters with the plus sign; anything as short is a prefix
UNPROVEN_KINDS = frozenset({"vpn", "tor", "hosting", "unknown"})
"""Kinds of address that do not show where the person is."""


@dataclass(frozen=True, slots=True)
class Places:
    """Countries in play and packs in play; True means provisional (by phone, or a guessed subdivision)."""

    countries: dict[str, bool]
    packs: dict[str, bool]


def phone_regions(phone: str) -> tuple[str, ...]:
    """The countries a number can belong to; several where the prefix is shared and the number incomplete."""
    table = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    if len(phone) > SHORTEST_NUMBER:
        try:
            region = phonenumbers.region_code_for_number(phonenumbers.parse(phone))
        except phonenumbers.NumberParseException:
            region = None
        if region is not None and len(region) == 2 and region.isalpha():
            return (region,)
    # A bare prefix such as "+86": country codes have one to three digits and none begins another.
    codes = [int(phone[1:end]) for end in (2, 3, 4)]
    regions = next((table[code] for code in codes if code in table), ())
    return tuple(sorted(region for region in regions if len(region) == 2 and region.isalpha()))


def find_places(context: Context, packs: PackSet, tally: Tally) -> Places:
    """Countries and packs in play. Warns NO_PACK for each place without a pack."""
    countries: dict[str, bool] = {}
    for path in ("residence", "address_country"):
        code = context.get(path)
        if code is not None:
            countries[code] = False
    for code in context.get("offered_markets") or ():
        countries[code] = False
    _phone(context, countries)
    if not countries:
        tally.warn(remark("PLACE_UNKNOWN", "place",
            "No place is known: neither residence nor address, market or phone. No law was applied.",
            "没有任何地点信息（居住地、地址、市场或电话），因此未适用任何法律。"))  # fmt: skip
    chosen: dict[str, bool] = {}
    for code, provisional in sorted(countries.items()):
        for pack, doubtful in _packs_of(code, context, packs, tally, provisional=provisional):
            chosen[pack] = chosen.get(pack, True) and doubtful
    return Places(countries, chosen)


def _phone(context: Context, countries: dict[str, bool]) -> None:
    phone = context.get("phone")
    if phone is None or context.get("phone_verified") is False:
        return
    context.phone_regions = phone_regions(phone)
    for code in context.phone_regions:
        countries.setdefault(code, True)


def _packs_of(
    code: str, context: Context, packs: PackSet, tally: Tally, *, provisional: bool
) -> list[tuple[str, bool]]:
    """The packs of one country, and of its parts that may be meant, with whether each is provisional."""
    found = packs.by_country.get(code, ())
    if not found and (not provisional or len(context.phone_regions) == 1):
        tally.warn(remark("NO_PACK", code,
            f"No pack covers {code}: no duty of its law is known here.",
            f"没有覆盖 {code} 的法域包：此处不掌握其法律义务。"))  # fmt: skip
    if code in packs.federal and not provisional:
        _warn_of_parts(code, context, packs, tally)
    parts = _subdivision_packs(code, context, packs) if code in packs.subdivided else []
    return [(pack, provisional) for pack in found] + [(pack, provisional or guess) for pack, guess in parts]


def _subdivision_packs(code: str, context: Context, packs: PackSet) -> list[tuple[str, bool]]:
    """Packs of parts of a country. An unknown part may be any of them: all are in play, provisionally."""
    known = _parts(code, context)
    if None in known or not known:
        return [(pack, True) for pack in packs.subdivided[code]]
    return [(pack, False) for part in known if part for pack in packs.by_subdivision.get(part, ())]


def _parts(code: str, context: Context) -> list[str | None]:
    """In which part of a country the person lives and is, for each of the two that is in it."""
    known = []
    for country, subdivision in (
        ("residence", "residence_subdivision"),
        ("address_country", "address_subdivision"),
    ):
        if context.get(country) == code:
            known.append(context.get(subdivision))
    return known


def _warn_of_parts(code: str, context: Context, packs: PackSet, tally: Tally) -> None:
    """The parts make law of their own: say which of it no pack holds."""
    for part in _parts(code, context):
        if part is None:
            tally.warn(remark("NO_PACK", f"{code}-?",
                f"The parts of {code} make law of their own; of those without a pack no duty is known here.",
                f"{code} 的各组成部分有各自的法律，其中没有法域包的，此处不掌握其法律义务。"))  # fmt: skip
        elif part is not None and part not in packs.by_subdivision:
            tally.warn(remark("NO_PACK", part,
                f"No pack covers {part}: of its own law no duty is known here, only of the law of {code}.",
                f"没有覆盖 {part} 的法域包：此处只掌握 {code} 的法律义务，不掌握其自身的法律。"))  # fmt: skip
