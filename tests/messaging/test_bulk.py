"""All messages of a filter, worked off in slices that a crash can neither repeat nor skip."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import QueryDict
from django.utils import timezone
from django_q.models import OrmQ

from messaging import bulk, clock, ledger, tasks
from messaging.log import Filters
from messaging.models import BulkAction, Message
from providers.models import Exchange, ProviderAccount
from tests.base import administrator, dated

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return administrator("alice")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten messages in the request, twenty a slice."""
    monkeypatch.setattr(bulk, "AT_ONCE", 10)
    monkeypatch.setattr(bulk, "SLICE", 20)


def messages(main: ProviderAccount, count: int, **values: Any) -> list[Message]:
    defaults = {"text": "Hello", "status": "failed", **values}
    return ledger.insert([Message(account=main, number=f"+3725550{n:04d}", **defaults) for n in range(count)])


def statuses() -> dict[str, int]:
    return {status: Message.objects.filter(status=status).count() for status in ("queued", "canceled", "failed")}


def begin(alice: User, name: str = "resend", query: str = "status=failed", token: str = "t", **values: Any) -> int:
    return bulk.start(name, Filters.from_query(QueryDict(query)), values, alice, token).pk


# --- At once, and in the background ------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_a_few_are_done_at_once(main: ProviderAccount, alice: User) -> None:
    messages(main, 10)
    action = BulkAction.objects.get(pk=begin(alice))
    assert action.finished_at and action.done == 10
    assert statuses() == {"queued": 10, "canceled": 0, "failed": 10}


@pytest.mark.usefixtures("small")
def test_many_are_begun_at_once_and_finished_in_the_background(main: ProviderAccount, alice: User) -> None:
    messages(main, 75, status="queued")
    other = messages(main, 5, status="queued", text="Other")
    pk = begin(alice, "cancel", "q=hello")
    assert statuses()["canceled"] == 10
    bulk.work(pk, "")
    action = BulkAction.objects.get(pk=pk)
    assert action.finished_at and action.done == 75
    assert set(Message.objects.filter(status="queued")) == set(other)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "status", "becomes", "values"),
    [
        ("cancel", "scheduled", "canceled", {}),
        ("reschedule", "queued", "scheduled", {"moment": timedelta(days=1)}),
        ("sent", "uncertain", "sent", {}),
        ("again", "uncertain", "queued", {}),
        ("resend", "expired", "expired", {}),
    ],
)
def test_each_action_does_what_it_says_to_what_suits_it(
    main: ProviderAccount, alice: User, name: str, status: str, becomes: str, values: dict[str, Any]
) -> None:
    rows = messages(main, 25, status=status)
    others = messages(main, 3, status="received")
    chosen = {key: value.isoformat() for key, value in dated(values).items()}
    bulk.work(begin(alice, name, "", **chosen), "")
    assert {row.status for row in Message.objects.filter(pk__in=[row.pk for row in rows])} == {becomes}
    assert {row.status for row in Message.objects.filter(pk__in=[row.pk for row in others])} == {"received"}
    assert BulkAction.objects.get().done == 25


@pytest.mark.usefixtures("small")
def test_it_says_whom_it_left_out(main: ProviderAccount, alice: User) -> None:
    rows = messages(main, 25, status="queued")
    Exchange.objects.create(account=main, verb="send", open=True, refs=[rows[0].pk, rows[-1].pk])
    bulk.work(begin(alice, "cancel", ""), "")
    (progress,) = bulk.shown()
    assert (progress.said, progress.left_out) == ("23 messages are canceled.", "Left out: 2 had left already.")
    assert (progress.looked, progress.total) == (25, 25)


@pytest.mark.usefixtures("small")
def test_what_is_written_after_the_click_is_not_meant(main: ProviderAccount, alice: User) -> None:
    messages(main, 25)
    pk = begin(alice)
    later = messages(main, 5)
    bulk.work(pk, "")
    assert BulkAction.objects.get().done == 25
    assert not Message.objects.filter(resend_of__in=later).exists()


@pytest.mark.usefixtures("small")
def test_a_period_stays_that_of_the_click(main: ProviderAccount, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    messages(main, 25)
    pk = begin(alice, query="period=hour&status=failed")
    now = timezone.now() + timedelta(hours=5)
    monkeypatch.setattr("messaging.log.timezone.now", lambda: now)
    bulk.work(pk, "")
    assert BulkAction.objects.get().done == 25


# --- Crashes, double clicks, two workers --------------------------------------------------------------


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("slices", [0, 1, 2])
def test_a_crash_in_the_middle_of_a_slice_repeats_nothing(
    main: ProviderAccount, alice: User, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, done = messages(main, 75), []
    pk = begin(alice, again=True)
    save = BulkAction.save

    def break_off(action: BulkAction, *args: Any, **values: Any) -> None:
        done.append(action)
        if len(done) > slices:
            raise KeyboardInterrupt  # the slice's messages are made, its place is not kept
        save(action, *args, **values)

    monkeypatch.setattr(BulkAction, "save", break_off)
    with pytest.raises(KeyboardInterrupt):
        bulk.work(pk, "dead")
    monkeypatch.setattr(BulkAction, "save", save)
    assert BulkAction.objects.get().done == 10 + slices * 20
    monkeypatch.setattr(bulk, "IDLE", 0)
    bulk.work(pk, "")
    assert (BulkAction.objects.get().done, BulkAction.objects.get().values["skipped"]) == (75, {})
    resent = Message.objects.exclude(resend_of=None).values_list("resend_of_id", flat=True)
    assert sorted(resent) == [row.pk for row in rows]


def test_the_same_form_twice_is_one_action(main: ProviderAccount, alice: User) -> None:
    messages(main, 3)
    assert begin(alice, again=True) == begin(alice, again=True)
    assert BulkAction.objects.count() == 1 and statuses()["queued"] == 3
    assert begin(alice, token="another") != begin(alice)


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_are_one_action(main: ProviderAccount, alice: User) -> None:
    messages(main, 3)
    ready = threading.Barrier(3)

    def click() -> None:
        ready.wait()
        begin(alice, again=True)
        connection.close()

    clicks = [threading.Thread(target=click) for _ in range(3)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert BulkAction.objects.count() == 1 and statuses()["queued"] == 3


@pytest.mark.usefixtures("small")
def test_a_second_worker_leaves_it_to_the_first_while_that_one_lives(main: ProviderAccount, alice: User) -> None:
    messages(main, 75)
    pk = begin(alice)
    bulk.work(pk, "first", seconds=0)
    action = BulkAction.objects.get()
    action.values |= {"worker": "first", "at": time.time()}
    action.save()
    bulk.work(pk, "second")
    assert BulkAction.objects.get().done == 10
    bulk.work(pk, "first")
    assert BulkAction.objects.get().done == 75


@pytest.mark.usefixtures("small")
@pytest.mark.django_db(transaction=True)
def test_a_task_queues_what_it_had_no_time_for(main: ProviderAccount, alice: User) -> None:
    messages(main, 75)
    pk = begin(alice)
    OrmQ.objects.all().delete()
    bulk.work(pk, "first", seconds=0)
    (queued,) = [q for q in OrmQ.objects.all() if q.func() == "messaging.tasks.bulk"]
    assert queued.args() == (pk, "first")
    tasks.bulk(pk, "first")
    assert BulkAction.objects.get().finished_at


@pytest.mark.usefixtures("small")
def test_time_wakes_an_action_that_nobody_works_on(main: ProviderAccount, alice: User) -> None:
    messages(main, 75)
    pk = begin(alice)
    assert bulk.abandoned() == []
    action = BulkAction.objects.get()
    action.values["at"] -= bulk.IDLE + 1
    action.save()
    assert bulk.abandoned() == [pk]
    clock.tick()
    bulk.work(pk, "")
    assert bulk.abandoned() == []


@pytest.mark.usefixtures("small")
def test_it_can_be_stopped(main: ProviderAccount, alice: User) -> None:
    messages(main, 75)
    pk = begin(alice)
    bulk.stop(pk, "bob")
    bulk.work(pk, "")
    assert BulkAction.objects.get().done == 10
    assert bulk.shown()[0].stopped == "bob"


def test_an_action_that_is_over_is_shown_for_a_moment(main: ProviderAccount, alice: User) -> None:
    messages(main, 3)
    begin(alice)
    assert len(bulk.shown()) == 1
    BulkAction.objects.update(finished_at=timezone.now() - timedelta(hours=1))
    assert bulk.shown() == []


@pytest.mark.parametrize(
    ("query", "n"), [("", 4), ("status=failed", 4), ("q=hello", 4), ("status=received", 0), ("q=nothing", 0)]
)
def test_it_counts_what_suits_an_action(main: ProviderAccount, query: str, n: int) -> None:
    messages(main, 4)
    messages(main, 2, status="received")
    assert bulk.count("resend", Filters.from_query(QueryDict(query))) == n


@pytest.mark.usefixtures("small")
def test_it_counts_no_more_than_it_has_to(main: ProviderAccount) -> None:
    messages(main, 11)
    assert bulk.count("resend", Filters(text="hello")) is None
    assert bulk.count("resend", Filters(status="failed")) == 11
