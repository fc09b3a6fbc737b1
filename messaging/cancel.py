"""Taking messages back that have not left."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone

from providers.types import Status

from . import gate, ledger
from .ledger import Change
from .models import Message

CANCELABLE = ledger.FROM[Status.CANCELED]


def cancel(ids: Iterable[int], by: str) -> int:
    """Cancel those that still wait; what is on its way or over stays as it is. Returns how many were canceled.

    ``by``: who, for the message's page.
    """
    reason = {"error_code": "canceled", "error_text": f"Canceled by {by}."[:300], "done_at": timezone.now()}
    waiting = Message.objects.filter(pk__in=list(ids), status__in=CANCELABLE)
    accounts = set(waiting.values_list("account_id", flat=True))
    with gate.closed(accounts) as flying:
        # read again: one that was moved to another account in between waits behind a gate that is open
        here = waiting.filter(account_id__in=accounts).values_list("pk", flat=True)
        return len(ledger.apply(Change(pk, Status.CANCELED, reason) for pk in here if pk not in flying))
