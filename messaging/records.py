"""Writing down what became of requests: of those that were answered, and of those whose worker stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TypeVar

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connection
from django.utils import timezone

from providers import traces
from providers.models import Exchange, ProviderAccount
from providers.types import Feature, Status

from . import inquiry, leases, ledger, reports, streaks, verdicts
from .handover import Answer
from .ledger import Change
from .models import Attempt, Message
from .verdicts import Verdict

log = logging.getLogger(__name__)

T = TypeVar("T")

PATIENCE = 10.0  # seconds that a database may be away
AWAY = (OperationalError, InterfaceError, InternalError)  # the last: it ended a transaction that stood still
WORKER_LOST = "A worker stopped while this message was being handed over."

_one_writer = threading.Lock()


def writing() -> AbstractContextManager[object]:
    """SQLite has one writer; a thread that waits for another here is woken at once, and SQLite's own wait sleeps."""
    return _one_writer if connection.vendor == "sqlite" else nullcontext()


def record(account: ProviderAccount, answers: Sequence[Answer]) -> list[Verdict]:
    """Settle the messages of answered requests and close their exchanges, then apply reports that came before."""
    now = timezone.now()
    settled = [(answer, judge(account, answer, now)) for answer in answers]
    persist(account, settled)
    if Feature.REPORTS in account.kind_class.supports:
        catch_up(account, [c.values.get("provider_id", "") for _answer, v in settled for c in v.changes])
    return [verdict for _answer, verdict in settled]


def catch_up(account: ProviderAccount, provider_ids: Sequence[str]) -> None:
    """Apply the reports that overtook the answers with these ids, in a transaction of their own: the outcomes are
    written down. What goes wrong here is mended by the clock, see reports.replay_recent."""
    try:
        if ids := [provider_id for provider_id in provider_ids if provider_id]:
            reports.replay(account, ids)
    except DatabaseError:
        log.exception("Early reports of %s are applied later", account)


def judge(account: ProviderAccount, answer: Answer, now: datetime) -> Verdict:
    messages, exchange = answer.batch.messages, answer.batch.exchange
    if answer.result is not None:
        doubtful = [o for o in answer.result.outcomes if o.status is Status.UNCERTAIN]
        ask = inquiry.first(account, any(o.provider_id for o in doubtful)) if doubtful else None
        return verdicts.of_result(messages, exchange, answer.result, now, account.kind_class.poll_after, ask)
    assert answer.error is not None
    return verdicts.of_error(messages, exchange, answer.error, now, inquiry.first(account, False))


Settled = tuple[Answer, Verdict]


def persist(account: ProviderAccount, settled: Sequence[Settled]) -> None:
    """Settle the messages and close the exchanges, all or none; wait for a database that is away for a moment.

    A trace is worth less than the outcome it belongs to: if it cannot be kept, the rest still is.
    """

    def write() -> None:
        try:
            _write(account, settled, with_traces=True)
        except (DatabaseError, ValueError) as fault:
            if isinstance(fault, AWAY):
                raise
            log.exception("The exchanges with %s could not be kept", account)
            _write(account, settled, with_traces=False)

    patiently(write)


def patiently(work: Callable[[], T]) -> T:
    """Do it once more, from its beginning, while the database is away; for no longer than PATIENCE."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except AWAY:
            if connection.in_atomic_block or time.monotonic() > end:
                raise
            log.exception("The database does not answer; trying again")
            connection.close()
            time.sleep(0.2)


def _write(account: ProviderAccount, settled: Sequence[Settled], *, with_traces: bool) -> None:
    with writing(), ledger.together():
        ours = traces.close([(answer.batch.exchange, answer.trace if with_traces else None) for answer, _v in settled])
        in_time = [(answer, verdict) for answer, verdict in settled if answer.batch.exchange in ours]
        known = {m.id: m.known(account.pk, a.batch.status) for a, _v in in_time for m in a.batch.messages}
        changes = [change for _answer, verdict in in_time for change in verdict.changes]
        moved = ledger.settle(changes, known)
        streaks.of_outcomes((change for change in changes if change.id in moved), known)
        Attempt.objects.bulk_create(_attempts(account, in_time))
        if len(in_time) < len(settled):
            _settle_late([(answer, verdict) for answer, verdict in settled if answer.batch.exchange not in ours])


def _attempts(account: ProviderAccount, settled: Sequence[Settled]) -> list[Attempt]:
    """Those that are to be kept: the hand-overs that settled nothing."""
    return [
        Attempt(
            message_id=c.id,
            exchange=answer.batch.exchange,
            account=account,
            at=answer.trace.at if answer.trace else timezone.now(),
            maybe_taken=c.to is Status.UNCERTAIN,
            **_reason(c),
        )
        for answer, verdict in settled
        if verdict.back
        for c in verdict.changes
        if c.id in verdict.back
    ]


def _reason(change: Change) -> dict[str, str]:
    return {name: change.values.get(name, "").replace("\x00", "\ufffd") for name in ("error_code", "error_text")}


def _settle_late(settled: Sequence[Settled]) -> None:
    """Answers to requests that somebody swept meanwhile: they settle what is in doubt because of that very request.

    Whatever an operator or the provider has decided since then stays, and so does a later hand-over.
    """
    answers = {c.id: (answer.batch.exchange, c) for answer, verdict in settled for c in verdict.changes}
    doubtful = Message.objects.select_for_update(no_key=True).filter(pk__in=answers, status=Status.UNCERTAIN)
    rows = doubtful.order_by("pk").values_list("pk", "exchange")
    changes = [answers[pk][1] for pk, exchange in rows if answers[pk][0] == exchange]
    moved = ledger.apply(Change(c.id, c.to, {"poll_at": None, **c.values}) for c in changes)
    for change in changes:
        if change.id in moved and change.to is Status.QUEUED:
            attempts = Attempt.objects.filter(message_id=change.id, exchange=answers[change.id][0])
            attempts.update(maybe_taken=False, **_reason(change))


def sweep(account: ProviderAccount, holder: str) -> int:
    """After taking over a lease: the open exchanges were on their way when their worker stopped. How many messages.

    Raises LeaseLost: somebody else took over in turn, and these may be requests of theirs.
    """
    with ledger.together():
        leases.renew(account.pk, holder)
        lost = list(Exchange.objects.select_for_update(no_key=True).filter(account=account, open=True).order_by("pk"))
        exchange_of = {ref: exchange for exchange in lost for ref in exchange.refs}
        attempts = dict(Message.objects.filter(pk__in=exchange_of).values_list("pk", "attempts"))
        reason = {"error_code": "worker_lost", "error_text": WORKER_LOST}
        asked = {"poll_at": inquiry.first(account, False)}
        moved = ledger.apply(
            Change(pk, Status.UNCERTAIN, {**reason, **asked, "exchange": exchange_of[pk].pk, "attempts": n + 1})
            for pk, n in attempts.items()
        )
        Attempt.objects.bulk_create(
            Attempt(
                message_id=pk,
                exchange=exchange_of[pk].pk,
                account=account,
                at=exchange_of[pk].at,
                maybe_taken=True,
                **reason,
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
