"""Writing down what became of requests: of those that were answered, and of those whose worker stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from providers import traces
from providers.models import Exchange, ProviderAccount
from providers.types import Feature, Status

from . import inquiry, ledger, reports, verdicts
from .handover import Answer
from .ledger import Change
from .models import Attempt, Message
from .verdicts import Verdict

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds that a database may be away
WORKER_LOST = "A worker stopped while this message was being handed over."

_one_writer = threading.Lock()


def writing() -> AbstractContextManager[object]:
    """SQLite has one writer; a thread that waits for another here is woken at once, and SQLite's own wait sleeps."""
    return _one_writer if connection.vendor == "sqlite" else nullcontext()


def record(account: ProviderAccount, answers: Sequence[Answer]) -> list[Verdict]:
    """Settle the messages of answered requests and close their exchanges."""
    now = timezone.now()
    settled = [(answer, judge(account, answer, now)) for answer in answers]
    persist(account, settled)
    return [verdict for _answer, verdict in settled]


def judge(account: ProviderAccount, answer: Answer, now: datetime) -> Verdict:
    messages, exchange = answer.batch.messages, answer.batch.exchange
    if answer.result is not None:
        doubtful = [o for o in answer.result.outcomes if o.status is Status.UNCERTAIN]
        ask = inquiry.first(account, any(o.provider_id for o in doubtful)) if doubtful else None
        return verdicts.of_result(messages, exchange, answer.result, now, account.kind_class.poll_after, ask)
    assert answer.error is not None
    return verdicts.of_error(messages, exchange, answer.error, now, inquiry.first(account, False))


def persist(account: ProviderAccount, settled: Sequence[tuple[Answer, Verdict]]) -> None:
    """Settle the messages and close the exchanges, all or none; wait for a database that is away for a moment.

    A trace is worth less than the outcome it belongs to: if it cannot be kept, the rest still is.
    """
    end = time.monotonic() + 10.0
    while True:
        try:
            try:
                _write(account, settled, with_traces=True)
            except (DatabaseError, ValueError) as fault:
                if isinstance(fault, (OperationalError, InterfaceError)):
                    raise
                log.exception("The exchanges with %s could not be kept", account)
                _write(account, settled, with_traces=False)
            return
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() > end:
                raise
            log.exception("The database does not answer; trying again")
            connection.close()
            time.sleep(0.2)


def _write(account: ProviderAccount, settled: Sequence[tuple[Answer, Verdict]], *, with_traces: bool) -> None:
    now = timezone.now()
    with writing(), transaction.atomic():
        known = {m.id: m.known(account.pk, a.batch.status) for a, _v in settled for m in a.batch.messages}
        ledger.settle([change for _answer, verdict in settled for change in verdict.changes], known)
        back = [
            Attempt(
                message_id=c.id,
                exchange=answer.batch.exchange,
                account=account,
                at=answer.trace.at if answer.trace else now,
                error_code=c.values.get("error_code", ""),
                error_text=c.values.get("error_text", "").replace("\x00", "\ufffd"),
            )
            for answer, verdict in settled
            if verdict.back
            for c in verdict.changes
            if c.id in verdict.back
        ]
        if back:
            Attempt.objects.bulk_create(back)
        traces.close([(answer.batch.exchange, answer.trace if with_traces else None) for answer, _v in settled])
        if Feature.REPORTS in account.kind_class.supports:
            ids = [c.values["provider_id"] for _a, v in settled for c in v.changes if c.values.get("provider_id")]
            reports.replay(account, ids) if ids else None


def sweep(account: ProviderAccount) -> int:
    """After taking over a lease: the open exchanges were on their way when their worker stopped. How many messages."""
    with transaction.atomic():
        lost = list(Exchange.objects.select_for_update().filter(account=account, open=True))
        exchange_of = {ref: exchange for exchange in lost for ref in exchange.refs}
        attempts = dict(Message.objects.filter(pk__in=exchange_of).values_list("pk", "attempts"))
        reason = {"error_code": "worker_lost", "error_text": WORKER_LOST, "poll_at": inquiry.first(account, False)}
        moved = ledger.apply(
            Change(pk, Status.UNCERTAIN, {**reason, "exchange": exchange_of[pk].pk, "attempts": n + 1})
            for pk, n in attempts.items()
        )
        Attempt.objects.bulk_create(
            Attempt(
                message_id=pk,
                exchange=exchange_of[pk].pk,
                account=account,
                at=exchange_of[pk].at,
                error_code="worker_lost",
                error_text=WORKER_LOST,
            )
            for pk in moved
        )
        Exchange.objects.filter(pk__in=[exchange.pk for exchange in lost]).update(open=False, error=WORKER_LOST)
    if moved:
        log.warning("%d messages were in flight when a worker stopped; they are now uncertain", len(moved))
    return len(moved)


def due(account_id: int) -> bool:
    """Whether anything waits that may go now."""
    return Message.objects.filter(account_id=account_id, status=Status.QUEUED, due_at__lte=timezone.now()).exists()
