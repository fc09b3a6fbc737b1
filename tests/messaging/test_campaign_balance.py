"""The balance of a campaign in any order of outcomes, pauses, breaks, opt-outs and cancellations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.conf import settings as config
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contacts import consent
from contacts.models import Contact, ContactList, How
from messaging import campaigns, clock, conduct, expanding, leases, ledger, parking, resolve, streaks, wakeup
from messaging.campaigns import Draft
from messaging.ledger import Change
from messaging.models import Campaign, Message, Tally
from providers.models import Pace, ProviderAccount
from providers.transport import HttpTransport
from providers.types import Status
from tests.base import account as new_account
from tests.base import person
from tests.contacts.base import a_list, people
from tests.messaging.carrier import FATES, Carrier, Worker

pytestmark = pytest.mark.django_db(transaction=True)

WHO = 14
STEPS = st.one_of(
    st.tuples(st.sampled_from(["pause", "resume", "cancel", "approve", "expand", "tick", "mark", "die"]), st.just(0)),
    st.tuples(st.just("leave"), st.integers(0, len(FATES) - 1)),
    st.just(("leave", 0)),
    st.tuples(st.sampled_from(["opt out", "report", "again", "unsubscribe"]), st.integers(0, WHO - 1)),
)


class World:
    """A campaign, the carrier, and one worker at a time."""

    def __init__(self, carrier: Carrier, merges: bool, slices: int) -> None:
        self.carrier, self.merges = carrier, merges
        self.account = new_account("Main", rates=["100000/second"])
        self.account.base_url = f"http://127.0.0.1:9/{self.account.pk}"
        self.account.save()
        self.ids = people(WHO)
        self.lists = [a_list("One", self.ids[:9]), a_list("Two", self.ids[5:])]
        self.numbers = list(Contact.objects.order_by("pk").values_list("number", flat=True))
        self.boss = person("boss", "messaging.approve_campaign")
        self.worker: Worker | None = None
        self.doubtful: set[int] = set()
        text = "Hello {name|}" if merges else "Hello"
        draft = Draft(self.account, [*self.numbers[:2], "+37255599999"], text, lists=self.lists, merges=merges)
        self.campaign = campaigns.submit(draft)
        for _slice in range(slices):
            self.expand(0)

    def step(self, what: str, n: int) -> None:
        taken = self.carrier.taken.copy()
        may_send = self.fresh().state == "sending"
        getattr(self, what.replace(" ", "_"))(n)
        if what == "leave" and not may_send and not self.marked_before:
            assert self.carrier.taken == taken, "it left after it was paused"
        self.check()

    marked_before = False

    def fresh(self) -> Campaign:
        self.campaign = Campaign.objects.get(pk=self.campaign.pk)
        return self.campaign

    def check(self) -> None:
        found, rows = conduct.balance(self.fresh()), Message.objects.filter(campaign=self.campaign)
        statuses = Counter(rows.values_list("status", flat=True))
        assert found.recipients == self.campaign.total
        assert +conduct.counts_of(self.campaign.pk) == statuses
        late = rows.filter(status="canceled", error_code="opted_out").count()
        assert found.sent == statuses["sent"] + statuses["delivered"] and found.delivered == statuses["delivered"]
        assert found.failed == statuses["failed"] + statuses["expired"]
        assert found.uncertain == statuses["uncertain"]
        waiting = sum(statuses[status] for status in ledger.WAITING)
        unmade = len(self.campaign.recipients) - self.campaign.expanded
        canceled = self.campaign.state == "canceled"
        assert found.waiting == waiting + (0 if canceled else unmade)
        assert found.canceled == statuses["canceled"] - late + (unmade if canceled else 0)
        assert found.skipped == found.recipients - rows.count() + late - unmade
        numbers = Counter(rows.values_list("number", flat=True))
        assert not numbers or max(numbers.values()) == 1, "somebody has two rows"
        twice = {pk for pk, n in self.carrier.taken.items() if n > 1}
        assert twice <= self.doubtful, "somebody got it twice"
        if conduct.state(self.campaign) == "finished":
            assert not (found.waiting or found.uncertain)

    # -- what happens --

    def pause(self, _n: int) -> None:
        conduct.pause(self.campaign, "ann")

    def resume(self, _n: int) -> None:
        conduct.resume(self.campaign, "ann")

    def cancel(self, _n: int) -> None:
        conduct.cancel(self.campaign, "ann")

    def approve(self, _n: int) -> None:
        conduct.approve(self.campaign, self.boss)

    def expand(self, _n: int) -> None:
        """One slice; then the worker is killed."""
        campaigns._step(run := campaigns._Run(self.campaign.pk))
        if run.settled:
            campaigns._step(run)

    def tick(self, _n: int) -> None:
        clock.promote()

    def mark(self, _n: int) -> None:
        self.drainer().leave()
        self.marked_before = bool(self.drainer().waiting())

    def leave(self, n: int) -> None:
        worker, fate = self.drainer(), FATES[n]
        if not worker.waiting():
            worker.leave()
            worker.leave()
        while worker.waiting():
            if not fate.sure:
                self.doubtful |= {m.id for m in worker.waiting()[0].batch.messages}
            worker.hand_over(self.carrier, fate)
        while worker.lane.under_way():
            worker.lane.settle()
            worker.write()
        self.marked_before = False
        ProviderAccount.objects.update(paused_reason="", down_since=None, updated_at=timezone.now())
        Pace.objects.update(held_until=0)  # however long the provider wants to be left alone
        Message.objects.filter(status="queued").update(due_at=timezone.now())
        worker.look()

    def die(self, _n: int) -> None:
        """kill -9: what was marked may have left, or not."""
        if self.worker:
            self.doubtful |= {m.id for step in self.worker.waiting() for m in step.batch.messages}
            leases.release(self.account.pk, self.worker.holder)
            self.worker, self.marked_before = None, False
            self.drainer()

    def drainer(self) -> Worker:
        self.worker = self.worker or Worker(self.account)
        self.worker.lane.next_try = 0.0
        return self.worker

    def opt_out(self, n: int) -> None:
        consent.opt_out([self.ids[n]], How.STOP, "them")

    def unsubscribe(self, n: int) -> None:
        consent.unsubscribe(self.lists[n % 2], [self.ids[n]], How.OPERATOR, "ann")

    def report(self, n: int) -> None:
        """Of each status in turn, to whoever it can be about."""
        to = (Status.DELIVERED, Status.FAILED, Status.EXPIRED)[n % 3]
        ids = Message.objects.filter(status__in=("sent", "failed", "expired", "uncertain")).values_list("pk", flat=True)
        ledger.apply(Change(pk, to) for pk in ids[:2])

    def again(self, n: int) -> None:
        resolve.send_again(Message.objects.filter(status="uncertain").values_list("pk", flat=True)[:3])


def forget() -> None:
    """Everything that a sequence left."""
    for model in (Message, Campaign, Contact, ContactList, Tally, ProviderAccount, get_user_model()):
        getattr(model, "with_deleted", model._default_manager).all().delete()
    streaks._running.clear()
    cache.clear()


def test_it_balances_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)
    monkeypatch.setattr(campaigns, "AT_ONCE", 0)
    monkeypatch.setattr(expanding, "SLICE", 3)
    monkeypatch.setattr(expanding, "SMALLEST", 3)
    monkeypatch.setattr(parking, "SLICE", 2)
    running: list[Carrier] = []
    answer: Any = lambda transport, request: running[0].answer(transport, request)  # noqa: E731
    monkeypatch.setattr(HttpTransport, "__call__", answer)
    monkeypatch.setattr(config, "SMSDASH_UNDO_SECONDS", 0)
    monkeypatch.setattr(config, "SMSDASH_STOP_AFTER_FAILURES", 4)

    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, max_size=25), st.booleans(), st.booleans(), st.integers(0, 8))
    def run(steps: list[tuple[str, int]], merges: bool, approval: bool, slices: int) -> None:
        config.SMSDASH_APPROVAL_ABOVE = 1 if approval else 0
        running[:] = [Carrier()]
        try:
            world = World(running[0], merges, slices)
            for what, n in steps:
                world.step(what, n)
            finish(world)
        finally:
            forget()

    monkeypatch.setattr(config, "SMSDASH_APPROVAL_ABOVE", 0)
    run()


def finish(world: World) -> None:
    """Let everything come to its end: nobody is left waiting, and the numbers say so."""
    conduct.approve(world.fresh(), world.boss)
    consent.opt_out(world.ids[::5], How.STOP, "them")
    taken = FATES[0]
    for _round in range(60):
        conduct.resume(world.fresh(), "ann")
        world.expand(0)
        world.tick(0)
        world.leave(FATES.index(taken))
        world.check()
        if world.campaign.complete and not conduct.balance(world.campaign).waiting:
            break
    found = conduct.balance(world.fresh())
    assert world.campaign.complete and not found.waiting
    assert world.campaign.state == "canceled" or found.recipients == 3 + 9 + 9
