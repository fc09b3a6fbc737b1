"""What time makes due for phones and codes, looked at once a second by the supervisor. Twice at once does no harm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from . import inventory, ussd, ussd_schedule, wakeup

AGAIN = 5.0  # seconds until a wake-up that brought nothing is repeated
SOON = 1.0  # the same where a person waits

_woken: dict[tuple[str, int], float] = {}


def tick() -> None:
    """End codes that wait for too long, and wake workers for phones and codes whose time has come."""
    ussd.expire()
    _wake("sync", inventory.due(), wakeup.sync, AGAIN)
    _wake("schedule", ussd_schedule.due(), wakeup.schedule, AGAIN)
    _wake("ussd", ussd.due(), wakeup.ussd, SOON)


def _wake(what: str, due: Iterable[int], wake: Callable[[int], None], again: float) -> None:
    now = time.monotonic()
    for pk in due:
        if now - _woken.get((what, pk), -again) >= again:
            _woken[what, pk] = now
            wake(pk)
