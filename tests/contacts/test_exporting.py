"""Contacts as CSV: streamed, safe to open in a spreadsheet, and taken back without loss."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts import consent, exporting, import_files, importing
from contacts.directory import Filters
from contacts.import_forms import Reading
from contacts.import_rows import unguarded
from contacts.models import Contact, ContactList, Import, Subscription
from tests.base import person, signed_in

A, B, C = "+37255500001", "+37255500002", "+37255500003"


def table(filters: Filters | None = None) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(exporting.lines(filters or Filters())), newline="")))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2", "'-2"),
        ("\tx", "'\tx"),
        ("'=1", "''=1"),
        ("+4912345", "'+4912345"[1:]),
        ("+491 2345", "'+491 2345"),
        ("+491234567+1", "'+491234567+1"),
        ("O'Brian", "O'Brian"),
        ("'quoted'", "'quoted'"),
        ("", ""),
    ],
)
def test_formulas_are_defused_and_numbers_are_not_harmed(cell: str, expected: str) -> None:
    assert exporting.guarded(cell) == expected


@given(st.text(st.sampled_from("'=+-@\t1a")))
def test_what_is_guarded_can_be_had_back(text: str) -> None:
    guarded = exporting.guarded(text)
    assert unguarded(guarded) == text
    assert guarded[:1] not in ("=", "-", "@", "\t")


@pytest.fixture
def people(db: None) -> list[Contact]:
    news, vip = (ContactList.objects.create(name=name) for name in ("News; daily", "=VIP"))
    anna = Contact.objects.create(
        number=A, name="=Änna 王", language="et", zone="Europe/Tallinn", fields={"city": "Tartu\nEesti", "phone": "'-1"}
    )
    bob, carl = Contact.objects.create(number=B, name="O'Bob"), Contact.objects.create(number=C, fields={"team": "+3"})
    consent.subscribe(news, [anna.pk, bob.pk], "operator", "me")
    consent.subscribe(vip, [anna.pk], "operator", "me")
    consent.unsubscribe(news, [bob.pk], "stop", "")
    consent.opt_out([carl.pk], "stop", "")
    return [anna, bob, carl]


def known() -> list[object]:
    rows: list[object] = list(
        Contact.objects.order_by("number").values_list("number", "name", "language", "zone", "fields")
    )
    places = Subscription.objects.order_by("contact__number", "list__name")
    rows += places.values_list("contact__number", "list__name", "subscribed")
    rows += Contact.objects.filter(opted_out_at__isnull=False).values_list("number", flat=True)
    return rows + list(ContactList.objects.order_by("name").values_list("name", "members", "subscribed"))


def test_an_export_comes_in_again_without_loss(people: list[Contact]) -> None:
    before, text = known(), "\ufeff" + "".join(exporting.lines(Filters()))
    consent.forget([each.pk for each in people])
    Contact.objects.all().delete()
    ContactList.objects.all().delete()
    run = import_files.receive("contacts.csv", io.BytesIO(text.encode()))
    importing.begin(run, Reading.guessed(run).plan_with("", "skip", []))
    list(importing.run_here(run))
    assert Import.objects.get().added == 3
    assert known() == before


def test_a_list_is_exported_alone(people: list[Contact]) -> None:
    rows = table(Filters(list=ContactList.objects.get(name="=VIP")))
    assert [row[0] for row in rows] == ["number", A]
    assert [row[0] for row in table(Filters(status="opted_out"))] == ["number", C]


def test_it_goes_on_after_a_slice(people: list[Contact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "SLICE", 1)
    assert [row[0] for row in table()] == ["number", C, B, A]


@pytest.mark.django_db
def test_the_download_takes_the_right_to_see_contacts(people: list[Contact]) -> None:
    response = signed_in(person("alice", "contacts.view_contact")).get("/contacts/export/?status=opted_out")
    body = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    assert body.splitlines()[1].startswith(C)
    assert response["content-disposition"].startswith('attachment; filename="contacts-')
    assert signed_in(person("bob")).get("/contacts/export/").status_code == 403
    assert signed_in(person("carl", "contacts.view_contact")).get("/lists/0/export/").status_code == 404
