from __future__ import annotations

import html
import re
import shlex
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from devices.models import Device, Sim
from messaging import campaigns, ledger, timeline
from messaging.campaigns import Draft
from messaging.ledger import Change
from messaging.models import Attempt, Campaign, DeliveryReport, Message, Route
from providers import traces
from providers.models import Exchange, ProviderAccount
from providers.types import Status, Trace
from tests.base import account, administrator, person, signed_in

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
VIEW = "messaging.view_message"


def message(main: ProviderAccount, **values: Any) -> Message:
    return ledger.insert([Message(account=main, **{"number": "+37255512345", "text": "Hello", **values})])[0]


def exchange(main: ProviderAccount, **values: Any) -> Exchange:
    defaults: dict[str, Any] = {
        "at": timezone.now(), "verb": "send", "method": "POST", "url": "https://api.example/v1/messages",
        "request_headers": {"authorization": "•••", "content-type": "application/json"},
        "request_body": '{"body": "It\'s here"}', "status": 201, "reply_headers": {"x-left": "9"},
        "reply_body": '{"id": "msg_1"}', "seconds": 0.12,
    }  # fmt: skip
    row = traces.complete(Exchange(account=main), Trace(**{**defaults, **values}))
    row.save()
    return row


def tried(row: Message, at: datetime, **values: Any) -> Attempt:
    return Attempt.objects.create(message=row, account=row.account, at=at, **values)


def page(row: Message, client: Client | None = None) -> str:
    """As a person reads it: no tags, one space between words."""
    reply = (client or signed_in()).get(f"/messages/{row.pk}/")
    assert reply.status_code == 200
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", reply.text)).split())


def timeline_of(row: Message) -> list[tuple[str, str]]:
    attempts = list(row.earlier.order_by("pk"))
    steps = timeline.steps(row, list(row.reports.order_by("pk")), attempts, Exchange.objects.in_bulk())
    return [(str(step.title), step.code) for step in steps]


# --- What happened -----------------------------------------------------------------------------------


def test_the_timeline_tells_a_whole_life_in_order(main: ProviderAccount) -> None:
    start = timezone.now() - timedelta(hours=1)
    trace = exchange(main, at=start + timedelta(minutes=1))
    row = message(
        main, status="delivered", created_at=start, exchange=trace.pk, attempts=2, provider_id="msg_1",
        sent_at=trace.at, done_at=start + timedelta(minutes=3),
    )  # fmt: skip
    tried(row, start, error_code="unreachable", error_text="No route.")
    # the reports came in the wrong order
    for status, minutes in (("delivered", 3), ("sent", 2)):
        at = start + timedelta(minutes=minutes)
        DeliveryReport.objects.create(
            account=main, message=row, provider_id="msg_1", status=status, raw_status=f"message.{status}", at=at
        )
    assert timeline_of(row) == [
        ("Accepted", ""),
        ("Tried through Main, attempt 1", "unreachable"),
        ("Handed over to Main, attempt 2", "HTTP 201"),
        ("Sent", "message.sent"),
        ("Delivered", "message.delivered"),
    ]
    assert "It reached the phone." in page(row)


def test_a_report_shows_the_providers_words_beside_the_reason(main: ProviderAccount) -> None:
    row = message(main, status="failed", error_text="The phone is off.")
    DeliveryReport.objects.create(
        account=main, message=row, provider_id="x", status="failed", raw_status="UNDELIV", error_code="27",
        error_text="The phone is off.",
    )  # fmt: skip
    assert timeline_of(row)[-1] == ("Failed", "UNDELIV · 27")
    assert "UNDELIV · 27 The phone is off." in page(row)


def test_a_word_that_no_document_has_is_shown_as_it_came(main: ProviderAccount) -> None:
    row = message(main, status="sent")
    DeliveryReport.objects.create(account=main, message=row, provider_id="x", status="unknown", raw_status="BUFFERED")
    assert ("Unknown status", "BUFFERED") in timeline_of(row)


@pytest.mark.parametrize(
    ("status", "title", "words"),
    [
        ("failed", "Failed", "The number is wrong."),
        ("expired", "Expired", "The number is wrong."),
        ("canceled", "Canceled", "The number is wrong."),
        ("uncertain", "Uncertain", "it is not sent again by itself"),
    ],
)
def test_an_end_that_no_report_told_is_told_all_the_same(
    main: ProviderAccount, status: str, title: str, words: str
) -> None:
    row = message(main, status=status, error_code="422", error_text="The number is wrong.", done_at=timezone.now())
    assert timeline_of(row)[-1][0] == title
    assert words in page(row)


def test_a_received_message_says_from_whom_and_when(main: ProviderAccount) -> None:
    row = message(main, status="received", sent_at=timezone.now() - timedelta(minutes=1), sender="+3725000")
    assert [title for title, _ in timeline_of(row)] == ["Received by the provider", "Received here"]
    assert "From +37255512345" in page(row)


def test_who_wrote_it_is_named(main: ProviderAccount) -> None:
    user = administrator()
    campaigns.submit(Draft(main, ["+37255512345"], "Hello", user=user))
    assert "Written by admin." in page(Message.objects.get(), signed_in(user))


# --- What it waits for -------------------------------------------------------------------------------


def test_the_page_says_what_it_waits_for_and_leads_to_what_can_be_done() -> None:
    row = message(account(paused_reason="Paused by admin."), status="queued")
    assert "The account Main is paused: Paused by admin. Resume it to send. Open account" in page(row)
    uncertain = message(row.account, status="uncertain")
    assert "Open account" not in page(uncertain, signed_in(administrator("other")))


def test_what_is_over_waits_for_nothing(main: ProviderAccount) -> None:
    assert signed_in().get(f"/messages/{message(main, status='failed').pk}/").context["waiting"] is None


# --- The exchange ------------------------------------------------------------------------------------


def test_the_exchange_is_there_as_it_went_over_the_wire(main: ProviderAccount) -> None:
    trace = exchange(main)
    said = page(message(main, status="sent", exchange=trace.pk))
    assert "POST https://api.example/v1/messages" in said and "authorization: •••" in said
    assert "HTTP 201 x-left: 9" in said and '{"id": "msg_1"}' in said and "120 ms" in said
    assert "secret-1234" not in said


def test_the_shell_command_makes_the_same_request(main: ProviderAccount) -> None:
    words = shlex.split(timeline.as_curl(exchange(main)).replace("\\\n", ""))
    assert words[:4] == ["curl", "-X", "POST", "https://api.example/v1/messages"]
    assert words[4:8:2] == ["-H", "-H"]
    assert {*words[5:9:2]} == {"authorization: •••", "content-type: application/json"}
    assert words[-2:] == ["--data-raw", '{"body": "It\'s here"}']


def test_an_exchange_without_an_answer_says_why(main: ProviderAccount) -> None:
    trace = exchange(main, status=None, reply_body="", reply_headers={}, error="No answer came within 20 seconds.")
    said = page(message(main, status="uncertain", exchange=trace.pk))
    assert "Answer No answer came within 20 seconds." in said and "HTTP" not in said


def test_an_exchange_that_is_not_kept_any_more_is_told(main: ProviderAccount) -> None:
    said = page(message(main, status="sent", exchange=999999999999))
    assert "What was said is not kept any more." in said and "Exchanges with the provider" not in said


def test_every_attempt_leads_to_what_was_said(main: ProviderAccount) -> None:
    row, other = message(main, status="queued"), account("Other")
    first = exchange(main, status=503, seconds=1.5)
    tried(row, first.at, exchange=first.pk, error_code="unavailable", error_text="Come back later.")
    second = exchange(other, status=429)
    attempt = tried(row, second.at, exchange=second.pk, error_text="Too fast.")
    Attempt.objects.filter(pk=attempt.pk).update(account=other)
    Message.objects.filter(pk=row.pk).update(exchange=second.pk)
    text, said = (
        signed_in().get(f"/messages/{row.pk}/").text,
        page(Message.objects.get(), signed_in(person("bob", VIEW))),
    )
    assert "Tried through Main, attempt 1" in said and "Come back later." in said and "1,500 ms" in said
    assert "Tried through Other, attempt 2" in said and "Too fast." in said and "attempt 3" not in said
    for trace in (first, second):
        assert f'href="#exchange-{trace.pk}"' in text and f'id="exchange-{trace.pk}"' in text
        assert f'data-copy="curl-{trace.pk}"' in text


def test_what_became_uncertain_says_so_once(main: ProviderAccount) -> None:
    row = message(main, status="uncertain", exchange=exchange(main, status=None).pk, error_text="No answer.")
    tried(row, timezone.now(), exchange=row.exchange, error_text="No answer.")
    assert timeline_of(row) == [("Accepted", ""), ("Tried through Main", ""), ("Uncertain", "")]
    assert page(row).count("No answer.") == 1
    Message.objects.update(status="sent", sent_at=timezone.now(), provider_status="counted as sent by admin")
    assert timeline_of(Message.objects.get())[-1] == ("The provider took it", "counted as sent by admin")


def test_what_the_provider_was_asked_is_told(main: ProviderAccount) -> None:
    row = message(main, status="uncertain", error_code="not_known", error_text="The provider was asked at 14:02.")
    said = page(row)
    assert "The provider was asked at 14:02." in said and "not sent again by itself" not in said


def test_of_many_attempts_the_newest_are_shown(main: ProviderAccount) -> None:
    row = message(main, status="queued")
    for n in range(timeline.SHOWN + 5):
        tried(row, timezone.now(), error_text=f"Error {n}.")
    said = page(row)
    assert "Error 24." in said and "Error 5." in said and "Error 3." not in said and "there are too many" in said


# --- Where it goes -----------------------------------------------------------------------------------


def test_it_names_its_route_phone_sim_campaign_and_last_moment(main: ProviderAccount) -> None:
    phone = Device.objects.create(account=main, device_id="7", name="Desk")
    Sim.objects.create(device=phone, slot=1, label="Red", number="+3725000")
    route = Route.objects.create(name="Cheapest")
    campaign = Campaign.objects.create(account=main, text="x", name="Spring", total=1, expanded=1)
    end = timezone.now() + timedelta(days=1)
    said = page(message(main, device="7", sim=1, route=route, campaign=campaign, expires_at=end))
    for words in ("Desk · Red +3725000", "Route Cheapest", "1 recipient: Spring", "Not sent after"):
        assert words in said
    assert "Device 8 · SIM 1" in page(message(main, device="8", sim=0), signed_in(person("bob", VIEW)))


def test_it_leads_to_what_it_repeats_and_back(main: ProviderAccount) -> None:
    first = message(main, status="failed")
    second = message(main, status="delivered", resend_of=first)
    client = signed_in()
    assert f'href="/messages/{second.pk}/"' in client.get(f"/messages/{first.pk}/").text
    assert f'href="/messages/{first.pk}/"' in client.get(f"/messages/{second.pk}/").text


@pytest.mark.parametrize("through", ["", "Other"])
def test_it_is_sent_once_more_as_before_or_through_another_account(main: ProviderAccount, through: str) -> None:
    other, row, client = account("Other"), message(main, status="failed"), signed_in()
    assert "Send this message once more?" in page(row, client)
    chosen = other if through else main
    reply = client.post(f"/messages/{row.pk}/resend/", {"account": other.pk if through else ""}, follow=True)
    new = row.resends.get()
    assert (new.account_id, new.status, new.text) == (chosen.pk, "queued", "Hello")
    assert reply.redirect_chain[-1][0] == f"/messages/{new.pk}/" and "This is the new message." in reply.text


def test_a_double_click_sends_once_and_says_why(main: ProviderAccount) -> None:
    row, client = message(main, status="failed"), signed_in()
    for _ in range(2):
        reply = client.post(f"/messages/{row.pk}/resend/", follow=True)
    assert row.resends.count() == 1
    assert "was resent already" in reply.text
    assert 'name="again"' in reply.text


@pytest.mark.parametrize("rights", [(VIEW,), (VIEW, "messaging.change_message")])
def test_only_who_may_write_messages_sends_once_more(main: ProviderAccount, rights: tuple[str, ...]) -> None:
    row, client = message(main, status="failed"), signed_in(person("bob", *rights))
    assert "once more" not in page(row, client)
    assert client.post(f"/messages/{row.pk}/resend/").status_code == 403
    assert signed_in().get(f"/messages/{row.pk}/resend/").status_code == 405
    assert not row.resends.exists()


# --- The page ----------------------------------------------------------------------------------------


def poll_url(row: Message, text: str) -> str:
    return f"/messages/{row.pk}/?v=" + re.search(r'"v": "([^"]*)"', text)[1]  # type: ignore[index]


def test_a_poll_without_news_has_no_body_and_one_with_news_is_the_fragment(main: ProviderAccount) -> None:
    row, client = message(main, status="queued"), signed_in()
    url = poll_url(row, client.get(f"/messages/{row.pk}/").text)
    reply = client.get(url, **HTMX)
    assert (reply.status_code, reply.content) == (204, b"")
    ledger.apply([Change(row.pk, Status.SENDING)])
    reply = client.get(url, **HTMX)
    assert reply.status_code == 200 and "<html" not in reply.text and "Sending" in reply.text
    assert "every 3s" in reply.text


def test_a_new_report_and_a_paused_account_are_news(main: ProviderAccount) -> None:
    row, client = message(main, status="queued"), signed_in()
    url = poll_url(row, client.get(f"/messages/{row.pk}/").text)
    main.pause("No credits.")
    assert "No credits." in client.get(url, **HTMX).text
    url = poll_url(row, client.get(f"/messages/{row.pk}/").text)
    DeliveryReport.objects.create(account=main, message=row, provider_id="x", status="unknown", raw_status="BUFFERED")
    assert "BUFFERED" in client.get(url, **HTMX).text


@pytest.mark.parametrize(
    ("status", "kind", "live"),
    [
        ("queued", "smsprovider", True),
        ("sent", "smsprovider", True),
        ("sent", "customersms", False),
        ("uncertain", "smsprovider", True),
        ("delivered", "smsprovider", False),
        ("failed", "smsprovider", False),
        ("received", "smsprovider", False),
    ],
)
def test_it_looks_again_until_nothing_more_can_come(status: str, kind: str, live: bool) -> None:
    row = message(account(kind=kind), status=status)
    assert ("every 3s" in signed_in().get(f"/messages/{row.pk}/", **HTMX).text) is live


def test_a_waiting_message_can_be_canceled_here(main: ProviderAccount) -> None:
    row, client = message(main, status="queued"), signed_in()
    assert "Cancel this message?" in page(row, client)
    client.post("/messages/cancel/", {"id": row.pk, "next": f"/messages/{row.pk}/"})
    said = page(row, client)
    assert "1 message is canceled." in said and "Canceled by admin." in said
    assert "Cancel this message?" not in said


def test_only_who_may_change_messages_is_offered_to_cancel(main: ProviderAccount) -> None:
    viewer = signed_in(person("alice", "messaging.view_message"))
    said = page(message(main, status="queued"), viewer)
    assert "Cancel" not in said and "Write to this number" not in said


@pytest.mark.parametrize("pk", ["999999999999", "0", "9223372036854775808", "9" * 40])
def test_a_message_that_is_not_there_is_not_found(pk: str) -> None:
    assert signed_in().get(f"/messages/{pk}/").status_code == 404


def test_it_is_for_people_who_may_see_messages(main: ProviderAccount) -> None:
    url = f"/messages/{message(main).pk}/"
    assert signed_in(person("alice")).get(url).status_code == 403
    assert Client().get(url).status_code == 302
    assert Client().get(url, **HTMX).status_code == 403


def test_what_strangers_wrote_is_escaped(main: ProviderAccount) -> None:
    evil = "<script>alert(1)</script>"
    trace = exchange(main, request_body=evil, reply_body=evil, error=evil, reply_headers={"x": evil})
    row = message(
        main, text=evil, number=evil[:16], status="failed", error_text=evil, error_code=evil, provider_id=evil,
        device=evil, exchange=trace.pk, attachments=["https://x.example/" + evil],
    )  # fmt: skip
    DeliveryReport.objects.create(
        account=main, message=row, provider_id="x", status="failed", raw_status=evil, error_text=evil
    )
    text = signed_in().get(f"/messages/{row.pk}/").text
    assert "<script>alert" not in text and text.count("&lt;script&gt;alert") >= 9


def test_the_page_takes_few_queries(main: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    campaigns.submit(Draft(main, [f"+3725551{n:04d}" for n in range(30)], "Hello"))
    row, client = Message.objects.all()[0], signed_in()
    Message.objects.filter(pk=row.pk).update(exchange=exchange(main).pk)
    for _ in range(20):
        DeliveryReport.objects.create(account=main, message=row, provider_id="x", status="sent")
    url = f"/messages/{row.pk}/"
    with django_assert_num_queries(9):  # session, user; message, reports, attempts, resends; why it waits × 2; exchange
        text = client.get(url).text
    with django_assert_num_queries(8):
        client.get(poll_url(row, text), **HTMX)
