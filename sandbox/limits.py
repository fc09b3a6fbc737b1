"""The carrier's rate limits: sliding windows over an account's requests, exact across processes.

Admitted requests are numbered. A window of n is used up when the request n before this one is younger than the window,
so a check is one look-up by index whatever the limit. Refused requests do not count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from django.db import transaction
from django.db.models import F

from providers.errors import RateLimited
from providers.types import Rate, RateState

from .models import Account, Hit


def admit(account: Account) -> None:
    """Count a request. Raises RateLimited, with the window that is used up, and counts that instead."""
    windows = account.windows
    if not windows:
        return
    try:
        with transaction.atomic():
            _count(account, windows)
    except RateLimited:
        Account.objects.filter(pk=account.pk).update(limited=F("limited") + 1)
        raise


def _count(account: Account, windows: Sequence[Rate]) -> None:
    Account.objects.filter(pk=account.pk).update(requests=F("requests") + 1)  # the write lock comes first
    number = Account.objects.values_list("requests", flat=True).get(pk=account.pk)
    now = time.time()
    wait, full = max(((_wait(account, number, rate, now), rate) for rate in windows), key=lambda found: found[0])
    if wait > 0:
        raise RateLimited(
            f"Rate limit of {full.limit} requests in {full.seconds} s exceeded.",
            retry_after=wait,
            state=RateState(full.limit, 0, math.ceil(wait)),
        )
    hits = Hit.objects.filter(account=account)
    hits.filter(number__lte=number - max(rate.limit for rate in windows)).delete()
    hits.create(account=account, number=number, at=now)


def _wait(account: Account, number: int, rate: Rate, now: float) -> float:
    """Seconds until the window has room for request ``number``; 0 or less: it has."""
    at = Hit.objects.filter(account=account, number=number - rate.limit).values_list("at", flat=True).first()
    return at + rate.seconds - now if at is not None else 0.0


def state(account: Account) -> RateState | None:
    """The shortest window as it stands; None: the account is not limited."""
    rate = min(account.windows, key=lambda window: window.seconds, default=None)
    if rate is None:
        return None
    now = time.time()
    times = Hit.objects.filter(account=account).order_by("-number").values_list("at", flat=True)[: rate.limit]
    recent = [at for at in times if at > now - rate.seconds]
    reset = math.ceil(recent[-1] + rate.seconds - now) if recent else 0
    return RateState(rate.limit, rate.limit - len(recent), reset)
