"""The pages of lists and people."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from contacts import changes, consent
from contacts.models import BulkChange, ConsentEvent, Contact, ContactList, How, Mirror
from tests.base import account, person, signed_in

from .base import a_list, counts, fresh, people

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def client() -> Client:
    return signed_in()


def text_of(client: Client, url: str, **headers: str) -> str:
    response = client.get(url, **headers)  # type: ignore[arg-type]
    assert response.status_code == 200
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", response.text).split()))


def act(client: Client, name: str, ids: list[int], of: ContactList | None = None, **values: Any) -> str:
    """The text of the page that follows."""
    data = {"action": name, "id": ids, "next": f"/lists/{of.pk}/" if of else "/contacts/", **values}
    response = client.post("/contacts/act/", data | ({"list_id": of.pk} if of else {}), follow=True)
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", response.text).split()))


# --- What is shown -------------------------------------------------------------------------------------


def test_empty_pages_say_what_to_do(client: Client) -> None:
    assert "There is no list yet." in text_of(client, "/lists/")
    assert "There are no contacts yet." in text_of(client, "/contacts/")
    assert "Nobody is on this list yet." in text_of(client, f"/lists/{a_list().pk}/")
    assert "Nobody matches these filters." in text_of(client, "/contacts/?q=zzz")


def test_lists_come_with_their_kept_sizes(client: Client) -> None:
    guests = a_list("Guests", people(3))
    ContactList.objects.filter(pk=guests.pk).update(members=1_234_567, subscribed=1_200_000)
    assert "Guests – 1,200,000 34,567 1,234,567" in text_of(client, "/lists/")
    page = text_of(client, f"/lists/{guests.pk}/")
    assert "All 1,234,567 Subscribed 1,200,000 Unsubscribed 34,567 Opted out" in page


def test_a_member_is_shown_with_status_way_and_person(client: Client) -> None:
    ids = people(3)
    guests = a_list(members=ids)
    consent.unsubscribe(guests, ids[:1], How.LINK, "")
    consent.opt_out(ids[1:2], How.STOP, "message 7")
    page = text_of(client, f"/lists/{guests.pk}/")
    assert "+37255500002 Person 2 Subscribed Operator, alice" in page
    assert "+37255500001 Person 1 Opted out" in page and "+37255500000 Person 0 Unsubscribed Link" in page


def test_a_persons_page_tells_everything(client: Client) -> None:
    (pk,) = people(1, fields={"city": "Tartu"}, language="et")
    guests = a_list(members=[pk])
    consent.unsubscribe(guests, [pk], How.OPERATOR, "bob", "Asked on the phone")
    consent.opt_out([pk], How.STOP, "message 7", proof={"text": "STOP"})
    page = text_of(client, f"/contacts/{pk}/")
    for said in (
        "Nobody writes to this number",
        "city Tartu",
        "Language et",
        "Operator, bob: Asked on the phone",
        "“STOP”",
    ):
        assert said in page
    assert 'href="/inbox/number/+37255500000/"' in client.get(f"/contacts/{pk}/").text


def test_what_strangers_wrote_is_escaped(client: Client) -> None:
    evil = "<script>alert(1)</script>"
    row = Contact.objects.create(number="+37255500000", name=evil, fields={evil: evil})
    guests = a_list(evil, [row.pk], description=evil)
    consent.unsubscribe(guests, [row.pk], How.API, evil, evil)
    for url in ("/contacts/", f"/contacts/?q={evil}", f"/contacts/{row.pk}/", f"/contacts/{row.pk}/edit/", "/lists/",
                f"/lists/{guests.pk}/", f"/lists/{guests.pk}/edit/", f"/lists/{guests.pk}/add/"):  # fmt: skip
        page = client.get(url).text
        assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_pages_take_as_many_queries_for_50_rows_as_for_one(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ids = people(1)
    guests = a_list(members=ids)
    consent.opt_out(ids, How.STOP, "")
    for first in (100, 200):
        for url, n in (
            ("/lists/", 3),  # session, user, lists
            ("/contacts/", 5),  # … ids, people, changes
            (f"/lists/{guests.pk}/", 8),  # … list, ids by status, people, places, changes
            (f"/lists/{guests.pk}/?status=subscribed", 7),
            (f"/lists/{guests.pk}/?status=opted_out&q=Person", 9),  # … how far it may look, by status
            (f"/contacts/{Contact.objects.first().pk}/", 5),  # type: ignore[union-attr]
        ):
            with django_assert_num_queries(n):
                client.get(url)
        ids = people(60, first)
        consent.subscribe(guests, ids, How.API, "")
        consent.opt_out(ids[:10], How.STOP, "")


def test_a_change_of_the_search_is_a_fragment(client: Client) -> None:
    guests = a_list(members=people(2))
    for url in ("/contacts/", f"/lists/{guests.pk}/"):
        reply = client.get(f"{url}?q=Person+1", **HTMX)  # type: ignore[arg-type]
        assert "<html" not in reply.text and "Person 1" in reply.text and "Person 0" not in reply.text
        assert reply["HX-Push-Url"] == f"{url}?q=Person+1"


# --- Who may -------------------------------------------------------------------------------------------


def test_who_may_only_look_gets_no_buttons_and_is_refused() -> None:
    ids = people(1)
    guests = a_list(members=ids)
    looker = signed_in(person("eve", "contacts.view_contact"))
    for url in ("/contacts/", "/lists/", f"/lists/{guests.pk}/", f"/contacts/{ids[0]}/"):
        page = looker.get(url).text
        assert 'name="action"' not in page and "/add/" not in page and "/edit/" not in page
    for name in changes.OFFERED:
        response = looker.post("/contacts/act/", {"action": name, "id": ids, "list_id": guests.pk, "sure": 1})
        assert response.status_code == 403
    for url in (
        "/lists/add/",
        f"/lists/{guests.pk}/delete/",
        f"/contacts/{ids[0]}/restore/",
        "/contacts/changes/1/undo/",
    ):
        assert looker.post(url).status_code == 403
    assert counts(guests) == (1, 1)


# --- Lists ---------------------------------------------------------------------------------------------


def test_a_list_is_made_renamed_and_deleted(client: Client) -> None:
    client.post("/lists/add/", {"name": "Guests", "description": "Of the inn"})
    guests = ContactList.objects.get(name="Guests")
    consent.subscribe(guests, people(2), How.API, "")
    again = client.post("/lists/add/", {"name": "Guests"})
    assert "There is a list of that name." in again.text
    client.post(f"/lists/{guests.pk}/edit/", {"name": "Friends", "description": ""})
    assert (fresh(guests).name, counts(guests)) == ("Friends", (2, 2))
    client.post(f"/lists/{guests.pk}/delete/")
    assert not ContactList.objects.exists() and counts(guests) == (0, 0)
    assert client.get(f"/lists/{guests.pk}/").status_code == 404


def test_a_list_is_linked_to_an_account_that_keeps_lists(client: Client) -> None:
    guests, phones, plain = a_list(members=people(2)), account("Phones", "smsgateway"), account("Plain")
    url = f"/lists/{guests.pk}/edit/"
    assert "Which list is it there?" in client.post(url, {"link": 1, "account": phones.pk}).text
    client.post(url, {"link": 1, "account": plain.pk, "remote_id": "17"})
    assert not fresh(guests).mirrored
    client.post(url, {"link": 1, "account": phones.pk, "remote_id": "17", "members": "on"})
    assert fresh(guests).mirrored and Mirror.objects.count() == 2
    assert "Phones is being told of changes to this list." in text_of(client, f"/lists/{guests.pk}/")


def test_what_could_not_be_mirrored_is_seen_and_tried_again(client: Client) -> None:
    guests = a_list(members=people(1), account=account(kind="smsgateway"), remote_id="17")
    Mirror.objects.update(error="The provider refused the message.", next_at=None)
    page = text_of(client, f"/lists/{guests.pk}/")
    assert "+37255500000 Subscribe: The provider refused the message. Not tried again by itself." in page
    client.post(f"/lists/{guests.pk}/mirror/")
    assert Mirror.objects.get().next_at


@pytest.mark.parametrize(
    ("before", "resubscribe", "said"),
    [
        ("nobody", False, "+37255500000 is new, and on the list."),
        ("known", False, "Person 0 was known already, and is on the list now."),
        ("member", False, "Person 0 is on the list already."),
        ("unsubscribed", False, "Person 0 unsubscribed from this list, and was left as they are."),
        ("unsubscribed", True, "Person 0 is subscribed again."),
        ("opted out", True, "Person 0 opted out of everything: nobody writes to them."),
    ],
)
def test_adding_a_person_says_what_became_of_them(client: Client, before: str, resubscribe: bool, said: str) -> None:
    guests = a_list()
    ids = people(0 if before == "nobody" else 1)
    if before in ("member", "unsubscribed", "opted out"):
        consent.subscribe(guests, ids, How.API, "")
    if before in ("unsubscribed", "opted out"):
        consent.unsubscribe(guests, ids, How.LINK, "")
    if before == "opted out":
        consent.opt_out(ids, How.STOP, "")
    data = {"number": "00372 555 00000", "name": ""} | ({"resubscribe": "on"} if resubscribe else {})
    response = client.post(f"/lists/{guests.pk}/add/", data, follow=True)
    assert said in html.unescape(response.text)
    assert Contact.objects.filter(opted_out_at__isnull=False).exists() == (before == "opted out")


# --- People --------------------------------------------------------------------------------------------


def typed(**values: Any) -> dict[str, Any]:
    return {"number": "+37255500000", "name": "Ada", "language": "", "zone": "", "key": [], "value": [], **values}


def test_a_person_is_added_and_edited_with_free_fields(client: Client) -> None:
    client.post("/contacts/add/", typed(number="+372 5550 0000", key=["city", " "], value=["Tartu", "x"]))
    row = Contact.objects.get()
    assert (row.number, row.name, row.fields) == ("+37255500000", "Ada", {"city": "Tartu"})
    data = typed(zone="Europe/Tallinn", key=["", "seat"], value=["Tartu", "12B"])
    client.post(f"/contacts/{row.pk}/edit/", data)
    row.refresh_from_db()
    assert (row.zone, row.fields) == ("Europe/Tallinn", {"seat": "12B"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"number": "banana"}, "There is no phone number in it."),
        ({"number": "+37255500001"}, "There is a contact with this number. Search for it, and change it there."),
        ({"number": ""}, "Fill in “Number”."),
        ({"language": "<b>"}, "Write a language as et or pt-BR."),
        ({"key": ["1st"], "value": ["x"]}, "“1st” cannot name a field."),
        ({"key": ["Name"], "value": ["x"]}, "Every contact has “Name” anyway."),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_sentence(client: Client, values: dict[str, Any], said: str) -> None:
    people(1, first=1)
    response = client.post("/contacts/add/", typed(**values))
    assert response.status_code == 200 and said in html.unescape(response.text)
    assert Contact.objects.count() == 1


def test_opting_in_takes_a_reason(client: Client) -> None:
    ids = people(1)
    consent.opt_out(ids, How.STOP, "")
    assert "How and when did they ask?" in act(client, "opt_in", ids)
    assert "Write how and when they asked for it." in act(client, "opt_in", ids, sure=1)
    assert "1 person can be written to again." in act(client, "opt_in", ids, sure=1, reason="By mail")
    assert ConsentEvent.objects.get(what="opted_in").reason == "By mail"


def test_a_removal_is_taken_back_from_the_persons_page(client: Client) -> None:
    ids = people(1)
    guests = a_list("Guests", ids)
    client.post("/contacts/act/", {"action": "remove", "id": ids, "list_id": guests.pk, "next": f"/contacts/{ids[0]}/"})
    page = client.get(f"/contacts/{ids[0]}/").text
    event = re.search(r'name="event" value="(\d+)"', page)
    assert event and counts(guests) == (0, 0)
    assert client.post(f"/contacts/{ids[0]}/restore/", {"event": "x"}).status_code == 404
    client.post(f"/contacts/{ids[0]}/restore/", {"event": event[1]})
    assert counts(guests) == (1, 1)
    assert 'name="event"' not in client.get(f"/contacts/{ids[0]}/").text


# --- Many ----------------------------------------------------------------------------------------------


def test_the_selected_are_unsubscribed_with_a_reason(client: Client) -> None:
    ids = people(3)
    guests = a_list(members=ids)
    assert "2 people." in act(client, "unsubscribe", ids[:2], guests)
    assert counts(guests) == (3, 3)
    page = act(client, "unsubscribe", ids[:2], guests, sure=1, reason="Asked")
    assert "2 people are unsubscribed." in page and counts(guests) == (3, 1)
    assert ConsentEvent.objects.filter(reason="Asked", by="admin").count() == 2


def test_the_removed_are_told_with_a_way_back(client: Client) -> None:
    ids = people(3)
    guests = a_list(members=ids)
    page = act(client, "remove", ids[:2], guests)
    assert page.count("2 people are off the list.") == 1 and "Undo" in page
    client.post(f"/contacts/changes/{BulkChange.objects.get().pk}/undo/")
    assert text_of(client, f"/lists/{guests.pk}/").count("2 people are on the list again.") == 1
    assert counts(guests) == (3, 3)


def test_a_whole_filter_is_asked_about_and_begun(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "AT_ONCE", 5)
    ids = people(12)
    guests = a_list(members=ids)
    consent.unsubscribe(guests, ids[:2], How.LINK, "")
    asked = act(client, "remove", ids[5:6], guests, whole=1, filters="status=subscribed")
    assert "10 people." in asked and counts(guests) == (12, 10)
    page = act(client, "remove", [], guests, whole=1, filters="status=subscribed", sure=1)
    assert "In the works: 5 of 10." in page and "Stop" in page
    fragment = text_of(client, f"/contacts/changes/?list={guests.pk}")
    assert "In the works: 5 of 10." in fragment and "smsdash" not in fragment
    client.post(f"/contacts/changes/{BulkChange.objects.get().pk}/stop/")
    assert "Stopped by admin." in text_of(client, f"/lists/{guests.pk}/")


@pytest.mark.parametrize("data", [{}, {"action": "drop"}, {"action": "restore"}, {"action": "unsubscribe", "sure": 1}])
def test_nonsense_does_nothing(client: Client, data: dict[str, Any]) -> None:
    ids = people(1)
    response = client.post("/contacts/act/", {"id": [*ids, "x", "9" * 30], "next": "https://evil.example/", **data})
    assert response["Location"] == "/contacts/" and not BulkChange.objects.exists()


def test_nobody_selected_is_said(client: Client) -> None:
    assert "Nobody was selected." in act(client, "opt_out", [], sure=1)
