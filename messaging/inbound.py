"""Received messages: stored once, kept in their conversation, and STOP is heard before anything else."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from contacts import optout
from providers.models import ProviderAccount
from providers.types import Inbound, Status
from providers.wire import clean_number

from . import attachments, autoreply, inbox, inbox_optout, ledger
from .models import Message
from .wire_ids import with_ids

REPEATED = timedelta(minutes=10)  # within which a post without an id is taken for a repetition


def receive(account: ProviderAccount, inbound: Inbound, exchange: int | None = None) -> Message | None:
    """Store a received message; None when it was here before (same account and provider's id).

    ``exchange``: the id of the Exchange that keeps the post as it came.
    """
    number = _number(inbound.number)
    with ledger.together():
        # the account's row is the lock: two posts of one message at once must not both be the first
        ProviderAccount.objects.select_for_update().only("pk").get(pk=account.pk)
        if _is_known(account, inbound):
            return None
        message = ledger.insert([_row(account, inbound, number, exchange)])[0]
        attachments.want(link for link in inbound.attachments if attachments.opens(link))
        if not number:
            return message
        conversation = inbox.heard(message)
        proof = {"message": message.pk, "account": account.name, "at": message.created_at.isoformat()}
        heard = optout.hear(number, inbound.text, f"message {message.pk}", proof)
        if heard.near:
            inbox.flag(conversation, inbox.Flag.NEAR_MISS)
        autoreply.answer(account, conversation, message, heard)
    if heard.kind == optout.Kind.STOP:
        inbox_optout.skip_waiting([number])
    return message


def _is_known(account: ProviderAccount, inbound: Inbound) -> bool:
    provider_id = inbound.provider_id[:100]
    if not provider_id:
        return False
    known = with_ids(Message.objects.exclude(provider_id=""), account.pk, [provider_id])
    known = known.filter(provider_id=provider_id, status=Status.RECEIVED)
    if inbound.made_up:
        known = known.filter(created_at__gte=timezone.now() - REPEATED)
    return known.exists()


def _number(text: str) -> str:
    """As E.164 where it has that shape; alphanumeric senders stay as they are."""
    try:
        return clean_number(text)
    except ValueError:
        return text.replace("\x00", "\ufffd")[:16]


def _row(account: ProviderAccount, inbound: Inbound, number: str, exchange: int | None) -> Message:
    now = timezone.now()
    return Message(
        account=account,
        number=number,
        text=inbound.text.replace("\x00", "\ufffd"),
        sender=inbound.to[:20],
        type=inbound.type.value,
        attachments=list(inbound.attachments),
        status=Status.RECEIVED.value,
        provider_id=inbound.provider_id[:100],
        device=inbound.device[:40],
        sim=inbound.sim,
        exchange=exchange,
        created_at=now,
        sent_at=inbound.received_at,
        done_at=inbound.stored_at or now,
    )
