from __future__ import annotations

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from contacts.models import Contact
from contacts.recipients import CHUNK, choose

pytestmark = pytest.mark.django_db

A, B, OUT = "+37255512345", "+12125551234", "+37255512399"


@pytest.fixture(autouse=True)
def somebody_opted_out() -> None:
    Contact.objects.create(number=OUT, opted_out_at=timezone.now())
    Contact.objects.create(number=B)


def test_it_keeps_each_number_once_in_order() -> None:
    found = choose(f"{B}\n{A}, +1 (212) 555-1234\n{A}\n{A}", None)
    assert found.kept == (B, A)
    assert found.duplicates == 3
    assert {(d.number, d.line, d.times) for d in found.dropped} == {(A, 2, 2), (B, 1, 1)}


def test_it_leaves_out_who_opted_out_and_says_so() -> None:
    found = choose(f"{A}\n+372 5551 2399", None)
    (dropped,) = found.opted_out
    assert found.kept == (A,)
    assert (dropped.number, dropped.line, dropped.reason) == (OUT, 2, "opted_out")
    assert "opted out" in str(dropped.sentence)


def test_it_names_what_is_no_number_with_its_line() -> None:
    (dropped,) = choose(f"{A}\nbanana\n{B}", None).rejected
    assert (dropped.text, dropped.number, dropped.line, dropped.reason) == ("banana", None, 2, "no_number")
    assert str(dropped.sentence) == "There is no phone number in it."


def test_an_opted_out_number_is_nothing_to_mend() -> None:
    assert choose(OUT, None).rejected == []


def test_it_flags_unlikely_numbers_and_keeps_them() -> None:
    found = choose(f"+99912345678\n{A}", None)
    assert found.unlikely == ("+99912345678",)
    assert found.kept == ("+99912345678", A)


@pytest.mark.parametrize(("allowed", "kept"), [(True, ("5551",)), (False, ())])
def test_short_codes_are_for_accounts_that_can_send_to_them(allowed: bool, kept: tuple[str, ...]) -> None:
    assert choose("5551", None, short_codes=allowed).kept == kept


def test_the_region_reads_numbers_typed_without_a_country() -> None:
    assert choose("5551 2345", "EE").kept == (A,)


@pytest.mark.parametrize("pasted", ["", " \n\t ", ",,;"])
def test_nothing_pasted_is_nobody(pasted: str) -> None:
    found = choose(pasted, None)
    assert (found.kept, found.dropped, found.unlikely) == ((), (), ())


def test_it_asks_once_for_thousands_of_numbers(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    pasted = "\n".join(f"+3725{number:07d}" for number in range(CHUNK + 1))
    with django_assert_num_queries(2):
        assert len(choose(pasted, None).kept) == CHUNK + 1
