"""Claim, hand over, record: one lane per account.

A lane holds the account's lease. Its database work is done by the thread that runs it; only the HTTP request
runs in the pool, with no transaction open. Messages are marked ``sending`` in the moment before their request
leaves, so after a crash exactly the requests in flight are in doubt, and nothing else.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, transaction
from django.utils import timezone

from contacts.models import Contact
from providers import errors, pacing, traces
from providers.base import Adapter
from providers.models import Exchange, ProviderAccount
from providers.types import Feature, MessageType, Outcome, Outgoing, Problem, Send, SendResult, Status, Trace

from . import leases, ledger, reports
from .ledger import Change
from .models import Message

log = logging.getLogger(__name__)

LOOK = 0.1  # seconds between two looks at an empty queue
MAX_ATTEMPTS = 8
BACKOFF = 4.0  # seconds before the first retry; doubled each time, up to an hour
UNCERTAIN_AFTER_CRASH = Problem("worker_lost", "A worker stopped while this message was being handed over.")


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of one request, already claimed. ``exchange`` is the id that its trace will have."""

    exchange: int
    messages: tuple[Message, ...]
    op: Send


@dataclass(frozen=True, slots=True)
class Answer:
    batch: Batch
    result: SendResult | None
    error: errors.ProviderError | None
    traces: list[Trace]


class Lane:
    """One account being drained by this process."""

    def __init__(self, account: ProviderAccount, holder: str, pool: ThreadPoolExecutor) -> None:
        self.account, self.holder, self.pool = account, holder, pool
        self.adapter: Adapter = account.adapter()
        self.flying: dict[Future[Answer], Batch] = {}
        self.next_try = 0.0  # Unix seconds; not before this is a new request worth trying
        self.idle = False  # the last look found nothing to send
        self.held_back = False  # work waits, but the rate limit has no place before next_try

    def fill(self, clock: float) -> bool:
        """Start a request if there is room, allowance and work. True when one was started. Raises LeaseLost."""
        if clock < self.next_try or len(self.flying) >= self.adapter.concurrency or not self.account.sending:
            return False
        self.held_back = False
        claimed = (
            None if self.idle and not due(self.account.pk, limit=1) else claim(self.account, self.adapter, self.holder)
        )
        self.idle = claimed is None
        if isinstance(claimed, Batch):
            self.flying[self.pool.submit(hand_over, self.adapter, claimed)] = claimed
            return True
        self.next_try, self.held_back = clock + (claimed or LOOK), claimed is not None
        return False

    def settle(self) -> int:
        """Record the requests that were answered. Returns how many."""
        done = [future for future in self.flying if future.done()]
        for future in done:
            answer = future.result()
            record(self.account, answer)
            del self.flying[future]
        if done and not self.held_back:
            self.next_try = 0.0  # some may be back in the queue
        return len(done)

    def refresh(self) -> None:
        """See pauses, new rates and new credentials; prolong the lease. Raises LeaseLost."""
        with transaction.atomic():
            leases.renew(self.account.pk, self.holder)
        before = self.account.updated_at
        self.account.refresh_from_db()
        if self.account.updated_at != before:
            self.adapter = self.account.adapter()


# --- Claim -------------------------------------------------------------------------------------------


def due(account_id: int, limit: int) -> list[Message]:
    """The messages that may go now, priority first, then the longest waiting. Locked where the database can."""
    now = timezone.now()
    found: list[Message] = []
    for priority in (1, 0):
        queued = Message.objects.filter(account_id=account_id, status=Status.QUEUED, priority=priority, due_at__lte=now)
        if limit > len(found):
            found += queued.order_by("due_at", "id")[: limit - len(found)]
    return found


def claim(account: ProviderAccount, adapter: Adapter, holder: str) -> Batch | float | None:
    """Mark the next request's messages as ``sending``, if the rate limits have a place for it.

    Returns the seconds to wait when they have none, and None when there is nothing to send. Raises LeaseLost.
    Messages to people who opted out in the meantime are canceled here, the last door.
    """
    with transaction.atomic():
        leases.renew(account.pk, holder)
        messages = _one_request(adapter, _without_opted_out(due(account.pk, limit=adapter.max_batch * 2)))
        if not messages:
            return None
        grant = pacing.reserve(account, account.windows, urgent=bool(messages[0].priority))
        if not grant.places:
            return grant.wait
        exchange = Exchange.objects.create(account=account, verb="send", open=True, refs=[m.pk for m in messages]).pk
        moved = ledger.apply(
            Change(m.pk, Status.SENDING, {"attempts": m.attempts + 1, "exchange": exchange}) for m in messages
        )
    claimed = tuple(m for m in messages if m.pk in moved)
    return Batch(exchange, claimed, _operation(account, adapter, claimed)) if claimed else None


def _without_opted_out(messages: list[Message]) -> list[Message]:
    numbers = {m.number for m in messages}
    out = set(Contact.objects.filter(number__in=numbers, opted_out_at__isnull=False).values_list("number", flat=True))
    if out:
        reason = {"error_code": "opted_out", "error_text": "The recipient opted out.", "done_at": timezone.now()}
        ledger.apply(Change(m.pk, Status.CANCELED, reason) for m in messages if m.number in out)
    return [m for m in messages if m.number not in out]


def _one_request(adapter: Adapter, messages: Sequence[Message]) -> list[Message]:
    """Those that can share a request with the first: same everything that the wire says once per request."""
    if not messages:
        return []
    head = messages[0]
    room = min(adapter.max_batch, head.batch_limit or adapter.max_batch)
    return [m for m in messages if _key(adapter, m) == _key(adapter, head)][:room]


def _key(adapter: Adapter, m: Message) -> tuple[object, ...]:
    common = (m.sender, m.priority, m.batch_limit)
    return common if adapter.mixed_texts else (*common, m.text, m.type, tuple(m.attachments))


def _operation(account: ProviderAccount, adapter: Adapter, messages: Sequence[Message]) -> Send:
    can = adapter.supports
    return Send(
        messages=tuple(
            Outgoing(m.number, m.text, str(m.pk), MessageType(m.type), tuple(m.attachments)) for m in messages
        ),
        sender=messages[0].sender or account.sender if Feature.SENDER_ID in can else "",
        callback_url=account.callback_url if Feature.REPORTS in can and Feature.WEBHOOKS in can else "",
        priority=bool(messages[0].priority) and Feature.PRIORITY in can,
    )


# --- Hand over (in the pool: HTTP only) ---------------------------------------------------------------


def hand_over(adapter: Adapter, batch: Batch) -> Answer:
    seen: list[Trace] = []
    try:
        return Answer(batch, adapter.send(batch.op, seen), None, seen)
    except errors.ProviderError as error:
        return Answer(batch, None, error, seen)
    except Exception as fault:  # a bug of ours must not leave the messages without an end
        log.exception("Handing over through %s failed", adapter.kind)
        return Answer(batch, None, errors.Uncertain(f"smsdash failed while handing over: {fault!r}"), seen)


# --- Record ------------------------------------------------------------------------------------------


def record(account: ProviderAccount, answer: Answer) -> None:
    """Settle every message of an answered request first; then keep its trace and what it says of the account."""
    if answer.error is not None:
        _record_error(account, answer.batch, answer.error)
    if answer.result is not None:
        settle(account, answer.batch.messages, answer.result.outcomes)
    keep_traces(account, answer.batch.exchange, answer.traces)
    if answer.result is None:
        return
    account.saw_credits(answer.result.credits)
    state = answer.traces[-1].rate if answer.traces else None
    if state and state.remaining <= 0:
        pacing.hold(account, state.reset)


def settle(account: ProviderAccount, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None:
    """One outcome for each message, in their order."""
    now = timezone.now()
    poll = account.kind_class.poll_after
    ledger.apply(_change(m, o, now, poll) for m, o in zip(messages, outcomes, strict=True))
    reports.replay(account, [o.provider_id for o in outcomes if o.provider_id])


def _change(message: Message, outcome: Outcome, now: datetime, poll_after: float | None) -> Change:
    problem = outcome.problem or Problem("")
    to = outcome.status if outcome.status in (Status.FAILED, Status.DELIVERED, Status.UNCERTAIN) else Status.SENT
    ended = to in ledger.FINAL
    return Change(
        message.pk,
        to,
        {
            "provider_id": outcome.provider_id[:100],
            "provider_group": outcome.group[:100],
            "provider_status": outcome.status.value,
            "device": outcome.device[:40],
            "sim": outcome.sim,
            "cost": outcome.cost,
            "error_code": problem.code[:64],
            "error_text": problem.text[:300],
            "sent_at": now if outcome.taken else None,
            "done_at": now if ended else None,
            "poll_at": now + timedelta(seconds=poll_after) if poll_after and to is Status.SENT else None,
        },
    )


def _record_error(account: ProviderAccount, batch: Batch, error: errors.ProviderError) -> None:
    if error.maybe_taken:
        _end(batch.messages, Status.UNCERTAIN, error)
    elif error.retry or error.scope == "account":
        _back_to_queue(account, batch.messages, error)
    elif len(batch.messages) > 1:
        _split(batch.messages)
    else:
        _end(batch.messages, Status.FAILED, error)


def _end(messages: Sequence[Message], to: Status, error: errors.ProviderError) -> None:
    values: dict[str, object] = {"error_code": error.code[:64], "error_text": str(error)[:300]}
    if to is Status.FAILED:
        values["done_at"] = timezone.now()
    ledger.apply(Change(m.pk, to, values) for m in messages)


def _back_to_queue(account: ProviderAccount, messages: Sequence[Message], error: errors.ProviderError) -> None:
    """Nothing went out. Wait and try again, or, when the account itself is at fault, pause it and keep the queue."""
    reason = {"error_code": error.code[:64], "error_text": str(error)[:300]}
    if error.scope == "account" and not error.retry:
        account.pause(str(error))
        log.warning("Account %s is paused: %s", account, error)
        ledger.apply(Change(m.pk, Status.QUEUED, {"attempts": m.attempts, **reason}) for m in messages)
        return
    if error.scope == "account":
        # says nothing about the message: its attempts do not count
        wait = error.retry_after if error.retry_after is not None else 1.0
        pacing.hold(account, wait)
        ledger.apply(Change(m.pk, Status.QUEUED, {"attempts": m.attempts, **reason}) for m in messages)
        return
    if spent := [m for m in messages if m.attempts + 1 >= MAX_ATTEMPTS]:
        _end(spent, Status.FAILED, error)
    now = timezone.now()
    ledger.apply(
        Change(m.pk, Status.QUEUED, {"due_at": now + backoff(m.attempts), **reason})
        for m in messages
        if m.attempts + 1 < MAX_ATTEMPTS
    )


def backoff(attempts: int) -> timedelta:
    """Doubling from BACKOFF to an hour, give or take a quarter."""
    return timedelta(seconds=min(3600.0, BACKOFF * 2**attempts) * random.uniform(0.75, 1.25))


def _split(messages: Sequence[Message]) -> None:
    """The request was refused as a whole: halve it until the one that is to blame stands alone."""
    half = (len(messages) + 1) // 2
    ledger.apply(Change(m.pk, Status.QUEUED, {"attempts": m.attempts, "batch_limit": half}) for m in messages)


def keep_traces(account: ProviderAccount, exchange: int | None, found: Sequence[Trace]) -> None:
    """Keep what can be kept: a trace is worth less than the outcome it belongs to, so it never stops the work."""
    try:
        for trace in found:
            traces.complete(Exchange(pk=exchange, account=account), trace).save()
    except (DatabaseError, ValueError):
        log.exception("The exchange with %s could not be kept", account)


def sweep(account_id: int) -> int:
    """After taking over a lease: whatever is still ``sending`` was in flight when its worker stopped."""
    orphans = Message.objects.filter(account_id=account_id, status=Status.SENDING).values_list("pk", flat=True)
    reason = {"error_code": UNCERTAIN_AFTER_CRASH.code, "error_text": UNCERTAIN_AFTER_CRASH.text}
    moved = ledger.apply(Change(pk, Status.UNCERTAIN, reason) for pk in orphans)
    Exchange.objects.filter(account_id=account_id, open=True).update(open=False, error=UNCERTAIN_AFTER_CRASH.text)
    if moved:
        log.warning("%d messages were in flight when a worker stopped; they are now uncertain", len(moved))
    return len(moved)
