"""What the background workers run. Every task may run twice, late or never; the rows say what is to be done.

Each ends within half a minute (plus one HTTP time-out) and queues itself again when there is more.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
from collections.abc import Callable
from typing import ParamSpec

from django.conf import settings
from django.utils import timezone

from . import attachments as links
from . import bulk as bulk_actions
from . import campaigns, housekeeping, inbox_polling, polling, rerouting, wakeup
from . import posted as posts
from .drain import drain as run_drain
from .drain import stopping
from .models import Worker

log = logging.getLogger(__name__)
P = ParamSpec("P")


def makes_progress(task: Callable[P, None]) -> Callable[P, None]:
    """Mark this cluster as alive when a task ends: the supervisor restarts a cluster that gets nothing done."""

    @functools.wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        end_if_orphaned()
        try:
            task(*args, **kwargs)
        finally:
            progress()

    return run


def progress() -> None:
    Worker.objects.update_or_create(name=settings.CLUSTER_ID, defaults={"progress_at": timezone.now()})


def end_if_orphaned() -> None:
    """A cluster whose leader and supervisor were both killed must not go on taking wake-ups from the others."""
    if not stopping():
        return
    try:
        os.kill(os.getpgrp(), 0)
    except ProcessLookupError:
        log.error("This cluster lost its leader; it ends")
        os.killpg(os.getpgrp(), signal.SIGKILL)


@makes_progress
def beat() -> None:
    """Nothing but the proof that a worker works."""


@makes_progress
def expand(campaign_id: int) -> None:
    campaigns.expand(campaign_id)


@makes_progress
def bulk(action_id: int, worker: str) -> None:
    bulk_actions.work(action_id, worker)


@makes_progress
def poll(account_id: int) -> None:
    polling.poll(account_id)


@makes_progress
def received(account_id: int) -> None:
    inbox_polling.poll(account_id)


@makes_progress
def posted() -> None:
    if posts.watch(progress, stopping):
        wakeup.posted()


@makes_progress
def reroute(route_id: int) -> None:
    if rerouting.balance(route_id):
        wakeup.reroute(route_id)


@makes_progress
def attachments() -> None:
    links.work()


@makes_progress
def tidy() -> None:
    if housekeeping.tidy():
        wakeup.tidy()


@makes_progress
def drain(account_id: int) -> None:
    run_drain(account_id, progress)
