"""The actors of the webhook tests: webhooks, keys, messages, and receivers on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from api import formats, keys, webhooks
from api.models import ApiKey, Delivery, Webhook
from messaging import ledger
from messaging.ledger import Change
from messaging.models import Message
from providers.models import AllowedHost, ProviderAccount
from providers.types import Status

URL = "https://8.8.8.8/hook"  # where nothing is sent to in tests


def webhook(events: Sequence[str] = tuple(formats.EVENTS), **values: Any) -> Webhook:
    values = {"url": URL, "sealed": {"secret": formats.new_secret()}} | values
    row = Webhook.objects.create(events=list(events), **values)
    webhooks.keep_wanted()
    return row


def api_key(name: str = "shop", **values: Any) -> ApiKey:
    return keys.create(name, **values)[0]


def message(account: ProviderAccount, status: Status = Status.QUEUED, **values: Any) -> Message:
    values = {"number": "+11234567890", "text": "Hello"} | values
    (row,) = ledger.insert([Message(account=account, status=status, **values)])
    return row


def become(row: Message, *statuses: Status) -> None:
    for status in statuses:
        ledger.apply([Change(row.pk, status)])


def told(row: Webhook) -> list[tuple[str, str]]:
    """What is there for it, as event and subject, once all that happened is passed on."""
    while webhooks.pass_on():
        pass
    return list(row.deliveries.order_by("pk").values_list("event", "subject"))


def delivery(row: Webhook, subject: str = "message:1", **values: Any) -> Delivery:
    values = {"event": "message.sent", "body": json.dumps({"about": subject})} | values
    return Delivery.objects.create(webhook=row, subject=subject, **values)


def allow(*hosts: str) -> None:
    for host in hosts:
        AllowedHost.objects.create(name=host)
