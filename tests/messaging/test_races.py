"""Two workers, or a worker and an operator, at once: each test holds one of them still between two steps."""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from messaging import (
    campaigns,
    dispatch,
    drain,
    handover,
    leases,
    ledger,
    records,
    rerouting,
    resolve,
    wakeup,
)
from messaging.campaigns import Draft
from messaging.models import Attempt, Lease, Message, Route, RouteMember
from providers.models import Exchange, ProviderAccount
from providers.transport import HttpTransport
from tests.base import account as new_account
from tests.messaging.carrier import FATES, Carrier, Worker

pytestmark = pytest.mark.django_db(transaction=True)

NUMBERS = [f"+1555200{n:04d}" for n in range(4)]
FATE = {fate.name: fate for fate in FATES}


@pytest.fixture
def carrier(monkeypatch: pytest.MonkeyPatch) -> Carrier:
    carrier = Carrier()
    monkeypatch.setattr(HttpTransport, "__call__", lambda self, request: carrier.answer(self, request))
    monkeypatch.setattr(wakeup, "async_task", lambda *arguments: None)
    monkeypatch.setattr(dispatch, "GATHER", 0.0)
    return carrier


@pytest.fixture
def main(carrier: Carrier) -> ProviderAccount:
    return made("Main")


def made(name: str, kind: str = "smsprovider") -> ProviderAccount:
    row = new_account(name, kind, rates=["1000/second"])
    row.base_url = f"http://127.0.0.1:9/{row.pk}"
    row.save()
    return row


def send(account: ProviderAccount, n: int = 1, **values: object) -> list[int]:
    campaigns.submit(Draft(account, NUMBERS[:n], "Hello", **values))  # type: ignore[arg-type]
    return list(Message.objects.order_by("-pk").values_list("pk", flat=True)[:n])


def taken_over(account: ProviderAccount) -> Worker:
    """Whoever has the account stands still for longer than the lease, and another worker comes."""
    Lease.objects.update(until=timezone.now() - timedelta(seconds=1))
    return Worker(account)


def status() -> str:
    return Message.objects.get().status


# --- A worker that comes back ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fate", "becomes"),
    [("taken", "sent"), ("unreachable", "queued"), ("refused as a whole", "failed"), ("taken, no answer", "uncertain")],
)
def test_its_late_answer_settles_what_was_in_doubt(
    main: ProviderAccount, carrier: Carrier, fate: str, becomes: str
) -> None:
    send(main)
    old = Worker(main)
    old.leave()
    old.hand_over(carrier, FATE[fate])
    taken_over(main)
    assert status() == "uncertain"
    old.settle()
    old.write()
    assert status() == becomes
    assert Attempt.objects.count() == 1
    assert Attempt.objects.get().maybe_taken == (becomes != "queued")


@pytest.mark.parametrize("fate", ["unreachable", "too fast", "refused as a whole", "taken"])
def test_its_late_answer_says_nothing_of_a_later_request(main: ProviderAccount, carrier: Carrier, fate: str) -> None:
    (message,) = send(main)
    old = Worker(main)
    old.leave()
    old.hand_over(carrier, FATE[fate])
    new = taken_over(main)
    resolve.send_again([message])
    new.leave()
    new.hand_over(carrier, FATE["taken, no answer"])
    new.settle()
    new.write()
    assert status() == "uncertain"
    old.settle()
    old.write()
    assert status() == "uncertain"


def test_its_late_answer_leaves_alone_what_waits_to_be_sent_again(main: ProviderAccount, carrier: Carrier) -> None:
    (message,) = send(main)
    old = Worker(main)
    old.leave()
    old.hand_over(carrier, FATE["taken, no answer"])
    new = taken_over(main)
    resolve.send_again([message])
    old.settle()
    old.write()
    assert status() == "queued"
    new.leave()
    new.finish(carrier)
    assert status() == "sent"


def test_it_shows_nothing_as_on_its_way_that_another_will_send(main: ProviderAccount, carrier: Carrier) -> None:
    (message,) = send(main)
    old = Worker(main)
    old.leave()
    new = taken_over(main)
    resolve.send_again([message])
    old.show()
    assert (status(), old.lost) == ("queued", True)
    new.leave()
    new.finish(carrier)
    assert status() == "sent"


def test_what_it_marked_long_ago_does_not_leave_any_more(main: ProviderAccount, carrier: Carrier) -> None:
    (message,) = send(main)
    old = Worker(main)
    old.leave()
    old.stand_still()
    taken_over(main)
    old.finish(carrier)
    assert carrier.taken[message] == 0
    assert status() == "queued"
    row = Message.objects.get()
    assert (row.error_code, row.attempts) == ("too_late", 1)
    assert "Nothing was sent" in row.error_text


def test_a_worker_that_stood_still_without_losing_its_lease_marks_anew(main: ProviderAccount, carrier: Carrier) -> None:
    (message,) = send(main)
    worker = Worker(main)
    worker.leave()
    worker.stand_still(handover.FRESH + 1)
    worker.finish(carrier)
    assert (status(), carrier.taken[message]) == ("queued", 0)
    worker.leave()
    worker.finish(carrier)
    assert (status(), carrier.taken[message]) == ("sent", 1)


def test_one_that_was_overtaken_before_it_swept_leaves_the_requests_of_others_alone(
    main: ProviderAccount, carrier: Carrier
) -> None:
    send(main)
    assert leases.acquire(main.pk, "slow")
    new = taken_over(main)
    new.leave()
    with pytest.raises(leases.LeaseLost):
        records.sweep(main, "slow")
    assert (status(), Exchange.objects.get().open) == ("queued", True)


def test_a_drain_that_was_overtaken_at_once_ends_quietly(
    main: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(account: ProviderAccount, holder: str) -> int:
        Lease.objects.update(holder="another")
        with transaction.atomic():
            return leases.renew(account.pk, holder)

    monkeypatch.setattr(records, "sweep", overtaken)
    send(main)
    drain.drain(main.pk, lambda: None)
    assert Lease.objects.get().holder == "another"


def test_waiting_for_the_last_answers_keeps_the_lease(
    main: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers may take longer than a lease lasts; nobody else is to think that their requests are lost."""
    send(main)
    ended = timezone.now() - timedelta(seconds=1)
    renewed = []

    def slow(transport: HttpTransport, request: object) -> object:
        Lease.objects.update(until=ended)
        time.sleep(0.4)
        renewed.append(Lease.objects.get().until > ended)
        try:
            return carrier.answer(transport, request)  # type: ignore[arg-type]
        finally:
            connection.close()

    monkeypatch.setattr(HttpTransport, "__call__", slow)
    monkeypatch.setattr(drain, "REFRESH", 0.05)
    monkeypatch.setattr(drain, "SLICE", 0.1)
    carrier.batch = type("Batch", (), {"messages": [], "exchange": 0})()
    carrier.fate = FATE["unreachable"]
    drain.drain(main.pk, lambda: None)
    assert renewed == [True]


# --- A database that goes away -----------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_outcomes_are_written_when_the_database_is_back(
    main: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    send(main, 2)
    worker = Worker(main)
    worker.leave()
    worker.hand_over(carrier)
    failing(monkeypatch, times)
    worker.settle()
    worker.write()
    assert set(Message.objects.values_list("status", flat=True)) == {"sent"}
    assert not Exchange.objects.filter(open=True).exists()


def test_outcomes_wait_in_hand_while_the_database_stays_away(
    main: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PATIENCE", 0.0)
    send(main)
    worker = Worker(main)
    worker.leave()
    worker.hand_over(carrier)
    failing(monkeypatch, 1)
    worker.settle()
    with pytest.raises(OperationalError):
        worker.write()
    assert status() == "queued"
    worker.finish(carrier)
    assert status() == "sent"


def test_a_write_that_was_through_and_is_repeated_changes_nothing(
    main: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke after the commit, before it was told of."""
    send(main)
    worker = Worker(main)
    worker.leave()
    worker.hand_over(carrier, FATE["unreachable"])
    write = records._write
    calls = []

    def broken(*arguments: object, **names: object) -> None:
        write(*arguments, **names)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError("The connection was lost.")

    monkeypatch.setattr(records, "_write", broken)
    worker.settle()
    worker.write()
    assert (len(calls), status(), Attempt.objects.count()) == (2, "queued", 1)


def test_a_drain_lets_its_account_go_once_the_database_is_back(
    main: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all others would wait until the lease ends."""
    release, calls = leases.release, []

    def away(account_id: int, holder: str) -> None:
        calls.append(holder)
        if len(calls) < 3:
            raise OperationalError("The server closed the connection.")
        release(account_id, holder)

    monkeypatch.setattr(leases, "release", away)
    monkeypatch.setattr(drain, "LINGER", 0.0)
    drain.drain(main.pk, lambda: None)
    assert (len(calls), leases.held()) == (3, set())


def failing(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    settle, left = ledger.settle, [times]

    def fail(*arguments: object) -> set[int]:
        left[0] -= 1
        if left[0] >= 0:
            raise OperationalError("The server closed the connection.")
        return settle(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "settle", fail)


# --- Answers that no column can hold -----------------------------------------------------------------


@pytest.mark.parametrize("cost", [Decimal("1e30"), Decimal("1e-30"), Decimal(10**7), Decimal("-1e30")])
def test_a_price_beyond_measure_loses_no_outcome(
    main: ProviderAccount, carrier: Carrier, monkeypatch: pytest.MonkeyPatch, cost: Decimal
) -> None:
    other = made("Other", "voipcommunications")
    send(other)
    outcome = carrier._outcome
    monkeypatch.setattr(carrier, "_outcome", lambda taken: outcome_with(outcome(taken), cost))
    worker = Worker(other)
    worker.leave()
    worker.finish(carrier)
    assert status() == "sent"


def outcome_with(outcome: object, cost: Decimal) -> object:
    import dataclasses

    return dataclasses.replace(outcome, cost=cost)  # type: ignore[type-var]


# --- Doubt stays with its account --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["smsprovider", "smsgateway", "customersms", "voipcommunications"])
@pytest.mark.parametrize(
    ("fate", "stays"),
    [("taken, server error", True), ("taken, last one not mentioned", True), ("out of service", False)],
)
def test_no_other_account_carries_what_one_may_have_taken(carrier: Carrier, kind: str, fate: str, stays: bool) -> None:
    route = Route.objects.create(name="Both")
    first, spare = made("First", kind), made("Spare")
    for place, row in enumerate((first, spare)):
        RouteMember.objects.create(route=route, account=row, position=place)
    send(first, 3, route=route)
    worker = Worker(first)
    worker.leave()
    worker.hand_over(carrier, FATE[fate])
    worker.settle()
    worker.write()
    resolve.send_again(Message.objects.filter(status="uncertain").values_list("pk", flat=True))
    ProviderAccount.objects.filter(pk=first.pk).update(paused_reason="Lunch.")
    waiting = set(Message.objects.filter(status="queued").values_list("pk", flat=True))
    rerouting.balance(route.pk)
    moved = set(Message.objects.filter(account=spare).values_list("pk", flat=True))
    assert waiting and moved == (set() if stays else waiting)
