"""Which jurisdictions are in play: residence, current place, offered markets, country of a verified phone.

First question of a decision. An unclear address never removes a place; a place in play by phone alone is
provisional. Reads facts through the context, decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import phonenumbers

from dragoman.core.decision import Remark
from dragoman.decide.context import Context
from dragoman.decide.packs import PackSet, parts_of
from dragoman.decide.weigh import Tally, remark

SHORTEST_NUMBER = 5  # characters with the plus sign; anything as short is a prefix
_REGIONS = {
    code: tuple(sorted(region for region in regions if len(region) == 2 and region.isalpha()))
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()
}
"""Countries by country code; none for what belongs to no country, such as 800."""
UNPROVEN_KINDS = frozenset({"vpn", "tor", "hosting", "unknown"})
"""Kinds of address that do not show where the person is."""


@dataclass(frozen=True, slots=True)
class Places:
    """Countries in play and packs in play; True means provisional (by phone, or a guessed subdivision).

    `schedules` are the packs by the names of `PackSet.schedules`: all parts of a country may be one.
    """

    countries: dict[str, bool]
    packs: dict[str, bool]
    schedules: dict[str, bool]


def phone_regions(phone: str) -> tuple[str, ...]:
    """The countries a number can belong to; several where the prefix is shared and the number incomplete."""
    # Country codes have one to three digits and none begins another; most are of one country.
    codes = [int(phone[1:end]) for end in (2, 3, 4)]
    regions = next((_REGIONS[code] for code in codes if code in _REGIONS), ())
    if len(phone) > SHORTEST_NUMBER and len(regions) > 1:
        try:
            region = phonenumbers.region_code_for_number(phonenumbers.parse(phone))
        except phonenumbers.NumberParseException:
            region = None
        if region is not None and len(region) == 2 and region.isalpha():
            return (region,)
    return regions


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
    places = Places(countries, {}, {})
    for code in sorted(countries):
        _packs_of(code, context, packs, tally, places)
    return places


def _phone(context: Context, countries: dict[str, bool]) -> None:
    phone = context.get("phone")
    if phone is None or context.get("phone_verified") is False:
        return
    context.phone_regions = phone_regions(phone)
    for code in context.phone_regions:
        countries.setdefault(code, True)


def _packs_of(code: str, context: Context, packs: PackSet, tally: Tally, places: Places) -> None:
    """Add the packs of one country, and of its parts that may be meant, with whether each is provisional."""
    provisional = places.countries[code]
    found = packs.by_country.get(code, ())
    if not found and (not provisional or len(context.phone_regions) == 1):
        tally.warn(_no_pack(code))
    for pack in found:
        firm = not provisional or places.packs.get(pack) is False
        places.packs[pack] = places.schedules[pack] = not firm
    if code in packs.federal and not provisional:
        _warn_of_parts(code, context, packs, tally)
    if code in packs.subdivided:
        _subdivision_packs(code, context, packs, places)


def _subdivision_packs(code: str, context: Context, packs: PackSet, places: Places) -> None:
    """Packs of parts of a country. An unknown part may be any of them: all are in play, provisionally."""
    known = _parts(code, context)
    if None in known or not known:
        places.packs.update(dict.fromkeys(packs.subdivided[code], True))
        places.schedules[parts_of(code)] = True
        return
    for part in known:
        for pack in packs.by_subdivision.get(part or "", ()):
            places.packs[pack] = places.schedules[pack] = places.countries[code]


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
        if part is None or part not in packs.by_subdivision:
            tally.warn(_no_pack(code, part or f"{code}-?"))


@lru_cache(maxsize=1024)
def _no_pack(code: str, part: str | None = None) -> Remark:
    """That no pack covers a country, a part of it, or (`XX-?`) some of its parts."""
    if part is None:
        return remark("NO_PACK", code,
            f"No pack covers {code}: no duty of its law is known here.",
            f"没有覆盖 {code} 的法域包：此处不掌握其法律义务。")  # fmt: skip
    if part.endswith("?"):
        return remark("NO_PACK", part,
            f"The parts of {code} make law of their own; of those without a pack no duty is known here.",
            f"{code} 的各组成部分有各自的法律，其中没有法域包的，此处不掌握其法律义务。")  # fmt: skip
    return remark("NO_PACK", part,
        f"No pack covers {part}: of its own law no duty is known here, only of the law of {code}.",
        f"没有覆盖 {part} 的法域包：此处只掌握 {code} 的法律义务，不掌握其自身的法律。")  # fmt: skip
