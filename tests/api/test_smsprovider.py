"""smsprovider (seed 002), served: its four operations under /v1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from api.models import Addressed, Webhook
from messaging.models import Campaign, Message
from tests.base import account

from .wires import Caller, caller, ids, opted_out, post, stored

pytestmark = pytest.mark.django_db

ONE, TWO = "+1234567890", "+9876543210"
TEXT = "Hello from SMS Provider!"
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
SECONDS = "2023-12-01T15:23:45Z"


def send(who: Caller, **body: Any) -> Any:
    return post("/v1/messages", body, headers=who.bearer)


def get(who: Caller, path: str) -> Any:
    return Client().get(path, headers=who.bearer)


def test_the_answer_is_the_seeds_to_the_byte() -> None:
    reply = send(caller(credits=1_230), to=ONE, message=TEXT, **{"from": "YourBrand"})
    assert reply.content.decode() == (
        f'{{"success":true,"message_id":"{ids()[0]}","credits_used":1,"credits_remaining":1229,"status":"queued"}}'
    )
    assert (reply.status_code, reply["content-type"]) == (200, "application/json")
    assert Message.objects.get().sender == "YourBrand"


def test_an_array_is_answered_with_the_documented_top_and_an_entry_for_each() -> None:
    opted_out("+13235554567")
    reply = send(caller(credits=9), to=[ONE, TWO, "+13235554567", "nobody"], message="Bulk message").json()
    first, second = ids()
    assert list(reply) == ["success", "message_id", "credits_used", "credits_remaining", "status", "messages"]
    assert [reply[name] for name in list(reply)[:5]] == [True, first, 2, 7, "queued"]
    assert reply["messages"][:2] == [
        {"to": ONE, "status": "queued", "message_id": first},
        {"to": TWO, "status": "queued", "message_id": second},
    ]
    assert [entry["error"]["code"] for entry in reply["messages"][2:]] == ["opted_out", "invalid_phone_number"]


def test_an_array_of_one_has_an_entry_too() -> None:
    told = send(caller(), to=[1234567890], message=TEXT).json()
    assert told["messages"] == [{"to": ONE, "status": "queued", "message_id": told["message_id"]}]


def test_a_sender_that_the_account_cannot_show_is_left_to_the_account() -> None:
    assert send(caller(account(kind="customersms")), to=ONE, message=TEXT, **{"from": "YourBrand"}).status_code == 200
    assert Message.objects.get().sender == ""


# --- Times -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "written", "utc"),
    [
        ("Europe/Tallinn", "2031-06-01T12:00:00Z", "2031-06-01T12:00:00"),
        ("Europe/Tallinn", "2031-06-01T12:00:00+05:30", "2031-06-01T06:30:00"),
        ("Europe/Tallinn", "2031-06-01T12:00:00", "2031-06-01T09:00:00"),
        ("Europe/Tallinn", "2031-01-01 12:00", "2031-01-01T10:00:00"),
        ("", "2031-06-01T12:00:00", "2031-06-01T12:00:00"),
    ],
)
def test_what_is_scheduled_waits_here_by_the_accounts_clock(zone: str, written: str, utc: str) -> None:
    reply = send(caller(account(zone=zone)), to=ONE, message=TEXT, scheduled_at=written)
    row = Message.objects.get()
    assert (reply.json()["status"], row.status) == ("queued", "scheduled")
    assert row.due_at == datetime.fromisoformat(utc).replace(tzinfo=UTC)


def test_what_was_scheduled_for_the_past_leaves_now() -> None:
    send(caller(), to=ONE, message=TEXT, scheduled_at=SECONDS)
    row = Message.objects.get()
    assert row.status == "queued" and timezone.now() - row.due_at < timedelta(minutes=1)


# --- Status ----------------------------------------------------------------------------------------------


def test_a_message_is_told_as_in_the_seed() -> None:
    who = caller()
    pk = send(who, to=ONE, message=TEXT, **{"from": "YourBrand"}).json()["message_id"]
    moment = datetime(2023, 12, 1, 15, 23, 45, tzinfo=UTC)
    later = moment + timedelta(seconds=3)
    Message.objects.update(status="delivered", sent_at=moment, done_at=later)
    assert get(who, f"/v1/messages/{pk}").content.decode() == (
        f'{{"message_id":"{pk}","to":"{ONE}","from":"YourBrand","message":"{TEXT}","status":"delivered",'
        '"sent_at":"2023-12-01T15:23:45Z","delivered_at":"2023-12-01T15:23:48Z"}'
    )


@pytest.mark.parametrize(
    ("status", "word", "code"),
    [
        ("scheduled", "queued", None),
        ("sending", "queued", None),
        ("uncertain", "queued", None),
        ("sent", "sent", None),
        ("failed", "failed", "no_route"),
        ("expired", "expired", "no_route"),
        ("canceled", "failed", "canceled"),
    ],
)
def test_each_status_has_a_word_of_the_seed(status: str, word: str, code: str | None) -> None:
    who = caller()
    pk = send(who, to=ONE, message=TEXT).json()["message_id"]
    Message.objects.update(status=status, error_code="no_route")
    told = get(who, f"/v1/messages/{pk}").json()
    assert told["status"] == word and told.get("error", {}).get("code") == code
    assert told["sent_at"] is None and told["delivered_at"] is None


@pytest.mark.parametrize(
    "path", ["/v1/messages/0", "/v1/messages/msg_5f8d2b38c4a7f", "/v1/messages/99999999999999999999"]
)
def test_a_message_that_is_none_is_not_found(path: str) -> None:
    reply = get(caller(), path)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_nobody_reads_what_another_key_sent() -> None:
    who = caller()
    pk = send(who, to=ONE, message=TEXT).json()["message_id"]
    assert get(caller(who.account), f"/v1/messages/{pk}").status_code == 404


# --- Account and webhooks --------------------------------------------------------------------------------


def test_the_account_tells_the_budget_of_the_key() -> None:
    through = account(sender="ACME")
    assert get(caller(through, credits=7), "/v1/account").json() == {
        "success": True, "name": "Shop", "credits_remaining": 7, "from": "ACME",
    }  # fmt: skip
    assert get(caller(through), "/v1/account").json()["credits_remaining"] is None


def test_a_webhook_is_registered_and_its_secret_told() -> None:
    who = caller()
    body = {"url": "https://192.0.9.1/sms-webhook", "events": ["message.delivered", "message.failed"]}
    reply = post("/v1/webhooks", body, headers=who.bearer)
    row = Webhook.objects.get()
    told = reply.json()
    assert (reply.status_code, told["webhook_id"], told["url"]) == (201, str(row.pk), body["url"])
    assert told["secret"] == row.sealed["secret"] and told["events"] == body["events"]
    every = post("/v1/webhooks/", {"url": body["url"]}, headers=who.bearer).json()["events"]
    assert every == ["message.sent", "message.delivered", "message.failed", "message.expired"]
    assert row.key == who.row


def test_reports_of_a_request_go_where_it_says() -> None:
    who, url = caller(), "https://192.0.9.1/reports"
    for _ in range(2):
        assert send(who, to=ONE, message=TEXT, callback_url=url).status_code == 200
    row = Webhook.objects.get()
    assert (row.key, row.url, row.for_campaigns, row.format) == (who.row, url, True, "smsprovider")
    assert {"message.sent", "message.delivered", "message.failed", "message.expired"} <= {*row.events}
    assert set(Addressed.objects.values_list("campaign", "webhook")) == {(c.pk, row.pk) for c in Campaign.objects.all()}


def test_a_message_does_not_fail_for_a_private_address_that_will_not_be_called() -> None:
    """As every smsdash in a private network names one when it sends through another."""
    assert send(caller(), to=ONE, message=TEXT, callback_url="http://127.0.0.1/x").status_code == 200
    assert len(stored()) == 1 and Webhook.objects.get().url == "http://127.0.0.1/x"


def test_a_webhook_at_a_private_address_is_refused() -> None:
    reply = post("/v1/webhooks", {"url": "http://127.0.0.1/x", "events": []}, headers=caller().bearer)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
    assert "An administrator can allow the host" in reply.json()["error"]["message"] and not Webhook.objects.exists()


@pytest.mark.parametrize("url", ["ftp://192.0.9.1/", "nonsense", "https://me:you@192.0.9.1/", 7])
def test_reports_go_to_nothing_that_is_no_address(url: Any) -> None:
    reply = send(caller(), to=ONE, message=TEXT, callback_url=url)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "invalid_request")
    assert stored() == [] and not Webhook.objects.exists()


# --- Errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"to": ONE}, 400, "invalid_request"),
        ({"message": TEXT}, 400, "invalid_request"),
        ({"to": [], "message": TEXT}, 400, "invalid_request"),
        ({"to": [[ONE]], "message": TEXT}, 400, "invalid_request"),
        ({"to": 1234567890.0, "message": TEXT}, 400, "invalid_request"),
        ({"to": "nobody", "message": TEXT}, 422, "invalid_phone_number"),
        ({"to": ["12", "13"], "message": TEXT}, 422, "invalid_phone_number"),
        ({"to": ONE, "message": "x" * 1_601}, 422, "message_too_long"),
        ({"to": ONE, "message": TEXT, "scheduled_at": "tomorrow"}, 400, "invalid_request"),
        ({"to": ONE, "message": TEXT, "scheduled_at": "9999-12-31T23:59:59Z"}, 400, "invalid_request"),
        ({"to": ONE, "message": TEXT, "from": "x" * 21}, 400, "invalid_request"),
        ({"to": ONE, "message": TEXT, "from": ["x"]}, 400, "invalid_request"),
        ({"to": [ONE] * 5_001, "message": TEXT}, 400, "invalid_request"),
        (b"not JSON", 400, "invalid_request"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_has_the_seeds_shape(body: Any, status: int, code: str) -> None:
    reply = post("/v1/messages", body, headers=caller().bearer)
    told = reply.json()
    assert (reply.status_code, told["success"], told["error"]["code"]) == (status, False, code)
    assert list(told) == ["success", "error"] and list(told["error"]) == ["code", "message"]
    assert all(name in reply for name in LIMITS)
    assert stored() == []


def test_a_lone_number_that_opted_out_is_refused() -> None:
    opted_out(ONE)
    reply = send(caller(credits=1), to=ONE, message=TEXT)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "opted_out")


def test_a_budget_that_is_empty_is_the_seeds_error() -> None:
    reply = send(caller(credits=0), to=ONE, message=TEXT)
    assert (reply.status_code, reply.json()["error"]["code"]) == (402, "insufficient_credits")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nobody's", "Basic abc", "Token x", "Bearer \udcff"])
def test_a_key_that_is_none_is_the_seeds_error(header: str) -> None:
    raw = {"authorization": header.encode(errors="surrogateescape").decode("latin-1")} if header else {}
    reply = post("/v1/messages", {"to": ONE, "message": TEXT}, headers=raw)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "authentication_failed")
    assert all(int(reply[name]) >= 0 for name in LIMITS)


def test_limits_are_told_with_every_answer() -> None:
    who = caller(rates=["3/hour"])
    pages = [
        send(who, to=ONE, message=TEXT),
        get(who, "/v1/account"),
        get(who, "/v1/messages/0"),
        get(who, "/v1/account"),
    ]
    assert [reply.status_code for reply in pages] == [200, 200, 404, 429]
    assert [[int(reply[name]) for name in LIMITS[:2]] for reply in pages] == [[3, 2], [3, 1], [3, 0], [3, 0]]
    assert all(0 < int(reply["X-RateLimit-Reset"]) <= 3_600 for reply in pages)
    assert pages[3].json()["error"]["code"] == "rate_limit_exceeded"
