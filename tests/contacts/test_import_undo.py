"""Taking an import back: what it brought goes, what others did since stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from contacts import consent, import_undo, importing
from contacts.models import ConsentEvent, Contact, ContactList, Import, Subscription
from tests.contacts.imports import A, B, C, draft, imported, people, plan

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


COLUMNS = ("number", "lists", "unsubscribed", "opted_out")
# somebody is subscribed, somebody unsubscribed, and one is on no list: the file says that all of them want nothing more
FILE = f"{A},,News,yes\n{B},,News,yes\n{C},,News,yes\n+37255500004,,News,yes\n{A},VIP,,\n"


@pytest.fixture
def three(news: ContactList) -> list[Contact]:
    people = [Contact.objects.create(number=number) for number in (A, B, C)]
    consent.subscribe(news, [people[0].pk, people[1].pk], "operator", "alice")
    consent.unsubscribe(news, [people[1].pk], "stop", "message 7")
    return people


def standing() -> list[Any]:
    """Of everybody: whether they opted out, and their places on lists with when, how and by whom."""
    places = Subscription.objects.order_by("pk").values_list("contact", "list", "subscribed", "at", "how", "by")
    return [list(people("opted_out_at")), list(places), list(ContactList.objects.values("pk", "members", "subscribed"))]


@pytest.mark.parametrize("size", [1, 5_000])
@pytest.mark.usefixtures("three")
def test_all_is_as_it_was_before(news: ContactList, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(import_undo, "SLICE", size)
    before = standing()
    run = imported(FILE, *COLUMNS)
    assert [bool(at) for _number, at in people("opted_out_at")] == [True] * 4
    assert sizes(news) == (4, 0) and ContactList.objects.filter(name="VIP").exists()
    undone(run)
    assert standing() == before
    back = ConsentEvent.objects.filter(list=news, what="subscribed").latest("pk")
    assert (back.how, back.reason) == ("import", "The import of “people.csv” was undone.")


def test_who_opted_out_otherwise_too_stays_so(three: list[Contact], news: ContactList) -> None:
    run = imported(FILE, *COLUMNS)
    assert consent.opt_out_numbers([A], "stop", "message 8") == 0
    consent.opt_in([three[1].pk], "operator", "alice")
    consent.opt_out([three[1].pk], "operator", "alice")
    again = imported(f"{C},yes\n", "number", "opted_out")
    for one in (run, again):
        undone(one)
    assert [number for number, at in people("opted_out_at") if at] == [A, B, C]
    assert sizes(news) == (2, 1)


def test_who_changed_their_subscription_since_stays_as_they_are(three: list[Contact], news: ContactList) -> None:
    run = imported(FILE, *COLUMNS)
    anna = three[0].pk
    consent.opt_in([anna], "operator", "alice")
    consent.subscribe(news, [anna], "operator", "alice", resubscribe=True)
    consent.unsubscribe(news, [anna], "link", "")
    undone(run)
    assert Subscription.objects.get(contact=anna, list=news).how == "link"


def test_what_another_import_ended_stays_ended(news: ContactList) -> None:
    first = imported(f"{A},Anna\n", lists=[news.pk])
    second = imported(f"{A},News\n", "number", "unsubscribed")
    undone(first)
    assert list(news.subscriptions.values_list("subscribed", flat=True)) == [False]
    undone(second)
    assert list(news.subscriptions.values_list("subscribed", flat=True)) == [True]


@pytest.mark.parametrize("case", ["used", "wanted", "empty"])
def test_a_list_that_it_made_goes_once_it_is_empty(case: str) -> None:
    run = imported(f"{A},VIP\n", "number", "lists")
    vip = ContactList.objects.get()
    if case == "used":
        consent.subscribe(vip, [Contact.objects.create(number=B).pk], "operator", "alice")
    if case == "wanted":
        importing.begin(draft(f"{B}\n"), plan("number", lists=[vip.pk]))
    undone(run)
    assert ContactList.objects.exists() is (case != "empty")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_nothing_is_left_of_two_imports_that_are_undone(order: Sequence[int]) -> None:
    runs = [imported(f"{A},Anna\n"), imported(f"{A},Ann\n{B},Bob\n", duplicates="update")]
    for place in order:
        undone(runs[place])
    assert people() == ([(A, "Anna")] if order == (0, 1) else [])  # the first left the second's Ann alone
