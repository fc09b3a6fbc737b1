"""What time makes due, looked at once a second by the supervisor of every host. Twice at once does no harm."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts import changes, importing, mirroring
from devices import inventory, ussd, ussd_schedule
from devices import wakeup as calls
from providers import probing
from providers.models import Exchange, ProviderAccount
from providers.types import Status

from . import (
    attachments,
    bulk,
    gate,
    housekeeping,
    inbox_polling,
    leases,
    ledger,
    posted,
    records,
    reports,
    rerouting,
    wakeup,
)
from .ledger import Change
from .models import Campaign, Message

AGAIN = 5.0  # seconds until a wake-up that brought nothing is repeated
CHUNK = 1_000  # messages that one transaction moves
PROMOTED = 10_000  # messages that one tick promotes

_woken: dict[tuple[str, int], float] = {}


def tick() -> None:
    """End what is too late, promote what was scheduled for now, and wake workers for what nobody works on."""
    expire()
    promote()
    for pk in accounts_abandoned():
        clear_up(pk)
    if _not_lately("replay", 0):
        reports.replay_recent()
    for name, due, call in _calls():
        for pk in due():
            if _not_lately(name, pk):
                call(pk)
    rerouting.give_chances()  # after rerouting, which would take away what is lent
    if _not_lately("tidy", 0) and housekeeping.due():
        wakeup.tidy()


def _calls() -> tuple[tuple[str, Callable[[], Iterable[int]], Callable[[int], object]], ...]:
    """What waits for a worker: its name, the ids of those that wait, and how a worker is called."""
    return (
        ("drain", accounts_due, wakeup.drain),
        ("expand", campaigns_stuck, wakeup.expand),
        ("reroute", rerouting.due, wakeup.reroute),
        ("bulk", bulk.abandoned, lambda pk: wakeup.bulk(pk, "")),
        ("poll", accounts_to_poll, wakeup.poll),
        ("probe", probing.due, wakeup.probe),
        ("mirror", mirroring.due, mirroring.wake),
        ("change", changes.abandoned, changes.wake),
        ("import", importing.abandoned, lambda pk: importing.go_on(pk, "")),
        ("attachments", attachments.due, lambda pk: wakeup.attachments()),
        ("posted", lambda: posted.due()[:1], lambda pk: wakeup.posted()),
        ("received", inbox_polling.due, wakeup.received),
        ("phones", inventory.due, calls.sync),
        ("ussd", ussd.due, calls.ussd),
        ("ussd schedule", ussd_schedule.due, calls.schedule),
    )


def promote() -> int:
    """Scheduled messages whose time has come are queued, urgent ones first and each account in its turn.

    At most PROMOTED of them, so that a big campaign keeps nobody waiting: the next tick goes on. Returns how many.
    """
    due = Message.objects.filter(status=Status.SCHEDULED, due_at__lte=timezone.now())
    place = Window(RowNumber(), partition_by="account_id", order_by=["-priority", "due_at"])
    found = due.alias(place=place).order_by("place", "due_at").values_list("pk", "account_id")[:PROMOTED]
    accounts = dict(found)
    for account_id in set(accounts.values()):
        _woken.pop(("drain", account_id), None)  # what is new is worth another wake-up
    return sum(_queue(due, ids) for ids in _chunks(list(accounts)))


def _queue(due: QuerySet[Message], ids: Sequence[int]) -> int:
    """Whatever somebody is changing just now is left for the next tick."""
    with transaction.atomic():
        free = due.filter(pk__in=ids).select_for_update(no_key=True, skip_locked=True).order_by("pk")
        return len(ledger.apply(Change(pk, Status.QUEUED) for pk in list(free.values_list("pk", flat=True))))


def expire() -> int:
    """What has not left by the time until which it was worth sending does not go any more; at most CHUNK at once."""
    waiting = Message.objects.filter(status__in=(Status.SCHEDULED, Status.QUEUED), expires_at__lte=timezone.now())
    found = dict(waiting.order_by("expires_at").values_list("pk", "account_id")[:CHUNK])
    if not found:
        return 0
    text = _("It did not leave in time: its time to be sent was over.")
    values = {"error_code": "expired", "error_text": text, "done_at": timezone.now()}
    with gate.closed(found.values()) as flying:
        here = waiting.filter(pk__in=found, account_id__in=set(found.values())).values_list("pk", flat=True)
        late = [pk for pk in here if pk not in flying]
        ledger.apply(Change(pk, Status.QUEUED) for pk in late)  # from the schedule it ends by way of the queue
        return len(ledger.apply(Change(pk, Status.EXPIRED, values) for pk in late))


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def accounts_due() -> list[int]:
    """Accounts that may send, have something to send now, and are drained by nobody."""
    now = timezone.now()
    waiting = Message.objects.filter(account_id=OuterRef("pk"), status=Status.QUEUED, due_at__lte=now)
    ready = ProviderAccount.objects.filter(Exists(waiting), enabled=True, paused_reason="")
    free = ready.exclude(pk__in=leases.held()).only("zone", "hours")
    return [account.pk for account in free if account.closed_until(now) is None]


def campaigns_stuck() -> list[int]:
    """Campaigns whose rows are not all made, some time after they were accepted."""
    before = timezone.now() - timedelta(seconds=AGAIN)
    return list(Campaign.objects.filter(complete=False, created_at__lt=before).values_list("pk", flat=True))


def accounts_abandoned() -> list[int]:
    """Accounts with messages in flight that nobody drains: their worker died, and may have left no other work."""
    flying = Exchange.objects.filter(account_id=OuterRef("pk"), open=True)
    accounts = ProviderAccount.objects.filter(Exists(flying))
    return list(accounts.exclude(pk__in=leases.held()).values_list("pk", flat=True))


def clear_up(account_id: int) -> None:
    holder = f"clock:{uuid.uuid4().hex}"
    if leases.acquire(account_id, holder):
        with contextlib.suppress(leases.LeaseLost):
            records.sweep(ProviderAccount.objects.get(pk=account_id), holder)
        leases.release(account_id, holder)


def accounts_to_poll() -> list[int]:
    asked = Message.objects.filter(account_id=OuterRef("pk"), poll_at__lte=timezone.now())
    return list(ProviderAccount.objects.filter(Exists(asked), enabled=True).values_list("pk", flat=True))


def _not_lately(what: str, pk: int) -> bool:
    now = time.monotonic()
    if now - _woken.get((what, pk), -AGAIN) < AGAIN:
        return False
    _woken[what, pk] = now
    return True
