"""Taking an import back: what it brought goes, what others did since stays."""

from __future__ import annotations

import pytest

from contacts import consent, import_undo, importing
from contacts.models import Contact, ContactList, Import
from tests.contacts.imports import A, B, C, imported, people

pytestmark = pytest.mark.django_db


def undone(run: Import) -> Import:
    assert importing.undo(run)
    return list(importing.run_here(run))[-1]


@pytest.fixture
def news() -> ContactList:
    return ContactList.objects.create(name="News")


def sizes(of: ContactList) -> tuple[int, int]:
    of.refresh_from_db()
    return of.members, of.subscribed


@pytest.mark.parametrize("size", [1, 5_000])
def test_contacts_and_their_places_are_gone(news: ContactList, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(import_undo, "SLICE", size)
    old = Contact.objects.create(number=C, name="Carl")
    run = undone(imported(f"{A},Anna\n{B},Bob\n{C},Carlos\n", lists=[news.pk], duplicates="update"))
    assert run.state == "undone"
    assert people() == [(C, "Carl")]
    assert sizes(news) == (0, 0) and not old.subscriptions.exists()
    assert not importing.undo(run)


def test_who_was_on_the_list_before_stays_on_it(news: ContactList) -> None:
    anna = Contact.objects.create(number=A)
    consent.subscribe(news, [anna.pk], "operator", "me")
    undone(imported(f"{A},Anna\n{B},Bob\n", lists=[news.pk]))
    assert people("name") == [(A, "")]
    assert sizes(news) == (1, 1)


def test_only_values_that_nobody_changed_since_are_given_back() -> None:
    Contact.objects.create(number=A, name="Anna", fields={"city": "Tartu"})
    run = imported(f"{A},Ann,Tallinn\n{A},Annie,Narva\n", "number", "name", "field:city", duplicates="update")
    Contact.objects.update(name="Anne")
    undone(run)
    assert people("name", "fields") == [(A, "Anne", {"city": "Tartu"})]


def test_contacts_with_which_others_have_to_do_stay(news: ContactList) -> None:
    run = imported(f"{A},Anna\n{B},Bob\n{C},Carl\n+37255500004,Dora\n", lists=[news.pk])
    anna, bob, carl, _dora = Contact.objects.order_by("number")
    other = ContactList.objects.create(name="Other")
    consent.subscribe(other, [anna.pk], "operator", "me")
    consent.unsubscribe(news, [bob.pk], "stop", "")
    consent.opt_out([carl.pk], "stop", "")
    undone(run)
    assert people() == [(A, "Anna"), (B, "Bob"), (C, "Carl")]
    assert sizes(other) == (1, 1)
    assert list(news.subscriptions.values_list("contact__number", "subscribed")) == [(B, False)]
    assert Contact.objects.get(number=C).opted_out_at


def test_an_opt_out_that_the_file_brought_stays() -> None:
    undone(imported(f"{A},Anna,yes\n", "number", "name", "opted_out"))
    assert [bool(at) for _number, at in people("opted_out_at")] == [True]


def test_what_two_imports_brought_goes_with_the_second_undo() -> None:
    first = imported(f"{A},Anna\n")
    second = imported(f"{A},Ann\n{B},Bob\n", duplicates="update")
    undone(first)
    assert people() == [(A, "Ann"), (B, "Bob")]
    undone(second)
    assert people() == [(A, "Anna")]
