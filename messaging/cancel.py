"""Taking messages back that have not left."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone

from providers.types import Status

from . import ledger
from .ledger import Change

CANCELABLE = ledger.FROM[Status.CANCELED]


def cancel(ids: Iterable[int], by: str) -> int:
    """Cancel those that still wait; what is on its way or over stays as it is. Returns how many were canceled.

    ``by``: who, for the message's page.
    """
    reason = {"error_code": "canceled", "error_text": f"Canceled by {by}."[:300], "done_at": timezone.now()}
    return len(ledger.apply(Change(pk, Status.CANCELED, reason) for pk in ids))
