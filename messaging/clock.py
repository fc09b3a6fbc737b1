"""What time makes due, looked at once a second by the supervisor of every host. Twice at once does no harm."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from providers import probing
from providers.models import Exchange, ProviderAccount
from providers.types import Status

from . import bulk, dispatch, leases, ledger, rerouting, wakeup
from .ledger import Change
from .models import Campaign, Message

AGAIN = 5.0  # seconds until a wake-up that brought nothing is repeated
CHUNK = 1_000

_woken: dict[tuple[str, int], float] = {}


def tick() -> None:
    """Promote what was scheduled for now, and wake workers for whatever waits and nobody works on."""
    promote()
    for pk in accounts_abandoned():
        clear_up(pk)
    for pk in accounts_due():
        wake(pk)
    for pk in bulk.abandoned():
        if _not_lately("bulk", pk):
            wakeup.bulk(pk, "")
    for pk in accounts_to_poll():
        if _not_lately("poll", pk):
            wakeup.poll(pk)
    for pk in probing.due():
        if _not_lately("probe", pk):
            wakeup.probe(pk)
    rerouting.give_chances()
    for pk in rerouting.due():
        if _not_lately("reroute", pk):
            wakeup.reroute(pk)
    stuck = timezone.now() - timedelta(seconds=AGAIN)
    for pk in Campaign.objects.filter(expanded__lt=F("total"), created_at__lt=stuck).values_list("pk", flat=True):
        if _not_lately("expand", pk):
            wakeup.expand(pk)


def promote() -> int:
    """Scheduled messages whose time has come are queued. Returns how many."""
    due = Message.objects.filter(status=Status.SCHEDULED, due_at__lte=timezone.now()).order_by("due_at")
    total = 0
    while ids := list(due.values_list("pk", flat=True)[:CHUNK]):
        moved = len(ledger.apply(Change(pk, Status.QUEUED) for pk in ids))
        total += moved
        if moved < len(ids):
            break
    return total


def accounts_due() -> list[int]:
    """Accounts that may send, have something to send now, and are drained by nobody."""
    waiting = Message.objects.filter(account_id=OuterRef("pk"), status=Status.QUEUED, due_at__lte=timezone.now())
    ready = ProviderAccount.objects.filter(Exists(waiting), enabled=True, paused_reason="")
    return list(ready.exclude(pk__in=leases.held()).values_list("pk", flat=True))


def accounts_abandoned() -> list[int]:
    """Accounts with messages in flight that nobody drains: their worker died, and may have left no other work."""
    flying = Exchange.objects.filter(account_id=OuterRef("pk"), open=True)
    accounts = ProviderAccount.objects.filter(Exists(flying))
    return list(accounts.exclude(pk__in=leases.held()).values_list("pk", flat=True))


def clear_up(account_id: int) -> None:
    holder = f"clock:{uuid.uuid4().hex}"
    if leases.acquire(account_id, holder):
        dispatch.sweep(ProviderAccount.objects.get(pk=account_id))
        leases.release(account_id, holder)


def accounts_to_poll() -> list[int]:
    asked = Message.objects.filter(account_id=OuterRef("pk"), poll_at__lte=timezone.now())
    return list(ProviderAccount.objects.filter(Exists(asked), enabled=True).values_list("pk", flat=True))


def wake(account_id: int) -> None:
    if _not_lately("drain", account_id):
        wakeup.drain(account_id)


def _not_lately(what: str, pk: int) -> bool:
    now = time.monotonic()
    if now - _woken.get((what, pk), -AGAIN) < AGAIN:
        return False
    _woken[what, pk] = now
    return True
