"""Asking an account for the messages that no callback brought."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import parse_qs

import pytest
from django.utils import timezone

from messaging import inbox_polling
from messaging.models import Conversation, Listening, Message
from providers import registry
from providers.models import ProviderAccount
from providers.transport import HttpTransport
from providers.types import Inbound, MessageInfo, ReadMessages, Reply, Request, Status
from tests.base import account
from tests.posting import post_event

from .conversations import ADA, BO, conversation, phones, write

pytestmark = pytest.mark.django_db

Answers = Callable[..., list[Request]]


@pytest.fixture
def main() -> ProviderAccount:
    return phones()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Answers with these messages, as the real service would."""

    def set_up(*found: MessageInfo, status: int = 200) -> list[Request]:
        asked: list[Request] = []

        def transport(self: HttpTransport, request: Request) -> Reply:
            asked.append(request)
            answer = registry.dialect("smsgateway").write_messages(ReadMessages(), found)
            return answer if status == 200 else Reply(status, {}, b"")

        monkeypatch.setattr(HttpTransport, "__call__", transport)
        return asked

    return set_up


def info(pk: str, text: str = "Hello", number: str = ADA, at: datetime | None = None) -> MessageInfo:
    at = at or timezone.now()
    return MessageInfo(pk, number, text, Status.RECEIVED, device="7", sim=1, sent_at=at, delivered_at=at)


def listening(of: ProviderAccount) -> Listening:
    return Listening.objects.get(account=of)


def soon(of: ProviderAccount) -> timedelta:
    return listening(of).next_at - timezone.now()


def test_it_stores_what_was_received_once_and_in_order(main: ProviderAccount, provider: Answers) -> None:
    now = timezone.now()
    minute = timedelta(minutes=1)
    asked = provider(
        info("2", "second", at=now), info("3", "zero", at=now - 2 * minute), info("1", "first", at=now - minute)
    )
    assert inbox_polling.poll(main.pk) == 3
    assert inbox_polling.poll(main.pk) == 0
    assert [m.text for m in Message.objects.order_by("pk")] == ["zero", "first", "second"]
    found = conversation()
    assert (found.preview, found.device, found.sim) == ("second", "7", 1)
    form = parse_qs(asked[0].body.decode())
    assert form["status"] == ["Received"] and "startTimestamp" in form


def test_what_the_callback_brought_is_not_stored_again(main: ProviderAccount, provider: Answers) -> None:
    write(main, id="7")
    provider(info("7"), info("8", number=BO))
    assert inbox_polling.poll(main.pk) == 1
    assert Conversation.objects.count() == Message.objects.count() == 2


def test_what_is_no_received_message_is_left_alone(main: ProviderAccount, provider: Answers) -> None:
    provider(MessageInfo("9", ADA, "ours", Status.SENT))
    assert inbox_polling.poll(main.pk) == 0
    assert not Message.objects.exists()


def test_stop_is_heard_here_too(main: ProviderAccount, provider: Answers) -> None:
    waits = Message.objects.create(account=main, number=ADA, text="Sale", status="queued")
    provider(info("7", "STOP"))
    inbox_polling.poll(main.pk)
    waits.refresh_from_db()
    assert (waits.status, waits.error_code) == ("canceled", "opted_out")


def test_it_asks_often_until_the_callback_works_and_again_when_that_missed_one(
    main: ProviderAccount, provider: Answers
) -> None:
    provider()
    inbox_polling.poll(main.pk)
    assert soon(main) <= inbox_polling.OFTEN
    inbox_polling.pushed(main)
    inbox_polling.poll(main.pk)
    assert soon(main) > inbox_polling.OFTEN
    provider(info("7"))
    inbox_polling.poll(main.pk)
    assert soon(main) <= inbox_polling.OFTEN


def test_after_an_error_it_asks_later_for_the_same(main: ProviderAccount, provider: Answers) -> None:
    provider(status=500)
    since = main.created_at
    assert inbox_polling.poll(main.pk) == 0
    assert inbox_polling.OFTEN < soon(main) <= inbox_polling.AFTER_ERROR
    assert listening(main).since == since


def test_due_names_accounts_that_can_be_asked_and_whose_time_has_come(main: ProviderAccount, provider: Answers) -> None:
    account("No list of messages", kind="voipcommunications")
    off = phones("Off", enabled=False)
    assert inbox_polling.due() == [main.pk]
    provider()
    inbox_polling.poll(main.pk)
    assert inbox_polling.due() == []
    Listening.objects.update(next_at=timezone.now())
    assert inbox_polling.due() == [main.pk] and off.pk not in inbox_polling.due()


def test_it_does_not_ask_for_what_came_before_the_account_was_here(main: ProviderAccount, provider: Answers) -> None:
    asked = provider()
    inbox_polling.poll(main.pk)
    start = int(parse_qs(asked[0].body.decode())["startTimestamp"][0])
    assert start >= int((main.created_at - inbox_polling.OVERLAP).timestamp())


def test_a_post_to_the_callback_proves_that_it_works(main: ProviderAccount) -> None:
    post_event(main, Inbound("7", ADA, "Hello", device="1"), main.credentials["api_key"])
    assert listening(main).pushed_at is not None
