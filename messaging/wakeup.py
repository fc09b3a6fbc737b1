"""Telling the workers that there is work. A lost or doubled wake-up does no harm: the rows are the truth."""

from __future__ import annotations

import logging
import threading
import time

from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from django_q.tasks import async_task

from . import leases

log = logging.getLogger(__name__)

SOON = 0.2  # seconds between two wake-ups for posts
WATCHED = "messaging-posted"  # in the cache while a worker looks for posts by itself (posted.py)
APART = 0.2  # seconds between two for an account by ``drain_often``; a drain lingers longer (drain.py)
_woken: dict[int, float] = {}  # when this process last woke somebody for an account


def drain(account_id: int) -> None:
    """Once the transaction is through. Nothing is queued when somebody drains the account already: they look
    once more after letting go (see tasks.drain), so they cannot miss it."""
    transaction.on_commit(lambda: _enqueue(account_id))


def _enqueue(account_id: int) -> None:
    if account_id not in leases.held():
        async_task("messaging.tasks.drain", account_id)


def drain_often(account_id: int) -> None:
    """As ``drain``, for those who come hundreds of times a second: one wake-up in APART seconds is enough, because the
    drain that it starts goes on looking for longer than that."""

    def ring() -> None:
        now = time.monotonic()
        if now - _woken.get(account_id, -APART) >= APART:
            _woken[account_id] = now
            _enqueue(account_id)

    transaction.on_commit(ring)


def expand(campaign_id: int) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.expand", campaign_id))


def poll(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.poll", account_id))


def received(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.received", account_id))


def probe(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("providers.probing.probe", account_id))


def knock(account_id: int) -> None:
    transaction.on_commit(lambda: async_task("providers.probing.knock", account_id))


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


# --- Posts to callbacks: many a second, and one wake-up for all of them -------------------------------

_rung = threading.Event()
_starting = threading.Lock()
_bell: threading.Thread | None = None


def posted() -> None:
    transaction.on_commit(lambda: async_task("messaging.tasks.posted"))


def ring() -> None:
    """The same for whoever may not wait: a thread of this process does it, at once but not again for SOON."""
    transaction.on_commit(_ring)


def _ring() -> None:
    global _bell
    _rung.set()
    if _bell is None or not _bell.is_alive():
        with _starting:
            if _bell is None or not _bell.is_alive():
                _bell = threading.Thread(target=_tell, daemon=True)
                _bell.start()


def _wake() -> None:
    if not cache.get(WATCHED):
        posted()


def _tell() -> None:
    while _rung.wait():
        _rung.clear()
        try:
            _wake()
        except DatabaseError:
            log.exception("No worker could be woken for what was posted; the clock will do it")
        finally:
            connection.close()
        time.sleep(SOON)
