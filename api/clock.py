"""What time makes due for programs, looked at by the supervisor of every host beside messaging/clock.py."""

from __future__ import annotations

import time

from django.core.cache import cache
from django.db import transaction
from django_q.tasks import async_task

from messaging import housekeeping
from providers import outbox

from . import deliveries

AGAIN = 1.0  # seconds until a wake-up that brought nothing is repeated

_woken = 0.0


def tick() -> None:
    """Wake a worker for what happened and what is due at webhooks, and once an hour for the clearing up."""
    global _woken
    if time.monotonic() - _woken > AGAIN and (outbox.waiting() or deliveries.due()) and not deliveries.running():
        _woken = time.monotonic()
        deliver()
    if cache.add("api-tidy", True, housekeeping.EVERY):
        tidy()


def deliver() -> None:
    transaction.on_commit(lambda: async_task("api.tasks.deliver"))


def tidy() -> None:
    transaction.on_commit(lambda: async_task("api.tasks.tidy"))
