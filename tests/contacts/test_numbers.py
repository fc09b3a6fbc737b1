from __future__ import annotations

import time

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneNumberType

from contacts.numbers import REASONS, NumberError, Refusal, parse_number, parse_numbers
from contacts.plans import is_likely, without_trunk_prefix

EE, EE2, US = "+37255512345", "+37255598765", "+12125551234"


@pytest.mark.parametrize("number", ["+11234567890", "+1234567890", "+9876543210"])
def test_it_keeps_the_providers_own_examples_and_flags_them(number: str) -> None:
    parsed = parse_numbers(number)
    assert (parsed.numbers, parsed.unlikely, parsed.rejected) == ([number], [number], ())


@pytest.mark.parametrize("region", [None, "US", "EE", "GB"])
def test_it_reads_bare_digits_of_a_likely_number_as_international(region: str | None) -> None:
    parsed = parse_numbers("12812345678", region)
    assert (parsed.numbers, parsed.unlikely) == (["+12812345678"], [])


@pytest.mark.parametrize(
    "pasted",
    [
        "+1 (212) 555-1234",
        "+1.212.555.1234",
        "(+1) 212 555 1234",
        "+(1)212/555-1234",
        "+ 1 212 555 1234",
        "1 212 555 1234",
        "12125551234",
        "0012125551234",
        "00 1 212 555 1234",
        "+0012125551234",
        "tel:+1-212-555-1234",
        '"+1 212 555 1234"',
        "\ufeff\u202a+1\u00a0212\u2011555\u20111234\u202c",
        "\uff0b\uff11\uff08\uff12\uff11\uff12\uff09\uff15\uff15\uff15\uff0d\uff11\uff12\uff13\uff14",
        "+\u0661\u0662\u0661\u0662\u0665\u0665\u0665\u0661\u0662\u0663\u0664",
        "12125551234.0",
    ],
)
def test_it_reads_one_number_in_any_spelling(pasted: str) -> None:
    parsed = parse_numbers(pasted)
    assert (parsed.numbers, parsed.unlikely, parsed.rejected) == ([US], [], ())


@pytest.mark.parametrize(
    ("pasted", "region", "number"),
    [
        ("555 12345", "EE", EE),
        ("5551 2345", "ee", EE),
        ("37255512345", "EE", EE),
        ("(212) 555-1234", "US", US),
        ("1 212 555 1234", "US", US),
        ("011 372 55512345", "US", EE),
        ("07911 123456", "GB", "+447911123456"),
        ("+44 (0)7911 123456", None, "+447911123456"),
        ("+4407911123456", None, "+447911123456"),
        ("0171/1234567", "DE", "+491711234567"),
        ("491711234567", "DE", "+491711234567"),
        ("04917 1234567", "DE", "+4949171234567"),
        ("4971 12345", "DE", "+49497112345"),
        ("393331234567", "IT", "+393331234567"),
        ("3931234567", "IT", "+393931234567"),
        ("8 912 345-67-89", "RU", "+79123456789"),
        ("06 698 1234", "IT", "+39066981234"),
        ("21 12 34", "FO", "+298211234"),
        ("+1 200 200 0100", None, "+12002000100"),
        ("+44 7900 000000", None, "+447900000000"),
    ],
)
def test_it_brings_a_typed_number_to_e164(pasted: str, region: str | None, number: str) -> None:
    parsed = parse_numbers(pasted, region)
    assert (parsed.numbers, parsed.rejected) == ([number], ())


@pytest.mark.parametrize(
    "pasted",
    [
        f"{EE}\n{EE2}",
        f"{EE}\r\n\r\n  {EE2}  \r\n",
        f"{EE},{EE2},",
        f"{EE} ; {EE2}",
        f"{EE}\t{EE2}",
        f"{EE}|{EE2}",
        f"{EE}\uff0c{EE2}",
        f"{EE}\u060c {EE2}",
        f"{EE} {EE2}",
        f"{EE}{EE2}",
        "+372 555 12345 +372 555 98765",
        "37255512345 37255598765",
        "+37255512345 37255598765",
        "0037255512345 0037255598765",
        "+372 5551-2345 / +372 5559-8765",
    ],
)
def test_it_finds_two_numbers(pasted: str) -> None:
    parsed = parse_numbers(pasted)
    assert (parsed.numbers, parsed.rejected) == ([EE, EE2], ())


@pytest.mark.parametrize(
    ("pasted", "region", "numbers"),
    [
        ("5551234 5559876", "EE", ["+3725551234", "+3725559876"]),
        ("2125551234 2125559876", "US", ["+12125551234", "+12125559876"]),
        ("+37255512345 55598765", "EE", [EE, EE2]),
        ("+29022158 5112345", "EE", ["+29022158", "+3725112345"]),
        ("212 555 1234", "US", [US]),
        ("212 5551234", "US", [US]),
    ],
)
def test_it_parts_national_numbers_at_spaces_only_where_they_are_whole(
    pasted: str, region: str, numbers: list[str]
) -> None:
    assert parse_numbers(pasted, region).numbers == numbers


@pytest.mark.parametrize(
    "pasted",
    [
        f"Anna <{EE}>",
        f'"Tamm, Anna" <{EE}>',
        "Anna +372 555 12345",
        f"Anna: {EE}",
        f"Anna{EE}",
        f"{EE} (Anna, work)",
        f"Anna-Maria - {EE}",
        f"Agent 007 <{EE}>",
        f"Anna Tamm\tPikk 12\t{EE}",
        "Anna 37255512345",
        f"Анна {EE}",
        f"Max {EE}",
    ],
)
def test_it_takes_the_number_out_of_the_words_around_it(pasted: str) -> None:
    parsed = parse_numbers(pasted)
    assert (parsed.numbers, parsed.rejected) == ([EE], ())


def test_it_takes_every_number_with_a_plus_among_words() -> None:
    assert parse_numbers(f"Anna {EE} Bob {EE2}").numbers == [EE, EE2]
    assert parse_numbers(f"Anna <{EE}> Bob <{EE2}>").numbers == [EE, EE2]


@pytest.mark.parametrize(
    ("pasted", "region", "refusal"),
    [
        ("Anna", None, Refusal.NO_NUMBER),
        ("-", None, Refusal.NO_NUMBER),
        ("Room 5", None, Refusal.NO_NUMBER),
        ("1-800-FLOWERS", None, Refusal.NO_NUMBER),
        ("*100#", None, Refusal.NO_NUMBER),
        ("https://example.com/37255512345", None, Refusal.NO_NUMBER),
        ("anna37255512345", None, Refusal.NO_NUMBER),
        ("anna+37255512345@example.com", None, Refusal.NO_NUMBER),
        ("37255512345@example.com", None, Refusal.NO_NUMBER),
        (f"order 1234567 for {EE}", None, Refusal.SEVERAL),
        ("call 37255512345 or 37255598765", None, Refusal.SEVERAL),
        (f"{EE};ext=5", None, Refusal.EXTENSION),
        (f"{EE}, ext. 5", None, Refusal.EXTENSION),
        (f"{EE} x5", None, Refusal.EXTENSION),
        (f"{EE}#5", None, Refusal.EXTENSION),
        ("3.72555E+11", None, Refusal.ROUNDED),
        ("3,72555E+11", "DE", Refusal.ROUNDED),
        ("3.72555e11", None, Refusal.ROUNDED),
        ("+123456", None, Refusal.TOO_SHORT),
        ("12", None, Refusal.TOO_SHORT),
        ("+1234567890123456", None, Refusal.TOO_LONG),
        ("1" * 300, "US", Refusal.TOO_LONG),
        ("212 555 1234 212 555 9876", "US", Refusal.TOO_LONG),
        ("+01234567890", None, Refusal.BAD_COUNTRY),
        ("1234567890", None, Refusal.NO_COUNTRY),
        ("555 12345", None, Refusal.NO_COUNTRY),
        ("555-1234", "US", Refusal.NO_AREA),
        ("5551234567899", "US", Refusal.TOO_LONG),
        ("5551 2345 5559 8765", "EE", Refusal.TOO_LONG),
        ("0", "EE", Refusal.TOO_SHORT),
        ("12345", None, Refusal.SHORT_CODE),
        ("12345", "US", Refusal.SHORT_CODE),
    ],
)
def test_it_refuses_with_a_reason(pasted: str, region: str | None, refusal: Refusal) -> None:
    parsed = parse_numbers(f"\n {pasted} ", region)
    assert parsed.numbers == []
    (rejected,) = parsed.rejected
    assert (rejected.text, rejected.line, rejected.refusal) == (pasted, 2, refusal)
    assert str(rejected.reason).endswith(".")


def test_every_refusal_has_a_sentence() -> None:
    assert set(REASONS) == set(Refusal)


def test_a_refused_entry_does_not_take_its_neighbours_with_it() -> None:
    parsed = parse_numbers(f"{EE}, 12, Anna\n{EE2} 5\nBob\n+372 55512346 +12")
    assert parsed.numbers == [EE, "+372555987655", "+37255512346"]
    assert parsed.unlikely == ["+372555987655"]
    assert [(each.text, each.line) for each in parsed.rejected] == [
        ("12", 1),
        ("Anna", 1),
        ("Bob", 3),
        ("+12", 4),
    ]


def test_words_in_cells_beside_a_number_are_no_refused_entries() -> None:
    parsed = parse_numbers(f"Name\tPhone\nAnna\tTamm\t{EE}\nBob37255598765\t{EE}")
    assert [each.text for each in parsed.rejected] == ["Name", "Phone", "Bob37255598765"]


def test_it_keeps_short_codes_where_the_account_can_send_to_them() -> None:
    parsed = parse_numbers("123, 123456, 12 345, 12, 1234567\nRoom 404", short_codes=True)
    assert parsed.numbers == ["123", "123456", "12345"]
    assert parsed.unlikely == []
    assert [each.refusal for each in parsed.rejected] == ["too_short", "no_country", "no_number"]


def test_it_counts_duplicates_and_keeps_the_first_place() -> None:
    parsed = parse_numbers(f"{EE2}\n{EE}\n+372 555 12345, 0037255512345\n{EE2}")
    assert [(kept.number, kept.line) for kept in parsed.kept] == [(EE2, 1), (EE, 2)]
    assert (parsed.duplicates, parsed.duplicate_count) == ({EE: 2, EE2: 1}, 3)


@pytest.mark.parametrize("pasted", ["", " \n\t\n", ",;|"])
def test_an_empty_paste_holds_nothing(pasted: str) -> None:
    parsed = parse_numbers(pasted)
    assert (parsed.kept, parsed.duplicates, parsed.rejected) == ((), {}, ())


def test_it_refuses_a_region_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="two letters"):
        parse_numbers(EE, "XX")


def test_it_reads_one_number_for_a_form_field() -> None:
    assert parse_number(" 555 12345 ", "EE").number == EE
    assert parse_number("+1234567890").unlikely
    for text, sentence in {f"{EE} {EE2}": "more than one", "": "no phone number", "+12": "too short"}.items():
        with pytest.raises(NumberError, match=sentence):
            parse_number(text)


@given(st.text(max_size=200) | st.text(st.sampled_from("+0123456789 ()-.,;\n<>xeE#Anna\u0661"), max_size=120))
def test_any_paste_is_read_without_a_fault(pasted: str) -> None:
    for region, short_codes in ((None, False), ("EE", True)):
        parsed = parse_numbers(pasted, region, short_codes=short_codes)
        assert len(set(parsed.numbers)) == len(parsed.numbers)
        assert all(phone.lstrip("+").isdigit() and phone.isascii() for phone in parsed.numbers)
        assert all(each.text in pasted or each.text.strip("+0123456789 ") == "" for each in parsed.rejected)
        again = parse_numbers("\n".join(parsed.numbers), region, short_codes=short_codes)
        assert (again.numbers, again.rejected) == (parsed.numbers, ())


def test_a_hundred_thousand_numbers_are_read_while_a_person_waits() -> None:
    pasted = "\n".join(f"+37255{number:06d}" for number in range(100_000))
    started = time.process_time()
    assert len(parse_numbers(pasted).kept) == 100_000
    assert time.process_time() - started < 15  # 0.4 s on an idle core


# -- numbering plans, against phonenumbers itself --


def by_the_library(code: int, national: str) -> bool:
    zeros = len(national) - len(national.lstrip("0"))
    number = phonenumbers.PhoneNumber(
        code, int(national), italian_leading_zero=bool(zeros), number_of_leading_zeros=zeros or None
    )
    return phonenumbers.is_valid_number(number)


@pytest.mark.parametrize("code", sorted(COUNTRY_CODE_TO_REGION_CODE))
def test_the_example_numbers_of_every_country_are_likely(code: int) -> None:
    for region in COUNTRY_CODE_TO_REGION_CODE[code]:
        for kind in PhoneNumberType.values():
            if example := phonenumbers.example_number_for_type(region, kind):
                assert is_likely(phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164))


@given(st.sampled_from(sorted(COUNTRY_CODE_TO_REGION_CODE)), st.from_regex(r"[0-9]{0,11}[1-9]", fullmatch=True))
def test_it_calls_likely_what_the_library_calls_valid(code: int, national: str) -> None:
    assert is_likely(f"+{code}{national}") == by_the_library(code, national)


@pytest.mark.parametrize("number", ["+", "+0", "+210555555", "+999123456789", "+15555555555", "+123"])
def test_it_calls_unlikely_what_no_plan_has(number: str) -> None:
    assert not is_likely(number)
    assert without_trunk_prefix(number) == number
