"""How the carrier takes messages: all of a request at once, or none of it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from providers import errors, registry
from providers.types import Credits, Outcome, Outgoing, Send, SendResult, Status, Target

from . import agent, phones
from .models import Account, Contact, FirstTry, Message
from .outcomes import REPLY_AFTER, Fate, Fault, digits, fate

PRICE = Decimal("0.01")  # of a part
EARLY_GRACE = 10  # seconds until the agent posts a report that could not be posted before the answer


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message of a request, with what its number decides. ``row`` None: refused."""

    message: Outgoing
    fate: Fate
    row: Message | None


def send(account: Account, op: Send, pause: Callable[[float], None]) -> SendResult:
    """Take the messages. Raises ProviderError when nothing was taken, Fault when the answer is to be spoilt."""
    messages = _recipients(account, op)
    _check(account, messages)
    _refuse_first_try(account, messages)
    accepted = _prepare(account, op, messages)
    rows = [item.row for item in accepted if item.row is not None]
    left = _take(account, rows)
    if early := [row for row in rows if fate(row.fate).early and row.next_at]:
        agent.post(early)
    pause(max(item.fate.hang for item in accepted))
    if fault := next((item.fate.fault for item in accepted if item.fate.fault), ""):
        raise Fault(fault)
    return SendResult(
        tuple(_outcome(item) for item in accepted), credits=Credits(left), credits_used=Decimal(len(rows))
    )


def plain(text: str) -> str:
    """Text that every database can keep: PostgreSQL has no NUL."""
    return text.replace("\x00", "\ufffd")


def charge(account: Account, count: int) -> Decimal | None:
    """Take credits; what is left, None: unlimited. Raises NoCredits. To be called in the transaction that uses them."""
    row = Account.objects.filter(pk=account.pk)
    if (
        count
        and account.credits is not None
        and not row.filter(credits__gte=count).update(credits=F("credits") - count)
    ):
        raise errors.NoCredits("Your account has insufficient credits.")
    left = row.values_list("credits", flat=True).get()
    return None if left is None else Decimal(left)


def start(message: Message, now: datetime) -> None:
    """Set the moments of a message from ``now`` on, and when the agent has something to post."""
    plan = fate(message.fate)
    message.starts_at = max(message.schedule or now, now)
    message.sent_at = message.starts_at + timedelta(seconds=plan.sent)
    message.ended_at = None if plan.end is None else message.starts_at + timedelta(seconds=plan.end)
    message.final = plan.final
    wait = EARLY_GRACE if plan.early else plan.reports[0].after
    message.next_at = message.starts_at + timedelta(seconds=wait) if message.url else None
    message.step = message.attempts = 0


def replies(rows: Iterable[Message]) -> list[Message]:
    """What the recipients of ``rows`` will write back, as rows that show when their time has come."""
    found = []
    for row in rows:
        plan = fate(row.fate)
        if plan.reply and row.ended_at:
            found.append(received(row.account, row.number, plan.reply, row.ended_at + timedelta(seconds=REPLY_AFTER)))
            found[-1].device, found[-1].sim = row.device, row.sim
            found[-1].sender = phones.number_of(row.account, Target(row.device, row.sim)) or row.sender
            found[-1].callback_url = row.callback_url
            found[-1].next_at = found[-1].starts_at if row.url else None
    return found


def received(account: Account, number: str, text: str, at: datetime) -> Message:
    """A message to the account, unsaved."""
    return Message(
        account=account,
        number=number,
        text=text,
        received=True,
        accepted_at=at,
        starts_at=at,
        sent_at=at,
        ended_at=at,
        next_at=at if account.webhook_url else None,
        final=Status.RECEIVED,
    )


def _recipients(account: Account, op: Send) -> tuple[Outgoing, ...]:
    if not op.messages:
        raise errors.InvalidRequest("There is no recipient.")
    if not op.list_id:
        return op.messages
    model = op.messages[0]
    numbers = Contact.objects.filter(account=account, list_id=plain(op.list_id), subscribed=True).order_by("id")
    if found := numbers.values_list("number", flat=True):
        return tuple(Outgoing(number, model.text, type=model.type, attachments=model.attachments) for number in found)
    raise errors.NotFound("There is no such list, or nobody on it is subscribed.")


def _check(account: Account, messages: Sequence[Outgoing]) -> None:
    limit = registry.adapter_class(account.kind).max_text
    if limit is not None and any(len(message.text) > limit for message in messages):
        raise errors.TextTooLong(f"The message is longer than {limit} characters.")
    bad = next((m.number for m in messages if fate(digits(m.number)).refused), None)
    if bad and account.refuses_whole:
        raise errors.InvalidNumber(f"{bad} is not a valid phone number.")


def _refuse_first_try(account: Account, messages: Sequence[Outgoing]) -> None:
    """Raises what the fates of numbers that were not tried before say; they are known from then on."""
    first: list[Fate] = []
    for message in messages:
        plan = fate(digits(message.number))
        if plan.once or plan.lost:
            digest = hashlib.sha256(f"{message.number}\n{message.text}".encode()).hexdigest()
            if FirstTry.objects.get_or_create(account=account, digest=digest)[1]:
                first.append(plan)
    if any(plan.lost for plan in first):
        raise Fault("break")
    if refusal := next((plan.once for plan in first if plan.once), None):
        raise refusal("Come back in a moment: nothing of this request was taken.", retry_after=1)


def _prepare(account: Account, op: Send, messages: Sequence[Outgoing]) -> list[Accepted]:
    now, group = timezone.now(), _group()
    targets = phones.assign(account, op.devices, len(messages))
    accepted = []
    for message, target in zip(messages, targets, strict=True):
        code = digits(message.number)
        row = None if fate(code).refused else _row(account, op, message, target)
        if row:
            row.fate, row.group, row.accepted_at = code, group, now
            start(row, now)
        accepted.append(Accepted(message, fate(code), row))
    return accepted


def _row(account: Account, op: Send, message: Outgoing, target: Target) -> Message:
    return Message(
        account=account,
        number=plain(message.number),
        text=plain(message.text),
        sender=plain(op.sender) or account.sender,
        type=message.type,
        attachments=[plain(link) for link in message.attachments],
        device=target.device,
        sim=target.sim,
        schedule=op.schedule,
        callback_url=plain(op.callback_url),
    )


def _take(account: Account, rows: list[Message]) -> Decimal | None:
    """Store and charge in one short transaction; the credits left."""
    answers = replies(rows)
    with transaction.atomic():
        left = charge(account, len(rows))
        Message.objects.bulk_create(rows)
        Message.objects.bulk_create(answers)
    return left


def _outcome(item: Accepted) -> Outcome:
    if item.row is None:
        return Outcome(Status.FAILED, item.message.ref, item.message.number, problem=item.fate.refused)
    row = item.row
    return Outcome(
        row.status(row.accepted_at) if row.schedule else Status.QUEUED,
        item.message.ref,
        item.message.number,
        provider_id=str(row.pk),
        group=row.group,
        cost=PRICE * parts(row.text),
        device=row.device,
        sim=row.sim,
    )


def parts(text: str) -> int:
    """160 characters in one message, 153 in each part of a longer one (seed 003)."""
    return 1 if len(text) <= 160 else -(-len(text) // 153)


def _group() -> str:
    """An id for the request. Opaque, with the odd characters that programs in the field meet (seed 004)."""
    return f")V5L*$!{secrets.token_urlsafe(12)}.{secrets.randbelow(10**8):08d}"
