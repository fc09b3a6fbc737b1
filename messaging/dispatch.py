"""Mark, hand over, settle: one lane per account.

A lane holds the account's lease. Its database work is done by the thread that runs it; only the HTTP requests run in
the pool, with no transaction open. In the moment before a request leaves, an open Exchange with the ids of its
messages is committed, so after a crash exactly the requests on their way are in doubt, and nothing else. Work is done
for several requests at once where they come quickly: marking and settling cost the same for one as for eight.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from devices import targets
from providers import errors, pacing, traces
from providers.base import Adapter
from providers.models import Exchange, ProviderAccount
from providers.types import Devices, Feature, MessageType, Outgoing, Send, SendResult, Status, Trace

from . import inquiry, leases, ledger, reports, verdicts
from .admission import Door
from .backlog import Backlog, Waiting
from .ledger import Change
from .models import Attempt, Message
from .verdicts import Verdict

log = logging.getLogger(__name__)

LOOK = 0.1  # seconds between two looks at an empty queue
GLANCE = 0.05  # seconds between two looks for urgent messages while others are sent
GATHER = 0.005  # seconds that the first of some free places, or of some answers, waits for the others
SHOWN = 0.5  # seconds after which a request on its way is shown as such
SMALL = 32  # messages that may be on their way together in any number of requests
URGENT = 2  # requests at once that only urgent messages may use, beside the others
MESSAGE_TYPES = {kind.value: kind for kind in MessageType}
WORKER_LOST = "A worker stopped while this message was being handed over."


@dataclass(slots=True)
class Batch:
    """The messages of one request. ``exchange``: the row that says it is on its way. ``at``: the place in the rate
    limit that it took (the database's clock), ``tick`` the same moment by this process's clock; ``left``: when it was
    handed to the pool."""

    exchange: int
    messages: list[Waiting]
    op: Send
    at: float
    tick: float
    left: float
    status: Status = Status.QUEUED


@dataclass(frozen=True, slots=True)
class Answer:
    """``came``: when, by this process's clock."""

    batch: Batch
    result: SendResult | None
    error: errors.ProviderError | None
    trace: Trace | None
    came: float


class Lane:
    """One account being drained by this process."""

    def __init__(self, account: ProviderAccount, holder: str, pool: ThreadPoolExecutor) -> None:
        self.holder, self.pool = holder, pool
        self.flying: dict[Future[Answer], Batch] = {}
        self.answers: list[Answer] = []
        self.pace = pacing.Memory()
        self.next_try = 0.0  # time.monotonic(); not before this is a new request worth trying
        self.held_back = False  # work waits, but the rate limit has no place before next_try
        self.freed = self.glanced = self.looked = 0.0
        self.use(account)
        with transaction.atomic():
            self.epoch = leases.renew(account.pk, holder)

    def use(self, account: ProviderAccount) -> None:
        self.account, self.adapter = account, account.adapter()
        self.backlog = Backlog(account.pk, self.adapter)
        self.door = Door(account)
        posts = {Feature.REPORTS, Feature.WEBHOOKS} <= self.adapter.supports
        self.callback_url = account.callback_url if posts else ""
        self.windows = account.windows

    # -- leaving --

    def fill(self, clock: float) -> bool:
        """Start requests if there is room, allowance and work. True when something was done. Raises LeaseLost."""
        self.collect()
        if clock < self.next_try or not self.account.sending or not self.door.is_open():
            return False
        if not self.has_room(clock):
            return False
        self.read(clock)
        room = self.adapter.concurrency + (URGENT if self.backlog.urgent else 0) - len(self.flying)
        requests = self.backlog.take(room, SMALL - self.carried())
        if not requests:
            self.held_back = False
            return False
        try:
            batches, left = self.mark(requests)
        except BaseException:
            self.backlog.clear()
            raise
        self.backlog.put_back(left)
        for batch in batches:
            self.flying[self.pool.submit(hand_over, self.adapter, batch)] = batch
        return True

    def has_room(self, clock: float) -> bool:
        """Whether requests may be started: several at once, unless something is urgent or waited long enough."""
        few = len(self.flying) * 2 <= self.adapter.concurrency or self.carried() * 2 <= SMALL
        free = len(self.flying) < self.adapter.concurrency or self.carried() < SMALL
        return few or bool(self.backlog.urgent) or (free and clock - self.freed > GATHER)

    def carried(self) -> int:
        return sum(len(batch.messages) for batch in self.flying.values())

    def read(self, clock: float) -> None:
        """Have enough in the backlog, without asking the database for more than that."""
        enough = max(self.adapter.max_batch * self.adapter.concurrency, 2 * SMALL)
        if clock - self.glanced >= (GLANCE if self.backlog.bulk else LOOK) and len(self.backlog.urgent) < enough:
            self.backlog.read_urgent(self.leaving())
            self.glanced = clock
        waits = sum(map(len, self.backlog.bulk.values())) if len(self.backlog.bulk) < enough else enough
        if waits < enough and (not self.backlog.ended or clock - self.looked >= LOOK):
            self.backlog.read_bulk(self.leaving())
            self.looked = clock

    def leaving(self) -> set[int]:
        """The messages that are on their way, or whose answer is not written down yet."""
        batches = [*self.flying.values(), *(answer.batch for answer in self.answers)]
        return {m.id for batch in batches for m in batch.messages}

    def mark(self, requests: list[list[Waiting]]) -> tuple[list[Batch], list[list[Waiting]]]:
        """Commit that these requests leave now, as far as rules and limits allow. Returns them, and those that wait."""
        with transaction.atomic():
            epoch = leases.renew(self.account.pk, self.holder)
            if epoch != self.epoch:
                self.epoch = epoch
                self.backlog.clear()
                return [], []
            requests = self.door.admit(requests)
            if not requests:
                return [], []
            urgent = requests[0][0].priority > 0
            grant = pacing.reserve(self.account, self.windows, len(requests), urgent=urgent, memory=self.pace)
            self.held_back = grant.places < len(requests)
            if self.held_back:
                self.next_try = time.monotonic() + grant.wait
            going, waiting = self.door.admit_to_sims(requests[: grant.places], grant.at), requests[grant.places :]
            exchanges = traces.open_for(self.account.pk, "send", [[m.id for m in request] for request in going])
        left = time.monotonic()
        batches = [
            Batch(exchange, request, self.operation(request), grant.at, grant.tick, left)
            for exchange, request in zip(exchanges, going, strict=True)
        ]
        return batches, waiting

    def operation(self, messages: Sequence[Waiting]) -> Send:
        can, first = self.adapter.supports, messages[0]
        return Send(
            messages=tuple(
                Outgoing(m.number, m.text, str(m.id), MESSAGE_TYPES[m.type], _links(m.attachments)) for m in messages
            ),
            sender=first.sender or self.account.sender if Feature.SENDER_ID in can else "",
            callback_url=self.callback_url,
            devices=targets.to_wire(first.device, first.sim) if Feature.DEVICES in can else Devices(),
            priority=bool(first.priority) and Feature.PRIORITY in can,
        )

    # -- coming back --

    def settle(self, *, all_of_it: bool = False) -> int:
        """Write down the requests that were answered; several at once, unless the first waited long enough or
        ``all_of_it`` is asked for. Returns how many."""
        self.collect()
        if not self.answers:
            return 0
        many = len(self.answers) * 2 >= max(self.adapter.concurrency, len(self.flying))
        waited = time.monotonic() - self.answers[0].came > GATHER
        if not (many or waited or all_of_it or not self.flying):
            return 0
        answers = self.answers
        now = timezone.now()
        settled = [(answer, self.judge(answer, now)) for answer in answers]
        persist(self.account, settled)
        self.answers = []
        for _answer, verdict in settled:
            self.draw_conclusions(verdict)
        self.see_account(answers)
        return len(answers)

    def collect(self) -> None:
        for future in [future for future in self.flying if future.done()]:
            answer = future.result()
            del self.flying[future]
            self.freed = answer.came
            self.answers.append(answer)
            self.pace.answered(answer.batch.at, answer.came - answer.batch.tick)

    def judge(self, answer: Answer, now: datetime) -> Verdict:
        messages, exchange = answer.batch.messages, answer.batch.exchange
        if answer.result is not None:
            doubtful = [o for o in answer.result.outcomes if o.status is Status.UNCERTAIN]
            ask = inquiry.first(self.account, any(o.provider_id for o in doubtful)) if doubtful else None
            return verdicts.of_result(messages, exchange, answer.result, now, self.adapter.poll_after, ask)
        assert answer.error is not None
        return verdicts.of_error(messages, exchange, answer.error, now, inquiry.first(self.account, False))

    def draw_conclusions(self, verdict: Verdict) -> None:
        """What a verdict means for the account."""
        if verdict.up:
            self.account.saw_success()
        if verdict.pause:
            self.account.pause(str(verdict.pause), verdict.pause.code)
            log.warning("Account %s is paused: %s", self.account, verdict.pause)
        if verdict.down:
            self.account.saw_failure(verdict.down)
        hold = verdict.hold if verdict.hold is not None else (self.patience() if verdict.down else None)
        if hold is not None:
            pacing.hold(self.account, hold)
        if verdict.back:
            self.backlog.ended = True  # begin reading anew: some are back
            self.looked = 0.0
            if hold is None:
                self.next_try = 0.0

    def patience(self) -> float:
        """Seconds without a request to a provider that does not answer: the longer, the longer it has been down."""
        since = self.account.down_since
        return min(60.0, max(1.0, (timezone.now() - since).total_seconds() / 4)) if since else 1.0

    def see_account(self, answers: Sequence[Answer]) -> None:
        """Keep what the answers say of credits, and obey a window that the provider says is used up."""
        results = [answer.result for answer in answers if answer.result is not None and answer.result.credits]
        if results and results[-1].credits != self.account.balance:
            self.account.saw_credits(results[-1].credits)
        state = answers[-1].trace.rate if answers[-1].trace else None
        if state and state.remaining <= 0 and not any(rate.limit <= state.limit for rate in self.account.windows):
            pacing.hold(self.account, state.reset)  # a limit that we do not know of

    def show(self, clock: float) -> None:
        """Say of the requests that take a while that they are on their way."""
        slow = [b for b in self.flying.values() if b.status is Status.QUEUED and clock - b.left > SHOWN]
        if slow:
            changes = [Change(m.id, Status.SENDING) for b in slow for m in b.messages]
            ledger.settle(changes, {m.id: m.known(self.account.pk, b.status) for b in slow for m in b.messages})
            for batch in slow:
                batch.status = Status.SENDING

    def refresh(self) -> None:
        """See pauses, new rates and new credentials; prolong the lease. Raises LeaseLost."""
        with transaction.atomic():
            epoch = leases.renew(self.account.pk, self.holder)
        if epoch != self.epoch:
            self.epoch = epoch
            self.backlog.clear()
        before = self.account.updated_at
        self.account.refresh_from_db()
        if self.account.updated_at != before:
            self.use(self.account)


def _links(attachments: str) -> tuple[str, ...]:
    return () if attachments == "[]" else tuple(json.loads(attachments))


# --- Hand over (in the pool: HTTP only) ---------------------------------------------------------------


def hand_over(adapter: Adapter, batch: Batch) -> Answer:
    seen: list[Trace] = []
    result, error = None, None
    try:
        result = adapter.send(batch.op, seen)
    except errors.ProviderError as known:
        error = known
    except Exception as fault:  # a bug of ours must not leave the messages without an end
        log.exception("Handing over through %s failed", adapter.kind)
        error = errors.Uncertain(f"smsdash failed while handing over: {fault!r}")
    return Answer(batch, result, error, seen[-1] if seen else None, time.monotonic())


# --- Write down --------------------------------------------------------------------------------------


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
    with transaction.atomic():
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


def due(account_id: int) -> bool:
    """Whether anything waits that may go now."""
    return Message.objects.filter(account_id=account_id, status=Status.QUEUED, due_at__lte=timezone.now()).exists()


def keep_traces(account: ProviderAccount, found: Sequence[Trace]) -> None:
    """Keep calls that handed nothing over. What cannot be kept never stops the work."""
    try:
        for trace in found:
            traces.complete(Exchange(account=account), trace).save()
    except (DatabaseError, ValueError):
        log.exception("The exchange with %s could not be kept", account)


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
