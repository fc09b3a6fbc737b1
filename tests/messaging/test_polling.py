from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from messaging import clock, ledger, polling
from messaging.models import DeliveryReport, Message
from providers.models import ProviderAccount
from providers.transport import HttpTransport
from providers.types import Reply, Request

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


def answering(monkeypatch: pytest.MonkeyPatch, status: str, code: int = 200) -> list[str]:
    asked: list[str] = []

    def transport(self: HttpTransport, request: Request) -> Reply:
        asked.append(request.path)
        body = {"message_id": "msg_1", "to": "+11234567890", "message": "x", "status": status}
        return Reply(code, {"content-type": "application/json"}, json.dumps(body).encode())

    monkeypatch.setattr(HttpTransport, "__call__", transport)
    return asked


def test_it_learns_the_status(account: ProviderAccount, message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answering(monkeypatch, "delivered") == []
    assert polling.poll(account.pk) == 1
    message.refresh_from_db()
    assert (message.status, message.poll_at) == ("delivered", None)


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
    assert message.poll_at - timezone.now() > first - timezone.now() + timedelta(seconds=10)


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
    assert clock.accounts_to_poll() == []
