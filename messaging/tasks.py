"""What the background workers run. Every task may run twice, late or never; the rows say what is to be done."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import select
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import ParamSpec

from django.conf import settings
from django.utils import timezone

from providers.models import ProviderAccount

from . import campaigns, clock, dispatch, leases, polling
from .dispatch import Lane
from .models import Worker

log = logging.getLogger(__name__)
P = ParamSpec("P")

SLICE = 25.0  # seconds a drain works before it lets others have the worker
LINGER = 1.0  # seconds a drain waits for more before it lets go
PULSE = 0.05  # seconds between looks when nothing happens
THREADS = 16  # requests under way at once in one worker process
REFRESH = 3.0  # seconds between looks at the account's row, the lease and other accounts


def makes_progress(task: Callable[P, None]) -> Callable[P, None]:
    """Mark this cluster as alive whenever a task ends: the supervisor restarts a cluster that stops making any."""

    @functools.wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            task(*args, **kwargs)
        finally:
            progress()

    return run


def progress() -> None:
    Worker.objects.update_or_create(name=settings.CLUSTER_ID, defaults={"progress_at": timezone.now()})


@makes_progress
def beat() -> None:
    """Nothing but the proof that a worker works."""


@makes_progress
def expand(campaign_id: int) -> None:
    campaigns.expand(campaign_id)


@makes_progress
def poll(account_id: int) -> None:
    polling.poll(account_id)


@makes_progress
def drain(account_id: int) -> None:
    """Send what is due for an account, and for others that are due and that nobody drains."""
    with ThreadPoolExecutor(THREADS) as pool:
        drainer = Drainer(pool)
        try:
            drainer.run(account_id)
        finally:
            drainer.close()
    for pk in clock.accounts_due():
        clock.wake(pk)


class Drainer:
    """The lanes of one worker process, driven in turn by one thread."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.holder = f"{settings.CLUSTER_ID}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.lanes: dict[int, Lane] = {}

    def run(self, account_id: int) -> None:
        end = time.monotonic() + SLICE
        last_work = look = time.monotonic()
        self.open(account_id)
        while self.lanes and time.monotonic() < end and not stopping():
            if any([self.step(pk) for pk in list(self.lanes)]):
                last_work = time.monotonic()
            elif time.monotonic() - last_work > LINGER and not self.flying():
                break
            if time.monotonic() - look > REFRESH:
                look = time.monotonic()
                self.look_around()
            self.rest()

    def open(self, account_id: int) -> None:
        account = ProviderAccount.objects.filter(pk=account_id, enabled=True, paused_reason="").first()
        if account is None or not leases.acquire(account_id, self.holder):
            return
        dispatch.sweep(account_id)
        self.lanes[account_id] = Lane(account, self.holder, self.pool)

    def step(self, account_id: int) -> bool:
        """Settle what was answered and start what may go. True when anything happened."""
        lane = self.lanes[account_id]
        with self.keeping(account_id):
            worked = lane.settle() > 0
            while lane.fill(time.time()):
                worked = True
            return worked
        return False

    def look_around(self) -> None:
        progress()
        for pk, lane in list(self.lanes.items()):
            with self.keeping(pk):
                lane.refresh()
        for pk in clock.accounts_due():
            if pk not in self.lanes:
                self.open(pk)

    @contextlib.contextmanager
    def keeping(self, account_id: int) -> Iterator[None]:
        """Drop the lane when its lease was lost: its requests in flight are the new holder's uncertain ones,
        and their answers still settle them."""
        try:
            yield
        except leases.LeaseLost:
            log.warning("The lease on account %s was lost; another worker has it", account_id)
            lane = self.lanes.pop(account_id)
            wait(lane.flying)
            lane.settle()

    def flying(self) -> list[object]:
        return [future for lane in self.lanes.values() for future in lane.flying]

    def rest(self) -> None:
        if futures := self.flying():
            wait(futures, timeout=PULSE, return_when=FIRST_COMPLETED)  # type: ignore[arg-type]
        else:
            time.sleep(PULSE)

    def close(self) -> None:
        """Wait for the requests in flight, settle them, and let the accounts go."""
        for pk, lane in self.lanes.items():
            wait(lane.flying)
            lane.settle()
            leases.release(pk, self.holder)


def stopping() -> bool:
    """Whether the supervisor has closed its end of the pipe (or is gone): finish, take nothing new."""
    if not (descriptor := os.environ.get("SMSDASH_STOP_FD")):
        return False
    return bool(select.select([int(descriptor)], [], [], 0)[0])
