"""What the background workers run for programs; see messaging/tasks.py."""

from __future__ import annotations

from django.utils import timezone

from messaging import housekeeping
from messaging.tasks import makes_progress, progress

from . import clock, deliveries, idempotency, webhooks


@makes_progress
def deliver() -> None:
    if deliveries.run(progress):
        clock.deliver()


@makes_progress
def tidy() -> None:
    webhooks.keep_wanted()
    now = timezone.now()
    if any([*map(housekeeping.delete, (*webhooks.outdated(now), idempotency.outdated(now)))]):
        clock.tidy()
