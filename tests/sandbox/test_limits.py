from __future__ import annotations

import pytest
import time_machine

from providers.errors import RateLimited
from providers.types import GetAccount, RateState
from sandbox.carrier import Carrier
from sandbox.models import Account, Hit

from .base import carrier

pytestmark = pytest.mark.django_db


def admitted(engine: Carrier, tries: int) -> int:
    """How many of some requests were let in."""
    count = 0
    for _ in range(tries):
        try:
            engine.handle(GetAccount())
        except RateLimited:
            continue
        count += 1
    return count


def test_a_window_slides(clock: time_machine.Traveller) -> None:
    engine = carrier(rates=["3/second"])
    assert admitted(engine, 2) == 2
    clock.shift(0.6)
    assert admitted(engine, 2) == 1
    clock.shift(0.5)
    assert admitted(engine, 5) == 2
    clock.shift(0.4)
    assert admitted(engine, 5) == 0


def test_all_windows_hold_at_once(clock: time_machine.Traveller) -> None:
    engine = carrier(rates=["2/second", "3/minute"])
    assert admitted(engine, 5) == 2
    clock.shift(1)
    assert admitted(engine, 5) == 1
    clock.shift(30)
    assert admitted(engine, 5) == 0


def test_it_says_how_long_to_wait(clock: time_machine.Traveller) -> None:
    engine = carrier(rates=["2/second", "2/minute"])
    admitted(engine, 1)
    clock.shift(10)
    admitted(engine, 1)
    with pytest.raises(RateLimited) as caught:
        engine.handle(GetAccount())
    assert caught.value.retry_after == pytest.approx(50)
    assert caught.value.state == RateState(2, 0, 50)
    clock.shift(49.9)
    assert admitted(engine, 1) == 0
    clock.shift(0.2)
    assert admitted(engine, 1) == 1


def test_refused_requests_are_counted_apart(clock: time_machine.Traveller) -> None:
    admitted(carrier(rates=["2/second"]), 5)
    row = Account.objects.get()
    assert (row.requests, row.limited) == (2, 3)


def test_the_state_is_that_of_the_shortest_window(clock: time_machine.Traveller) -> None:
    engine = carrier(rates=["100/minute", "10/second"])
    assert engine.limits() == RateState(10, 10, 0)
    admitted(engine, 4)
    assert engine.limits() == RateState(10, 6, 1)


def test_without_rates_nothing_is_counted() -> None:
    engine = carrier(rates=[])
    assert admitted(engine, 20) == 20
    assert engine.limits() is None
    assert not Hit.objects.exists()


def test_old_requests_are_forgotten(clock: time_machine.Traveller) -> None:
    engine = carrier(rates=["3/second"])
    for _ in range(10):
        admitted(engine, 1)
        clock.shift(1)
    assert Hit.objects.count() == 3
