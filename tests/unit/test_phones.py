"""Phone numbers: the countries of shared codes as sets, kinds, what is kept, what is refused."""

from __future__ import annotations

import phonenumbers
import pytest

from dragoman.accounts import phones
from dragoman.accounts.pepper import Pepper
from dragoman.decide.places import phone_regions
from dragoman.errors import RefusedError

PEPPER = Pepper(b"p" * 32)


@pytest.mark.parametrize(
    ("text", "e164", "regions", "kind", "prefix"),
    [
        ("+49 151 23456789", "+4915123456789", ("DE",), "mobile", "+49151"),
        ("+86 138-0013-8000", "+8613800138000", ("CN",), "mobile", "+86138"),
        ("+852 5123 4567", "+85251234567", ("HK",), "mobile", "+852512"),
        ("+7 (701) 234-56-78", "+77012345678", ("KZ",), "mobile", "+7701"),
        ("+7 916 123-45-67", "+79161234567", ("RU",), "mobile", "+7916"),
        ("+1 416 555 0123", "+14165550123", ("CA",), "unknown", "+1416"),
        ("+1 212 555 0123", "+12125550123", ("US",), "unknown", "+1212"),
        ("+44 7797 812346", "+447797812346", ("JE",), "mobile", "+44779"),
        ("+44 7400 765432", "+447400765432", ("GB",), "mobile", "+44740"),
    ],
)
def test_a_number_is_read(text: str, e164: str, regions: tuple[str, ...], kind: str, prefix: str) -> None:
    found, phone = phones.placed(text, PEPPER)
    assert (found, phone.regions, phone.kind, phone.prefix) == (e164, regions, kind, prefix)
    assert set(regions) <= set(phone_regions(phone.stands_for)), "decisions place what is kept no less"
    kept = f"{phone.digest} {phone.stands_for}"
    assert e164[1:] not in kept, "the number is not kept"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "phone_invalid"),
        ("015123456789", "phone_invalid"),
        ("+49", "phone_invalid"),
        ("+49 151 234567890123", "phone_invalid"),
        ("+4915123456789;ext=1", "phone_invalid"),
        ("tel:+4915123456789", "phone_invalid"),
        ("+999 123456789", "phone_invalid"),
        ("+" + "1" * 40, "phone_invalid"),
        ("+49\u0661\u0665\u0661 23456789", "phone_invalid"),
        ("+49 30 123456", "phone_not_accepted"),
        ("+49 900 1234567", "phone_not_accepted"),
        ("+1 800 234 5678", "phone_not_accepted"),
        ("+882 16 12345678", "phone_not_accepted"),
    ],
)
def test_what_is_no_number_for_a_code_is_refused(text: str, code: str) -> None:
    with pytest.raises(RefusedError) as caught:
        phones.placed(text, PEPPER)
    assert caught.value.code == code


def test_a_number_of_several_countries_is_of_all_of_them() -> None:
    # Toll-free numbers of +1 are valid in every country of the plan; so the example shows a set.
    number = phonenumbers.parse("+18002345678")
    assert {"US", "CA", "JM"} <= set(phones.regions(number))
    assert phones.stand_in(("CA", "US"), 1) == "+1", "what stands for some of them is all of them"


def test_what_stands_for_a_country_is_placed_there_and_nowhere_less() -> None:
    narrower = []
    for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items():
        for region in regions:
            if len(region) != 2 or not region.isalpha():
                continue
            placed = phone_regions(phones.stand_in((region,), code))
            assert region in placed, region
            narrower.append(len(placed) == 1)
    assert sum(narrower) > 200, "nearly all are placed exactly"


def test_the_same_number_has_one_digest_and_another_pepper_another() -> None:
    one, two = phones.placed("+49 151 23456789", PEPPER)[1], phones.placed("+4915123456789", PEPPER)[1]
    assert one == two
    assert phones.placed("+4915123456789", Pepper(b"q" * 32))[1].digest != one.digest
