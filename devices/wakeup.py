"""Telling the workers that there is work. A lost or doubled wake-up does no harm: the rows are the truth."""

from __future__ import annotations

from django.db import transaction
from django_q.tasks import async_task


def sync(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("devices.tasks.sync", account_id))


def sync_now(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("devices.tasks.sync_now", account_id))


def ussd(request_id: int) -> None:
    transaction.on_commit(lambda: async_task("devices.tasks.ussd", request_id))


def schedule(schedule_id: int) -> None:
    transaction.on_commit(lambda: async_task("devices.tasks.schedule", schedule_id))
