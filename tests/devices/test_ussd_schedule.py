from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from devices import ussd_schedule
from devices.models import Device, SavedCode, Sim, UssdRequest, UssdSchedule
from devices.ussd_schedule import following
from tests.base import account, administrator, person
from tests.devices.base import phone

pytestmark = pytest.mark.django_db
HOUR, DAY = UssdSchedule.HOUR, UssdSchedule.DAY


@pytest.fixture
def sim() -> Sim:
    return phone(account(kind="smsgateway"), "1", 0).sims.get()


def schedule(sim: Sim, code: str = "*100#", **values: object) -> UssdSchedule:
    saved = SavedCode.objects.create(name="Balance", code=code)
    values = {"next_at": timezone.now() - timedelta(seconds=1), "every": HOUR, **values}
    return UssdSchedule.objects.create(saved=saved, sim=sim, **values)


def fresh(row: UssdSchedule) -> UssdSchedule:
    return UssdSchedule.objects.get(pk=row.pk)


def test_what_is_due_is_dialled_and_gets_its_next_time(sim: Sim) -> None:
    row = schedule(sim)
    assert ussd_schedule.due() == [row.pk]
    ussd_schedule.run(row.pk)
    ussd_schedule.run(row.pk)  # twice does no harm
    request = UssdRequest.objects.get()
    assert (request.code, request.device_id, request.sim, request.schedule, request.saved) == (
        "*100#", "1", 0, row, row.saved
    )  # fmt: skip
    assert fresh(row).next_at == row.next_at + timedelta(hours=1)
    assert ussd_schedule.due() == []


def test_it_waits_while_the_sim_waits_for_another_answer(sim: Sim) -> None:
    row = schedule(sim)
    UssdRequest.objects.create(account=sim.device.account, device_id="1", sim=0, code="*1#")
    ussd_schedule.run(row.pk)
    assert (ussd_schedule.due(), fresh(row).error, UssdRequest.objects.count()) == ([row.pk], "", 1)
    UssdRequest.objects.update(state=UssdRequest.State.ANSWERED)
    ussd_schedule.run(row.pk)
    assert UssdRequest.objects.count() == 2


def test_what_cannot_be_dialled_says_why_and_waits_for_its_next_time(sim: Sim) -> None:
    row = schedule(sim)
    Device.objects.update(enabled=False)
    ussd_schedule.run(row.pk)
    assert "is switched off in its app" in fresh(row).error
    assert (ussd_schedule.due(), UssdRequest.objects.count()) == ([], 0)


def test_one_that_is_off_is_not_dialled(sim: Sim) -> None:
    row = schedule(sim, enabled=False)
    ussd_schedule.run(row.pk)
    assert (ussd_schedule.due(), UssdRequest.objects.count()) == ([], 0)


def test_a_dangerous_code_goes_only_as_long_as_who_asked_for_it_may_dial_it(sim: Sim) -> None:
    row = schedule(sim, "**21*+15550100001#", created_by=person("bob"))
    ussd_schedule.run(row.pk)
    assert "needs the permission" in fresh(row).error and not UssdRequest.objects.exists()
    UssdSchedule.objects.update(created_by=administrator(), next_at=timezone.now())
    ussd_schedule.run(row.pk)
    assert UssdRequest.objects.count() == 1


NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "every", "expected"),
    [
        (NOW, HOUR, NOW + timedelta(hours=1)),
        (NOW - timedelta(minutes=10), HOUR, NOW + timedelta(minutes=50)),
        (NOW - timedelta(days=3, hours=2), 6 * HOUR, NOW + timedelta(hours=4)),
        # at eight in Berlin before and after the clocks change in the night to the 29th
        (datetime(2026, 3, 28, 7, 0, tzinfo=UTC), DAY, datetime(2026, 3, 29, 6, 0, tzinfo=UTC)),
        (datetime(2026, 3, 20, 7, 0, tzinfo=UTC), 7 * DAY, datetime(2026, 4, 3, 6, 0, tzinfo=UTC)),
    ],
)
def test_the_next_time_follows_the_first(at: datetime, every: int, expected: datetime, settings: object) -> None:
    settings.TIME_ZONE = "Europe/Berlin"  # type: ignore[attr-defined]
    with time_machine.travel(NOW, tick=False):
        assert following(at, every) == expected
