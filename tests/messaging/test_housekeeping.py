from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ, Task

from messaging import clock, housekeeping, ledger, tasks
from messaging.models import BulkAction, DeliveryReport, Message, Posted, Worker
from providers.models import Exchange, ProviderAccount
from tests import base

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    cache.clear()


@pytest.fixture
def account() -> ProviderAccount:
    return base.account()


def exchange(account: ProviderAccount, ago: timedelta, **values: Any) -> Any:
    return Exchange.objects.create(account=account, verb="send", at=timezone.now() - ago, **values)


def report(account: ProviderAccount, ago: timedelta, **values: Any) -> Any:
    at = timezone.now() - ago
    return DeliveryReport.objects.create(account=account, provider_id="x", status="sent", seen_at=at, **values)


def post(account: ProviderAccount, ago: timedelta, **values: Any) -> Any:
    return Posted.objects.create(account=account, at=timezone.now() - ago, method="POST", **({"tries": 9} | values))


def task(account: ProviderAccount, ago: timedelta, **values: Any) -> Any:
    at = timezone.now() - ago
    values = {"id": f"t{ago.days}", "name": "t", "func": "f", "started": at, "stopped": at, "success": False} | values
    return Task.objects.create(**values)


def worker(account: ProviderAccount, ago: timedelta, **values: Any) -> Any:
    at = timezone.now() - ago
    return Worker.objects.create(name=f"w{ago.days}{values}", **({"started_at": at, "progress_at": at} | values))


def action(account: ProviderAccount, ago: timedelta, **values: Any) -> Any:
    return BulkAction.objects.create(action="cancel", below=1, **({"finished_at": timezone.now() - ago} | values))


@pytest.mark.parametrize(
    ("make", "days", "values"),
    [
        (exchange, 30, {}),
        (report, 30, {}),
        (post, 30, {}),
        (task, 7, {}),
        (worker, 1, {}),
        (worker, 1, {"progress_at": None}),
        (action, 30, {}),
    ],
)
def test_what_is_old_goes_and_the_rest_stays(
    make: Callable[..., Any], days: int, values: dict[str, Any], account: ProviderAccount
) -> None:
    old = make(account, (days + 1) * DAY, **values)
    young = make(account, (days - 1) * DAY, **values)
    assert housekeeping.tidy() is False
    assert list(type(old).objects.all()) == [young]


@pytest.mark.parametrize(
    ("make", "values"), [(exchange, {"open": True}), (action, {"finished_at": None}), (post, {"tries": 0})]
)
def test_what_is_not_over_stays(make: Callable[..., Any], values: dict[str, Any], account: ProviderAccount) -> None:
    row = make(account, 100 * DAY, **values)
    housekeeping.tidy()
    assert type(row).objects.exists()


def test_a_report_stays_with_its_message(account: ProviderAccount) -> None:
    report(account, 100 * DAY, message=sent(account))
    housekeeping.tidy()
    assert DeliveryReport.objects.exists()


def test_exchanges_are_kept_as_long_as_is_set(account: ProviderAccount, settings: Any) -> None:
    exchange(account, 20 * DAY)
    settings.SMSDASH_KEEP_EXCHANGES = 0
    housekeeping.tidy()
    assert Exchange.objects.exists()
    settings.SMSDASH_KEEP_EXCHANGES = 10
    housekeeping.tidy()
    assert not Exchange.objects.exists()


def test_it_deletes_slice_by_slice(account: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SLICE", 2)
    for _ in range(5):
        exchange(account, 100 * DAY)
    with CaptureQueriesContext(connection) as seen:
        assert housekeeping.tidy() is False
    assert sum("DELETE FROM" in query["sql"] and "exchange" in query["sql"] for query in seen) == 3
    assert not Exchange.objects.exists()


def test_what_takes_too_long_is_gone_on_with(
    account: ProviderAccount, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    exchange(account, 100 * DAY)
    monkeypatch.setattr(housekeeping, "LONGEST", 0.0)
    with django_capture_on_commit_callbacks(execute=True):
        tasks.tidy()
    assert [queued.func() for queued in OrmQ.objects.all()] == ["messaging.tasks.tidy"]
    monkeypatch.undo()
    tasks.tidy()
    assert not Exchange.objects.exists()


def test_one_host_tidies_up_once_an_hour(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        for _host in range(2):
            monkeypatch.setattr(clock, "_woken", {})
            clock.tick()
    assert [queued.func() for queued in OrmQ.objects.all()].count("messaging.tasks.tidy") == 1


# --- What was never reported -------------------------------------------------------------------------


def sent(account: ProviderAccount, hours: float = 73, **values: Any) -> Message:
    at = timezone.now() - timedelta(hours=hours)
    row = Message(account=account, number="+11234567890", text="x", status="sent", sent_at=at, created_at=at)
    for name, value in values.items():
        setattr(row, name, value)
    return ledger.insert([row])[0]


def code_of(message: Message) -> str:
    housekeeping.tidy()
    message.refresh_from_db()
    assert message.status == "sent"
    return message.error_code


def test_a_message_whose_end_nobody_reports_says_so(account: ProviderAccount) -> None:
    message = sent(account)
    assert code_of(message) == "no_report"
    assert message.error_text.startswith("No report from the provider")


def test_it_is_given_time(account: ProviderAccount) -> None:
    assert code_of(sent(account, 71)) == ""


def test_a_poll_to_come_is_waited_for(account: ProviderAccount) -> None:
    message = sent(account, poll_at=timezone.now())
    assert code_of(message) == ""
    Message.objects.update(sent_at=timezone.now() - timedelta(hours=75))
    assert code_of(message) == "no_report"
    assert message.poll_at is None


def test_a_provider_that_tells_no_end_owes_no_report() -> None:
    assert code_of(sent(base.account(kind="customersms"))) == ""


def test_what_left_long_after_it_was_written_is_seen_too(account: ProviderAccount) -> None:
    late = sent(account, 71, created_at=timezone.now() - timedelta(hours=200))
    sent(account, 100)
    assert code_of(late) == ""
    Message.objects.filter(pk=late.pk).update(sent_at=timezone.now() - timedelta(hours=73))
    assert code_of(late) == "no_report"


def test_what_was_looked_at_is_not_looked_at_each_time(
    account: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "SLICE", 2)
    for _ in range(7):
        sent(account)

    def slices() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert housekeeping.note_unreported(timezone.now()) is False
        return sum(query["sql"].startswith("UPDATE") and "messaging_message" in query["sql"] for query in seen)

    assert slices() == 4
    assert not Message.objects.filter(error_code="").exists()
    assert [slices() for _ in range(5)] == [1] * 5
