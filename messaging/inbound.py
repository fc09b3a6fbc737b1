"""Received messages: stored once, and STOP is heard before anything else."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from contacts import optout
from providers.models import ProviderAccount
from providers.types import Inbound, Status
from providers.wire import clean_number

from . import ledger
from .models import Message
from .wire_ids import with_ids


def receive(account: ProviderAccount, inbound: Inbound) -> Message | None:
    """Store a received message; None when it was here before (same account and provider's id)."""
    provider_id = inbound.provider_id[:100]
    number = _number(inbound.number)
    with transaction.atomic():
        # the account's row is the lock: two posts of one message at once must not both be the first
        ProviderAccount.objects.select_for_update().only("pk").get(pk=account.pk)
        known = with_ids(Message.objects.exclude(provider_id=""), account.pk, [provider_id])
        if provider_id and known.filter(provider_id=provider_id, status=Status.RECEIVED).exists():
            return None
        message = ledger.insert([_row(account, inbound, provider_id, number)])[0]
        optout.hear(number, inbound.text, source=f"message {message.pk}")
    return message


def _number(text: str) -> str:
    """As E.164 where it has that shape; alphanumeric senders stay as they are."""
    try:
        return clean_number(text)
    except ValueError:
        return text[:16]


def _row(account: ProviderAccount, inbound: Inbound, provider_id: str, number: str) -> Message:
    now = timezone.now()
    return Message(
        account=account,
        number=number,
        text=inbound.text,
        sender=inbound.to[:20],
        type=inbound.type.value,
        attachments=list(inbound.attachments),
        status=Status.RECEIVED.value,
        provider_id=provider_id,
        device=inbound.device[:40],
        sim=inbound.sim,
        created_at=now,
        sent_at=inbound.received_at,
        done_at=inbound.stored_at or now,
    )
