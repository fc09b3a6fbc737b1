"""Campaigns for the tests of their pages."""

from __future__ import annotations

import html
from typing import Any

from django.test import Client

from messaging import ledger
from messaging.models import Campaign, Message
from providers.models import ProviderAccount

URL = "/campaigns/"


def campaign(main: ProviderAccount, statuses: dict[str, int] | None = None, **values: Any) -> Campaign:
    """With so many messages in each status, complete, and known by its name."""
    sizes = {"delivered": 2} if statuses is None else statuses
    skipped = sum(values.get("skipped", {}).values())
    usual = {"name": "Sale", "text": "Hello", "total": sum(sizes.values()) + skipped, "complete": True}
    made = Campaign.objects.create(account=main, **{**usual, **values})
    messages(made, sizes)
    return made


def messages(of: Campaign, sizes: dict[str, int], **values: Any) -> list[Message]:
    usual = {"account_id": of.account_id, "campaign": of, "number": "+37255512345", "text": of.text}
    return ledger.insert(
        [Message(**{**usual, "status": status, **values}) for status, n in sizes.items() for _ in range(n)]
    )


def at(of: Campaign) -> str:
    return f"{URL}{of.pk}/"


def text_of(client: Client, url: str) -> str:
    reply = client.get(url)
    assert reply.status_code == 200
    return " ".join(html.unescape(reply.text).split())
