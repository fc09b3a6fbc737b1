from __future__ import annotations

import time

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

from contacts.plans import region_of, regions
from contacts.zones import _table, zones_of

pytestmark = pytest.mark.once


def names(number: str) -> list[str]:
    return [zone.key for zone in zones_of(number)]


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        ("+37255512345", ["Europe/Tallinn"]),
        ("+442071838750", ["Europe/London"]),
        ("+447911123456", ["Europe/Guernsey"]),
        ("+18764123456", ["America/Jamaica"]),
        ("+1876", ["America/Jamaica"]),
        ("+819012345678", ["Asia/Tokyo"]),
        ("+351912345678", ["Europe/Lisbon", "Atlantic/Madeira", "Atlantic/Azores"]),
        ("+358401234567", ["Europe/Helsinki"]),
        ("+38344123456", ["Europe/Belgrade"]),
        ("+2908123", ["Atlantic/St_Helena"]),
        ("+80012345678", []),
        ("+881612345678", []),
        ("+9991234567", []),
        ("5551", []),
        ("+", []),
        ("", []),
    ],
)
def test_a_number_tells_where_its_country_lives(number: str, zones: list[str]) -> None:
    assert names(number) == zones


@pytest.mark.parametrize(
    ("number", "has", "has_not"),
    [
        ("+12125551234", {"America/New_York", "Pacific/Honolulu"}, {"America/Toronto"}),
        ("+14165551234", {"America/Toronto", "America/Vancouver"}, {"America/New_York"}),
        ("+19995551234", {"America/New_York"}, {"America/Toronto"}),  # in no plan: the first country
        ("+79161234567", {"Europe/Moscow", "Asia/Vladivostok"}, {"Asia/Almaty"}),
        ("+77012345678", {"Asia/Almaty"}, {"Europe/Moscow"}),
    ],
)
def test_countries_that_share_a_code_are_told_apart(number: str, has: set[str], has_not: set[str]) -> None:
    assert has <= set(names(number)) and not has_not & set(names(number))


@pytest.mark.parametrize("code", sorted(COUNTRY_CODE_TO_REGION_CODE))
def test_every_country_that_has_numbers_has_a_zone(code: int) -> None:
    for region in COUNTRY_CODE_TO_REGION_CODE[code]:
        example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
        example = example or phonenumbers.example_number(region)
        if example:
            assert names(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)), region


@given(st.from_regex(r"\+1[2-9][0-9]{9}", fullmatch=True) | st.from_regex(r"\+(7|44|599)[0-9]{7,10}", fullmatch=True))
@example("+12642351234")
def test_it_finds_the_region_that_the_plans_tell(number: str) -> None:
    expected = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    if expected is not None:
        assert region_of(number) == expected
        assert [zone.key for zone in zones_of(number)] == _table()[expected]
    assert region_of(number) in (None, *regions(number[1:4]))


def test_it_is_quick_for_many_numbers() -> None:
    numbers = [f"+1{201 + n % 700}5{n % 100:02d}{n % 10_000:04d}" for n in range(100_000)]
    zones_of(numbers[0])
    start = time.process_time()
    for number in numbers:
        zones_of(number)
    assert time.process_time() - start < 5  # 0.1 s on an idle core
