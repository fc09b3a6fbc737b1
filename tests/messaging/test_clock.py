"""What the clock makes due, or ends."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone
from django_q.models import OrmQ

from messaging import clock, leases, ledger
from messaging.models import Message, Tally
from providers.models import Exchange, ProviderAccount
from providers.types import Status
from tests.base import account

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def nothing_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_woken", {})


def messages(main: ProviderAccount, n: int = 1, status: Status = Status.SCHEDULED, **values: Any) -> list[Message]:
    values = {"due_at": timezone.now() - MINUTE, **values}
    return ledger.insert(
        [Message(account=main, number="+37255512345", text="x", status=status, **values) for _ in range(n)]
    )


def statuses(rows: list[Message]) -> list[str]:
    now = dict(Message.objects.values_list("pk", "status"))
    return [now[row.pk] for row in rows]


def drains() -> int:
    return sum(task.func() == "messaging.tasks.drain" for task in OrmQ.objects.all())


# --- Scheduled messages ------------------------------------------------------------------------------


def test_what_is_due_is_queued_and_the_rest_waits(main: ProviderAccount) -> None:
    due, later = messages(main, 2), messages(main, due_at=timezone.now() + MINUTE)
    assert clock.promote() == 2
    assert statuses(due + later) == ["queued", "queued", "scheduled"]
    assert clock.promote() == 0


def test_one_tick_promotes_so_many_and_the_next_goes_on(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "PROMOTED", 5)
    monkeypatch.setattr(clock, "CHUNK", 2)
    messages(main, 12)
    assert [clock.promote() for _ in range(4)] == [5, 5, 2, 0]


def test_urgent_messages_are_promoted_first(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "PROMOTED", 1)
    bulk = messages(main, 5, due_at=timezone.now() - 2 * MINUTE)
    urgent = messages(main, priority=1)
    clock.promote()
    assert statuses(urgent) == ["queued"] and "queued" not in statuses(bulk)


def test_a_big_campaign_keeps_no_other_account_waiting(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "PROMOTED", 4)
    many = messages(main, 50, due_at=timezone.now() - 2 * MINUTE)
    few = messages(account("Other"), 2)
    clock.promote()
    assert statuses(few) == ["queued", "queued"]
    assert statuses(many).count("queued") == 2


def test_one_that_somebody_changes_at_this_moment_is_left_alone(
    main: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rescheduled after it was seen as due, before it was queued."""
    row = messages(main)[0]
    chunks = clock._chunks

    def changed_meanwhile(ids: list[int]) -> Any:
        Message.objects.filter(pk=row.pk).update(due_at=timezone.now() + MINUTE)
        return chunks(ids)

    monkeypatch.setattr(clock, "_chunks", changed_meanwhile)
    assert clock.promote() == 0
    assert statuses([row]) == ["scheduled"]


@pytest.mark.django_db(transaction=True)
def test_one_that_somebody_holds_stops_no_tick(main: ProviderAccount) -> None:
    if not connection.features.has_select_for_update:
        return  # there is one writer at a time
    held, free = messages(main), messages(main)
    with transaction.atomic():
        Message.objects.select_for_update().get(pk=held[0].pk)
        moved: list[int] = []
        other = threading.Thread(target=lambda: (moved.append(clock.promote()), connection.close()))
        other.start()
        other.join(60)
    assert moved == [1]
    assert statuses(held + free) == ["scheduled", "queued"]


@pytest.mark.django_db(transaction=True)
def test_what_becomes_due_wakes_its_account_at_once(main: ProviderAccount) -> None:
    messages(main)
    clock.tick()
    assert drains() == 1
    clock.tick()
    assert drains() == 1  # woken just now
    messages(main)
    clock.tick()
    assert drains() == 2  # that may be over, and this is new
    leases.acquire(main.pk, "somebody")
    messages(main)
    clock.tick()
    assert drains() == 2  # somebody is at it


@pytest.mark.parametrize(("hour", "woken"), [(5, False), (6, True)])  # 07:00 and 08:00 in Tallinn
def test_an_account_is_woken_when_its_sending_hours_begin(hour: int, woken: bool) -> None:
    row = account(hours="08:00-20:00", zone="Europe/Tallinn")
    with time_machine.travel(datetime(2027, 1, 18, hour, tzinfo=UTC)):
        messages(row, status=Status.QUEUED)
        assert clock.accounts_due() == ([row.pk] if woken else [])


# --- Messages whose time is over ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.QUEUED])
def test_what_is_too_late_does_not_go_any_more(main: ProviderAccount, status: Status) -> None:
    row = messages(main, status=status, expires_at=timezone.now() - MINUTE)[0]
    fresh = messages(main, status=status, expires_at=timezone.now() + MINUTE)[0]
    forever = messages(main, status=status)[0]
    assert clock.expire() == 1
    row.refresh_from_db()
    assert (row.status, row.error_code, row.done_at is not None) == ("expired", "expired", True)
    assert row.error_text == "It did not leave in time: its time to be sent was over."
    assert statuses([fresh, forever]) == [status, status]
    counted = Tally.objects.filter(account_id=main.pk, hour=0, n__gt=0).values_list("status", "n")
    assert dict(counted) == {status: 2, "expired": 1}


@pytest.mark.parametrize("status", [Status.SENDING, Status.SENT, Status.UNCERTAIN, Status.DELIVERED, Status.CANCELED])
def test_what_has_left_does_not_expire_here(main: ProviderAccount, status: Status) -> None:
    row = messages(main, status=status, expires_at=timezone.now() - MINUTE)
    assert clock.expire() == 0
    assert statuses(row) == [status]


def test_a_message_on_its_way_does_not_expire(main: ProviderAccount) -> None:
    flying, waiting = messages(main, 2, status=Status.QUEUED, expires_at=timezone.now() - MINUTE)
    Exchange.objects.create(account=main, verb="send", open=True, refs=[flying.pk])
    assert clock.expire() == 1
    assert statuses([flying, waiting]) == ["queued", "expired"]


def test_so_many_expire_at_once(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "CHUNK", 2)
    messages(main, 3, expires_at=timezone.now() - MINUTE)
    messages(account("Other"), 2, expires_at=timezone.now() - 2 * MINUTE)
    assert [clock.expire() for _ in range(4)] == [2, 2, 1, 0]


def test_the_queue_is_read_anew_when_something_expired(main: ProviderAccount) -> None:
    leases.acquire(main.pk, "somebody")
    with transaction.atomic():
        before = leases.renew(main.pk, "somebody")
    messages(main, status=Status.QUEUED, expires_at=timezone.now() - MINUTE)
    clock.expire()
    with transaction.atomic():
        assert leases.renew(main.pk, "somebody") > before


def test_what_is_due_and_too_late_is_not_sent(main: ProviderAccount) -> None:
    row = messages(main, expires_at=timezone.now() - MINUTE)
    clock.tick()
    assert statuses(row) == ["expired"]
