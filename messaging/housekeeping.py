"""Once an hour, on one of all hosts: throw away what is not needed any more, and give up waiting for reports.

Everything goes slice by slice, each by an index and in a transaction of its own, and ends when its time is up; the
next run goes on from there. Killed at any moment, it has just done less.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.core.cache import cache
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_q.models import Task

from contacts import importing
from providers.models import Exchange, ProviderAccount
from providers.types import Status

from . import polling
from .log import first_id
from .models import BulkAction, DeliveryReport, Message, Posted, Worker
from .waiting import tells_the_end

EVERY = 3600.0  # seconds between two runs
SLICE = 1_000  # rows that one statement deletes or looks at
LONGEST = 4.0  # seconds for each of the kinds of rows

UNMATCHED = timedelta(days=30)
TASKS = timedelta(days=7)
WORKERS = timedelta(days=1)
ACTIONS = timedelta(days=30)
LATE = timedelta(hours=2)  # what is asked for has no report after its last poll


def due() -> bool:
    """True once an hour, for one of those who ask."""
    return cache.add("messaging-tidy", True, EVERY)


def tidy() -> bool:
    """One run. True when its time was up before all was done."""
    return any([*map(delete, outdated(timezone.now())), note_unreported(timezone.now())])


# --- Deleting ----------------------------------------------------------------------------------------


def outdated(now: datetime) -> Iterator[QuerySet]:
    """What is to be deleted, oldest first."""
    if days := settings.SMSDASH_KEEP_EXCHANGES:
        yield Exchange.objects.filter(at__lt=now - timedelta(days=days), open=False).order_by("at")
    yield DeliveryReport.objects.filter(message__isnull=True, seen_at__lt=now - UNMATCHED).order_by("pk")
    yield Posted.objects.filter(tries__gt=0, at__lt=now - UNMATCHED).order_by("pk")
    yield Task.objects.filter(stopped__lt=now - TASKS).order_by("pk")
    silent = Q(progress_at__isnull=True, started_at__lt=now - WORKERS)
    yield Worker.objects.filter(silent | Q(progress_at__lt=now - WORKERS)).order_by("pk")
    yield BulkAction.objects.filter(finished_at__lt=now - ACTIONS).order_by("pk")
    yield importing.outdated(now)


def delete(rows: QuerySet) -> bool:
    """Slice by slice. True when the time was up before all were gone."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        ids = list(rows.values_list("pk", flat=True)[:SLICE])
        rows.model._default_manager.filter(pk__in=ids).delete()
        if len(ids) < SLICE:
            return False
    return True


# --- What was never reported -------------------------------------------------------------------------


def note_unreported(now: datetime) -> bool:
    """Messages whose end their provider could tell, and has not for 72 hours, say so. True: there are more.

    No index knows when a message was sent. It was created before, so each account's messages are gone through once
    in the order of their ids, and then slowly round and round, for what waited long between the two.
    """
    end = time.monotonic() + LONGEST
    limit, more = first_id(now - polling.GIVE_UP), False
    for account in filter(tells_the_end, ProviderAccount.objects.defer("credentials")):
        key = f"messaging-unreported-{account.pk}"
        front, around = cache.get(key) or (0, 0)
        if front:
            around = _go_through(account, around, front, now) or 0
        while front < limit and time.monotonic() < end:
            front = _go_through(account, front, limit, now) or limit
        more = more or front < limit
        cache.set(key, (front, around), None)
    return more


def _go_through(account: ProviderAccount, start: int, limit: int, now: datetime) -> int | None:
    """Look at a slice of sent messages with ids from ``start`` on and below ``limit``. Returns the id to go on from;
    None: that was all."""
    sent = Message.objects.filter(account=account, status=Status.SENT, pk__gte=start, pk__lt=limit)
    ids = list(sent.order_by("pk").values_list("pk", flat=True)[:SLICE])
    silent = Q(poll_at__isnull=True) | Q(sent_at__lt=now - polling.GIVE_UP - LATE)
    quiet = sent.filter(silent, pk__in=ids, sent_at__lt=now - polling.GIVE_UP, error_code="")
    quiet.update(poll_at=None, **polling.no_report())
    return ids[-1] + 1 if len(ids) == SLICE else None
