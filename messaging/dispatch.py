"""Mark, hand over, settle: one lane per account.

A lane holds the account's lease. The thread that runs it marks what leaves, the HTTP requests run in a pool, and one
more thread writes their outcomes down. In the moment before a request leaves, an open Exchange with the ids of its
messages is committed, so after a crash exactly the requests on their way are in doubt, and nothing else. Work is done
for several requests at once where they come quickly: marking and settling cost little more for eight than for one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, wait

from django.db import transaction
from django.utils import timezone

from devices import targets
from providers import pacing, traces
from providers.models import ProviderAccount
from providers.types import Credits, Devices, Feature, MessageType, Outgoing, Send, Status

from . import leases, ledger, records
from .admission import Door
from .backlog import Backlog, Waiting
from .handover import Answer, Batch, hand_over, links
from .hands import Hands, Task
from .ledger import Change
from .verdicts import Verdict

log = logging.getLogger(__name__)

LOOK = 0.1  # seconds between two looks at an empty queue
GLANCE = 0.05  # seconds between two looks for urgent messages while others are sent
QUICK = 0.02  # seconds; a provider that answers faster is worth gathering for
GATHER = 0.005  # seconds that the first of some free places, or of some answers, then waits for the others
SHOWN = 0.5  # seconds after which a request on its way is shown as such
SMALL = 32  # messages that may be on their way together in any number of requests
URGENT = 2  # requests at once that only urgent messages may use, beside the others
DOUBTS = 5  # unclear answers in a row after which the account counts as down
MESSAGE_TYPES = {kind.value: kind for kind in MessageType}

_paces: dict[int, pacing.Memory] = {}  # what this process knows of the network to each account, from drain to drain


class Lane:
    """One account being drained by this process. ``hands`` make its requests, ``writer`` has one thread.

    A batch is in ``flying``, then its answer in ``answers``, then in ``written`` while ``writing`` is under way.
    """

    def __init__(self, account: ProviderAccount, holder: str, hands: Hands, writer: Executor) -> None:
        self.holder, self.hands, self.writer = holder, hands, writer
        self.flying: dict[Task[Answer], Batch] = {}
        self.answers: list[Answer] = []
        self.written: list[Answer] = []
        self.writing: Future[list[Verdict]] | None = None
        self.credits: Credits | None = account.balance
        self.pace = _paces.setdefault(account.pk, pacing.Memory())
        self.next_try = 0.0  # time.monotonic(); not before this is a new request worth trying
        self.held_back = False  # work waits, but the rate limit has no place before next_try
        self.freed = self.glanced = self.looked = 0.0
        self.doubts = 0  # answers in a row that were not clear
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
        requests = self.next_requests()
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
            self.flying[self.hands.submit(hand_over, self.adapter, batch)] = batch
        return True

    def next_requests(self) -> list[list[Waiting]]:
        """As many as there is room for. One message shows whether an account that is down is up again."""
        if self.is_trial():
            return self.backlog.take(1, largest=1)
        room = self.adapter.concurrency + (URGENT if self.backlog.urgent else 0) - len(self.flying)
        return self.backlog.take(room, SMALL - self.carried())

    def is_trial(self) -> bool:
        return self.account.down_since is not None or self.doubts >= DOUBTS

    def has_room(self, clock: float) -> bool:
        """Whether requests may be started: several at once, unless something is urgent or waited long enough."""
        if self.is_trial():
            return not self.under_way()
        few = len(self.flying) * 2 <= self.adapter.concurrency or self.carried() * 2 <= SMALL
        free = len(self.flying) < self.adapter.concurrency or self.carried() < SMALL
        return few or bool(self.backlog.urgent) or (free and clock - self.freed >= self.gather)

    @property
    def gather(self) -> float:
        """Seconds that the first of some free places, or of some answers, waits for the others."""
        return GATHER if self.pace.fastest < QUICK else 0.0

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
        batches = [*self.flying.values(), *(answer.batch for answer in (*self.answers, *self.written))]
        return {m.id for batch in batches for m in batch.messages}

    def mark(self, requests: list[list[Waiting]]) -> tuple[list[Batch], list[list[Waiting]]]:
        """Commit that these requests leave now, as far as rules and limits allow. Returns them, and those that wait."""
        with records.writing(), ledger.together():
            epoch = leases.renew(self.account.pk, self.holder)
            if self.is_void(epoch):
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

    def is_void(self, epoch: int) -> bool:
        """Whether somebody changed what waits; then nothing that was read is believed any more."""
        if epoch == self.epoch:
            return False
        self.epoch = epoch
        self.backlog.clear()
        self.door.forget()
        return True

    def operation(self, messages: Sequence[Waiting]) -> Send:
        can, first = self.adapter.supports, messages[0]
        return Send(
            messages=tuple(
                Outgoing(m.number, m.text, str(m.id), MESSAGE_TYPES[m.type], links(m.attachments)) for m in messages
            ),
            sender=first.sender or self.account.sender if Feature.SENDER_ID in can else "",
            callback_url=self.callback_url,
            devices=targets.to_wire(first.device, first.sim) if Feature.DEVICES in can else Devices(),
            priority=bool(first.priority) and Feature.PRIORITY in can,
        )

    # -- coming back --

    def settle(self, *, all_of_it: bool = False) -> bool:
        """Have the requests that were answered written down; several at once, unless the first waited long enough.

        ``all_of_it``: and wait until that is done. True when there was something to do.
        """
        worked = self.conclude()
        self.collect()
        if self.answers and self.writing is None and (all_of_it or self.gathered()):
            self.written, self.answers = self.answers, []
            self.writing = self.writer.submit(records.record, self.account, self.written)
            self.writing.add_done_callback(self.hands.tell)
            worked = True
        while all_of_it and self.writing:
            wait([self.writing])
            self.settle(all_of_it=True)
        return worked

    def under_way(self) -> bool:
        return bool(self.flying or self.answers or self.writing)

    def gathered(self) -> bool:
        many = len(self.answers) * 2 >= max(self.adapter.concurrency, len(self.flying))
        return many or time.monotonic() - self.answers[0].came >= self.gather

    def conclude(self) -> bool:
        """Once outcomes are written down: what they mean for the account. What could not be written is kept."""
        if self.writing is None or not self.writing.done():
            return False
        writing, answers = self.writing, self.written
        self.writing, self.written = None, []
        try:
            found = writing.result()
        except Exception:
            self.answers = [*answers, *self.answers]
            raise
        for verdict in found:
            self.draw_conclusions(verdict)
        self.see_account(answers)
        return True

    def collect(self) -> None:
        for future in [future for future in self.flying if future.done()]:
            answer = future.result()
            del self.flying[future]
            self.freed = answer.came
            self.answers.append(answer)
            self.doubts = self.doubts + 1 if answer.error and answer.error.maybe_taken else 0
            self.pace.answered(answer.batch.at, answer.came - answer.batch.tick)

    def draw_conclusions(self, verdict: Verdict) -> None:
        """What a verdict means for the account."""
        down = verdict.down or (verdict.doubt if self.is_trial() else "")
        if verdict.up:
            self.account.saw_success()
        if verdict.pause:
            self.account.pause(verdict.pause.sentence, verdict.pause.default_code)
            log.warning("Account %s is paused: %s", self.account, verdict.pause.sentence)
        if down:
            self.account.saw_failure(down)
        hold = verdict.hold if verdict.hold is not None else (self.patience() if down else None)
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
        """Obey a window that the provider says is used up, and remember what it says of credits."""
        told = [answer.result.credits for answer in answers if answer.result and answer.result.credits]
        self.credits = told[-1] if told else self.credits
        state = answers[-1].trace.rate if answers[-1].trace else None
        if state and state.remaining <= 0 and not any(rate.limit <= state.limit for rate in self.account.windows):
            pacing.hold(self.account, state.reset)  # a limit that we do not know of

    def show(self, clock: float) -> None:
        """Say of the requests that take a while that they are on their way. Raises LeaseLost: they are not ours."""
        slow = [b for b in self.flying.values() if b.status is Status.QUEUED and clock - b.left > SHOWN]
        if slow:
            changes = [Change(m.id, Status.SENDING) for b in slow for m in b.messages]
            known = {m.id: m.known(self.account.pk, b.status) for b in slow for m in b.messages}
            with records.writing(), ledger.together():
                leases.renew(self.account.pk, self.holder)
                ledger.settle(changes, known)
            for batch in slow:
                batch.status = Status.SENDING

    def keep_credits(self) -> None:
        if self.credits and self.credits != self.account.balance:
            self.account.saw_credits(self.credits)

    def refresh(self) -> None:
        """See pauses, new rates and new credentials; prolong the lease. Raises LeaseLost."""
        self.keep_credits()
        with transaction.atomic():
            epoch = leases.renew(self.account.pk, self.holder)
        self.is_void(epoch)
        before = self.account.updated_at
        self.account.refresh_from_db()
        if self.account.updated_at != before:
            self.use(self.account)
