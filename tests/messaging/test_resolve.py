from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from messaging import ledger
from messaging.models import Message
from providers.models import ProviderAccount
from providers.types import Status

pytestmark = pytest.mark.django_db


def message(status: Status = Status.UNCERTAIN) -> Message:
    account = ProviderAccount.objects.get_or_create(name="Main", kind="smsprovider", base_url="http://127.0.0.1:9/v1")[
        0
    ]
    row = Message(account=account, number="+11234567890", text="x", status=status, error_code="no_answer", attempts=1)
    return ledger.insert([row])[0]


def resolve(client: Client, row: Message, how: str) -> Message:
    page = reverse("messaging-message", args=[row.pk])
    reply = client.post(reverse("messaging-resolve"), {"id": row.pk, "as": how, "next": page})
    assert reply.status_code in (302, 403)
    row.refresh_from_db()
    return row


def test_an_operator_can_count_it_as_sent(admin_client: Client) -> None:
    row = resolve(admin_client, message(), "sent")
    assert (row.status, row.error_code) == ("sent", "")
    assert row.provider_status == "counted as sent by admin"
    assert row.sent_at is not None


def test_an_operator_can_send_it_again(admin_client: Client) -> None:
    row = resolve(admin_client, message(), "again")
    assert (row.status, row.error_code, row.attempts) == ("queued", "", 1)


@pytest.mark.parametrize("status", [status for status in ledger.FROM if status is not Status.UNCERTAIN])
@pytest.mark.parametrize("how", ["sent", "again"])
def test_nothing_else_is_touched(how: str, status: Status, admin_client: Client) -> None:
    assert resolve(admin_client, message(status), how).status == status


def test_it_takes_a_permission(client: Client) -> None:
    client.force_login(get_user_model().objects.create_user("reader"))
    assert resolve(client, message(), "again").status == "uncertain"


def test_the_page_offers_both_for_an_uncertain_message_only(admin_client: Client) -> None:
    page = admin_client.get(reverse("messaging-message", args=[message().pk])).content.decode()
    assert "Count as sent" in page and "arrives twice" in page
    page = admin_client.get(reverse("messaging-message", args=[message(Status.SENT).pk])).content.decode()
    assert "Count as sent" not in page
