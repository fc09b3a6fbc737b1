from __future__ import annotations

import time

import pytest

from providers import pacing
from providers.models import ProviderAccount, RateWindow
from providers.types import Rate

pytestmark = pytest.mark.django_db


class Clock:
    """The database's clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "now", clock)
    return clock


@pytest.fixture
def account() -> ProviderAccount:
    return ProviderAccount.objects.create(name="Main", kind="smsprovider", base_url="http://127.0.0.1:9/v1")


def times_of(account: ProviderAccount, rates: list[Rate], clock: Clock, seconds: float) -> list[float]:
    """When requests went out, by somebody who always has work and comes back exactly when told."""
    end, times = clock.now + seconds, []
    while clock.now < end:
        if wait := pacing.reserve(account, rates):
            clock.now += wait + 1e-6
        else:
            times.append(clock.now)
    return times


def most_in_any(window: float, times: list[float]) -> int:
    return max(sum(1 for t in times if start <= t < start + window) for start in times)


@pytest.mark.parametrize("rate", [Rate(1, 1), Rate(10, 1), Rate(50, 1), Rate(100, 60), Rate(7, 60)], ids=str)
def test_it_never_passes_the_limit(rate: Rate, account: ProviderAccount, clock: Clock) -> None:
    times = times_of(account, [rate], clock, rate.seconds * 2.5)
    assert most_in_any(rate.seconds, times) <= rate.limit


@pytest.mark.parametrize("rate", [Rate(100, 60), Rate(50, 1), Rate(600, 1), Rate(5000, 3600)], ids=str)
def test_it_uses_the_limit_to_the_full(rate: Rate, account: ProviderAccount, clock: Clock) -> None:
    seconds = 300 / rate.limit * rate.seconds  # a few hundred requests
    assert len(times_of(account, [rate], clock, seconds)) >= 0.97 * rate.limit * seconds / rate.seconds


def test_all_windows_hold_at_once(account: ProviderAccount, clock: Clock) -> None:
    rates = [Rate(10, 1), Rate(60, 60)]
    times = times_of(account, rates, clock, 150)
    assert most_in_any(1, times) <= 10
    assert most_in_any(60, times) <= 60


def test_a_refused_reservation_takes_nothing(account: ProviderAccount, clock: Clock) -> None:
    rates = [Rate(1, 60)]
    assert pacing.reserve(account, rates) == 0
    before = RateWindow.objects.get().next_at
    assert pacing.reserve(account, rates) == pytest.approx(60, abs=1e-3)
    assert RateWindow.objects.get().next_at == before


def test_a_hold_stops_everything_for_its_time(account: ProviderAccount, clock: Clock) -> None:
    rates = [Rate(10, 1), Rate(100, 60)]
    pacing.hold(account, 30, rates)
    assert pacing.reserve(account, rates) == pytest.approx(30)
    clock.now += 30.001
    assert pacing.reserve(account, rates) == 0


def test_an_account_without_limits_never_waits(account: ProviderAccount) -> None:
    assert [pacing.reserve(account, []) for _ in range(3)] == [0, 0, 0]
    assert not RateWindow.objects.exists()


def test_the_real_clock_is_the_databases() -> None:
    assert pacing.now() == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    "text", ["", "10", "10/", "/second", "0/second", "-1/second", "ten/minute", "10/week", "1.5/hour"]
)
def test_a_malformed_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="100/minute"):
        Rate.parse(text)


@pytest.mark.parametrize("text", ["10/second", "100/minute", "5000/hour", "50000/day"])
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    assert str(Rate.parse(text)) == text
