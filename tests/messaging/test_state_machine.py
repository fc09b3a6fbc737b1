"""The promise, for any order of steps: workers that stop and come back, answers that fail to come, operators, reports.

The carrier is the judge. After every step: nothing was taken twice unless an operator asked for it, nothing that was
taken back before it was marked, in doubt is only what was in an open exchange, statuses moved as the ledger allows,
and the kept counts are those of the rows. At the end everything is let run, and every message has come to its end.

pytest --hypothesis-profile=thorough tries hundreds of sequences, where the usual run tries a few.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db.models import F
from django.http import QueryDict
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from contacts import optout
from contacts.models import Contact
from messaging import (
    bulk,
    campaigns,
    cancel,
    clock,
    conduct,
    dispatch,
    leases,
    ledger,
    parking,
    polling,
    reports,
    rerouting,
    reschedule,
    resend,
    resolve,
    wakeup,
)
from messaging.campaigns import Draft
from messaging.log import Filters
from messaging.models import BulkAction, Campaign, Lease, Message, Route, RouteMember, Tally
from providers import registry
from providers.models import Exchange, Pace, ProviderAccount
from providers.transport import HttpTransport
from providers.types import Problem, Report, Status
from tests.base import account, administrator
from tests.messaging import counts
from tests.messaging.carrier import FATES, Carrier, Fate, Worker

pytestmark = pytest.mark.django_db(transaction=True)

KINDS = ("smsprovider", "smsgateway", "voipcommunications")  # asked by id, asked by a list, never asked
LONG = timedelta(minutes=4)  # longer than it takes to be sure, see inquiry.SURE_AFTER
OVER = {status for status in ledger.FROM if status in ledger.FINAL}
STEPS = ("hand over", "settle", "write", "leave", "show")
place = st.integers(0, 5)  # which one of what there is
places = st.lists(place, min_size=1, max_size=4)
fates = st.lists(st.sampled_from(FATES), min_size=1, max_size=4)
few = st.integers(1, 3)
flag = st.booleans()


def reachable() -> dict[str, set[str]]:
    """What a status may become in any number of steps."""
    found = {old: {new for new, olds in ledger.FROM.items() if old in olds} | {old} for old in ledger.FROM}
    for _ in ledger.FROM:
        found = {old: set().union(*(found[new] for new in news)) for old, news in found.items()}
    return {old.value: {new.value for new in news} for old, news in found.items()}


REACHABLE = reachable()


class Sending(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.carrier = Carrier(self.check)
        self.workers: list[Worker] = []
        self.asked: Counter[int] = Counter()  # how often an operator asked for a message once more
        self.over: dict[int, set[int]] = {}  # taken back; and the exchanges that were on their way by then
        self.out: dict[int, set[int]] = {}  # their people opted out; and the exchanges that were marked by then
        self.halted: dict[int, set[int]] = {}  # their campaign is paused; and the exchanges that were marked by then
        self.before: dict[int, str] = {}
        self.accepted = 0
        self.numbers = 0

    def check(self, message: int, exchange: int) -> None:
        """Asked whenever the carrier takes a message."""
        assert exchange in self.over.get(message, {exchange}), "it was taken back"
        assert exchange in self.out.get(message, {exchange}), "the recipient opted out before it was marked"
        assert exchange in self.halted.get(message, {exchange}), "its campaign was paused before it was marked"

    @initialize()
    def set_up(self) -> None:
        self.accounts = []
        self.route = Route.objects.create(name="All")
        for position, kind in enumerate(KINDS):
            row = account(kind, kind, rates=["1000/second"])
            row.base_url = f"http://127.0.0.1:9/{row.pk}"
            row.save()
            RouteMember.objects.create(route=self.route, account=row, position=position)
            self.accounts.append(row)
        self.alice = administrator(uuid.uuid4().hex)
        for at in range(len(KINDS)):
            self.submit(at, 5, urgent=False, later=False, routed=at == 0, expires=at == 1)
        self.work([(at, [], 1) for at in range(len(KINDS))])

    # -- what people ask for --

    @rule(at=place, n=st.integers(1, 6), urgent=flag, later=flag, routed=flag, expires=flag)
    def submit(self, at: int, n: int, urgent: bool, later: bool, routed: bool, expires: bool) -> None:
        now = timezone.now()
        numbers = [f"+1555200{self.numbers + place:04d}" for place in range(n)]
        draft = Draft(
            self.account(0 if routed else at),
            numbers,
            f"Hello {self.numbers // 4}",
            due_at=now + timedelta(hours=1) if later else None,
            priority=int(urgent),
            route=self.route if routed else None,
            expires_at=now + timedelta(days=1) if expires else None,
        )
        campaigns.submit(draft)
        campaigns.submit(draft)  # the form was sent twice
        self.numbers += n
        self.accepted += n

    @rule(what=st.sampled_from(["cancel", "reschedule", "again", "sent", "resend", "stop"]), at=places)
    def change(self, what: str, at: list[int]) -> None:
        """An operator does something with some messages."""
        if what == "cancel":
            cancel.cancel(self.some(at, status__in=ledger.WAITING), "alice")
            self.note_over()
        elif what == "reschedule":
            to = timezone.now() + timedelta(hours=at[0] % 2)
            reschedule.reschedule(self.some(at, status__in=ledger.WAITING), to, "alice")
        elif what == "again":
            ids = self.some(at, status=Status.UNCERTAIN)
            assert resolve.send_again(ids) == len(ids)
            self.asked.update(ids)
        elif what == "sent":
            ids = self.some(at, status=Status.UNCERTAIN)
            assert resolve.count_as_sent(ids, "alice") == len(ids)
        elif what == "resend":
            self.accepted += len(resend.resend(self.some(at), "alice"))
        else:
            self.opt_out(self.some(at[:1]))

    def opt_out(self, ids: set[int]) -> None:
        for number in Message.objects.filter(pk__in=ids).values_list("number", flat=True):
            optout.opt_out(number, "alice")
            for pk in Message.objects.filter(number=number).values_list("pk", flat=True):
                self.out.setdefault(pk, self.marked())

    def marked(self) -> set[int]:
        """The exchanges in which something may reach the carrier yet."""
        steps = {step.batch.exchange for worker in self.workers for step in worker.waiting()}
        return steps | self.carrier.on_the_way.keys()

    @rule(what=st.sampled_from(["pause", "resume", "cancel"]), at=place)
    def conduct(self, what: str, at: int) -> None:
        """An operator does something with a campaign; the rest of it is done in the background."""
        newest = Campaign.objects.order_by("-pk")
        campaign = newest[at % newest.count()]
        ids = campaign.messages.values_list("pk", flat=True)
        if what == "pause" and conduct.pause(campaign, "alice"):
            self.halted |= dict.fromkeys(ids, self.marked())
        elif what == "resume" and conduct.resume(campaign, "alice"):
            self.halted = {pk: marked for pk, marked in self.halted.items() if pk not in set(ids)}
        elif what == "cancel" and conduct.cancel(campaign, "alice"):
            self.halted |= dict.fromkeys(ids, self.marked())
        self.note_over()

    @rule(what=st.sampled_from(["cancel", "reschedule", "again", "sent", "resend"]), at=place)
    def change_all(self, what: str, at: int) -> None:
        """An operator does something with all messages of an account, slice by slice."""
        doubtful = self.some(range(99), status=Status.UNCERTAIN, account=self.account(at))
        before = Message.objects.count()
        values = {"moment": timezone.now().isoformat()} if what == "reschedule" else {}
        filters = Filters.from_query(QueryDict(f"account={self.account(at).pk}"))
        bulk.work(bulk.start(what, filters, values, self.alice, uuid.uuid4().hex).pk, "")
        self.accepted += Message.objects.count() - before
        if what == "again":
            self.asked.update(doubtful)
        self.note_over()

    @rule(at=place, paused=flag)
    def pause(self, at: int, paused: bool) -> None:
        if paused:
            self.account(at).pause("Lunch.")
        else:
            self.account(at).resume()

    def note_over(self) -> None:
        ended = Message.objects.filter(error_code__in=["canceled", "expired"], status__in=["canceled", "expired"])
        for pk in ended.values_list("pk", flat=True):
            self.over.setdefault(pk, set(self.carrier.on_the_way))

    # -- what workers do --

    @rule(jobs=st.lists(st.tuples(place, fates, few), min_size=2, max_size=4))
    def work(self, jobs: list[tuple[int, list[Fate], int]]) -> None:
        """The worker of an account goes on, or a new one begins: some of what may leave does. Then it is stopped,
        before it settled what was answered (1), while it writes that down (2) or after that."""
        for at, fates, how_far in jobs:
            wanted = self.account(at)
            if wanted.sending and wanted.pk not in leases.held():
                self.workers.append(Worker(wanted))
            for worker in self.at_work(wanted):
                worker.look()
                worker.leave()
                for fate in fates:
                    worker.hand_over(self.carrier, fate)
                if how_far > 1:
                    worker.settle()
                if how_far > 2:
                    worker.write()

    @rule(steps=st.lists(st.tuples(st.sampled_from(STEPS), place, st.sampled_from(FATES)), min_size=2, max_size=5))
    def go_on(self, steps: list[tuple[str, int, Fate]]) -> None:
        """Any worker does the next of its steps, also one that stood still while another took over."""
        for what, at, fate in steps:
            if self.workers:
                worker = self.workers[at % len(self.workers)]
                if what == "hand over":
                    worker.hand_over(self.carrier, fate, at)
                elif what == "settle":
                    worker.settle()
                elif what == "write":
                    worker.write()
                elif not worker.lost:
                    worker.leave() if what == "leave" else worker.show()

    @rule(at=place, how=st.sampled_from(["killed", "stopped", "cleared up"]))
    def break_down(self, at: int, how: str) -> None:
        """A worker is killed, or stopped for longer than its lease lasts; then another one takes over."""
        wanted = self.account(at)
        for worker in list(self.at_work(wanted)):
            worker.stand_still()
            if how == "killed":
                self.workers.remove(worker)
        Lease.objects.filter(pk=wanted.pk).update(until=timezone.now() - timedelta(seconds=1))
        if how == "cleared up":
            for pk in clock.accounts_abandoned():
                clock.clear_up(pk)
        elif wanted.sending:
            self.workers.append(Worker(wanted))

    # -- what comes from the provider --

    @rule(
        at=place,
        which=places,
        words=st.lists(st.sampled_from(["sent", "expired", "failed", "delivered", "unknown"]), min_size=1, max_size=3),
        spelt=st.sampled_from([str, str.lower, "+{}".format, "00{}".format, " {} ".format]),
    )
    def report(self, at: int, which: list[int], words: list[str], spelt: Any) -> None:
        """Reports of what the carrier took, in any order and more than once."""
        self.carrier.arrive()
        taker = self.account(at)
        kept = self.carrier.kept.get(taker.pk, [])
        told = [kept[which % len(kept)] for which in which if kept]
        problem = Problem("7", "The phone is off.")
        reports.apply(taker, [Report(spelt(i.id), Status(w), i.number, w, problem) for i in told for w in words])

    @rule(at=place, patient=flag)
    def ask(self, at: int, patient: bool) -> None:
        """The provider is asked for what is in doubt, and for ends; ``patient``: twice, and after minutes."""
        cache.clear()
        for _ in range(2 if patient else 1):
            if patient:
                self.pass_time()
            Message.objects.filter(poll_at__isnull=False).update(poll_at=timezone.now() - timedelta(seconds=1))
            polling.poll(self.account(at).pk)

    # -- what time brings --

    @rule(what=st.sampled_from(["minutes", "due", "expired", "replayed", "rerouted", "expanded"]), at=place)
    def tick(self, what: str, at: int) -> None:
        if what == "minutes":
            self.pass_time()
        elif what == "due":
            self.come_due()
        elif what == "expired":
            mine = Message.objects.filter(account=self.account(at), expires_at__isnull=False)
            mine.update(expires_at=timezone.now())
            clock.expire()
            self.note_over()
        elif what == "expanded":
            self.expand()
        elif what == "replayed":
            reports.replay_recent()
        else:
            rerouting.balance(self.route.pk)

    def pass_time(self) -> None:
        """What is on its way for so long has arrived, or never will; leases have ended."""
        self.carrier.arrive()
        for worker in self.workers:
            worker.stand_still(LONG.total_seconds())
        for model, names in TIMES.items():
            for name in names:
                model._default_manager.update(**{name: F(name) - LONG})
        Pace.objects.update(held_until=0)
        for kept in self.carrier.kept.values():
            kept[:] = [replace(info, sent_at=info.sent_at - LONG) for info in kept if info.sent_at]

    def expand(self) -> None:
        for pk in Campaign.objects.filter(complete=False).values_list("pk", flat=True):
            campaigns.expand(pk)

    def come_due(self) -> None:
        waiting = Message.objects.filter(status__in=(Status.QUEUED, Status.SCHEDULED), due_at__lt=parking.BEYOND)
        waiting.update(due_at=timezone.now())
        clock.promote()

    # -- what holds after every step --

    @invariant()
    def nothing_is_taken_twice(self) -> None:
        assert {pk: n for pk, n in self.carrier.taken.items() if n > 1 + self.asked[pk]} == {}

    @invariant()
    def nothing_is_lost(self) -> None:
        assert Message.objects.count() == self.accepted

    @invariant()
    def statuses_move_forward(self) -> None:
        now = dict(Message.objects.values_list("pk", "status"))
        moved = {pk: (old, now[pk]) for pk, old in self.before.items() if now[pk] not in REACHABLE[old]}
        assert moved == {}
        self.before = now

    @invariant()
    def in_doubt_is_only_what_was_marked(self) -> None:
        doubtful = Message.objects.filter(status=Status.UNCERTAIN)
        assert not doubtful.filter(exchange=None).exists()
        on_their_way = doubtful.filter(exchange__in=Exchange.objects.filter(open=True).values("pk"))
        assert not on_their_way.exists()

    @invariant()
    def the_counts_are_those_of_the_rows(self) -> None:
        assert counts.kept() == counts.recounted()

    def teardown(self) -> None:
        """Let everything run."""
        try:
            self.carrier.arrive()
            for worker in self.workers:
                worker.finish(self.carrier)
            ProviderAccount.objects.update(down_since=None, paused_reason="", paused_code="")
            for campaign in Campaign.objects.filter(state=Campaign.State.PAUSED):
                conduct.resume(campaign, "alice")
            self.halted.clear()
            self.expand()
            while Message.objects.filter(status__in=ledger.WAITING).exists():
                self.run_once()
                self.check_all()
            ends = set(Message.objects.values_list("status", flat=True))
            assert ends <= {Status.UNCERTAIN, Status.SENT, *OVER}
            assert not Exchange.objects.filter(open=True).exists()
            said = Message.objects.filter(status__in=(Status.SENT, Status.DELIVERED))
            by_hand = said.filter(provider_status__startswith="counted as sent")
            taken = set(said.values_list("pk", flat=True)) - set(by_hand.values_list("pk", flat=True))
            assert taken <= set(self.carrier.taken)
        finally:
            forget()

    def run_once(self) -> None:
        Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
        Pace.objects.update(held_until=0)
        self.come_due()
        for row in self.accounts:
            worker = Worker(row)
            worker.leave()
            worker.finish(self.carrier)

    def check_all(self) -> None:
        self.nothing_is_taken_twice()
        self.nothing_is_lost()
        self.statuses_move_forward()
        self.the_counts_are_those_of_the_rows()

    # -- finding --

    def account(self, at: int) -> ProviderAccount:
        return ProviderAccount.objects.get(pk=self.accounts[at % len(self.accounts)].pk)

    def at_work(self, wanted: ProviderAccount) -> list[Worker]:
        return [worker for worker in self.workers if worker.account.pk == wanted.pk and not worker.lost]

    def some(self, places: Iterable[int], **values: Any) -> set[int]:
        """The ids of some messages, counted from the oldest."""
        ids = list(Message.objects.filter(**values).order_by("pk").values_list("pk", flat=True))
        return {ids[place % len(ids)] for place in places if ids}


TIMES = {
    Message: ("due_at", "sent_at", "poll_at", "expires_at"),
    Exchange: ("at",),
    Lease: ("until",),
}


def forget() -> None:
    """Everything that a sequence left."""
    Message.objects.update(resend_of=None)
    for model in (BulkAction, Message, Campaign, RouteMember, Route, Tally, ProviderAccount, Contact):
        model._default_manager.all().delete()
    cache.clear()


def test_any_order_of_steps_keeps_the_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(transport: HttpTransport, request: Any) -> Any:
        return running[0].answer(transport, request)

    running: list[Carrier] = []
    monkeypatch.setattr(HttpTransport, "__call__", answer)
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)
    monkeypatch.setattr(dispatch, "GATHER", 0.0)
    for kind in KINDS:
        monkeypatch.setattr(registry.adapter_class(kind), "max_batch", 2)
    monkeypatch.setattr(bulk, "AT_ONCE", 1)
    monkeypatch.setattr(bulk, "SLICE", 2)

    class Judged(Sending):
        def __init__(self) -> None:
            super().__init__()
            running[:] = [self.carrier]

    run_state_machine_as_test(
        Judged,
        settings=settings(
            max_examples=settings.default.max_examples // 4,
            stateful_step_count=30,
            suppress_health_check=list(HealthCheck),
        ),
    )
