"""Who is told of what: webhooks of everybody, of a key, of a request; and what is written for nobody."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from api import webhooks
from api.models import Addressed, ApiKey, Delivery, Scope, Webhook
from contacts import consent
from contacts.models import Contact
from devices import ussd
from devices.models import Device, UssdRequest
from messaging import campaigns, inbound
from messaging.models import Campaign, Message
from providers import errors, outbox
from providers.models import Occurrence, ProviderAccount, Wanted
from providers.types import Inbound, Status, UssdReply
from tests.api.hooks import URL, api_key, become, message, told, webhook
from tests.base import account, dated, person

pytestmark = pytest.mark.django_db

SENT, DELIVERED, FAILED = Status.SENT, Status.DELIVERED, Status.FAILED


def happen(row: ProviderAccount) -> tuple[str, str, str]:
    """Of everything a bit: a USSD answer, a received message, and somebody who opts out. Their subjects."""
    came = message(row, Status.RECEIVED)
    asked = UssdRequest.objects.create(account=row, device_id="d7", code="*100#", state=UssdRequest.State.ASKED)
    ussd.answer(row, UssdReply("*100#", "Balance: 5", "d7"))
    who = Contact.objects.create(number=f"+1555{row.pk:07d}")
    consent.opt_out([who.pk], "page", "alice")
    return f"message:{came.pk}", f"ussd:{asked.pk}", f"contact:{who.pk}"


def test_a_webhook_without_key_hears_of_everything() -> None:
    row, hook = account("Phones", "smsgateway"), webhook()
    sent = message(row)
    become(sent, SENT, DELIVERED)
    came, code, who = happen(row)
    mine = f"message:{sent.pk}"
    assert told(hook) == [
        ("message.sent", mine), ("message.delivered", mine), ("message.received", came),
        ("ussd.answered", code), ("contact.opted_out", who),
    ]  # fmt: skip
    assert not outbox.waiting()
    bodies = [json.loads(body) for body in hook.deliveries.order_by("pk").values_list("body", flat=True)]
    assert [body["type"] for body in bodies][:2] == ["message.sent", "message.delivered"]
    assert [body["data"]["status"] for body in bodies[:2]] == ["sent", "delivered"]


def test_a_key_hears_of_its_messages_and_of_what_its_accounts_get() -> None:
    mine, other = account("Mine", "smsgateway"), account("Other", "smsgateway")
    key = api_key(accounts=[mine])
    hook = webhook(key=key)
    own, somebodys = message(mine, client=key.pk), message(mine)
    become(own, SENT)
    become(somebodys, SENT)
    came, code, who = happen(mine)
    happen(other)
    contacts = [subject for name, subject in told(hook) if name.startswith("contact.")]
    assert told(hook)[:3] == [
        ("message.sent", f"message:{own.pk}"),
        ("message.received", came),
        ("ussd.answered", code),
    ]
    assert contacts[0] == who and len(contacts) == 2


@pytest.mark.parametrize(
    ("values", "heard"),
    [
        ({"scopes": [Scope.SEND]}, {"own"}),
        ({"scopes": [Scope.READ]}, {"own", "message"}),
        ({"scopes": [Scope.READ], "reads_all": True}, {"own", "message", "other"}),
        ({"scopes": [Scope.USSD]}, {"own", "ussd"}),
        ({"scopes": [Scope.CONTACTS]}, {"own", "contact"}),
        ({"scopes": [Scope.ADMIN], "reads_all": True}, {"own", "other", "message", "ussd", "contact"}),
        ({"enabled": False}, set()),
        ({"expires_at": -timedelta(days=1)}, set()),
        ({"revoked_at": timedelta()}, set()),
        ({"owner": False}, set()),
    ],
)
def test_a_key_hears_of_what_it_may_see(values: dict[str, object], heard: set[str]) -> None:
    row = account("Phones", "smsgateway")
    if "owner" in values:
        values = {"owner": person(is_active=False)}
    key = api_key()
    ApiKey.objects.filter(pk=key.pk).update(**dated(values))
    hook = webhook(key=key)
    own, other = message(row, client=key.pk), message(row)
    become(own, SENT)
    become(other, SENT)
    names = {f"message:{own.pk}": "own", f"message:{other.pk}": "other"}
    happen(row)
    assert {names.get(subject, subject.partition(":")[0]) for _event, subject in told(hook)} == heard


def test_it_hears_only_of_what_it_asked_for_and_while_it_is_on() -> None:
    row = account()
    picky, off, paused = webhook(["message.failed"]), webhook(enabled=False), webhook(paused_reason="Paused by alice.")
    for status in (SENT, DELIVERED, FAILED):
        become(message(row), status)
    assert [name for name, _subject in told(picky)] == ["message.failed"]
    assert told(off) == []
    assert len(told(paused)) == 3  # it is kept


def test_a_format_without_a_word_for_it_is_told_nothing() -> None:
    row, gateway, provider = account(), webhook(format="smsgateway"), webhook(format="smsprovider")
    become(message(row), Status.UNCERTAIN)
    become(message(row), Status.CANCELED)
    message(row, Status.RECEIVED)
    assert [name for name, _s in told(gateway)] == ["message.canceled", "message.received"]
    assert [name for name, _s in told(provider)] == ["message.canceled"]


def test_phones_have_our_ids() -> None:
    row = account("Phones", "smsgateway")
    phone = Device.objects.create(account=row, device_id="d7")
    hook = webhook(format="smsgateway")
    message(row, Status.RECEIVED, device="d7", sim=1)
    told(hook)
    assert f"%22deviceID%22%3A%22{phone.pk}%22%2C%22simSlot%22%3A%221%22" in hook.deliveries.get().body


def test_what_is_gone_is_told_to_nobody() -> None:
    hook, row = webhook(), account()
    become(message(row), SENT)
    gone = message(row)
    become(gone, FAILED)
    Message.objects.filter(pk=gone.pk).delete()
    assert [name for name, _subject in told(hook)] == ["message.sent"]
    assert not Occurrence.objects.exists()


def test_a_batch_is_passed_on_in_as_many_statements_as_one(django_assert_max_num_queries: object) -> None:
    hook, row = webhook(), account()
    for _ in range(40):
        become(message(row), SENT)
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        assert webhooks.pass_on()
    assert hook.deliveries.count() == 40


@pytest.mark.django_db(transaction=True)
def test_two_machines_pass_each_on_once_and_in_order() -> None:
    hook, row = webhook(), account()
    rows = [message(row) for _ in range(30)]
    for one in rows:
        become(one, SENT, DELIVERED)

    def work() -> None:
        while outbox.waiting():
            webhooks.pass_on()
        connection.close()

    webhooks.BATCH, kept = 7, webhooks.BATCH
    try:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        webhooks.BATCH = kept
    expected = [(name, f"message:{one.pk}") for one in rows for name in ("message.sent", "message.delivered")]
    assert told(hook) == expected


# --- What is written at all ----------------------------------------------------------------------------------


def wanted() -> set[str]:
    return set(Wanted.objects.values_list("name", flat=True))


def test_only_what_some_webhook_wants_is_written() -> None:
    assert wanted() == set()
    one, two = webhook(["message.sent"]), webhook(["message.sent", "contact.opted_in"])
    assert wanted() == {"message.sent", "contact.opted_in"}
    webhooks.delete(two)
    assert wanted() == {"message.sent"}
    webhooks.pause(one, "Paused by alice.")
    webhooks.keep_wanted()
    assert wanted() == {"message.sent"}
    Webhook.objects.update(enabled=False)
    webhooks.keep_wanted()
    assert wanted() == set()


# --- Registering ---------------------------------------------------------------------------------------------


def test_a_program_registers_and_is_told() -> None:
    key = api_key()
    hook = webhooks.register(key, URL, ["message.delivered", "message.failed"])
    assert hook.sealed["secret"].startswith("whsec_")
    assert hook.events == ["message.delivered", "message.failed", "message.canceled"]
    assert wanted() == set(hook.events)
    again = webhooks.register(key, URL, [])
    assert (again.pk, again.sealed, again.events) == (hook.pk, hook.sealed, webhooks.REPORTS)
    assert webhooks.register(key, URL, ["message.failed"], Webhook.Format.STANDARD).events == ["message.failed"]
    assert Webhook.objects.count() == 2


@pytest.mark.parametrize(
    ("url", "events", "words"),
    [
        ("http://127.0.0.1:8000/", [], "private network"),
        ("http://localhost/", [], "private network"),
        ("ftp://8.8.8.8/", [], "https://host/path"),
        ("https://me:pw@8.8.8.8/", [], "password"),
        (URL + "x" * 500, [], "longer than 500"),
        (URL, ["message.seen"], "no event “message.seen”"),
        (URL, ["message.received"], "no event"),
    ],
)
def test_what_cannot_be_told_is_refused(url: str, events: list[str], words: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=words):
        webhooks.check(url)
        webhooks.register(api_key(), url, events)
    assert not Webhook.objects.exists()


def test_a_host_may_be_found_later() -> None:
    webhooks.check("https://nobody.invalid/")


def test_a_key_has_so_many_webhooks() -> None:
    key = api_key()
    for n in range(webhooks.MOST):
        webhooks.register(key, f"{URL}/{n}", [])
    with pytest.raises(errors.InvalidRequest, match="Delete one"):
        webhooks.register(key, f"{URL}/more", [])


# --- callback_url --------------------------------------------------------------------------------------------


def campaign(key: ApiKey, row: ProviderAccount) -> Campaign:
    return campaigns.submit(campaigns.Draft(row, ["+11234567890"], "Hello", client=key.pk))


def test_a_callback_url_hears_of_its_own_messages() -> None:
    key, row = api_key(), account()
    hook = webhooks.for_request(key, URL)
    assert webhooks.for_request(key, URL).pk == hook.pk
    one, other = campaign(key, row), campaign(key, row)
    Addressed.objects.create(campaign=one, webhook=hook)
    for each in (one, other):
        become(Message.objects.get(campaign=each), SENT, DELIVERED)
    mine = f"message:{Message.objects.get(campaign=one).pk}"
    assert told(hook) == [("message.sent", mine), ("message.delivered", mine)]
    body = json.loads(hook.deliveries.latest("pk").body)
    assert (body["event"], body["message_id"]) == ("message.delivered", mine.partition(":")[2])


def test_a_callback_url_is_looked_at_when_there_is_something_to_tell() -> None:
    """A message does not fail for it; test_webhook_deliveries.py shows that no private address is called."""
    key = api_key()
    assert webhooks.for_request(key, "https://later.invalid/").pk
    assert webhooks.for_request(key, "http://127.0.0.1/").pk
    with pytest.raises(errors.InvalidRequest, match="https://host/path"):
        webhooks.for_request(key, "ftp://8.8.8.8/")


def test_a_request_has_a_dead_callback_url_tried_again() -> None:
    key = api_key()
    hook = webhooks.for_request(key, URL)
    webhooks.pause(hook, "It answered with the status 500.")
    assert webhooks.for_request(key, URL).paused_reason  # not each request at once
    Webhook.objects.update(paused_at=timezone.now() - webhooks.AGAIN * 2)
    webhooks.for_request(key, URL)
    assert Webhook.objects.get().paused_reason == ""


# --- Clearing up ---------------------------------------------------------------------------------------------


def test_what_is_old_is_thrown_away() -> None:
    key, row, long_ago = api_key(), account(), timezone.now() - timedelta(days=31)
    used, unused, standing = webhooks.for_request(key, URL), webhooks.for_request(key, URL + "/2"), webhook()
    Addressed.objects.create(campaign=campaign(key, row), webhook=used)
    for hook in (used, unused, standing):
        for at in (long_ago, timezone.now()):
            Delivery.objects.create(webhook=hook, event="message.sent", body="x", created_at=at)
    Delivery.objects.filter(webhook=unused, created_at__gt=long_ago).delete()
    Webhook.objects.update(created_at=long_ago)
    for rows in webhooks.outdated(timezone.now()):
        rows.delete()
    assert set(Webhook.objects.values_list("pk", flat=True)) == {used.pk, standing.pk}
    assert Delivery.objects.count() == 2


def test_a_received_message_is_told_with_our_id() -> None:
    row, hook = account("Phones", "smsgateway"), webhook()
    came = inbound.receive(row, Inbound("theirs-1", "+11234567890", "Hi", to="+15550100009"))
    assert inbound.receive(row, Inbound("theirs-1", "+11234567890", "Hi", to="+15550100009")) is None
    assert came is not None
    assert told(hook) == [("message.received", f"message:{came.pk}")]
    data = json.loads(hook.deliveries.get().body)["data"]
    assert (data["message_id"], data["from"], data["to"], data["message"]) == (
        str(came.pk), "+11234567890", "+15550100009", "Hi",
    )  # fmt: skip
