"""Questions to a provider about phones and USSD codes: within the account's rate limits, and with a trace."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.db import DatabaseError
from django.utils.translation import gettext as _

from providers import errors, pacing, traces
from providers.encryption import Locked
from providers.models import Exchange, ProviderAccount
from providers.types import Operation, Trace

log = logging.getLogger(__name__)

SLICE = 5.0  # seconds in which somebody who waits for a place looks again


def call(account: ProviderAccount, op: Operation, patience: float = 0.0) -> Any:
    """Do one operation and return its result. Waits ``patience`` seconds for a place in the rate limit, no longer.

    Not in a transaction. Raises ProviderError; RateLimited with ``retry_after`` when there was no place.
    """
    _reserve(account, patience)
    seen: list[Trace] = []
    try:
        return account.adapter().call(op, seen)
    except Locked as error:
        raise errors.KeyRefused(str(error)) from error
    except (errors.RateLimited, errors.Unavailable) as error:
        pacing.hold(account, error.retry_after or 1.0)
        raise
    finally:
        _keep(account, seen)


def _reserve(account: ProviderAccount, patience: float) -> None:
    end = time.monotonic() + patience
    while not (grant := pacing.reserve(account, account.windows, urgent=patience > 0)).places:
        if time.monotonic() + grant.wait > end:
            words = _("The account's rate limit is used up for now. Try again in a moment.")
            raise errors.RateLimited(words, retry_after=max(1.0, grant.wait))
        time.sleep(min(grant.wait, SLICE))


def _keep(account: ProviderAccount, seen: list[Trace]) -> None:
    """A trace that cannot be kept stops nothing."""
    try:
        for trace in seen:
            traces.complete(Exchange(account=account), trace).save()
    except (DatabaseError, ValueError):
        log.exception("The exchange with %s could not be kept", account)
