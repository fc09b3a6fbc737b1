"""Conversations: how they are kept, and what operators see and do."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from contacts import optout
from contacts.models import Contact
from messaging import inbox, inbox_forms, ledger
from messaging.ledger import Change
from messaging.models import Campaign, Conversation, Message
from providers.models import ProviderAccount
from providers.types import Status
from tests.base import account, administrator, person, signed_in

from .conversations import ADA, BO, conversation, phones, sent, write

pytestmark = pytest.mark.django_db

URL = "/inbox/"
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def main() -> ProviderAccount:
    return phones()


@pytest.fixture
def client() -> Client:
    return signed_in(administrator())


def text_of(client: Client, url: str = URL, **headers: str) -> str:
    reply = client.get(url, headers=headers)
    assert reply.status_code == 200
    return " ".join(reply.text.split())


def at(number: str = ADA) -> str:
    return f"{URL}{conversation(number).pk}/"


def act(client: Client, action: str, **values: Any) -> Any:
    return client.post(f"{at()}act/", {"action": action, **values})


def answer(client: Client, text: str = "Yes", **values: Any) -> Any:
    return client.post(f"{at()}reply/", {"text": text, "token": str(uuid.uuid4()), **values})


# --- How they are kept -----------------------------------------------------------------------------------


def test_it_keeps_one_conversation_for_a_number_over_all_accounts(main: ProviderAccount) -> None:
    write(main, "first")
    second = phones("Second")
    last = write(second, "second", device="9", sim=0, to="+15550100")
    found = conversation()
    assert (found.preview, found.last, found.heard, found.outgoing) == ("second", last.pk, last.pk, False)
    assert (found.account, found.device, found.sim, found.to) == (second, "9", 0, "+15550100")
    assert Conversation.objects.count() == 1


def test_campaigns_make_no_conversation_but_are_in_the_thread(main: ProviderAccount, client: Client) -> None:
    ledger.insert([Message(account=main, number=n, text="Our sale", status="sent") for n in (ADA, BO)])
    assert not Conversation.objects.exists()
    write(main, "Which sale?")
    page = text_of(client, at())
    assert page.index("Our sale") < page.index("Which sale?")


def test_a_closed_or_snoozed_conversation_opens_when_they_write(main: ProviderAccount) -> None:
    write(main)
    inbox.close(conversation())
    write(main)
    assert conversation().state == "open"
    inbox.snooze(conversation(), timezone.now() + timedelta(hours=1))
    write(main)
    assert conversation().snoozed_until is None


# --- Unread ------------------------------------------------------------------------------------------------


def test_unread_is_counted_for_each_operator(main: ProviderAccount) -> None:
    alice, bob = administrator("alice"), administrator("bob")
    write(main), write(main), write(main, number=BO)
    assert [inbox.count_unread(user) for user in (alice, bob)] == [2, 2]
    signed_in(alice).get(at())
    assert [inbox.count_unread(user) for user in (alice, bob)] == [1, 2]
    write(main, "again")
    assert inbox.count_unread(alice) == 2


def test_all_can_be_marked_as_read_and_one_as_unread_again(main: ProviderAccount) -> None:
    alice = administrator("alice")
    client = signed_in(alice)
    write(main), write(main, number=BO)
    client.get(at())
    client.post(f"{URL}read/")
    assert inbox.count_unread(alice) == 0
    act(client, "unread")
    assert inbox.count_unread(alice) == 1
    client.post(f"{URL}read/")
    assert inbox.count_unread(alice) == 0


def test_the_count_is_a_fragment_of_its_own(main: ProviderAccount, client: Client) -> None:
    assert client.get(f"{URL}unread/").text.strip() == ""
    write(main)
    assert "1" in client.get(f"{URL}unread/").text
    assert 'hx-get="/inbox/unread/"' in text_of(client, "/messages/")


# --- The list ------------------------------------------------------------------------------------------------


def numbers(page: str) -> list[str]:
    return [part.split("<")[0] for part in page.split('class="mono">')[1:] if part.startswith("+")]


def test_unread_ones_come_first_and_the_newest_of_them_first(main: ProviderAccount, client: Client) -> None:
    old, new = "+37255500010", "+37255500011"
    for number in (old, ADA, BO, new):
        write(main, number=number)
    client.get(at(new))
    assert numbers(text_of(client)) == [BO, ADA, old, new]


def test_pages_go_on_over_the_border_of_unread_and_read(main: ProviderAccount, client: Client) -> None:
    many = [f"+3725551{k:04d}" for k in range(120)]
    for number in many:
        write(main, number=number)
    for number in many[:60]:
        client.get(at(number))
    seen, url = [], URL
    while url:
        page = text_of(client, url)
        seen += numbers(page)
        url = URL + page.split('rel="next" href="/inbox/')[1].split('"')[0] if 'rel="next"' in page else ""
    assert seen == [*many[:59:-1], *many[59::-1]]


def test_tabs_show_what_is_mine_snoozed_closed_or_to_be_looked_at(main: ProviderAccount, client: Client) -> None:
    write(main, "stop please")
    write(main, number=BO)
    act(client, "assign", to=client.get(URL).wsgi_request.user.pk)
    inbox.snooze(conversation(BO), timezone.now() + timedelta(hours=1))
    shown = {
        tab: numbers(text_of(client, f"{URL}?tab={tab}")) for tab in ("open", "mine", "flagged", "snoozed", "closed")
    }
    assert shown == {"open": [ADA], "mine": [ADA], "flagged": [ADA], "snoozed": [BO], "closed": []}
    act(client, "close")
    assert numbers(text_of(client, f"{URL}?tab=closed")) == [ADA]
    assert numbers(text_of(client, f"{URL}?tab=open")) == []


def test_what_was_snoozed_comes_back_when_its_time_is_over(main: ProviderAccount, client: Client) -> None:
    write(main)
    inbox.snooze(conversation(), timezone.now() - timedelta(seconds=1))
    assert numbers(text_of(client)) == [ADA]


@pytest.mark.parametrize("words", ["555 00001", "+372 5550 0001", "Lovelace", "lovel", "invoice"])
def test_it_finds_a_conversation_by_number_name_and_text(words: str, main: ProviderAccount, client: Client) -> None:
    Contact.objects.create(number=ADA, name="Ada Lovelace")
    write(main, "Where is my invoice?")
    write(main, "x", number=BO)
    write(main, "thanks")
    inbox.close(conversation())
    found = text_of(client, f"{URL}?q={words.replace('+', '%2B')}")
    if words == "555 00001":  # not how the number begins
        assert "No conversation has this" in found
    else:
        assert ADA in found and BO not in found


def test_the_poller_gets_nothing_until_something_changes(main: ProviderAccount, client: Client) -> None:
    write(main)
    version = text_of(client).split('"v": "')[1].split('"')[0]
    url = f"{URL}?v={version}"
    assert client.get(url, headers=FRAGMENT).status_code == 204
    write(main, number=BO)
    assert BO in text_of(client, url, **FRAGMENT)


def test_an_empty_inbox_says_what_will_appear(client: Client) -> None:
    assert "Nothing to answer" in text_of(client)


# --- A thread ------------------------------------------------------------------------------------------------


def test_a_thread_is_paged_both_ways(main: ProviderAccount, client: Client) -> None:
    rows = [Message(account=main, number=ADA, text=f"text {k}.", status="sent") for k in range(119)]
    ids = [row.pk for row in ledger.insert(rows)] + [write(main, "text 119.").pk]
    page = text_of(client, at())
    assert "text 70." in page and "text 69." not in page
    page = text_of(client, f"{at()}?before={ids[70]}")
    assert "text 20." in page and "text 19." not in page and "text 70." not in page
    assert "hx-trigger" not in page.split('id="thread"')[1].split(">")[0]
    assert "text 69." in text_of(client, f"{at()}?after={ids[19]}")
    assert "text 119." in text_of(client, f"{at()}?after={ids[69]}")


def test_a_thread_is_polled_and_tells_a_delivery(main: ProviderAccount, client: Client) -> None:
    write(main)
    answer(client)
    version = text_of(client, at()).split('"v": "')[1].split('"')[0]
    url = f"{at()}?v={version}"
    assert client.get(url, headers=FRAGMENT).status_code == 204
    ledger.apply([Change(sent()[0].pk, Status.SENT, {}), Change(sent()[0].pk, Status.SENT, {})])
    ledger.apply([Change(sent()[0].pk, Status.DELIVERED, {})])
    assert "Delivered" in text_of(client, url, **FRAGMENT)


def test_a_stranger_cannot_put_a_script_behind_an_attachment(main: ProviderAccount, client: Client) -> None:
    write(main, "<b>hi</b>", attachments=("javascript:alert(1)", "https://pictures.example/a.jpg"))
    page = text_of(client, at())
    assert 'href="javascript' not in page and "<b>hi</b>" not in page
    assert (
        'href="https://pictures.example/a.jpg" rel="noopener noreferrer nofollow"' in page
        and '<img src="https' not in page
    )


def test_the_card_shows_the_contact_to_those_who_may_see_it(main: ProviderAccount, client: Client) -> None:
    ada = Contact.objects.create(number=ADA, name="Ada Lovelace", fields={"city": "London"})
    write(main)
    assert f'href="/contacts/{ada.pk}/"' in text_of(client, at()) and "London" in text_of(client, at())
    limited = signed_in(person("bob", "messaging.view_conversation"))
    assert "London" not in text_of(limited, at())


def test_a_number_leads_to_its_conversation_or_to_the_log(main: ProviderAccount, client: Client) -> None:
    write(main)
    assert client.get(f"{URL}number/{ADA}/")["Location"] == at()
    assert client.get(f"{URL}number/{BO}/")["Location"].startswith("/messages/?number=%2B372555")


def test_message_and_contact_lead_to_the_conversation(main: ProviderAccount, client: Client) -> None:
    message = write(main)
    strange = write(main, number="A/B")
    ada = Contact.objects.create(number=ADA)
    link = f'href="{URL}number/+37255500001/"'
    assert link in text_of(client, f"/messages/{message.pk}/") and link in text_of(client, f"/contacts/{ada.pk}/")
    assert client.get(f"{URL}number/A/B/")["Location"] == at("A/B")
    assert "Conversation" in text_of(client, f"/messages/{strange.pk}/")
    assert 'href="/contacts/add/?number=A/B"' in text_of(client, at("A/B")).replace("%2F", "/")
    assert f'value="{BO}"' in text_of(client, "/contacts/add/?number=%2B37255500002")


# --- Replies -----------------------------------------------------------------------------------------------


def test_a_reply_goes_out_through_the_account_and_sim_that_received(main: ProviderAccount, client: Client) -> None:
    account("Other")
    write(main, device="7", sim=1)
    assert answer(client, "On my way\r\nnow").status_code == 302
    made = sent()[0]
    assert (made.account, made.device, made.sim, made.priority) == (main, "7", 1, 1)
    assert (made.text, made.status) == ("On my way\nnow", "queued")
    assert (conversation().preview, conversation().outgoing) == ("On my way\nnow", True)
    assert Campaign.objects.get().created_by == client.get(URL).wsgi_request.user


def test_a_reply_comes_from_the_number_they_wrote_to(client: Client) -> None:
    voip = account("Overseas", kind="voipcommunications")
    write(voip, device="", sim=None, to="+17134567890")
    answer(client)
    assert sent()[0].sender == "+17134567890"


def test_the_same_form_twice_is_one_reply(main: ProviderAccount, client: Client) -> None:
    write(main)
    token = str(uuid.uuid4())
    for _ in range(2):
        answer(client, token=token)
    assert len(sent()) == 1


def test_braces_in_a_reply_stay_braces(main: ProviderAccount, client: Client) -> None:
    write(main)
    answer(client, "Hi {name}")
    assert sent()[0].text == "Hi {name}"


def test_nobody_replies_to_who_opted_out(main: ProviderAccount, client: Client) -> None:
    write(main)
    optout.opt_out(ADA, "alice")
    reply = answer(client)
    assert reply.status_code == 200 and "nobody can write to them" in reply.text
    assert not sent()
    assert 'class="notice error stop"' in text_of(client, at())


def test_an_empty_reply_is_refused_with_a_sentence(main: ProviderAccount, client: Client) -> None:
    write(main)
    assert "The message is empty" in answer(client, " ").text
    assert not sent()


def test_another_account_is_chosen_where_the_one_that_received_is_off(main: ProviderAccount, client: Client) -> None:
    other = account("Other")
    write(main)
    main.enabled = False
    main.save()
    assert "Choose another one" in text_of(client, at())
    answer(client, account=other.pk)
    assert (sent()[0].account, sent()[0].device) == (other, "")


def test_an_answer_from_a_broken_form_is_not_sent_and_says_so(main: ProviderAccount, client: Client) -> None:
    write(main)
    assert "came without its number" in answer(client, "Yes", token="x").text
    assert not sent()


def test_what_cannot_be_done_changes_nothing_and_says_so(main: ProviderAccount, client: Client) -> None:
    write(main)
    bob = person("bob")
    act(client, "assign", to=bob.pk)
    type(bob).objects.filter(pk=bob.pk).update(is_active=False)
    for action, words in (("assign", "is not here any more"), ("snooze", "Choose until when")):
        reply = act(client, action, to=bob.pk)
        assert reply["Location"] == at() and words in client.get(at()).text
    assert (conversation().assigned_to, conversation().snoozed_until) == (bob, None)


# --- Who may what --------------------------------------------------------------------------------------------

POSTS = ("read/", "{pk}/act/", "{pk}/reply/")


def test_pages_need_their_permissions(main: ProviderAccount) -> None:
    write(main)
    pk = conversation().pk
    nobody, reader = signed_in(person("n")), signed_in(person("r", "messaging.view_conversation"))
    for url in (URL, f"{URL}{pk}/", f"{URL}unread/", f"{URL}number/{ADA}/"):
        assert Client().get(url).status_code == 302
        assert nobody.get(url).status_code == 403
    for path in POSTS:
        assert nobody.post(URL + path.format(pk=pk)).status_code == 403
        assert nobody.get(URL + path.format(pk=pk)).status_code in (403, 405)
    assert act(reader, "close").status_code == 403
    assert answer(reader).status_code == 403
    page = text_of(reader, at())
    assert "Close" not in page and 'id="reply"' not in page


def test_an_operator_without_contacts_cannot_opt_somebody_out(main: ProviderAccount) -> None:
    write(main, "stop please")
    alice = signed_in(person("a", "messaging.view_conversation", "messaging.change_conversation"))
    assert act(alice, "opt_out").status_code == 403
    assert not Contact.objects.filter(opted_out_at__isnull=False).exists()


@pytest.mark.parametrize("action", ["snooze", "nonsense", ""])
def test_a_strange_post_changes_nothing(action: str, main: ProviderAccount, client: Client) -> None:
    write(main)
    before = conversation()
    assert act(client, action, until="never").status_code == 302
    assert conversation().version == before.version


SNOOZES = {
    # what is chosen, on a Wednesday at 15:00 in Tallinn: until when there, or what is wrong
    "an hour": ({"until": "hour"}, "2027-01-20 16:00"),
    "evening": ({"until": "evening"}, "2027-01-20 18:00"),
    "tomorrow": ({"until": "tomorrow"}, "2027-01-21 09:00"),
    "next week": ({"until": "week"}, "2027-01-25 09:00"),
    "a time": ({"until": "chosen", "at": "2027-03-01T07:30"}, "2027-03-01 07:30"),
    "a time that is over": ({"until": "chosen", "at": "2027-01-19T07:30"}, "This time is over."),
    "no time": ({"until": "chosen"}, "This is not a date and time."),
    "never": ({"until": "never"}, "Choose until when"),
}


@pytest.mark.parametrize("case", SNOOZES)
def test_snoozing_puts_it_aside_until_a_time(case: str, main: ProviderAccount, client: Client) -> None:
    values, until = SNOOZES[case]
    with time_machine.travel("2027-01-20T13:00:00+00:00", tick=False):
        write(main)
        client.force_login(get_user_model().objects.get())  # the session is of another year
        client.cookies["timezone"] = "Europe/Tallinn"
        said = act(client, "snooze", **values)
        found = conversation()
        page = client.get(said["Location"]).text
        if not until.startswith("20"):
            assert found.snoozed_until is None and until in page
            return
        assert found.snoozed_until == datetime.fromisoformat(f"{until}+02:00")
        assert "is out of sight until" in page and until[-5:] in page
        assert "End the snooze" in (page := text_of(client, at())) and ">Close<" in page.replace("</svg>", ">")
        act(client, "reopen")
        assert conversation().snoozed_until is None and "End the snooze" not in text_of(client, at())


def test_this_evening_is_offered_while_it_is_to_come() -> None:
    with time_machine.travel("2027-01-20T17:30:00+00:00", tick=False):
        assert "evening" in dict(inbox_forms.snoozes())
    with time_machine.travel("2027-01-20T17:50:00+00:00", tick=False):
        assert "evening" not in dict(inbox_forms.snoozes())
        assert inbox_forms.SnoozeForm({"until": "evening"}).is_valid()
    with time_machine.travel("2027-01-20T18:00:00+00:00", tick=False):
        assert not inbox_forms.SnoozeForm({"until": "evening"}).is_valid()


# --- Cost --------------------------------------------------------------------------------------------------

SIGN_IN = 2  # the session and the user


@pytest.mark.parametrize(
    ("url", "most"),
    [(lambda: URL, 4), (lambda: f"{URL}?q=hello", 5), (lambda: at(), 8), (lambda: f"{URL}unread/", 1)],
    ids=["list", "search", "thread", "count"],
)
def test_a_page_takes_few_queries(url: Callable[[], str], most: int, main: ProviderAccount, client: Client) -> None:
    for k in range(30):
        write(main, "hello", number=f"+3725552{k:04d}")
    for _ in range(30):
        write(main, "hello")
    address = url()
    client.get(address)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    assert len(queries) <= SIGN_IN + most, "\n".join(query["sql"][:150] for query in queries)
