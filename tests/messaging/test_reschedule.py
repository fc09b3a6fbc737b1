from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django_q.models import OrmQ

from messaging import clock, leases, ledger
from messaging.models import Campaign, Message, Tally
from messaging.reschedule import reschedule
from providers.models import Exchange, ProviderAccount
from providers.types import Status
from tests.base import account

pytestmark = pytest.mark.django_db

NOW = datetime(2027, 1, 18, 12, tzinfo=UTC)  # a Monday
EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=3)
ESTONIA, JAPAN = "+37255512345", "+819012345678"


@pytest.fixture(autouse=True)
def at_noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def main() -> ProviderAccount:
    return account(zone="Europe/Tallinn")


def message(main: ProviderAccount, status: Status = Status.QUEUED, **values: Any) -> Message:
    values = {"number": ESTONIA, "due_at": NOW, **values}
    return ledger.insert([Message(account=main, text="x", status=status, **values)])[0]


def moved(*rows: Message, to: datetime = LATER) -> int:
    return reschedule([row.pk for row in rows], to, by="admin")


def seen(row: Message) -> tuple[str, datetime]:
    row.refresh_from_db()
    return row.status, row.due_at


@pytest.mark.parametrize("status", [Status.QUEUED, Status.SCHEDULED])
@pytest.mark.parametrize(
    ("to", "ends"), [(LATER, ("scheduled", LATER)), (NOW, ("queued", NOW)), (EARLIER, ("queued", NOW))]
)
def test_what_waits_leaves_at_the_new_time(
    main: ProviderAccount, status: Status, to: datetime, ends: tuple[str, datetime]
) -> None:
    row = message(main, status, due_at=NOW + timedelta(days=1), error_code="no_answer", error_text="Nobody answered.")
    assert moved(row, to=to) == 1
    assert seen(row) == ends
    assert (row.provider_status, row.error_code, row.error_text) == ("rescheduled by admin", "", "")
    assert dict(Tally.objects.filter(account_id=main.pk, hour=0, n__gt=0).values_list("status", "n")) == {ends[0]: 1}


@pytest.mark.parametrize("status", sorted(set(ledger.FROM) - {Status.QUEUED, Status.SCHEDULED}))
def test_what_has_left_stays_as_it_is(main: ProviderAccount, status: Status) -> None:
    row = message(main, status)
    assert moved(row) == 0
    assert seen(row) == (status, NOW)


def test_a_message_on_its_way_is_left_alone(main: ProviderAccount) -> None:
    flying, waiting = message(main), message(main)
    Exchange.objects.create(account=main, verb="send", open=True, refs=[flying.pk])
    assert moved(flying, waiting) == 1
    assert (seen(flying), seen(waiting)) == (("queued", NOW), ("scheduled", LATER))


def test_the_queue_is_read_anew(main: ProviderAccount) -> None:
    leases.acquire(main.pk, "somebody")
    with transaction.atomic():
        before = leases.renew(main.pk, "somebody")
    moved(message(main))
    with transaction.atomic():
        assert leases.renew(main.pk, "somebody") > before


@pytest.mark.django_db(transaction=True)
def test_what_may_go_now_wakes_a_worker(main: ProviderAccount) -> None:
    moved(message(main, Status.SCHEDULED, due_at=LATER), to=NOW)
    assert OrmQ.objects.count() == 1


def test_the_clock_promotes_it_at_the_new_time_and_not_before(
    main: ProviderAccount, at_noon: time_machine.Traveller
) -> None:
    row = message(main, Status.SCHEDULED, due_at=NOW + timedelta(hours=1))
    moved(row)
    at_noon.move_to(LATER - timedelta(seconds=1), tick=False)
    assert clock.promote() == 0
    at_noon.move_to(LATER, tick=False)
    assert clock.promote() == 1
    assert seen(row) == ("queued", LATER)


def test_one_that_would_have_expired_by_then_stays(main: ProviderAccount) -> None:
    late = message(main, expires_at=LATER)
    in_time = message(main, expires_at=LATER + timedelta(seconds=1))
    assert moved(late, in_time) == 1
    assert (seen(late), seen(in_time)) == (("queued", NOW), ("scheduled", LATER))


def test_sending_hours_are_respected(main: ProviderAccount) -> None:
    night = account("Night", zone="Europe/Tallinn", hours="20:00-02:00")
    campaign = Campaign.objects.create(account=main, text="x", hours="08:00-16:00")
    local = Campaign.objects.create(account=main, text="x", hours="08:00-16:00", by_recipient=True)
    rows: dict[str, tuple[Message, str]] = {
        "no hours": (message(main), "2027-01-18 15:00"),
        "account's": (message(night), "2027-01-18 18:00"),
        "campaign's": (message(main, campaign=campaign), "2027-01-19 06:00"),
        "recipient's": (message(main, campaign=local, number=JAPAN), "2027-01-18 23:00"),
        "urgent": (message(main, campaign=campaign, priority=1), "2027-01-18 15:00"),
    }
    assert moved(*(row for row, _ in rows.values())) == len(rows)
    found = {name: f"{seen(row)[1]:%Y-%m-%d %H:%M}" for name, (row, _) in rows.items()}
    assert found == {name: expected for name, (_, expected) in rows.items()}


def test_many_messages_take_few_queries(main: ProviderAccount, django_assert_max_num_queries: Callable) -> None:
    campaign = Campaign.objects.create(account=main, text="x", hours="08:00-16:00", by_recipient=True)
    rows = [message(main, campaign=campaign, number=f"+3725551{n:04d}") for n in range(50)]
    with django_assert_max_num_queries(18):
        assert moved(*rows) == 50


def test_no_messages_are_no_work(main: ProviderAccount) -> None:
    assert reschedule([], LATER, by="admin") == 0
    assert reschedule([1], LATER, by="admin") == 0
