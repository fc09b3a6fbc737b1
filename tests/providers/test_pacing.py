from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import pacing
from providers.models import Pace, ProviderAccount
from providers.pacing import Log, Memory
from providers.types import Rate

START = 1_000_000.0


@pytest.fixture
def account(db: None) -> ProviderAccount:
    return ProviderAccount.objects.create(name="Main", kind="smsprovider", base_url="http://127.0.0.1:9/v1")


def times_of(rates: list[Rate], seconds: float, *, urgent: bool = False, through_text: bool = True) -> list[float]:
    """When requests went out, by somebody who always has work and comes back exactly when told."""
    log, now, times = Log(rates), START, []
    while now < START + seconds:
        if wait := log.wait(now, urgent=urgent):
            now += wait + 1e-6
        else:
            times.append(now)
            log.add(now)
            log = Log(rates, log.text()) if through_text else log
    return times


def most_in_any(window: float, times: list[float]) -> int:
    """The times are in order."""
    first, most = 0, 0
    for last, moment in enumerate(times):
        while times[first] <= moment - window:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize(
    "rate", [Rate(1, 1), Rate(10, 1), Rate(50, 1), Rate(600, 1), Rate(100, 60), Rate(7, 60)], ids=str
)
def test_it_never_passes_the_limit(rate: Rate) -> None:
    assert most_in_any(rate.seconds, times_of([rate], rate.seconds * 2.5)) <= rate.limit


@pytest.mark.parametrize("rate", [Rate(10, 1), Rate(100, 60), Rate(50, 1), Rate(600, 1), Rate(5000, 3600)], ids=str)
def test_it_uses_the_limit_to_the_full(rate: Rate) -> None:
    seconds = max(3.0 * rate.seconds if rate.limit <= 600 else 0.0, 300 / rate.limit * rate.seconds)
    assert len(times_of([rate], seconds)) >= 0.97 * rate.limit * seconds / rate.seconds


def test_requests_are_spread_over_the_shortest_window() -> None:
    times = times_of([Rate(100, 60), Rate(5000, 3600)], 30)
    assert sum(1 for t in times if t < START + 0.1) <= 100 // 10 + 1
    assert max(b - a for a, b in zip(times, times[1:], strict=False)) < 0.7


def test_an_urgent_message_need_not_wait_for_its_turn() -> None:
    log = Log([Rate(100, 60)])
    while not log.wait(START):
        log.add(START)
    assert log.wait(START) > 0
    assert log.wait(START, urgent=True) == 0


def test_of_a_long_window_some_is_kept_for_urgent_messages() -> None:
    rates = [Rate(1000, 1), Rate(100, 3600)]
    bulk = times_of(rates, 60)
    assert len(bulk) == 98
    log = Log(rates)
    for moment in bulk:
        log.add(moment)
    assert log.wait(START + 60) > 3000
    assert log.wait(START + 60, urgent=True) == 0


def test_all_windows_hold_at_once() -> None:
    times = times_of([Rate(10, 1), Rate(60, 60), Rate(100, 3600)], 400)
    assert most_in_any(1, times) <= 10
    assert most_in_any(60, times) <= 60
    assert 97 <= len(times) <= 100


def test_a_log_is_written_as_it_is_read() -> None:
    rates = [Rate(10, 1), Rate(100_000, 60)]
    log = Log(rates)
    for step in range(500):
        log.add(START + step * 0.013)
    again = Log(rates, log.text())
    assert again.text() == log.text()
    assert again.used(START + 6.5) == log.used(START + 6.5)


def test_a_log_stays_short_however_much_is_sent() -> None:
    log = Log([Rate(1_000_000, 1), Rate(50_000, 86_400)])
    for step in range(20_000):
        log.add(START + step * 0.001)
        log.wait(START + step * 0.001)
    assert len(log.text()) < 2_000


@settings(max_examples=25)
@given(st.data())
def test_the_provider_never_sees_too_many_however_late_requests_arrive(data: st.DataObject) -> None:
    """The network takes the first request 5 ms, the others up to 400 ms, and each answer 5 ms."""
    rate = Rate(data.draw(st.integers(1, 20)), 1)
    log, memory = Log([rate]), Memory()
    now, arrived, answers = START, [], []
    for _ in range(80):
        while wait := log.wait(now):
            now += wait + 1e-6
            for answer in [answer for answer in answers if answer[0] <= now]:
                answers.remove(answer)
                memory.answered(answer[1], answer[0] - answer[1])
            for at, by in memory.waiting:
                log.delay(at, by)
            memory.waiting.clear()
        log.add(now)
        way = data.draw(st.floats(0.005, 0.4)) if arrived else 0.005
        arrived.append(now + way)
        answers.append((now + way + 0.005, now))
    assert most_in_any(1.0, sorted(arrived)) <= rate.limit


# --- In the database ---------------------------------------------------------------------------------


def test_places_are_taken_from_what_all_workers_share(account: ProviderAccount) -> None:
    rates = [Rate(10, 60)]
    assert pacing.reserve(account, rates).places == 1
    assert pacing.used(account, rates) == {rates[0]: 1}
    assert pacing.reserve(account, rates, 20, urgent=True).places == 9
    refused = pacing.reserve(account, rates, urgent=True, memory=Memory())
    assert (refused.places, refused.wait) == (0, pytest.approx(60, abs=30))
    assert pacing.used(account, rates) == {rates[0]: 10}


def test_what_a_worker_remembers_is_what_is_stored(account: ProviderAccount) -> None:
    rates, one, other = [Rate(10, 60)], Memory(), Memory()
    for memory in (one, other, one, other):
        pacing.reserve(account, rates, urgent=True, memory=memory)
    assert pacing.used(account, rates) == {rates[0]: 4}
    assert pacing.reserve(account, [Rate(5, 60)], 3, urgent=True, memory=one).places == 1


def test_a_hold_stops_everything_for_its_time(account: ProviderAccount) -> None:
    pacing.hold(account, 300)
    pacing.hold(account, 10)
    for rates in ([Rate(10, 1)], []):
        grant = pacing.reserve(account, rates, urgent=True)
        assert (grant.places, grant.wait) == (0, pytest.approx(300, abs=60))
    Pace.objects.update(held_until=time.time() - 1)
    assert pacing.reserve(account, [Rate(10, 1)]).places == 1


def test_an_account_without_limits_never_waits(account: ProviderAccount) -> None:
    assert [pacing.reserve(account, [], 3).places for _ in range(3)] == [3, 3, 3]


def test_the_real_clock_is_the_databases(db: None) -> None:
    assert pacing.now() == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    "text", ["", "10", "10/", "/second", "0/second", "-1/second", "ten/minute", "10/week", "1.5/hour"]
)
def test_a_malformed_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="100/minute"):
        Rate.parse(text)


@pytest.mark.parametrize("text", ["10/second", "100/minute", "5000/hour", "50000/day"])
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    assert str(Rate.parse(text)) == text
