"""Questions to a provider about messages: within the rate limits, and never at the cost of sending."""

from __future__ import annotations

import logging
import random
import time

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from providers import errors, pacing, traces
from providers.models import ProviderAccount
from providers.types import MessageInfo, ReadMessages, Status, Trace

from . import leases
from .models import Message

log = logging.getLogger(__name__)

SLICE = 20.0  # seconds a run of questions may take
SHORT = 2.0  # seconds it may take while an account waits for a worker to send its messages
PATIENCE = 1.0  # seconds until a place in the rate limit that are waited for
SHARE = 0.1  # of those places, while the account's messages wait for them
EVERY = 5.0  # seconds between two runs; clock.AGAIN


class Asker:
    """A run of questions to one account. ``over``: it answers nobody now; ask much later."""

    def __init__(self, account: ProviderAccount) -> None:
        self.account, self.adapter = account, account.adapter()
        self.started = time.monotonic()
        self.asked = 0
        self.share = _share(account)
        self.over = False
        self.error: errors.ProviderError | None = None

    def reserve(self, *, gently: bool = True) -> bool:
        """Take a place in the rate limit for the next question. ``gently``: leave most of them to messages."""
        while not self.over and self._has_time(gently):
            grant = pacing.reserve(self.account, self.account.windows)
            if grant.places:
                self.asked += 1
                return True
            if grant.wait > PATIENCE:
                return False
            time.sleep(grant.wait)
        return False

    def _has_time(self, gently: bool) -> bool:
        spent = time.monotonic() - self.started
        if gently and self.account.windows and self.asked >= self.share and _queue(self.account.pk).exists():
            return False
        return spent < SHORT or (spent < SLICE and not _somebody_waits())

    def ask(self, op: ReadMessages, *, keep: bool = False) -> tuple[MessageInfo, ...] | None:
        """None: no answer; ``error`` says why. ``keep`` the exchange also when it was answered."""
        found: list[Trace] = []
        self.error = None
        try:
            answer: tuple[MessageInfo, ...] = self.adapter.call(op, found)
            return answer
        except errors.ProviderError as error:
            log.info("Asking %s for messages failed: %s", self.account, error)
            self._heed(error)
            return None
        finally:
            traces.keep(self.account, [trace for trace in found if keep or trace.error])

    def _heed(self, error: errors.ProviderError) -> None:
        self.error = error
        self.over = error.retry or error.scope == "account"
        if isinstance(error, errors.RateLimited | errors.Unavailable):
            pacing.hold(self.account, error.retry_after or 1.0)


def _share(account: ProviderAccount) -> int:
    """Places that a run may take while messages wait. What is less than one is taken as often as it should be."""
    places = SHARE * EVERY * min((rate.limit / rate.seconds for rate in account.windows), default=0.0)
    return int(places) + (random.random() < places % 1)


def _queue(account: int | OuterRef) -> QuerySet[Message]:
    return Message.objects.filter(account_id=account, status=Status.QUEUED, due_at__lte=timezone.now())


def _somebody_waits() -> bool:
    """Could this worker send instead?"""
    ready = ProviderAccount.objects.filter(Exists(_queue(OuterRef("pk"))), enabled=True, paused_reason="")
    return ready.exclude(pk__in=leases.held()).exists()
