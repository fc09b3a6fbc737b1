from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from messaging import clock, leases, ledger, rerouting, routes, tasks
from messaging.models import Attempt, Campaign, Lease, Message, Route, RouteMember
from providers import pacing
from providers.models import RETRY, Exchange, ProviderAccount
from providers.types import Feature, Status
from tests.base import account, dated
from tests.messaging.counts import kept, recounted

pytestmark = pytest.mark.django_db

LONG_AGO = -timedelta(minutes=1)


def route(*names: str, strategy: str = Route.ORDERED, kind: str = "smsprovider", **columns: list[Any]) -> Route:
    """A route over new accounts; columns of its members (``weight``, ``prefixes``) as lists."""
    made = Route.objects.create(name="Everywhere", strategy=strategy)
    for place, name in enumerate(names):
        values = {column: listed[place] for column, listed in columns.items()}
        RouteMember.objects.create(
            route=made, account=account(name, kind, rates=["1/second"]), position=place, **values
        )
    return made


def waiting(made: Route, name: str, n: int = 1, **values: Any) -> list[Message]:
    """Messages of the route in the queue of an account."""
    row = ProviderAccount.objects.get(name=name)
    start = Message.objects.count()
    fields = dated({"account": row, "route": made, "text": "x", "status": "queued", "due_at": LONG_AGO, **values})
    return ledger.insert(
        [Message(**{"number": f"+372555{index:06}", **fields}) for index in range(start, start + n)]  # type: ignore[arg-type]
    )


def down(name: str, **values: Any) -> None:
    ProviderAccount.objects.filter(name=name).update(**dated(values) or {"paused_reason": "The key was refused."})


def up(name: str) -> None:
    down(name, paused_reason="", enabled=True, down_since=None)


def balance(made: Route) -> Counter[str]:
    """Where the messages are afterwards, by the name of the account. The kept counts are those of the rows."""
    assert rerouting.balance(made.pk) is False
    assert kept() == recounted()
    return placed()


def placed() -> Counter[str]:
    return Counter(Message.objects.values_list("account__name", flat=True))


# --- An account that cannot send ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"enabled": False},
        {"paused_reason": "The key was refused."},
        {"down_since": LONG_AGO},
        {"credits": 0, "credits_seen_at": LONG_AGO},
    ],
)
def test_the_others_carry_on_when_the_first_cannot(values: dict[str, Any]) -> None:
    made = route("A", "B", "C")
    waiting(made, "A", 5)
    assert balance(made) == {"A": 5}
    down("A", **values)
    assert balance(made) == {"B": 5}


def test_a_moment_without_an_answer_is_no_outage() -> None:
    made = route("A", "B")
    waiting(made, "A", 3)
    down("A", down_since=timezone.now() + timedelta(hours=1))
    assert balance(made) == {"A": 3}


def test_nothing_is_moved_when_none_can_send() -> None:
    made = route("A", "B")
    waiting(made, "A", 3)
    waiting(made, "B", 2)
    for name in "AB":
        down(name)
    assert rerouting.due() == []
    assert balance(made) == {"A": 3, "B": 2}


def test_what_was_moved_stays_until_that_account_fails_too() -> None:
    made = route("A", "B", "C")
    waiting(made, "A", 4)
    down("A")
    assert balance(made) == {"B": 4}
    up("A")
    assert balance(made) == {"B": 4}
    down("B")
    assert balance(made) == {"A": 4}


def test_messages_leave_an_account_that_was_taken_off_the_route() -> None:
    made = route("A", "B")
    waiting(made, "A", 2)
    RouteMember.objects.filter(account__name="A").delete()
    assert balance(made) == {"A": 2}
    down("A")
    assert rerouting.due() == [made.pk]
    assert balance(made) == {"B": 2}


def test_it_goes_slice_by_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerouting, "SLICE", 7)
    made = route("A", "B", "C", strategy=Route.WEIGHTED, weight=[9, 3, 1])
    waiting(made, "A", 20)
    kept_back = waiting(made, "A", 9, provider_id="msg_1")
    waiting(made, "A", 20, due_at=timezone.now())
    down("A")
    assert balance(made) == {"A": len(kept_back), "B": 30, "C": 10}


def test_weights_are_exact_over_ten_thousand() -> None:
    made = route("A", "B", "C", "D", strategy=Route.WEIGHTED, weight=[1, 5, 3, 2])
    waiting(made, "A", 10_000)
    down("A")
    assert balance(made) == {"B": 5_000, "C": 3_000, "D": 2_000}


def test_prefixes_are_minded() -> None:
    made = route("British", "Irish", "Every", prefixes=["+44 +353", "+353", ""])
    waiting(made, "British", number="+447700900001")
    waiting(made, "British", number="+353850000001")
    down("British")
    assert balance(made) == {"Irish": 1, "Every": 1}


def test_a_number_stays_with_the_only_account_that_is_meant_for_it() -> None:
    made = route("British", "Irish", prefixes=["+44", "+353"])
    waiting(made, "British", number="+447700900001")
    waiting(made, "British", number="+37255512345")  # meant for none
    down("British")
    assert balance(made) == {"British": 1, "Irish": 1}
    assert Message.objects.get(account__name="British").number.startswith("+44")


def test_what_the_others_cannot_carry_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    made = route("A", "B")
    plain = ProviderAccount.objects.get(name="B").kind_class
    monkeypatch.setattr(plain, "supports", plain.supports - {Feature.MMS})
    monkeypatch.setattr(plain, "max_text", 100)
    waiting(made, "A", type="mms")
    waiting(made, "A", text="x" * 101)
    waiting(made, "A", 2, text="x" * 100)
    down("A")
    assert balance(made) == {"A": 2, "B": 2}


def test_messages_of_no_route_and_of_other_routes_stay() -> None:
    made = route("A", "B")
    waiting(made, "A", route=None)
    waiting(made, "A", route=Route.objects.create(name="Other"))
    down("A")
    assert rerouting.due() == []
    assert balance(made) == {"A": 2}


# --- What may be moved -------------------------------------------------------------------------------

SETTLED = [s for s in Status if s not in (Status.QUEUED, Status.SCHEDULED)]


@pytest.mark.parametrize("status", SETTLED)
def test_only_what_waits_is_moved(status: Status) -> None:
    made = route("A", "B")
    waiting(made, "A", status=status.value)
    down("A")
    assert balance(made) == {"A": 1}


def test_what_is_scheduled_moves_when_it_is_due_soon() -> None:
    made = route("A", "B")
    soon, later = timezone.now() + timedelta(seconds=30), timezone.now() + timedelta(hours=1)
    waiting(made, "A", status=Status.SCHEDULED.value, due_at=soon)
    waiting(made, "A", status=Status.SCHEDULED.value, due_at=later)
    down("A")
    assert balance(made) == {"A": 1, "B": 1}
    moved = Message.objects.get(account__name="B")
    assert (moved.status, moved.due_at) == (Status.SCHEDULED, soon)


def test_messages_in_an_open_request_are_never_moved() -> None:
    made = route("A", "B")
    rows = waiting(made, "A", 4)
    request = Exchange.objects.create(account=rows[0].account, verb="send", open=True, refs=[rows[0].pk, rows[2].pk])
    down("A")
    assert balance(made) == {"A": 2, "B": 2}
    assert set(Message.objects.filter(account__name="A").values_list("pk", flat=True)) == set(request.refs)
    Exchange.objects.update(open=False)
    assert balance(made) == {"B": 4}


@pytest.mark.django_db(transaction=True)
def test_a_move_waits_for_a_drain_that_marks_what_leaves() -> None:
    made = route("A", "B")
    first, _second = waiting(made, "A", 2)
    down("A")
    assert leases.acquire(first.account_id, "drain")
    marking = threading.Event()

    def mark() -> None:
        with transaction.atomic():
            leases.renew(first.account_id, "drain")
            marking.set()
            time.sleep(0.3)  # in which the move, if it did not wait, would take both
            Exchange.objects.create(account_id=first.account_id, verb="send", open=True, refs=[first.pk])
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        marked = pool.submit(mark)
        assert marking.wait(60)
        assert balance(made) == {"A": 1, "B": 1}
        marked.result()
    assert Message.objects.get(account__name="A") == first


@pytest.mark.parametrize("maybe_taken", [True, False])
def test_what_somebody_may_have_taken_before_stays(maybe_taken: bool) -> None:
    made = route("A", "B")
    row = waiting(made, "A", attempts=1)[0]
    Attempt.objects.create(message=row, account=row.account, error_code="503", maybe_taken=maybe_taken)
    down("A")
    assert balance(made) == {"A" if maybe_taken else "B": 1}


def test_a_moved_message_starts_afresh() -> None:
    made = route("A", "B")
    put_off = timezone.now() + timedelta(minutes=15)
    waiting(made, "A", device="7", sim=1, batch_limit=4, error_code="unreachable", error_text="No.", due_at=put_off)
    down("A")
    balance(made)
    row = Message.objects.get(account__name="B")
    assert (row.device, row.sim, row.batch_limit, row.error_code, row.error_text) == ("", None, None, "", "")
    assert row.due_at <= timezone.now()


# --- Late --------------------------------------------------------------------------------------------


def campaign(made: Route, name: str, n: int, minutes: float) -> Campaign:
    """``n`` messages at an account, which sends one request a second, to be finished in so many minutes."""
    found = Campaign.objects.create(
        account=ProviderAccount.objects.get(name=name),
        route=made,
        text="x",
        total=n,
        expanded=n,
        finish_by=timezone.now() + timedelta(minutes=minutes),
    )
    waiting(made, name, n, campaign=found)
    return found


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request carries one message, so that few rows make a queue too long."""
    monkeypatch.setattr(account("One by one").kind_class, "max_batch", 1)


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.usefixtures("still")
def test_what_would_be_late_goes_to_accounts_with_room() -> None:
    made = route("A", "B", "C")
    campaign(made, "A", 150, minutes=1)
    assert rerouting.due() == [made.pk]
    found = balance(made)
    assert found == {"A": 60, "B": 54, "C": 36}
    assert set(Message.objects.filter(account__name="A").values_list("pk", flat=True)) == set(
        Message.objects.order_by("pk").values_list("pk", flat=True)[: found["A"]]  # those that go first
    )


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.usefixtures("still")
def test_a_campaign_in_time_stays_together() -> None:
    made = route("A", "B")
    campaign(made, "A", 50, minutes=1)
    assert balance(made) == {"A": 50}


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.usefixtures("still")
def test_what_nobody_has_room_for_stays() -> None:
    made = route("A", "B")
    campaign(made, "A", 200, minutes=1)
    found = balance(made)
    assert found == {"A": 146, "B": 54}
    assert balance(made) == found


@pytest.mark.usefixtures("one_by_one")
@pytest.mark.usefixtures("still")
def test_what_waits_there_already_takes_room() -> None:
    made = route("A", "B", "C")
    waiting(made, "B", 80, route=None)
    campaign(made, "A", 80, minutes=1)
    found = balance(made)
    assert found == {"A": 60, "B": 80, "C": 20}


@pytest.mark.usefixtures("one_by_one")
def test_the_tightest_limit_counts() -> None:
    down("One by one", rates=["100/second", "30/minute", "40/day"])
    row = ProviderAccount.objects.get(name="One by one")
    assert rerouting.in_time(row, 60) == 30
    assert rerouting.in_time(row, 600) == 40
    down("One by one", rates=["40/minute", "7200/hour"])
    row.refresh_from_db()
    assert rerouting.in_time(row, 7200) == 4800


@pytest.mark.usefixtures("one_by_one")
def test_a_time_that_is_over_moves_nothing() -> None:
    made = route("A", "B")
    campaign(made, "A", 90, minutes=-1)
    assert rerouting.due() == []
    assert balance(made) == {"A": 90}


# --- Who is woken ------------------------------------------------------------------------------------


def queued(task: str) -> list[int]:
    """What the tasks of that name in the queue are about."""
    tasks_of_all = [row.task for row in OrmQ.objects.all()]
    return [found["args"][0] for found in tasks_of_all if found["func"] == f"messaging.tasks.{task}"]


def test_the_clock_wakes_a_worker_that_moves_and_wakes_the_other_account(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setattr(clock, "_woken", {})
    made = route("A", "B")
    waiting(made, "A")
    down("A")
    with django_capture_on_commit_callbacks(execute=True):
        clock.tick()
    assert queued("reroute") == [made.pk] and queued("drain") == []
    with django_capture_on_commit_callbacks(execute=True):
        tasks.reroute(made.pk)
    assert placed() == {"B": 1}
    assert queued("drain") == [ProviderAccount.objects.get(name="B").pk]
    assert rerouting.due() == []


def test_without_routes_the_clock_asks_one_question(django_assert_num_queries: Any) -> None:
    account()
    with django_assert_num_queries(1):
        assert rerouting.due() == []


# --- Accounts that are down, and that nobody tries -----------------------------------------------------


def long_down(name: str, **values: Any) -> None:
    down(name, down_since=timezone.now() - RETRY, **values)


def test_an_account_that_nobody_tries_is_asked_and_stays_down_until_it_answers(
    django_capture_on_commit_callbacks: Any,
) -> None:
    waiting(route("A", "B", "C", "D"), "B", 1)
    long_down("A")
    long_down("B")
    long_down("C", probe_at=timezone.now() + timedelta(minutes=1))
    down("D", down_since=timezone.now())
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            rerouting.give_chances()
    assert [row.task["func"] for row in OrmQ.objects.all()] == ["providers.probing.knock"]
    assert ProviderAccount.objects.filter(down_since__isnull=False).count() == 4


def test_one_that_cannot_be_asked_gets_one_message() -> None:
    made = route("A", "B", kind="customersms")
    waiting(made, "B", 3)
    waiting(made, "B", 1, priority=1)
    long_down("A")
    rerouting.give_chances()
    rerouting.give_chances()
    assert placed() == {"B": 3, "A": 1}
    assert kept() == recounted()
    Message.objects.filter(account__name="A").update(status=Status.UNCERTAIN)
    rerouting.give_chances()
    assert placed() == {"B": 3, "A": 1}, "not again before its time"


@pytest.mark.parametrize("held", [True, False])
def test_a_new_message_tries_one_that_cannot_be_asked(held: bool) -> None:
    made = route("A", "B", kind="customersms")
    long_down("A")
    a, b = ProviderAccount.objects.order_by("name").values_list("pk", flat=True)
    if held:
        pacing.hold(ProviderAccount.objects.get(pk=a), 60)
    numbers = [f"+372555{n:06}" for n in range(3)]
    assert routes.choose(made, numbers, 0) == ([b, b, b] if held else [a, b, b])
    assert routes.choose(made, numbers, 0) == [b, b, b]


def test_accounts_are_left_in_peace_when_there_is_nothing_to_move() -> None:
    made = route("British", "Irish", prefixes=["+44", "+353"])
    waiting(made, "British", 3, number="+447700900001")
    down("British")
    assert balance(made) == {"British": 3}
    assert not Lease.objects.exists()
