from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging import ledger
from messaging.ledger import Change
from messaging.models import Campaign, Message, Tally
from providers.models import ProviderAccount
from providers.types import Status

pytestmark = pytest.mark.django_db

REPORTED = (Status.SENT, Status.DELIVERED, Status.FAILED, Status.EXPIRED)


def account(name: str = "Main") -> ProviderAccount:
    return ProviderAccount.objects.get_or_create(name=name, kind="smsprovider", base_url="http://127.0.0.1:9/v1")[0]


def message(status: Status = Status.QUEUED, **values: object) -> Message:
    return ledger.insert([Message(account=account(), number="+11234567890", text="x", status=status, **values)])[0]


def tallies(**scope: int) -> dict[str, int]:
    rows = Tally.objects.filter(**{"campaign_id": 0, "hour": 0, **scope})
    return {row.status: row.n for row in rows if row.n}


def counted() -> dict[str, int]:
    return dict(Counter(Message.objects.values_list("status", flat=True)))


@pytest.mark.parametrize("old", list(Status))
@pytest.mark.parametrize("new", list(ledger.FROM))
def test_it_moves_only_along_the_allowed_ways(old: Status, new: Status) -> None:
    row = message(old)
    moved = ledger.apply([Change(row.pk, new)])
    row.refresh_from_db()
    assert (row.status == new) == (old in ledger.FROM[new] or old == new)
    assert moved == ({row.pk: old} if old in ledger.FROM[new] else {})


def test_it_counts_in_the_same_write() -> None:
    campaign = Campaign.objects.create(account=account(), text="x")
    rows = ledger.insert([Message(account=account(), campaign=campaign, number="+11234567890", text="x")] * 1)
    rows += [message() for _ in range(3)]
    ledger.apply(Change(row.pk, Status.SENDING) for row in rows[:2])
    assert tallies() == {"queued": 2, "sending": 2} == counted()
    assert tallies(account_id=0, campaign_id=campaign.pk) == {"sending": 1}


def test_it_counts_by_the_hour_of_creation() -> None:
    long_ago = timezone.now() - timedelta(hours=5)
    message(created_at=long_ago)
    assert Tally.objects.get(hour=ledger.hour_of(long_ago)).n == 1


def test_every_change_raises_the_version() -> None:
    row = message()
    before = sum(Tally.objects.filter(hour=0).values_list("version", flat=True))
    ledger.apply([Change(row.pk, Status.SENDING)])
    assert sum(Tally.objects.filter(hour=0).values_list("version", flat=True)) > before


def test_a_refused_change_writes_nothing() -> None:
    row = message(Status.DELIVERED)
    before = list(Tally.objects.order_by("pk").values())
    ledger.apply([Change(row.pk, Status.SENT, {"error_text": "late"})])
    row.refresh_from_db()
    assert row.error_text == ""
    assert list(Tally.objects.order_by("pk").values()) == before


def test_it_sets_columns_of_every_type() -> None:
    row = message(Status.SENDING)
    now = timezone.now()
    values = {"provider_id": "msg_é1", "sim": 1, "cost": "0.01000", "sent_at": now, "poll_at": None, "attempts": 3}
    ledger.apply([Change(row.pk, Status.SENT, values)])
    row.refresh_from_db()
    assert (row.provider_id, row.sim, str(row.cost), row.sent_at) == ("msg_é1", 1, "0.01000", now)
    assert (row.poll_at, row.attempts) == (None, 3)


def test_columns_can_be_noted_without_a_change_of_status() -> None:
    row = message()
    ledger.note([(row.pk, {"polls": 4})])
    row.refresh_from_db()
    assert (row.status, row.polls) == ("queued", 4)


@pytest.mark.parametrize("order", list(itertools.permutations(REPORTED)))
def test_reports_in_any_order_end_in_the_same_state(order: tuple[Status, ...]) -> None:
    row = message(Status.SENDING)
    for status in (*order, *order):
        ledger.apply([Change(row.pk, status)])
    row.refresh_from_db()
    assert row.status == Status.DELIVERED


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(ledger.FROM))), max_size=25))
def test_counts_always_balance(steps: list[tuple[int, Status]]) -> None:
    rows = [message() for _ in range(4)]
    for index, status in steps:
        ledger.apply([Change(rows[index].pk, status)])
    assert tallies() == counted()
