from __future__ import annotations

import time
from decimal import Decimal

import pytest

from devices import patterns
from devices.patterns import WrongPattern, number, value

BALANCE = "Your balance is 12.50 EUR. Valid until 31.12.2030."


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"balance is ([0-9.,]+)", BALANCE, "12.50"),
        (r"(Valid) until (?P<balance>\d+)", BALANCE, "31"),
        (r"(?i)BALANCE\D+(?P<balance>[\d.,]+)", BALANCE, "12.50"),
        (r"余额：?([0-9.]+)元", "您的余额：8.75元。", "8.75"),
        (r"bonus ([0-9.]+)", BALANCE, None),
        (r"balance is( -[0-9]+)?", BALANCE, None),
        (r"is ([0-9.]+|EUR)", "", None),
    ],
)
def test_a_pattern_finds_a_number(pattern: str, text: str, expected: str | None) -> None:
    assert value(pattern, text) == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("balance is [0-9]+", "Put the number in brackets"),
        ("([0-9]+", "This is no regular expression"),
        (r"(?P<balance>\d+)(?P<balance>\d+)", "This is no regular expression"),
        ("(" * 150 + "1" + ")" * 150 + "{9999999999999999999}", "This is no regular expression"),
    ],
)
def test_what_is_no_pattern_gets_a_sentence(pattern: str, words: str) -> None:
    with pytest.raises(WrongPattern, match=words):
        patterns.find(pattern, BALANCE)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)b", "((a*)*)*b"])
def test_a_pattern_that_takes_for_ever_is_stopped(pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "SECONDS", 1.0)
    begun = time.monotonic()
    with pytest.raises(WrongPattern, match="takes too long"):
        patterns.find(pattern, "a" * 10_000)
    assert time.monotonic() - begun < 10


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert patterns.find("([0-9]+)", "x" * patterns.LONGEST + "7") is None


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("12.50", "", "12.5"),
        ("12,50", "", "12.5"),
        ("1.234,56", "", "1234.56"),
        ("1,234.56", "", "1234.56"),
        ("1 234,5", "", "1234.5"),
        ("1\u202f234.5", "", "1234.5"),
        ("25.000", "", "25000"),
        ("25.000", ".", "25"),
        ("1,250", ",", "1.25"),
        ("0.125", "", "0.125"),
        ("1.234.567", "", "1234567"),
        ("-3", "", "-3"),
        ("\u22120,5", "", "-0.5"),
        ("12.", "", "12"),
        (".5", "", "0.5"),
        ("7", ",", "7"),
        ("", "", None),
        ("EUR", "", None),
        ("1-2", "", None),
        ("٣", "", None),
        ("9" * 40, "", None),
    ],
)
def test_numbers_are_read_in_every_spelling(text: str, decimal: str, expected: str | None) -> None:
    assert number(text, decimal) == (None if expected is None else Decimal(expected))
