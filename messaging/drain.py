"""The loop that sends: one worker process, any number of accounts, one lane each."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import select
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

from django.conf import settings
from django.db import connection, transaction

from providers.models import ProviderAccount

from . import clock, dispatch, leases, records, wakeup
from .dispatch import Lane
from .hands import Hands

log = logging.getLogger(__name__)

SLICE = 25.0  # seconds a drain works before it lets others have the worker
LINGER = 1.0  # seconds a drain waits for more work before it lets go
PATIENCE = 10.0  # seconds to the next place in the rate limit that a drain waits for; longer than clock.AGAIN
PULSE = 0.05  # seconds between looks when nothing happens
THREADS = 64  # requests under way at once in one worker process
REFRESH = 3.0  # seconds between looks at the account's row, the lease and other accounts


def drain(account_id: int, progress: Callable[[], None]) -> None:
    """Send what is due for an account, and for others that are due and that nobody drains.

    ``progress`` is called now and then, to show that this worker lives.
    """
    hands = Hands(THREADS)
    with contextlib.closing(hands), ThreadPoolExecutor(1) as writer:
        drainer = Drainer(hands, writer, progress)
        try:
            drainer.run(account_id)
        finally:
            drainer.close()


class Drainer:
    """The lanes of one worker process, driven in turn by one thread."""

    def __init__(self, hands: Hands, writer: Executor, progress: Callable[[], None]) -> None:
        self.hands, self.writer, self.progress = hands, writer, progress
        self.holder = f"{settings.CLUSTER_ID}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.lanes: dict[int, Lane] = {}

    def run(self, account_id: int) -> None:
        start = worked = looked = time.monotonic()
        self.open(account_id)
        while self.lanes and time.monotonic() - start < SLICE and not stopping():
            steps = [self.step(pk) for pk in list(self.lanes)]
            if any(steps) or self.busy():
                worked = time.monotonic()
            elif time.monotonic() - worked > LINGER:
                break
            if time.monotonic() - looked > REFRESH:
                self.look_around()
                looked = time.monotonic()
            self.rest()

    def open(self, account_id: int) -> None:
        """Take the account's lease if it is free, and clear up after whoever held it last."""
        account = ProviderAccount.objects.filter(pk=account_id, enabled=True, paused_reason="").first()
        if account is None or not leases.acquire(account_id, self.holder):
            return
        with contextlib.suppress(leases.LeaseLost):
            records.sweep(account, self.holder)
            self.lanes[account_id] = Lane(account, self.holder, self.hands, self.writer)

    def step(self, account_id: int) -> bool:
        """Start what may go and settle what was answered. True when anything happened."""
        lane = self.lanes[account_id]
        worked = False
        with self.keeping(account_id):
            if not stopping():
                worked = lane.fill(time.monotonic())
            worked = lane.settle() or worked
            lane.show(time.monotonic())
        return worked

    def look_around(self) -> None:
        self.progress()
        for pk, lane in list(self.lanes.items()):
            with self.keeping(pk):
                lane.refresh()
        for pk in clock.accounts_due():
            if pk not in self.lanes:
                self.open(pk)

    @contextlib.contextmanager
    def keeping(self, account_id: int) -> Iterator[None]:
        """Drop the lane when its lease was lost. Its requests in flight are uncertain by now; their answers
        still settle them."""
        try:
            yield
        except leases.LeaseLost:
            log.warning("The lease on account %s was lost; another worker has it", account_id)
            self.finish(self.lanes.pop(account_id))

    def busy(self) -> bool:
        """Whether a request is under way, or will be as soon as the rate limit has a place."""
        soon = time.monotonic() + PATIENCE
        return any(
            lane.flying or lane.answers or lane.writing or (lane.held_back and lane.next_try < soon)
            for lane in self.lanes.values()
        )

    def rest(self) -> None:
        """Until an answer comes, a rate limit has a place, or it is time to look again."""
        lanes, now = self.lanes.values(), time.monotonic()
        places = [max(0.0, lane.next_try - now) for lane in lanes if lane.held_back]
        pulse = min([dispatch.GATHER if any(lane.answers for lane in lanes) else PULSE, *places])
        self.hands.rest(pulse)

    def close(self) -> None:
        """Wait for the requests in flight, settle them and let the accounts go; wake the next for what is left.

        Whoever submits a message while an account is held queues no wake-up, so this looks once more after the
        release.
        """
        with contextlib.ExitStack() as lanes:  # one that fails takes no other with it
            lanes.callback(lambda: self.writer.submit(_let_go_of_the_database).result())
            for lane in self.lanes.values():
                lanes.callback(self.let_go, lane)

    def finish(self, lane: Lane) -> None:
        """Wait for its requests and settle them. No lease ends meanwhile: what is on its way would look lost."""
        renewed = time.monotonic()
        while not all(task.done() for task in lane.flying):
            self.hands.rest(PULSE)
            if time.monotonic() - renewed > REFRESH:
                renewed = time.monotonic()
                for pk in self.lanes:
                    with contextlib.suppress(leases.LeaseLost):
                        records.patiently(functools.partial(self.renew, pk))
        lane.settle(all_of_it=True)

    @transaction.atomic
    def renew(self, account_id: int) -> None:
        leases.renew(account_id, self.holder)

    def let_go(self, lane: Lane) -> None:
        """A lease that is left behind keeps all others waiting, so this waits for a database that is away."""
        pk = lane.account.pk
        self.finish(lane)
        records.patiently(lambda: leases.release(pk, self.holder))
        lane.keep_credits()
        patient = not lane.held_back or lane.next_try < time.monotonic() + PATIENCE
        if patient and not stopping() and lane.account.sending and lane.door.is_open() and records.due(pk):
            wakeup.drain(pk)


def _let_go_of_the_database() -> None:
    connection.close()  # this thread's


def stopping() -> bool:
    """Whether the supervisor closed its end of the pipe, or is gone: finish, take nothing new."""
    descriptor = os.environ.get("SMSDASH_STOP_FD")
    return bool(descriptor and select.select([int(descriptor)], [], [], 0)[0])
