"""Received messages: stored once, kept in their conversation, and STOP is heard before anything else."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from django.db import connection
from django.utils import timezone

from contacts import optout
from providers.models import ProviderAccount
from providers.types import Inbound, Status
from providers.wire import clean_number

from . import attachments, autoreply, inbox, inbox_optout, ledger
from .models import Message
from .wire_ids import with_ids

RECEIVING = 0x494E  # the number of the locks, in PostgreSQL
REPEATED = timedelta(minutes=10)  # within which a post without an id is taken for a repetition


class Stored(NamedTuple):
    """A message that was not here before. ``stopped``: by it, its sender opted out."""

    message: Message
    stopped: bool


def receive(account: ProviderAccount, inbound: Inbound, exchange: int | None = None) -> Message | None:
    """Store a received message, and skip what waits for whoever opts out by it; None when it was here before."""
    stored = store(account, inbound, exchange)
    if stored and stored.stopped:
        inbox_optout.skip_waiting([stored.message.number])
    return stored.message if stored else None


def store(account: ProviderAccount, inbound: Inbound, exchange: int | None = None) -> Stored | None:
    """Store a received message; None when it was here before (same account and provider's id).

    ``exchange``: the id of the Exchange that keeps the post as it came. Once the transaction is through, what waits for
    somebody who opted out is to be skipped.
    """
    number = _number(inbound.number)
    with ledger.together():
        _alone(account)
        if _is_known(account, inbound):
            return None
        message = ledger.insert([_row(account, inbound, number, exchange)])[0]
        attachments.want(link for link in message.attachments if attachments.opens(link))
        if not number:
            return Stored(message, False)
        conversation = inbox.heard(message)
        proof = {"message": message.pk, "account": account.name, "at": message.created_at.isoformat()}
        heard = optout.hear(number, inbound.text, f"message {message.pk}", proof)
        if heard.near:
            inbox.flag(conversation, inbox.Flag.NEAR_MISS)
        autoreply.answer(account, conversation, message, heard)
    return Stored(message, heard.kind == optout.Kind.STOP)


def _alone(account: ProviderAccount) -> None:
    """Until the transaction ends nobody else stores what this account received: the same message may come twice at
    once, posted and asked for. On SQLite none other writes anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [RECEIVING, account.pk])


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
        attachments=[link.replace("\x00", "\ufffd") for link in inbound.attachments],
        status=Status.RECEIVED.value,
        provider_id=inbound.provider_id[:100],
        device=inbound.device[:40],
        sim=inbound.sim,
        exchange=exchange,
        created_at=now,
        sent_at=inbound.received_at,
        done_at=inbound.stored_at or now,
    )
