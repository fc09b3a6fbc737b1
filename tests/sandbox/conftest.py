"""A clock that stands still, so that a message is exactly as far as a test says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import time_machine

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """Stands still at NOW; ``clock.shift(seconds)`` moves it."""
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock
