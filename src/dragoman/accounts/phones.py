"""Reads a phone number: valid or refused, the countries it can belong to, its kind. No country is guessed.

Numbering plans by libphonenumber (`phonenumbers`). Pure: nothing is sent and nothing kept here.
"""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from dragoman.accounts import texts
from dragoman.accounts.pepper import Pepper
from dragoman.core.people import Phone
from dragoman.decide.places import phone_regions

NUMBER_CHARS = 32
"""LIMIT: characters of a number as it is typed."""
PREFIX_DIGITS = 3
"""Digits behind the country code that a budget of a prefix goes by."""
_KINDS = {
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.VOIP: "voip",
    # Where the plan itself cannot tell, and where numbers follow their person: not known.
    PhoneNumberType.FIXED_LINE_OR_MOBILE: "unknown",
    PhoneNumberType.PERSONAL_NUMBER: "unknown",
}
"""Kinds that get codes. Lines that get no messages, and those that cost a premium, are not among them."""


def read(text: str) -> tuple[str, PhoneNumber]:
    """A number in E.164 and as parsed. Raises RefusedError 400: not in international form, or of no plan."""
    plain = text.strip()
    if not 1 <= len(plain) <= NUMBER_CHARS or not plain.isascii() or not plain.startswith("+"):
        raise texts.refused("phone_invalid")
    try:
        number = phonenumbers.parse(plain)
    except phonenumbers.NumberParseException:
        raise texts.refused("phone_invalid") from None
    if number.extension or not phonenumbers.is_valid_number(number):
        raise texts.refused("phone_invalid")
    return phonenumbers.format_number(number, PhoneNumberFormat.E164), number


def placed(text: str, pepper: Pepper) -> tuple[str, Phone]:
    """A number in E.164, and what is kept of it. Raises RefusedError 400."""
    e164, number = read(text)
    kind = _KINDS.get(phonenumbers.number_type(number))
    found = regions(number)
    if kind is None or not found:
        raise texts.refused("phone_not_accepted")
    code = number.country_code or 0
    prefix = e164[: 1 + len(str(code)) + PREFIX_DIGITS]
    country = found[0] if len(found) == 1 else f"+{code}"
    digest = pepper.digest("phone", e164).hex()
    return e164, Phone(digest, found, kind, stand_in(found, code), prefix, country)


def regions(number: PhoneNumber) -> tuple[str, ...]:
    """Every country whose plan has the number, sorted; several share +1, +7, +44 and others."""
    shared = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(number.country_code or 0, ())
    named = [one for one in shared if len(one) == 2 and one.isalpha()]
    if len(named) == 1:
        return tuple(named)
    return tuple(sorted(one for one in named if phonenumbers.is_valid_number_for_region(number, one)))


@lru_cache(maxsize=1_024)
def stand_in(found: tuple[str, ...], code: int) -> str:
    """A number of nobody's that decisions place in the same countries: the plan's example, or the bare code.

    The bare code stands for all countries that share it: more of them, never fewer.
    """
    if len(found) == 1 and phone_regions(f"+{code}") != found:
        example = phonenumbers.example_number_for_type(found[0], PhoneNumberType.MOBILE)
        if example is not None:
            text = phonenumbers.format_number(example, PhoneNumberFormat.E164)
            if phone_regions(text) == found:
                return text
    return f"+{code}"
