"""Telling the workers that there is work. A lost or doubled wake-up does no harm: the rows are the truth."""

from __future__ import annotations

from django.db import transaction
from django_q.tasks import async_task

from . import leases


def drain(account_id: int) -> None:
    """Once the transaction is through. Nothing is queued when somebody drains the account already: they look
    once more after letting go (see tasks.drain), so they cannot miss it."""

    def enqueue() -> None:
        if account_id not in leases.held():
            async_task("messaging.tasks.drain", account_id)

    transaction.on_commit(enqueue)


def expand(campaign_id: int) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.expand", campaign_id))


def poll(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.poll", account_id))


def received(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.received", account_id))


def probe(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("providers.probing.probe", account_id))


def reroute(route_id: int) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.reroute", route_id))


def bulk(action_id: int, worker: str) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.bulk", action_id, worker))


def attachments() -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.attachments"))


def tidy() -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.tidy"))


def beat() -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.beat"))
