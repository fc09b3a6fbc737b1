"""From the compose form to lists by way of the last look: who, what it takes, how it reads, and only then Send."""

from __future__ import annotations

import html
import re
import time
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from contacts import consent
from contacts.models import Contact, ContactList, How
from messaging import audience, ledger
from messaging.models import Campaign, Message, Route, RouteMember
from providers.models import ProviderAccount
from tests.base import account, administrator, person, signed_in
from tests.contacts.base import a_list, fresh, people
from tests.forms import Forms

pytestmark = pytest.mark.django_db
URL = "/compose/"
A, B = "+37255512345", "+12125551234"
WRITER = ("messaging.add_message", "messaging.view_message", "contacts.view_contact")


@pytest.fixture
def main() -> ProviderAccount:
    return account(sender="Shop", credits=1000, credits_seen_at=timezone.now())


@pytest.fixture
def client() -> Client:
    return signed_in(administrator())


@pytest.fixture
def guests() -> ContactList:
    return a_list(members=people(5))


def typed(main: ProviderAccount | Route, *lists: ContactList, **changes: Any) -> dict[str, Any]:
    through = f"route:{main.pk}" if isinstance(main, Route) else main.pk
    chosen = [str(each.pk) for each in lists]
    fields = {"token": str(uuid.uuid4()), "account": through, "numbers": "", "text": "Hello", "zone": "UTC"}
    return {**fields, "lists": chosen, **changes}


def looked(client: Client, values: dict[str, Any]) -> str:
    """The page to look it over, as words. Nothing is sent yet."""
    reply = client.post(URL, values)
    assert reply.status_code == 200
    assert Campaign.objects.count() == 0
    return words(reply.text)


def words(page: str) -> str:
    main = page[page.index("<main") : page.index("</main>")]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def press(client: Client, page: Any, **more: str) -> Any:
    """Press Send on the page, or with a name and value another of its buttons."""
    fields: dict[str, Any] = {"seen": page.context["flight"].reach.kept}
    for name, value in page.context["kept_fields"]:
        fields.setdefault(name, []).append(value)
        assert f'name="{name}"' in page.text
    return client.post(URL, {**fields, **more})


# --- Who gets it ---------------------------------------------------------------------------------------


def test_lists_and_numbers_go_together_each_person_once(
    client: Client, main: ProviderAccount, guests: ContactList
) -> None:
    ids = list(guests.contacts.order_by("pk").values_list("pk", flat=True))
    more = a_list("More", ids[:2] + people(3, first=10))
    out, gone = ids[4], ids[3]
    consent.opt_out([out], How.STOP, "x")
    consent.unsubscribe(guests, [gone], How.OPERATOR, "alice")
    first = Contact.objects.get(pk=ids[0]).number
    page = looked(client, typed(main, fresh(guests), fresh(more), numbers=f"{A}\n{A}\n{first}\nbanana", leave_out="2"))
    # typed: A and one who is on both lists; lists: three subscribed guests, two of them on the other, and three more
    assert "Look it over" in page
    assert "People 7 7 left out" in page and "Send to 7 people" in page
    assert "1 opted out of everything 1 unsubscribed 4 there more than once" in page  # A, the typed guest, two on both
    assert "1 not a number" in page


def test_what_is_shown_is_what_the_campaign_does(client: Client, main: ProviderAccount, guests: ContactList) -> None:
    ids = list(guests.contacts.order_by("pk").values_list("pk", flat=True))
    more = a_list("More", ids[:3] + people(4, first=10))
    consent.opt_out(ids[:1], How.STOP, "x")
    consent.unsubscribe(guests, ids[1:3], How.OPERATOR, "alice")
    consent.unsubscribe(more, ids[2:3], How.OPERATOR, "alice")
    values = typed(main, fresh(guests), fresh(more), numbers=f"{A}\n{Contact.objects.get(pk=ids[2]).number}")
    reply = client.post(URL, values)
    shown = reply.context["flight"].reach
    assert press(client, reply).status_code == 302
    campaign = Campaign.objects.get()
    assert Message.objects.filter(campaign=campaign).count() == shown.kept == 9
    skipped = {"opted_out": shown.opted_out, "unsubscribed": shown.unsubscribed, "duplicate": shown.duplicates}
    assert campaign.skipped == {reason: n for reason, n in skipped.items() if n}


def test_big_lists_are_counted_to_the_last_once_the_page_is_there(
    client: Client, main: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audience, "QUICK", 50)
    monkeypatch.setattr(audience, "_BUCKET", "contact_id %% 2 * 32768")  # every other person, whatever their ids
    ids = people(60)
    values = typed(main, a_list("One", ids), a_list("Two", ids[20:]))
    page = client.post(URL, values)
    assert "≈" in page.text and "are close, but not exact" in page.text and 'hx-trigger="load"' in page.text
    seen = page.context["flight"].reach.kept
    exact = client.post(URL, {**values, "exact": "1", "seen": seen}, headers={"HX-Request": "true"})
    assert 'id="flight"' in exact.text and "are close" not in exact.text and "more people" not in exact.text
    assert exact.context["flight"].reach.kept == 60
    assert 'name="exact"' not in exact.text and Campaign.objects.count() == 0
    monkeypatch.setattr(audience, "_BUCKET", "contact_id * 0 + 65535")  # nobody is in the part that is looked at
    reply = press(client, exact)
    assert reply.status_code == 302 and Message.objects.count() == 60
    assert "The message to 60 people leaves in" in client.get(reply["Location"]).text


def test_numbers_that_no_plan_has_are_told_and_sent_to(client: Client, main: ProviderAccount) -> None:
    odd = Contact.objects.create(number="+99912345678")
    page = looked(client, typed(main, a_list(members=[odd.pk, *people(2)]), numbers="+99912345679"))
    assert "Unlikely 2 are numbers that no numbering plan has" in page and "Send to 4 people" in page


@pytest.mark.parametrize("case", ["everybody opted out", "nobody subscribed", "an empty list"])
def test_a_list_with_nobody_left_is_no_campaign(client: Client, main: ProviderAccount, case: str) -> None:
    some = a_list(members=[] if case == "an empty list" else people(2))
    ids = list(some.contacts.values_list("pk", flat=True))
    consent.opt_out(ids, How.STOP, "x") if case == "everybody opted out" else None
    consent.unsubscribe(some, ids, How.OPERATOR, "alice") if case == "nobody subscribed" else None
    assert "there is nobody on these lists who can be written to" in looked(client, typed(main, fresh(some)))


def test_a_list_that_is_gone_is_said_and_nothing_lost(client: Client, main: ProviderAccount) -> None:
    page = looked(client, {**typed(main, text="Kept text"), "lists": ["999999999999"]})
    assert "A list is gone" in page and "Kept text" in page


def test_lists_are_for_people_who_may_see_contacts(main: ProviderAccount, guests: ContactList) -> None:
    writer = signed_in(person("alice", "messaging.add_message"))
    assert "Guests" not in writer.get(URL).text
    assert "you may not send to it" in looked(writer, typed(main, guests))
    assert "Merge fields are for people who may see contacts" in looked(writer, typed(main, numbers=A, text="{name}"))


def test_numbers_alone_go_at_once_as_ever(client: Client, main: ProviderAccount) -> None:
    reply = client.post(URL, typed(main, numbers=A))
    assert reply["Location"].startswith("/messages/?campaign=")
    assert Campaign.objects.get().due_at <= timezone.now()


def test_braces_without_a_field_are_sent_at_once_as_braces(client: Client, main: ProviderAccount) -> None:
    assert client.post(URL, typed(main, numbers=A, text="{{name}} :-} {1}")).status_code == 302
    assert Message.objects.get().text == "{name} :-} {1}"


# --- Send, Back, Undo ------------------------------------------------------------------------------------


def test_it_is_sent_once_however_often_send_is_pressed(
    client: Client, main: ProviderAccount, guests: ContactList
) -> None:
    page = client.post(URL, typed(main, guests))
    first, second = press(client, page), press(client, page)
    campaign = Campaign.objects.get()
    assert first["Location"] == second["Location"] == f"/campaigns/{campaign.pk}/"
    assert [each.pk for each in campaign.lists.all()] == [guests.pk]
    assert Message.objects.count() == 5


def test_a_list_chosen_after_it_was_sent_is_another_campaign(
    client: Client, main: ProviderAccount, guests: ContactList
) -> None:
    values = typed(main, guests)
    press(client, client.post(URL, values))
    changed = {**values, "lists": [str(guests.pk), str(a_list("More", people(1, 10)).pk)]}
    assert "was sent already" in press(client, client.post(URL, changed)).text
    assert Campaign.objects.count() == 1


def test_back_to_edit_brings_everything_that_was_typed(
    client: Client, main: ProviderAccount, guests: ContactList
) -> None:
    values = typed(main, guests, numbers=f"{A}\r\n{B}", text="Line\r\n“two” <b>", sender="Me", priority="on")
    page = press(client, client.post(URL, values), edit="1").text
    assert Campaign.objects.count() == 0
    form = Forms(page).with_field("numbers")
    kept = {name: form[name].strip().replace("\r\n", "\n") for name in ("numbers", "text", "sender")}
    assert kept == {"numbers": f"{A}\n{B}", "text": "Line\n“two” <b>", "sender": "Me"}
    assert "priority" in form
    assert (form["lists"], form["token"]) == (str(guests.pk), values["token"])
    assert "is-wrong" not in page


def test_next_below_the_texts_sends_nothing(client: Client, main: ProviderAccount, guests: ContactList) -> None:
    values = typed(main, guests, text="Dear {name}")
    page = client.post(URL, values)
    for headers in ({}, {"HX-Request": "true"}):
        reply = client.post(URL, {**values, "seen": page.context["flight"].reach.kept, "from": "3"}, headers=headers)
        assert "Dear Person" in reply.text and Campaign.objects.count() == 0
    assert "<html" not in reply.text


def test_more_people_than_were_shown_are_shown_first(
    client: Client, main: ProviderAccount, guests: ContactList
) -> None:
    page = client.post(URL, typed(main, guests))
    consent.subscribe(guests, people(2, first=20), How.IMPORT, "x")
    again = press(client, page)
    assert "more people on the lists than you were shown" in again.text and Campaign.objects.count() == 0
    consent.unsubscribe(guests, guests.contacts.values_list("pk", flat=True)[:1], How.OPERATOR, "x")
    assert press(client, again).status_code == 302  # fewer are no surprise
    assert Message.objects.count() == 6


def test_whoever_sent_it_can_undo_it_from_the_notice(main: ProviderAccount, guests: ContactList) -> None:
    writer = signed_in(person("alice", *WRITER))
    reply = press(writer, writer.post(URL, typed(main, guests)))
    campaign = Campaign.objects.get()
    notice = writer.get("/messages/").text
    assert "The message to 5 people leaves in 30 seconds." in html.unescape(notice)
    assert f"/compose/undo/{campaign.pk}/" in Forms(notice).actions
    assert signed_in(person("bob", *WRITER)).post(f"/compose/undo/{campaign.pk}/").status_code == 403
    reply = writer.post(f"/compose/undo/{campaign.pk}/")
    assert "Taken back. Nothing was sent." in writer.get("/messages/").text
    campaign.refresh_from_db()
    assert (reply.status_code, campaign.state) == (302, "canceled")
    writer.post(f"/compose/undo/{campaign.pk}/")
    assert "over already" in writer.get("/messages/").text


def test_undo_is_a_post(client: Client) -> None:
    assert client.get("/compose/undo/1/").status_code == 405
    assert client.post("/compose/undo/999999999999/").status_code == 404


# --- Merge fields ----------------------------------------------------------------------------------------


def test_unknown_fields_are_refused_before_anything_is_sent(
    client: Client, main: ProviderAccount, guests: ContactList
) -> None:
    page = looked(client, typed(main, guests, text="Dear {Name} of {town}"))
    assert "Did you mean {name}?" in page and "Nobody here has a field {town}" in page
    Contact.objects.filter(lists=guests).update(fields={"town": "Tartu"})
    assert "Send to 5 people" in looked(client, typed(main, guests, text="Dear {name} of {town}"))


def test_typed_numbers_with_merge_fields_are_looked_over_too(client: Client, main: ProviderAccount) -> None:
    Contact.objects.create(number=A, name="Ada")
    values = typed(main, numbers=f"{A}\n{B}", text="Hi {name|friend} {{x}}")
    reply = client.post(URL, values)
    page = words(reply.text)
    assert "Hi Ada {x}" in page and "Hi friend {x}" in page and "Send to 2 people" in page
    press(client, reply)
    assert set(Message.objects.values_list("text", flat=True)) == {"Hi Ada {x}", "Hi friend {x}"}


def test_parts_are_counted_by_each_persons_own_text(client: Client, main: ProviderAccount) -> None:
    ids = people(3)
    Contact.objects.filter(pk=ids[0]).update(name="Я")
    Contact.objects.filter(pk=ids[1]).update(name="")
    text = "x" * 150 + "{name}"
    flight = client.post(URL, typed(main, a_list(members=ids), text=text)).context["flight"]
    parts = flight.parts
    assert (parts.least, parts.most, parts.total, parts.about) == (1, 3, 5, False)  # 1 + 3 (UCS-2) + 1
    assert parts.gaps == {"name": 1}


def test_a_text_that_grows_too_long_for_the_provider_is_told(client: Client, main: ProviderAccount) -> None:
    page = looked(client, typed(main, a_list(members=people(2)), text="x" * 1595 + "{name}"))
    assert "2 texts are longer than the provider takes" in page


def test_a_big_list_is_judged_by_a_sample(client: Client, main: ProviderAccount) -> None:
    many = a_list(members=people(3000))
    flight = client.post(URL, typed(main, many, text="{name}")).context["flight"]
    assert (flight.reach.kept, flight.reach.about) == (3000, False)
    assert flight.parts.about and flight.parts.total == 3000


# --- What it takes ---------------------------------------------------------------------------------------


def test_it_says_what_is_left_and_warns_when_it_will_not_do(
    client: Client, main: ProviderAccount, guests: ContactList
) -> None:
    values = typed(main, guests, text="x" * 170)
    assert "Credits, if a part costs one ≈ 10 Of 1,000, about 990 are left then" in looked(client, values)
    ProviderAccount.objects.update(credits=Decimal("9.5"))
    assert "The credits will not do: 9.5 are left." in looked(client, values)
    ProviderAccount.objects.update(credits_unlimited=True)
    assert "Unlimited" in looked(client, values)
    ProviderAccount.objects.update(credits_seen_at=None)
    assert "What is left is not known" in looked(client, values)


def test_it_reckons_with_what_parts_cost_lately(client: Client, main: ProviderAccount, guests: ContactList) -> None:
    rows = [Message(account=main, number=A, text="x", status="delivered", cost=Decimal("0.06"), segments=2)]
    ledger.insert([*rows, Message(account=main, number=A, text="x", status="sent", cost=None)])
    assert "by the latest prices ≈ 0.15 Of 1,000" in looked(client, typed(main, guests))


ENDS = {
    "a request": ({"rates": ["1/minute"]}, {}, timedelta(0)),  # the five go in one
    "one by one": ({"rates": ["1/minute"]}, {"text": "{name}"}, timedelta(minutes=4)),
    "by the day": ({"rates": ["1/day"]}, {"text": "{name}"}, timedelta(days=4)),
    "no limit": ({"kind": "smsgateway"}, {}, None),
}


@pytest.mark.parametrize("case", ENDS)
def test_it_says_when_it_will_be_done(client: Client, guests: ContactList, case: str) -> None:
    values, changes, lasts = ENDS[case]
    through = account("Slow", **values)
    course = client.post(URL, typed(through, guests, **changes)).context["flight"].course
    assert course.lasts == lasts or abs(course.lasts - lasts) < timedelta(seconds=5)


def test_sending_hours_and_what_waits_already_count(client: Client, guests: ContactList) -> None:
    slow = account("Slow", rates=["1/hour"], hours="10:00-12:00", zone="UTC")
    ledger.insert([Message(account=slow, number=A, text="x", status="queued")])
    due = (timezone.now() + timedelta(days=2)).strftime("%Y-%m-%dT08:00")
    course = client.post(URL, typed(slow, guests, text="{name}", due=due)).context["flight"].course
    assert f"{course.begins:%H:%M}" == "10:00"
    # six requests, an hour apart, two hours a day: the last after five hours
    assert course.ends - course.begins == timedelta(days=2, hours=1)


def test_weights_share_the_time_of_a_route(client: Client, guests: ContactList) -> None:
    route = Route.objects.create(name="Both", strategy=Route.WEIGHTED)
    for n in range(2):
        RouteMember.objects.create(route=route, account=account(f"N{n}", rates=["1/minute"]), position=n)
    course = client.post(URL, typed(route, guests, text="{name}")).context["flight"].course
    assert course.lasts is not None and course.lasts < timedelta(minutes=3)


def test_above_a_number_somebody_else_has_to_approve(
    main: ProviderAccount, guests: ContactList, settings: Settings
) -> None:
    settings.SMSDASH_APPROVAL_ABOVE = 4
    me = person("alice", *WRITER, "messaging.approve_campaign")
    writer = signed_in(me)
    assert "Nobody else may." in looked(writer, typed(main, guests))
    person("bob", "messaging.approve_campaign")
    reply = writer.post(URL, typed(main, guests))
    page = words(reply.text)
    assert "Ask bob." in page and "Ask for approval" in page and "Send to" not in page
    press(writer, reply)
    assert Campaign.objects.get().state == "approval"
    settings.SMSDASH_APPROVAL_ABOVE = 5
    assert "Ask for approval" not in writer.post(URL, typed(main, guests)).text


def test_what_is_typed_and_who_is_known_is_escaped(client: Client, main: ProviderAccount) -> None:
    evil = "<script>alert(1)</script>"
    ids = people(1)
    Contact.objects.update(name=evil)
    page = client.post(URL, typed(main, a_list(evil, ids), text=f"{{name}} {evil}")).text
    assert "<script>alert" not in page and page.count("&lt;script&gt;") >= 4


@pytest.mark.once
def test_twenty_thousand_people_are_looked_over_while_one_waits(client: Client, main: ProviderAccount) -> None:
    ids = people(20_000)
    one, two = a_list("One", ids), a_list("Two", ids[10_000:])
    start = time.process_time()
    client.post(URL, typed(main, one, two, text="Hi {name}"))
    assert time.process_time() - start < 10  # 0.4 s on an idle core
