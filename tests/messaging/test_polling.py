from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging import asking, clock, leases, ledger, polling
from messaging.models import DeliveryReport, Message
from providers import pacing
from providers.models import Exchange, ProviderAccount
from providers.transport import HttpTransport
from providers.types import Reply, Request
from tests import base

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> ProviderAccount:
    account = ProviderAccount(name="Main", kind="smsprovider", base_url="http://127.0.0.1:9/v1", rates=["50/second"])
    account.set_credentials({"api_key": "key-1234567890"})
    account.save()
    return account


@pytest.fixture
def message(account: ProviderAccount) -> Message:
    now = timezone.now()
    row = Message(
        account=account, number="+11234567890", text="x", status="sent", provider_id="msg_1", sent_at=now, poll_at=now
    )
    return ledger.insert([row])[0]


def answering(monkeypatch: pytest.MonkeyPatch, status: str, code: int = 200, **headers: str) -> list[str]:
    asked: list[str] = []

    def transport(self: HttpTransport, request: Request) -> Reply:
        asked.append(request.path)
        body = {"message_id": "msg_1", "to": "+11234567890", "message": "x", "status": status}
        return Reply(code, {"content-type": "application/json", **headers}, json.dumps(body).encode())

    monkeypatch.setattr(HttpTransport, "__call__", transport)
    return asked


def test_it_learns_the_status(account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answering(monkeypatch, "delivered") == []
    assert polling.poll(account.pk) == 1
    message.refresh_from_db()
    assert (message.status, message.poll_at) == ("delivered", None)


@pytest.mark.usefixtures("still")
def test_it_asks_less_and_less_often(
    account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, "queued")
    polling.poll(account.pk)
    polling.poll(account.pk)
    message.refresh_from_db()
    first = message.poll_at
    Message.objects.update(poll_at=timezone.now())
    polling.poll(account.pk)
    message.refresh_from_db()
    assert len(asked) == 2
    assert first is not None and message.poll_at is not None
    assert timedelta(seconds=110) < message.poll_at - first < timedelta(seconds=130)


def test_the_same_status_again_leaves_no_report(
    account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "sent")
    polling.poll(account.pk)
    assert not DeliveryReport.objects.exists()


def test_an_error_is_waited_out(account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "x", code=500)
    assert polling.poll(account.pk) == 0
    message.refresh_from_db()
    assert message.status == "sent"
    assert message.poll_at is not None and message.poll_at > timezone.now()


def test_it_ends_after_three_days(account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "sent")
    Message.objects.update(sent_at=timezone.now() - timedelta(days=4))
    polling.poll(account.pk)
    message.refresh_from_db()
    assert (message.status, message.poll_at) == ("sent", None)
    assert (message.error_code, message.error_text[:9]) == ("no_report", "No report")
    assert clock.accounts_to_poll() == []


def test_a_last_answer_is_heard(account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, "delivered")
    Message.objects.update(sent_at=timezone.now() - timedelta(days=4))
    polling.poll(account.pk)
    message.refresh_from_db()
    assert (message.status, message.error_code) == ("delivered", "")


@pytest.mark.usefixtures("still")
def test_there_is_a_longest_time_between_two_looks(
    account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "sent")
    Message.objects.update(polls=30_000)
    polling.poll(account.pk)
    message.refresh_from_db()
    assert message.poll_at is not None
    assert 3590 < (message.poll_at - timezone.now()).total_seconds() <= 3600


@pytest.mark.parametrize("answer", ["", "[]", "<h1>It works!</h1>", '{"message_id": "msg_7", "status": "delivered"}'])
def test_rubbish_changes_nothing(
    answer: str, account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpTransport, "__call__", lambda self, request: Reply(200, {}, answer.encode()))
    assert polling.poll(account.pk) == 0
    message.refresh_from_db()
    assert message.status == "sent"
    assert message.poll_at is not None and message.poll_at > timezone.now() + timedelta(seconds=60)
    assert not DeliveryReport.objects.exists()


def test_what_has_no_id_is_not_asked_for(
    account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, "delivered")
    Message.objects.update(provider_id="")
    polling.poll(account.pk)
    assert asked == []
    assert Message.objects.get().poll_at is None


def test_what_has_ended_is_not_asked_for(
    account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, "delivered")
    Message.objects.update(status="failed")
    polling.poll(account.pk)
    assert asked == []
    assert Message.objects.get().poll_at is None


def test_only_failed_polls_leave_an_exchange(
    account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, "sent")
    polling.poll(account.pk)
    assert not Exchange.objects.exists()
    answering(monkeypatch, "sent", code=500)
    Message.objects.update(poll_at=timezone.now())
    polling.poll(account.pk)
    assert Exchange.objects.filter(verb="messages", open=False).count() == 1


# --- Gently ------------------------------------------------------------------------------------------


def several(account: ProviderAccount, n: int) -> None:
    now = timezone.now()
    rows = [Message(account=account, number="+1", text="x", status="sent", provider_id=f"m{i}") for i in range(n)]
    for row in rows:
        row.sent_at = row.poll_at = now
    ledger.insert(rows)


def queue(account: ProviderAccount) -> None:
    ledger.insert([Message(account=account, number="+1", text="x", status="queued")])


def due(account: ProviderAccount) -> int:
    return Message.objects.filter(account=account, poll_at__lte=timezone.now()).count()


def test_it_leaves_most_places_to_messages_that_wait(account: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, "sent")
    monkeypatch.setattr(random, "random", lambda: 0.99)
    several(account, 40)
    queue(account)
    ProviderAccount.objects.update(rates=["1/second", "1000/minute"])
    polling.poll(account.pk)
    assert (len(asked), due(account)) == (0, 40)
    ProviderAccount.objects.update(rates=["20/second"])
    polling.poll(account.pk)
    assert (len(asked), due(account)) == (10, 30)


def test_slow_accounts_are_asked_now_and_then(account: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, "sent")
    monkeypatch.setattr(random, "random", lambda: 0.01)
    several(account, 5)
    queue(account)
    ProviderAccount.objects.update(rates=["60/minute"])
    polling.poll(account.pk)
    assert len(asked) == 1


def test_it_waits_for_places_that_are_free_soon(account: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, "sent")
    several(account, 12)
    ProviderAccount.objects.update(rates=["100/second"])
    polling.poll(account.pk)
    assert (len(asked), due(account)) == (12, 0)


def test_it_does_not_wait_long_for_a_place(account: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, "sent")
    several(account, 40)
    ProviderAccount.objects.update(rates=["60/hour"])
    polling.poll(account.pk)
    assert 0 < len(asked) < 40
    assert due(account) == 40 - len(asked)


@pytest.mark.parametrize(("held", "polls"), [(False, 0), (True, 5)])
def test_a_worker_that_could_send_does_not_go_on_asking(
    held: bool, polls: int, account: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(monkeypatch, "sent")
    monkeypatch.setattr(asking, "SHORT", 0.0)
    other = base.account("Other")
    queue(other)
    if held:
        leases.acquire(other.pk, "somebody")
    several(account, 5)
    polling.poll(account.pk)
    assert len(asked) == polls


def test_a_provider_that_is_busy_is_left_alone(account: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answering(monkeypatch, "x", code=429, **{"retry-after": "60"})
    several(account, 5)
    polling.poll(account.pk)
    assert (len(asked), due(account)) == (1, 0)
    assert not pacing.reserve(account, account.windows).places


def test_one_worker_polls_an_account_at_a_time(account: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def transport(self: HttpTransport, request: Request) -> Reply:
        asked.append(request.path)
        assert polling.poll(account.pk) == 0
        return Reply(404)

    monkeypatch.setattr(HttpTransport, "__call__", transport)
    several(account, 1)
    polling.poll(account.pk)
    several(account, 1)
    polling.poll(account.pk)
    assert len(asked) == 2


def test_two_workers_do_not_ask_for_the_same(account: ProviderAccount) -> None:
    several(account, 3)
    first, _until = polling._claim(account.pk)
    second, _until = polling._claim(account.pk)
    assert (len(first), len(second)) == (3, 0)


def test_one_question_serves_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    account = base.account(kind="smsgateway")
    several(account, 30)
    Message.objects.update(provider_group="g1")
    entries = [{"ID": f"m{i}", "number": "+1", "message": "x", "status": "Delivered"} for i in range(31)]
    asked: list[bytes] = []

    def transport(self: HttpTransport, request: Request) -> Reply:
        asked.append(request.body)
        body = {"success": True, "data": {"messages": entries}, "error": None}
        return Reply(200, {}, json.dumps(body).encode())

    monkeypatch.setattr(HttpTransport, "__call__", transport)
    assert polling.poll(account.pk) == 30
    assert len(asked) == 1 and b"groupId=g1" in asked[0]
    assert DeliveryReport.objects.count() == 30  # what is not ours leaves nothing
