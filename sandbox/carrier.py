"""The imaginary carrier: every operation of ``providers.types``, for one account."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import DataError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from providers import errors
from providers.types import (
    AccountInfo,
    ContactInfo,
    Credits,
    DeviceInfo,
    GetAccount,
    ListDevices,
    MessageInfo,
    MessageType,
    Operation,
    RateState,
    ReadMessages,
    ReadUssd,
    RegisterWebhook,
    Resend,
    Result,
    SaveContact,
    Send,
    SendResult,
    SendUssd,
    Status,
    Target,
    Unsubscribe,
    UssdInfo,
    WebhookInfo,
)

from . import agent, limits, phones, sending, ussd
from .models import Account, Contact, Message, UssdRequest
from .outcomes import Fault, fate
from .waiting import Pause

LISTED = 500  # messages or USSD requests in one answer
USER = "1"
NEVER = timedelta(days=36_500)


class Carrier:
    """One account's ``providers.base.Service``. ``pause`` waits for some seconds; it may return early."""

    def __init__(self, account: Account, pause: Pause = time.sleep) -> None:
        self.account = account
        self.pause = pause

    def handle(self, op: Operation) -> Result:
        """Raises ProviderError, or Fault when the message was taken and the answer is to be spoilt."""
        limits.admit(self.account)
        self.pause(self.account.latency)
        try:
            result: Result = getattr(self, f"do_{op.verb}")(op)
        except (OverflowError, DataError) as error:
            raise errors.InvalidRequest("A value is out of range.") from error
        return result

    def limits(self) -> RateState | None:
        return limits.state(self.account)

    def do_send(self, op: Send) -> SendResult:
        return sending.send(self.account, op, self.pause)

    def do_account(self, op: GetAccount) -> AccountInfo:
        amount = self.account.credits
        credits = Credits(None if amount is None else Decimal(amount))
        return AccountInfo(credits, self.account.name, self.account.sender)

    def do_messages(self, op: ReadMessages) -> tuple[MessageInfo, ...]:
        """Newest first, at most LISTED. Raises NotFound for an id that is nobody's."""
        now = timezone.now()
        rows = list(_search(self.account, op, now).order_by("-id")[:LISTED])
        if op.id and not rows:
            raise errors.NotFound("There is no message with this id.")
        return tuple(_message_info(row, now) for row in rows)

    def do_resend(self, op: Resend) -> tuple[MessageInfo, ...]:
        """Start the messages again, under their old ids; scheduled and received ones are left alone."""
        now = timezone.now()
        found = _search(self.account, op, now).filter(received=False, starts_at__lte=now).select_related("account")
        rows = list(found.order_by("-id")[:LISTED])
        if not rows:
            raise errors.NotFound("There is no message to send again.")
        for row in rows:
            row.schedule = None
            row.taken += 1
            sending.start(row, now)
        with transaction.atomic():
            sending.charge(self.account, len(rows))
            moments = ["starts_at", "sent_at", "ended_at", "next_at"]
            Message.objects.bulk_update(rows, [*moments, "schedule", "taken", "step", "attempts"], batch_size=100)
            Message.objects.bulk_create(sending.replies(rows))
        return tuple(_message_info(row, now) for row in rows)

    def do_devices(self, op: ListDevices) -> tuple[DeviceInfo, ...]:
        return phones.listing(self.account)

    def do_send_ussd(self, op: SendUssd) -> UssdInfo:
        target = phones.sim_of(self.account, Target(op.device, op.sim))
        now, answer = timezone.now(), ussd.answer(op.code)
        answered = now + (NEVER if answer.after is None else timedelta(seconds=answer.after))
        row = UssdRequest.objects.create(
            account=self.account,
            code=sending.plain(op.code),
            response=answer.text,
            device=target.device,
            sim=target.sim,
            sent_at=now,
            starts_at=answered,
            next_at=answered if self.account.webhook_url and answer.after is not None else None,
        )
        if answer.early and self.account.webhook_url:
            agent.post([row])
        if answer.fault:
            raise Fault(answer.fault)
        return replace(_ussd_info(row, now), response=None, answered_at=None)

    def do_read_ussd(self, op: ReadUssd) -> tuple[UssdInfo, ...]:
        now = timezone.now()
        rows = _narrow(UssdRequest.objects.filter(account=self.account), op, "sent_at")
        if op.code:
            rows = rows.filter(code=sending.plain(op.code))
        found = list(rows[:LISTED])
        if op.id and not found:
            raise errors.NotFound("There is no USSD request with this id.")
        return tuple(_ussd_info(row, now) for row in found)

    def do_save_contact(self, op: SaveContact) -> ContactInfo:
        contact, _ = Contact.objects.get_or_create(
            account=self.account,
            list_id=sending.plain(op.list_id),
            number=op.number,
            defaults={"name": sending.plain(op.name)},
        )
        return self._subscribe(contact, contact.subscribed or op.resubscribe)

    def do_unsubscribe(self, op: Unsubscribe) -> ContactInfo:
        contact = Contact.objects.filter(
            account=self.account, list_id=sending.plain(op.list_id), number=op.number
        ).first()
        if contact is None:
            raise errors.NotFound("This number is not on the list.")
        return self._subscribe(contact, False)

    def do_register_webhook(self, op: RegisterWebhook) -> WebhookInfo:
        """One webhook an account. All events are posted, whichever were asked for."""
        self.account.webhook_url = sending.plain(op.url)
        self.account.webhook_secret = f"whsec_{secrets.token_hex(16)}"
        self.account.save(update_fields=["webhook_url", "webhook_secret"])
        return WebhookInfo(f"wh_{self.account.pk}", op.url, op.events, self.account.webhook_secret)

    def _subscribe(self, contact: Contact, subscribed: bool) -> ContactInfo:
        if contact.subscribed != subscribed:
            contact.subscribed = subscribed
            contact.save(update_fields=["subscribed"])
        return ContactInfo(str(contact.pk), contact.number, contact.name, contact.list_id, contact.subscribed)


def _search(account: Account, op: ReadMessages | Resend, now: datetime) -> QuerySet[Message]:
    rows = Message.objects.filter(account=account).visible(now)
    if op.status is not None:
        rows = rows.with_status(op.status, now)
    if op.group:
        rows = rows.filter(group=sending.plain(op.group))
    return _narrow(rows, op, "accepted_at")


def _narrow(rows: QuerySet, op: ReadMessages | Resend | ReadUssd, moment: str) -> QuerySet:
    """The rows that fit what both messages and USSD requests are found by. ``moment`` names the field of their time."""
    asked = {
        "id": _number(op.id) if op.id else None,
        "device": sending.plain(op.device) or None,
        "sim": op.sim,
        f"{moment}__gte": op.start,
        f"{moment}__lte": op.end,
    }
    return rows.filter(**{name: value for name, value in asked.items() if value is not None})


def _number(text: str) -> int:
    """An id as it stands in the database; 0, which none has, for what cannot be one."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _message_info(row: Message, now: datetime) -> MessageInfo:
    status = row.status(now)
    return MessageInfo(
        id=str(row.pk),
        number=row.number,
        text=row.text,
        status=status,
        sender=row.sender,
        type=MessageType(row.type),
        attachments=tuple(row.attachments),
        device=row.device,
        sim=row.sim,
        user=USER,
        group=row.group,
        sent_at=row.sent_at if row.sent_at <= now else None,
        delivered_at=row.ended_at if status in (Status.DELIVERED, Status.RECEIVED) else None,
        schedule=row.schedule,
        problem=fate(row.fate).problem if status in (Status.FAILED, Status.EXPIRED) else None,
        retries=row.taken - 1,
    )


def _ussd_info(row: UssdRequest, now: datetime) -> UssdInfo:
    answered = row.starts_at <= now
    return UssdInfo(
        id=str(row.pk),
        code=row.code,
        device=row.device,
        sim=row.sim,
        response=row.response if answered else None,
        user=USER,
        sent_at=row.sent_at,
        answered_at=row.starts_at if answered else None,
    )
