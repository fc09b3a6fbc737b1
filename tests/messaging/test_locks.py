"""Two transactions that need the same rows: no two of them wait for each other in a ring."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from messaging import campaigns, conduct, ledger, reports, wakeup
from messaging.campaigns import Draft
from messaging.ledger import Change
from messaging.models import Campaign, Message, Tally
from providers.models import ProviderAccount
from providers.types import Report, Status
from smsdash import apps
from tests.base import account

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = [f"+1555200{n:04d}" for n in range(4)]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ProviderAccount:
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)
    return account("Main")


def send(through: ProviderAccount, n: int) -> list[int]:
    campaigns.submit(Draft(through, NUMBERS[:n], "Hello"))
    return list(Message.objects.order_by("-pk").values_list("pk", flat=True)[:n])


def test_two_that_count_the_other_way_round_do_not_wait_for_each_other(main: ProviderAccount) -> None:
    """One settles a message and then applies the report of another, the second does it the other way round."""
    queued, also_queued, sent, also_sent = send(main, 4)
    ledger.apply(Change(pk, Status.SENT) for pk in (sent, also_sent))
    at_once = threading.Barrier(2)

    def change(*steps: Change) -> None:
        try:
            with ledger.together():
                for step in steps:
                    ledger.apply([step])
                    meet(at_once)
        finally:
            connection.close()

    both(
        lambda: change(Change(queued, Status.UNCERTAIN), Change(sent, Status.DELIVERED)),
        lambda: change(Change(also_sent, Status.DELIVERED), Change(also_queued, Status.UNCERTAIN)),
    )
    kept = Tally.objects.filter(account_id=main.pk, hour=0).exclude(n=0)
    assert dict(kept.values_list("status", "n")) == {"delivered": 2, "uncertain": 2}


def test_a_report_that_changes_nothing_does_not_stand_in_the_way(main: ProviderAccount) -> None:
    """Its row points at a message that another transaction is moving, while both add to the same counts."""
    first, second = send(main, 2)
    for pk in (first, second):
        ledger.apply([Change(pk, Status.SENT, {"provider_id": f"msg_{pk}"})])
    ready, locked = threading.Event(), threading.Event()

    def report() -> None:
        try:
            with ledger.together():
                reports.apply(
                    main,
                    [Report(f"msg_{first}", Status.DELIVERED), Report(f"msg_{second}", Status.UNKNOWN, raw_status="?")],
                )
                ready.set()
                locked.wait(5 if connection.vendor == "postgresql" else 0.1)
        finally:
            connection.close()

    def move() -> None:
        try:
            ready.wait(60)
            with ledger.together():
                ledger.apply([Change(second, Status.DELIVERED)])
                locked.set()
                time.sleep(0.3)  # in which the other one ends its transaction, if it need not wait
        finally:
            connection.close()

    both(report, move)
    assert set(Message.objects.values_list("status", flat=True)) == {"delivered"}


def test_a_campaign_that_goes_on_waits_in_no_ring_with_a_resend(main: ProviderAccount) -> None:
    """Its messages are locked in the order of their ids, whatever the order of their times."""
    send(main, 2)
    campaign = Campaign.objects.get()
    conduct.pause(campaign, "")
    first, second = Message.objects.order_by("pk").values_list("pk", flat=True)
    Message.objects.filter(pk=second).update(due_at=F("due_at") - timedelta(hours=1))
    at_once = threading.Barrier(2)

    def lock(pk: int) -> None:
        Message.objects.select_for_update(no_key=True).get(pk=pk)

    def hold() -> None:
        try:
            with transaction.atomic():
                lock(first)
                meet(at_once)
                until_somebody_waits()
                lock(second)
        finally:
            connection.close()

    def go_on() -> None:
        try:
            meet(at_once)
            assert conduct.resume(campaign, "")
        finally:
            connection.close()

    both(hold, go_on)
    assert set(Message.objects.values_list("status", flat=True)) == {"queued"}


@pytest.mark.machines
def test_a_machine_that_stands_still_lets_go(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a transaction; another one's waits until the database ends it."""
    monkeypatch.setattr(apps, "FORSAKEN", 1)
    [pk] = send(main, 1)
    held, over = threading.Event(), threading.Event()

    def stand_still() -> None:
        try:
            with transaction.atomic():
                Message.objects.filter(pk=pk).update(text="Held")
                held.set()
                assert over.wait(60)
        finally:
            connection.close()

    def work() -> None:
        try:
            assert held.wait(60)
            Message.objects.filter(pk=pk).update(text="Changed")
        finally:
            over.set()
            connection.close()

    with pytest.raises(DatabaseError, match="idle-in-transaction timeout"):
        both(work, stand_still)
    assert Message.objects.get().text == "Changed"


def until_somebody_waits() -> None:
    """For a lock of the database, for two seconds at most."""
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    end = time.monotonic() + (2 if connection.vendor == "postgresql" else 0)
    while time.monotonic() < end:
        with connection.cursor() as cursor:
            if cursor.execute(waiting).fetchone():
                return
        time.sleep(0.01)


def meet(at_once: threading.Barrier) -> None:
    """On SQLite there is one writer, and nobody to meet."""
    if connection.vendor == "postgresql":
        with contextlib.suppress(threading.BrokenBarrierError):
            at_once.wait(2)


def both(*works: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(works)) as pool:
        for ended in [pool.submit(work) for work in works]:
            ended.result(timeout=90)
