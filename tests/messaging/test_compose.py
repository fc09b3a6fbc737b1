from __future__ import annotations

import html
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from contacts.models import Contact
from messaging import forms
from messaging.models import Campaign, Message, Route, RouteMember
from providers.models import ProviderAccount
from tests.base import account, administrator, person, signed_in
from tests.devices.base import phone

pytestmark = pytest.mark.django_db
URL, CHECK = "/compose/", "/compose/check/"
A, B, OUT = "+37255512345", "+12125551234", "+37255512399"


@pytest.fixture
def main() -> ProviderAccount:
    return account(sender="Shop")


@pytest.fixture
def user() -> User:
    return administrator()


@pytest.fixture
def client(user: User) -> Client:
    return signed_in(user)


def typed(main: ProviderAccount, **changes: Any) -> dict[str, Any]:
    fields = {"token": str(uuid.uuid4()), "account": main.pk, "numbers": f"{A}\n{B}", "text": "Hello", "zone": "UTC"}
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def unescaped(client: Client, values: dict[str, Any]) -> str:
    """The page with the form again. Nothing was stored."""
    reply = client.post(URL, values)
    assert reply.status_code == 200
    assert (Campaign.objects.count(), Message.objects.count()) == (0, 0)
    return html.unescape(reply.text)


# --- Sending -----------------------------------------------------------------------------------------


def test_it_queues_a_message_for_each_number_and_shows_them(client: Client, main: ProviderAccount, user: User) -> None:
    reply = client.post(URL, typed(main, sender="Me", priority="on"))
    campaign = Campaign.objects.get()
    assert reply["Location"] == f"/messages/?campaign={campaign.pk}"
    rows = Message.objects.order_by("pk")
    assert [row.number for row in rows] == [A, B]
    assert {(r.text, r.sender, r.priority, r.status, r.account_id) for r in rows} == {
        ("Hello", "Me", 1, "queued", main.pk)
    }
    assert campaign.created_by == user
    assert "2 messages are on their way." in client.get(reply["Location"]).text


def test_it_says_when_the_account_does_not_send_now(client: Client, main: ProviderAccount) -> None:
    main.pause("Paused by alice.")
    reply = client.post(URL, typed(main))
    assert f"2 messages wait until “{main}” sends again." in client.get(reply["Location"]).text


def test_the_same_form_twice_is_one_campaign(client: Client, main: ProviderAccount) -> None:
    values = typed(main)
    first, second = client.post(URL, values), client.post(URL, values)
    assert first["Location"] == second["Location"]
    assert (Campaign.objects.count(), Message.objects.count()) == (1, 2)


def test_a_form_changed_after_it_was_sent_is_not_lost_in_silence(client: Client, main: ProviderAccount) -> None:
    values = typed(main)
    client.post(URL, values)
    page = client.post(URL, {**values, "text": "Something else"}).text
    assert "was sent already" in page and "Something else" in page
    again = client.post(URL, {**values, "text": "Something else", "token": token(page)})
    assert again.status_code == 302
    assert Campaign.objects.count() == 2


def token(page: str) -> str:
    return re.search(r'name="token" value="([^"]*)"', page)[1]  # type: ignore[index]


def test_line_ends_count_as_one_character(client: Client, main: ProviderAccount) -> None:
    client.post(URL, typed(main, text="a\r\nb\r\n"))
    assert Campaign.objects.get().text == "a\nb\n"


def test_duplicates_and_opted_out_people_are_left_out_and_told(client: Client, main: ProviderAccount) -> None:
    Contact.objects.create(number=OUT, opted_out_at=timezone.now())
    reply = client.post(URL, typed(main, numbers=f"{A}, {OUT}\n+372 5551 2345"))
    assert Campaign.objects.get().recipients == [A]
    assert "1 message is on its way. Left out: 1 opted out, 1 repeated." in client.get(reply["Location"]).text


def test_somebody_who_may_not_see_the_log_stays_here(main: ProviderAccount) -> None:
    writer = signed_in(person("alice", "messaging.add_message"))
    reply = writer.post(URL, typed(main))
    assert reply["Location"] == URL
    assert "2 messages are on their way." in writer.get(URL).text


# --- What is refused keeps what was typed ------------------------------------------------------------


REFUSED = {
    "nobody": ({"numbers": " "}, "There is nobody to send to."),
    "no field of numbers": ({"numbers": None}, "There is nobody to send to."),
    "no number": ({"numbers": f"{A}\nbanana"}, "Line 2, “banana”: There is no phone number in it."),
    "two bad ones": ({"numbers": "banana\n12"}, "And 1 more, listed below."),
    "a short code": ({"numbers": "5551"}, "This is a short code."),
    "markup": ({"numbers": "<script>alert(1)</script>"}, "There is no phone number in it."),
    "NUL in numbers": ({"numbers": f"{A}\x00"}, "Null characters are not allowed."),
    "everyone opted out": ({"numbers": OUT}, "everyone in the list opted out"),
    "leave out what leaves nobody": ({"numbers": "banana", "leave_out": "0"}, "There is nobody to send to."),
    "leave out another number": ({"numbers": f"{A}\nbanana", "leave_out": "2"}, "“banana”"),
    "leave out nonsense": ({"numbers": f"{A}\nbanana", "leave_out": "on"}, "“banana”"),
    "empty text": ({"text": ""}, "The message is empty."),
    "spaces for a text": ({"text": " \r\n "}, "The message is empty."),
    "long for the provider": ({"text": "x" * 1601}, "takes at most 1600 characters"),
    "long for anybody": ({"text": "é" * 10_001}, "at most 10000 characters"),
    "NUL in text": ({"text": "a\x00b"}, "Null characters are not allowed."),
    "long sender": ({"sender": "S" * 21}, "at most 20 characters"),
    "NUL in sender": ({"sender": "S\x00"}, "Null characters are not allowed."),
    "no account": ({"account": None}, "Choose the account to send through."),
    "unknown account": ({"account": "999999999999"}, "This account is gone or switched off."),
    "account in words": ({"account": "abc"}, "This account is gone or switched off."),
    "account with NUL": ({"account": "1\x00"}, "This account is gone or switched off."),
    "huge account": ({"account": "9" * 30}, "This account is gone or switched off."),
    "pictures": ({"attachments": "https://example.com/a.jpg"}, "SMS Provider cannot send MMS."),
    "no link": ({"attachments": "a.jpg"}, "“a.jpg” is not a link."),
    "a script for a link": ({"attachments": "javascript:alert(1)"}, "is not a link."),
    "too many links": ({"attachments": "https://example.com/a " * 11}, "At most 10 links"),
    "no time": ({"due": "tomorrow"}, "This is not a date and time."),
    "past": ({"due": "2020-01-01T10:00"}, "This time is over."),
    "far": ({"due": "2998-01-01T10:00"}, "more than a year ahead"),
    "first year": ({"due": "0001-01-01T00:00", "zone": "Asia/Tokyo"}, "This is not a date and time."),
    "no zone": ({"zone": "Mars/Olympus", "due": "2030-01-01T10:00"}, "There is no such time zone."),
    "path for a zone": ({"zone": "../../etc/passwd"}, "There is no such time zone."),
    "no token": ({"token": None}, "The form was damaged on its way."),
    "bad token": ({"token": "1' OR '1'='1"}, "The form was damaged on its way."),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_bad_form_keeps_what_was_typed_and_stores_nothing(client: Client, main: ProviderAccount, case: str) -> None:
    changes, sentence = REFUSED[case]
    Contact.objects.create(number=OUT, opted_out_at=timezone.now())
    values = typed(main, **{"sender": "Sender kept", "text": "Text kept", "due": "", **changes})
    page = unescaped(client, values)
    assert sentence in page
    for name in {"numbers", "text", "sender", "due"} & set(values):
        assert values[name].strip().replace("\x00", "") in page.replace("\x00", "").replace("\ufffd", "")


def test_a_bad_form_names_every_fault_at_once(client: Client, main: ProviderAccount) -> None:
    page = unescaped(client, typed(main, numbers="banana", text="", due="soon"))
    for sentence in ("“banana”", "The message is empty.", "This is not a date and time."):
        assert sentence in page


def test_a_damaged_form_can_be_sent_again(client: Client, main: ProviderAccount) -> None:
    page = unescaped(client, typed(main, token="?"))
    assert client.post(URL, typed(main, token=token(page))).status_code == 302


def test_what_was_typed_is_escaped(client: Client, main: ProviderAccount) -> None:
    evil = "</textarea><script>alert(1)</script>"
    page = client.post(
        URL, typed(main, numbers=evil, text=evil, sender=evil, due=evil, zone=evil, attachments=evil)
    ).text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert") >= 5


def test_refused_numbers_can_be_left_out_on_purpose(client: Client, main: ProviderAccount) -> None:
    values = typed(main, numbers=f"{A}\nbanana\n{B}\n12")
    page = unescaped(client, values)
    assert 'name="leave_out" value="2"' in page
    assert "Send to the 2 valid numbers and leave these out" in page
    assert client.post(URL, {**values, "leave_out": "2"}).status_code == 302
    assert Campaign.objects.get().recipients == [A, B]


def test_hundreds_of_refused_numbers_are_not_all_listed(client: Client, main: ProviderAccount) -> None:
    page = unescaped(client, typed(main, numbers="\n".join(f"banana {n}" for n in range(300))))
    assert page.count("There is no phone number in it.") == 21
    assert "and 280 more" in page


def test_a_sender_is_refused_where_it_cannot_be_chosen(client: Client) -> None:
    page = unescaped(client, typed(account(kind="customersms"), sender="Me"))
    assert "does not let a sender ID be chosen" in page


def test_an_account_that_is_switched_off_cannot_be_chosen(client: Client, main: ProviderAccount) -> None:
    off = account("Off", enabled=False)
    assert "gone or switched off" in unescaped(client, typed(off))


# --- Sending later -----------------------------------------------------------------------------------


def in_days(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}T12:00"


def test_a_time_is_read_in_the_zone_that_was_chosen(client: Client, main: ProviderAccount) -> None:
    client.post(URL, typed(main, due=in_days(3), zone="Asia/Tokyo"))
    row = Message.objects.all()[0]
    assert row.status == "scheduled"
    assert f"{row.due_at.astimezone(ZoneInfo('Asia/Tokyo')):%Y-%m-%dT%H:%M}" == in_days(3)


def test_the_minute_that_runs_is_now(client: Client, main: ProviderAccount) -> None:
    client.post(URL, typed(main, due=f"{datetime.now(UTC):%Y-%m-%dT%H:%M}"))
    assert set(Message.objects.values_list("status", flat=True)) == {"queued"}


@pytest.mark.parametrize(
    ("shown", "zone", "sentence"),
    [
        ("2027-03-28T03:30", "Europe/Tallinn", "There is no 2027-03-28 03:30 in Europe/Tallinn"),
        ("2027-03-28T03:30", "Europe/Tallinn", "04:30 is the same moment"),
        ("2027-10-31T03:30", "Europe/Tallinn", "2027-10-31 00:30 for the first or 2027-10-31 01:30 for the second"),
        ("2027-03-14T02:15", "America/New_York", "the clocks go forward"),
        ("2027-11-07T01:15", "America/New_York", "show 2027-11-07 01:15 twice"),
    ],
)
def test_times_that_no_clock_shows_or_shows_twice_get_a_sentence(shown: str, zone: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        forms.on_the_clock(shown, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("shown", "moment"),
    [
        ("2027-03-28T02:59", "2027-03-28T00:59+00:00"),
        ("2027-03-28T04:00", "2027-03-28T01:00+00:00"),
        ("2027-10-31T02:59", "2027-10-30T23:59+00:00"),
        ("2027-10-31T04:00", "2027-10-31T02:00+00:00"),
        ("2027-07-01 12:00", "2027-07-01T09:00+00:00"),
    ],
)
def test_times_around_the_change_are_read_right(shown: str, moment: str) -> None:
    assert forms.on_the_clock(shown, ZoneInfo("Europe/Tallinn")) == datetime.fromisoformat(moment)


# --- The check while one types -----------------------------------------------------------------------


def test_it_says_who_would_get_the_message_before_it_is_sent(client: Client, main: ProviderAccount) -> None:
    Contact.objects.create(number=OUT, opted_out_at=timezone.now())
    numbers = f"{A}\n{A}\n{B}, +99912345678\n{OUT}\nbanana"
    fragment = client.post(CHECK, {"numbers": numbers, "account": main.pk}, HTTP_HX_REQUEST="true").text
    for words in ("3 recipients", "1 duplicate", "1 opted out", "1 unlikely", "1 not a number", "Line 5", "banana"):
        assert words in fragment
    assert "<html" not in fragment and Message.objects.count() == 0


@pytest.mark.parametrize("values", [{}, {"numbers": " "}, {"account": "x"}, {"account": "\x00", "numbers": "\n"}])
def test_nothing_typed_says_nothing(client: Client, values: dict[str, str]) -> None:
    reply = client.post(CHECK, values)
    assert (reply.status_code, reply.text.strip()) == (200, "")


@pytest.mark.parametrize(("kind", "words"), [("smsprovider", "1 not a number"), ("smsgateway", "1 recipient")])
def test_short_codes_are_for_accounts_with_a_sim(client: Client, kind: str, words: str) -> None:
    assert words in client.post(CHECK, {"numbers": "5551", "account": account(kind=kind).pk}).text


def test_five_thousand_numbers_are_read_while_a_person_waits(
    client: Client, main: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    numbers = "\n".join(f"+1 (212) 5{n:02d}-{n:04d}" for n in range(5000))
    start = time.process_time()
    with django_assert_num_queries(4):  # session, user, account, opt-outs
        fragment = client.post(CHECK, {"numbers": numbers, "account": main.pk}).text
    assert time.process_time() - start < 5  # 0.2 s on an idle core
    assert "not a number" in fragment or "5,000 recipients" in fragment


# --- The empty form ----------------------------------------------------------------------------------


def test_the_page_knows_what_each_account_can(client: Client, main: ProviderAccount) -> None:
    account("Plain", kind="customersms", paused_reason="No credits.", paused_at=timezone.now())
    page = client.get(URL).text
    assert '"sender": true, "usual": "Shop"' in page and '"sender": false' in page
    assert "Plain (paused)" in page and "No credits." in page
    assert page.index(">Main<") < page.index(">Plain (paused)<")


def test_links_can_fill_the_form(client: Client, main: ProviderAccount) -> None:
    other = account("Other")
    page = client.get(f"{URL}?to=%2B37255512345&account={other.pk}&text=%3Cb%3E").text
    assert A in page and f'value="{other.pk}" selected' in page and "&lt;b&gt;" in page
    assert client.get(f"{URL}?to=%00&account=%00&text=%00").status_code == 200


def test_each_form_has_a_token_of_its_own(client: Client, main: ProviderAccount) -> None:
    assert token(client.get(URL).text) != token(client.get(URL).text)


def test_without_an_account_the_page_says_what_to_do(client: Client) -> None:
    page = client.get(URL).text
    assert "There is no account to send through yet." in page and 'href="/accounts/add/"' in page


def test_an_account_of_a_kind_that_is_gone_is_no_choice(client: Client, main: ProviderAccount) -> None:
    ProviderAccount.objects.create(name="Abandoned", kind="gone", base_url="http://127.0.0.1:9")
    assert "Abandoned" not in client.get(URL).text


@pytest.mark.parametrize(("permissions", "status"), [((), 403), (("messaging.add_message",), 200)])
def test_it_is_for_people_who_may_write(main: ProviderAccount, permissions: tuple[str, ...], status: int) -> None:
    writer = signed_in(person("alice", *permissions))
    assert writer.get(URL).status_code == status
    assert writer.post(CHECK, {"numbers": A}).status_code == status


def test_the_check_is_a_post_and_needs_a_login(client: Client) -> None:
    assert client.get(CHECK).status_code == 405
    assert Client().post(CHECK, HTTP_HX_REQUEST="true").status_code == 403
    assert Client(enforce_csrf_checks=True).post(URL).status_code == 403


@pytest.mark.parametrize("times", [1, 3])
def test_the_pages_take_few_queries(
    client: Client, main: ProviderAccount, times: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for n in range(times):
        account(f"Account {n}")
    with django_assert_num_queries(6):  # session, user, lists, accounts, routes, templates
        client.get(URL)
    with django_assert_num_queries(7):  # and opt-outs
        client.post(URL, typed(main, text=""))
    for n in range(times):
        phone(account(f"Phones {n}", kind="smsgateway"), "1", 0, 1)
        RouteMember.objects.create(route=Route.objects.create(name=f"Route {n}"), account=main)
    with django_assert_num_queries(9):  # and their accounts, phones, SIMs
        client.get(URL)
