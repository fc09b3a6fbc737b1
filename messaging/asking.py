"""Questions to a provider about messages: within the rate limits, and never at the cost of sending."""

from __future__ import annotations

import logging
import random
import time

from django.db import DatabaseError
from django.utils import timezone

from providers import errors, pacing, traces
from providers.models import Exchange, ProviderAccount
from providers.types import MessageInfo, ReadMessages, Status, Trace

from .models import Message

log = logging.getLogger(__name__)

SLICE = 20.0  # seconds a run of questions may take
SHARE = 0.1  # of the places in the rate limit, while messages wait for them
EVERY = 5.0  # seconds between two runs; clock.AGAIN


class Asker:
    """A run of questions to one account. ``over``: it answers nobody now, or the time is up; ask later."""

    def __init__(self, account: ProviderAccount) -> None:
        self.account, self.adapter = account, account.adapter()
        self.end = time.monotonic() + SLICE
        self.spare = _spare(account)
        self.over = False
        self.error: errors.ProviderError | None = None

    def reserve(self, *, gently: bool = True) -> bool:
        """Take a place in the rate limit for the next question. ``gently``: leave most of them to messages."""
        if self.over or time.monotonic() > self.end or (gently and self.spare is not None and self.spare < 1):
            return False
        if not pacing.reserve(self.account, self.account.windows).places:
            return False
        if gently and self.spare is not None:
            self.spare -= 1
        return True

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
            keep_traces(self.account, [trace for trace in found if keep or trace.error])

    def _heed(self, error: errors.ProviderError) -> None:
        self.error = error
        self.over = error.retry or error.scope == "account"
        if isinstance(error, errors.RateLimited | errors.Unavailable):
            pacing.hold(self.account, error.retry_after or 1.0)


def _spare(account: ProviderAccount) -> float | None:
    """Places that a run may take while messages wait; None: as many as it likes."""
    waiting = Message.objects.filter(account=account, status=Status.QUEUED, due_at__lte=timezone.now())
    if not account.windows or not waiting.exists():
        return None
    places = SHARE * EVERY * min(rate.limit / rate.seconds for rate in account.windows)
    return int(places) + (random.random() < places % 1)


def keep_traces(account: ProviderAccount, found: list[Trace]) -> None:
    """What cannot be kept never stops the work."""
    try:
        for trace in found:
            traces.complete(Exchange(account=account), trace).save()
    except (DatabaseError, ValueError):
        log.exception("The exchange with %s could not be kept", account)
