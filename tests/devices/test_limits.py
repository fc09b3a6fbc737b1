from __future__ import annotations

import threading
import time
from itertools import accumulate

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from devices import limits
from devices.limits import DAY, HOUR
from devices.models import Sim
from providers.models import ProviderAccount
from tests.base import account, signed_in
from tests.devices.base import phone
from tests.forms import Forms

pytestmark = pytest.mark.django_db
NOW = 1_800_000_000.0


@pytest.fixture
def shelf() -> ProviderAccount:
    return account(kind="smsgateway")


def take(shelf: ProviderAccount, now: float = NOW, **wanted: int) -> dict[str, tuple[int, float]]:
    """By ``p1`` for a phone, ``p1_0`` for its first slot, ``primary``."""
    with transaction.atomic():
        found = limits.take(shelf.pk, {_place(name): n for name, n in wanted.items()}, now)
    return {name: found[_place(name)] for name in wanted}


def _place(name: str) -> tuple[str, int | None]:
    device, _, slot = name.removeprefix("p").partition("_")
    return ("", None) if name == "primary" else (device, int(slot) if slot else None)


# --- Taking ------------------------------------------------------------------------------------------


def test_it_gives_what_an_hour_holds_and_says_when_the_next_may_go(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_hour": 10})
    assert take(shelf, p1_0=7) == {"p1_0": (7, 0.0)}
    n, wait = take(shelf, NOW + 60, p1_0=7)["p1_0"]
    assert (n, round(wait)) == (3, HOUR - 60)
    assert take(shelf, NOW + HOUR - 1, p1_0=1)["p1_0"][0] == 0
    assert take(shelf, NOW + HOUR + 1, p1_0=20)["p1_0"][0] == 7


def test_the_day_holds_too(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_hour": 10, "per_day": 15})
    assert take(shelf, p1_0=50)["p1_0"][0] == 10
    n, wait = take(shelf, NOW + 2 * HOUR, p1_0=50)["p1_0"]
    assert (n, round(wait)) == (5, DAY - 2 * HOUR)
    assert take(shelf, NOW + DAY + 1, p1_0=50)["p1_0"][0] == 10


def test_the_limit_of_an_hour_alone_does_not_limit_the_day(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_hour": 100})
    assert [take(shelf, NOW + 2 * HOUR * n, p1=100)["p1"] for n in range(12)] == [(100, 0.0)] * 12


def test_the_whole_limit_can_be_used(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_hour": 1000, "per_day": 1000})
    assert take(shelf, p1_0=5000)["p1_0"][0] == 1000


def test_a_phone_without_a_slot_counts_on_its_first_sim(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 1, 0, limits={"per_hour": 3})
    assert take(shelf, p1=2, p1_0=2, p1_1=2)["p1_0"][0] == 1
    assert [sim.slot for sim in Sim.objects.order_by("slot") if limits.used(sim, NOW)["hour"] == 3] == [0]


def test_no_phone_counts_on_the_primary_one(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_hour": 1})
    phone(shelf, "2", 0, primary=True, limits={"per_hour": 3})
    assert take(shelf, primary=9)["primary"][0] == 3
    assert take(shelf, p2=9, p1=9) == {"p2": (0, pytest.approx(HOUR, abs=1)), "p1": (1, pytest.approx(HOUR, abs=1))}


def test_what_has_no_limit_is_counted_and_goes(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0)
    assert take(shelf, p1=5, p9=6, primary=7) == {"p1": (5, 0.0), "p9": (6, 0.0), "primary": (7, 0.0)}
    assert limits.used(Sim.objects.get(), NOW + 2 * HOUR) == {"hour": 0, "day": 5}
    Sim.objects.update(per_day=6)
    assert take(shelf, NOW + 60, p1=5)["p1"][0] == 1


def test_the_phones_of_another_account_are_others(shelf: ProviderAccount) -> None:
    other = account("Other", kind="smsgateway")
    phone(other, "1", 0, limits={"per_hour": 0})
    assert take(shelf, p1=5)["p1"] == (5, 0.0)
    assert limits.counted(other.pk) and not limits.counted(shelf.pk)


def test_a_limit_of_nothing_lets_nothing_through(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_day": 0})
    assert take(shelf, p1=5)["p1"] == (0, limits.CLOSED)


def test_what_is_paused_lets_nothing_through(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, 1)
    phone(shelf, "2", 0, primary=True)
    phone(shelf, "3")
    Sim.objects.filter(device__device_id="1", slot=0).update(paused_at=timezone.now())
    assert take(shelf, p1_0=5, p1_1=5) == {"p1_0": (0, limits.CLOSED), "p1_1": (5, 0.0)}
    Sim.objects.update(paused_at=None)
    shelf.devices.filter(device_id__in=["2", "3"]).update(paused_at=timezone.now())
    assert take(shelf, p1_0=5, p2_0=5, p3=5, primary=5) == {
        "p1_0": (5, 0.0), "p2_0": (0, limits.CLOSED), "p3": (0, limits.CLOSED), "primary": (0, limits.CLOSED)
    }  # fmt: skip


def test_a_limit_set_later_counts_what_went_before(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_day": 100})
    take(shelf, p1=30)
    Sim.objects.update(per_hour=40)
    assert take(shelf, NOW + 60, p1=30)["p1"][0] == 10


def test_what_was_used_is_told(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_day": 100})
    phone(shelf, "2", 0)
    take(shelf, p1=30)
    take(shelf, NOW + 2 * HOUR, p1=5)
    first, second = Sim.objects.order_by("pk")
    assert limits.used(first, NOW + 2 * HOUR) == {"hour": 5, "day": 35}
    assert limits.used(second) == {"hour": 0, "day": 0}


@pytest.mark.parametrize("phones", [1, 12])
def test_any_number_of_sims_takes_one_read_and_one_write(shelf: ProviderAccount, phones: int) -> None:
    for n in range(phones):
        phone(shelf, str(n), 0, 1, limits={"per_hour": 10})
    wanted = {(str(n), slot): 3 for n in range(phones) for slot in (0, 1)}
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        limits.take(shelf.pk, wanted, NOW)
    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "UPDATE"]
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        limits.take(shelf.pk, dict.fromkeys(wanted, 7), NOW)
        limits.take(shelf.pk, wanted, NOW)  # nothing is left, so nothing is written
    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "UPDATE", "SELECT"]


def test_administrators_set_limits_in_the_list_and_see_what_was_used(shelf: ProviderAccount) -> None:
    phone(shelf, "1", 0, limits={"per_day": 100}, name="Counter")
    phone(shelf, "2", 0, name="Window")
    with transaction.atomic():
        limits.take(shelf.pk, {("1", None): 37}, time.time())
    client, url = signed_in(), "/admin/devices/sim/"
    page = client.get(url).text
    assert '<td class="field-last_day">37</td>' in page and '<td class="field-last_day">0</td>' in page
    values = Forms(page).with_field("form-TOTAL_FORMS") | {"form-0-per_hour": "20", "_save": "Save"}
    assert client.post(url, values).status_code == 302
    assert sorted(Sim.objects.values_list("per_hour", "per_day"), key=str) == [(20, 100), (None, None)]


# --- Never more --------------------------------------------------------------------------------------

gaps = st.sampled_from([0.0, 0.0005, 0.4, 7.0, 35.9, 600.0, HOUR - 0.001, HOUR, HOUR + 0.002, 3 * HOUR, DAY])
calls = st.lists(st.tuples(gaps, st.integers(0, 40)), max_size=60)


@given(per_hour=st.none() | st.integers(1, 60), per_day=st.none() | st.integers(1, 90), calls=calls)
def test_no_hour_and_no_day_holds_more_whatever_the_calls(
    per_hour: int | None, per_day: int | None, calls: list[tuple[float, int]]
) -> None:
    sim = Sim(pk=1, per_hour=per_hour, per_day=per_day)
    times, went = list(accumulate((gap for gap, _n in calls), initial=NOW))[1:], []
    for now, (_gap, n) in zip(times, calls, strict=True):
        log = limits._log(sim)
        taken, wait = limits._take(log, n, now)
        sim.log = log.text()
        went += [now] * taken
        assert (taken == n) == (wait == 0)
    for seconds, limit in ((HOUR, per_hour), (DAY, per_day)):
        for first in went if limit else ():
            assert sum(first <= at < first + seconds for at in went) <= limit


@given(
    per_hour=st.integers(1, 20),
    wanted=st.lists(st.tuples(st.floats(0, 900), st.integers(1, 8)), min_size=1, max_size=9),
)
def test_who_comes_back_when_told_gets_the_next_place(per_hour: int, wanted: list[tuple[float, int]]) -> None:
    sim = Sim(pk=1, per_hour=per_hour)
    log, now = limits._log(sim), NOW
    for gap, n in wanted:
        now += gap
        taken, wait = limits._take(log, n, now)
        if taken < n:
            now += wait + 0.001
            assert limits._take(log, 1, now)[0] == 1


@pytest.mark.django_db(transaction=True)
def test_workers_who_take_at_once_share_a_limit() -> None:
    shelf = account(kind="smsgateway")
    phone(shelf, "1", 0, limits={"per_hour": 10})
    phone(shelf, "2", 0, limits={"per_hour": 10})
    taken: list[int] = []

    def work(places: list[str]) -> None:
        for _ in range(5):
            taken.extend(n for n, _wait in take(shelf, **dict.fromkeys(places, 1)).values())
        connection.close()

    workers = [threading.Thread(target=work, args=(order,)) for order in (["p1", "p2"], ["p2", "p1"]) * 2]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (len(taken), sum(taken)) == (40, 20)
