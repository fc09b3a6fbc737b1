"""Telling providers what changed on their lists: one request for each change, paced, repeated until it is known there.

A change may be told twice, which leaves the provider's list the same. Whoever tells claims the changes first, by
moving their ``next_at`` a little on; after a crash that time just comes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta

from django.db import DatabaseError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from providers import pacing, traces
from providers.base import Adapter
from providers.encryption import Locked
from providers.errors import NotFound, ProviderError
from providers.models import Exchange, ProviderAccount
from providers.types import ContactInfo, SaveContact, Trace, Unsubscribe

from . import consent
from .models import How, Mirror

log = logging.getLogger(__name__)

SECONDS = 20.0  # a task works so long; the clock wakes the next
CLAIM = timedelta(seconds=90)  # longer than SECONDS and one HTTP time-out
AT_ONCE = 200  # changes that are claimed together
FIRST, LONGEST = 30.0, 3600.0  # seconds until the second try, doubled up to the longest
TRIES = 12


def work(account_id: int, seconds: float = SECONDS) -> int:
    """Tell an account what is due. Returns how many changes it knows now. Stops where its rate limit says so."""
    account = ProviderAccount.objects.filter(pk=account_id, enabled=True).first()
    told, end = 0, time.monotonic() + seconds
    while account and time.monotonic() < end and (rows := _claim(account)):
        try:
            adapter = account.adapter()
        except Locked as error:
            _put_off(rows, 300.0, str(error))
            break
        for place, row in enumerate(rows):
            grant = pacing.reserve(account, account.windows)
            if not grant.places or time.monotonic() >= end:
                _put_off(rows[place:], grant.wait)
                return told
            told += _tell(account, adapter, row)
    return told


def _claim(account: ProviderAccount) -> list[Mirror]:
    now = timezone.now()
    with transaction.atomic():
        free = Mirror.objects.select_for_update(
            of=("self",), skip_locked=connection.features.has_select_for_update_skip_locked
        )
        due = free.filter(list__account=account, list__deleted_at=None, next_at__lte=now)
        rows = list(due.select_related("list", "contact").order_by("next_at", "pk")[:AT_ONCE])
        Mirror.objects.filter(pk__in=[row.pk for row in rows]).update(next_at=now + CLAIM)
    return rows


def _put_off(rows: Sequence[Mirror], seconds: float, error: str = "") -> None:
    values = {"error": error[:300]} if error else {}
    again = timezone.now() + timedelta(seconds=max(1.0, seconds))
    for row in rows:
        _same(row).update(next_at=again, **values)


def _tell(account: ProviderAccount, adapter: Adapter, row: Mirror) -> bool:
    """True: the provider knows it. Otherwise the row says why not, and when it is tried again."""
    op = _operation(row)
    if op is None:
        _same(row).delete()
        return False
    seen: list[Trace] = []
    try:
        answer: ContactInfo = adapter.call(op, seen)
    except NotFound as error:
        if isinstance(op, SaveContact):
            _failed(row, error)
            return False
    except ProviderError as error:
        if error.retry and error.scope == "account":
            pacing.hold(account, error.retry_after or FIRST)
        _failed(row, error)
        return False
    else:
        if isinstance(op, SaveContact) and not answer.subscribed:
            _follow(row, account)
    finally:
        _keep(account, seen)
    _same(row).delete()
    return True


def _operation(row: Mirror) -> SaveContact | Unsubscribe | None:
    """None: there is nothing to tell. Nobody is subscribed anywhere who opted out of everything."""
    of, person = row.list, row.contact
    if row.action == Mirror.Action.UNSUBSCRIBE:
        return Unsubscribe(of.remote_id, person.number)
    if person.opted_out_at:
        return None
    again = row.action == Mirror.Action.RESUBSCRIBE
    return SaveContact(of.remote_id, person.number, person.name, resubscribe=again)


def _follow(row: Mirror, account: ProviderAccount) -> None:
    """The person unsubscribed at the provider: that holds here too, until somebody subscribes them again."""
    reason = _("They are unsubscribed on the provider's list.")
    consent.unsubscribe(row.list, [row.contact_id], How.PROVIDER, account.name, reason, mirrored=False)


def _failed(row: Mirror, error: ProviderError) -> None:
    """What the provider refused is not repeated by itself; anything else is, more and more rarely."""
    tries = row.tries + 1
    wait = max(error.retry_after or 0.0, min(LONGEST, FIRST * 2.0 ** (tries - 1)))
    final = tries >= TRIES or not (error.retry or error.maybe_taken or error.scope == "account")
    next_at = None if final else timezone.now() + timedelta(seconds=wait)
    _same(row).update(tries=tries, next_at=next_at, error=str(error).replace("\x00", "\ufffd")[:300])


def _same(row: Mirror) -> QuerySet[Mirror]:
    """The row, unless there is a later word by now."""
    return Mirror.objects.filter(pk=row.pk, version=row.version)


def _keep(account: ProviderAccount, seen: list[Trace]) -> None:
    """A trace that cannot be kept stops nothing."""
    try:
        for trace in seen:
            traces.complete(Exchange(account=account), trace).save()
    except (DatabaseError, ValueError):
        log.exception("The exchange with %s could not be kept", account)
