"""Asking for received messages where the provider lets us: a net below its callback, and enough without one.

An account is asked every few seconds until its callback proves to work, then seldom; when asking then brings what the
callback did not, often again. What was received before the account was added here is not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone

from providers import registry
from providers.models import ProviderAccount
from providers.types import Feature, Inbound, MessageInfo, ReadMessages, Status

from . import inbound
from .asking import Asker
from .models import Listening, Message
from .wire_ids import wire_id, with_ids

OFTEN = timedelta(seconds=10)
SELDOM = timedelta(minutes=10)
AFTER_ERROR = timedelta(minutes=2)
TRUSTED = timedelta(days=2)  # for so long a callback counts as working after it brought something
OVERLAP = timedelta(minutes=15)  # clocks differ, and phones hand messages to their provider late:
LATE = timedelta(days=1)  # once an hour we look back so far
NEEDED = {Feature.SEARCH, Feature.INBOUND}
LOCKED = 60.0  # seconds


def due() -> list[int]:
    """The accounts that are to be asked now: what the clock calls workers for."""
    kinds = [kind for kind in registry.kinds() if registry.adapter_class(kind).supports >= NEEDED]
    able = ProviderAccount.objects.filter(kind__in=kinds, enabled=True)
    late = able.exclude(listening__next_at__gt=timezone.now())
    return list(late.values_list("pk", flat=True))


def poll(account_id: int) -> int:
    """Ask for what was received since the last time. Returns how many messages were new.

    One run at a time for an account. When the rate limit has no place, or the provider no answer, the next run asks
    for the same again.
    """
    lock = f"messaging-listen-{account_id}"
    if not cache.add(lock, True, LOCKED):
        return 0
    try:
        return _run(ProviderAccount.objects.get(pk=account_id))
    finally:
        cache.delete(lock)


def _run(account: ProviderAccount) -> int:
    row, _new = Listening.objects.get_or_create(account=account, defaults={"since": account.created_at})
    asker, now = Asker(account), timezone.now()
    found = None
    if asker.reserve():
        back = OVERLAP if row.since.hour == now.hour else LATE
        found = asker.ask(
            ReadMessages(status=Status.RECEIVED, start=max(row.since - back, account.created_at - OVERLAP))
        )
    if found is None:
        _again(row, AFTER_ERROR if asker.error else OFTEN)
        return 0
    missed = _unknown(account, found)
    made = [message for info in missed if (message := inbound.receive(account, _as_inbound(info)))]
    works = not made and row.pushed_at is not None and row.pushed_at > now - TRUSTED
    _again(row, SELDOM if works else OFTEN, since=now, **({"pushed_at": None} if made else {}))
    return len(made)


def _again(row: Listening, after: timedelta, **values: Any) -> None:
    Listening.objects.filter(pk=row.pk).update(next_at=timezone.now() + after, **values)


def _unknown(account: ProviderAccount, found: Sequence[MessageInfo]) -> list[MessageInfo]:
    """Those that are not stored yet, oldest first. What has no id could not be told apart."""
    here = [info for info in found if info.status is Status.RECEIVED and wire_id(info.id)]
    stored = with_ids(Message.objects.exclude(provider_id=""), account.pk, [info.id for info in here])
    known = set(stored.filter(status=Status.RECEIVED).values_list("provider_id", flat=True))
    far = timezone.now()
    return sorted((i for i in here if i.id not in known), key=lambda i: i.delivered_at or i.sent_at or far)


def _as_inbound(info: MessageInfo) -> Inbound:
    return Inbound(
        info.id,
        info.number,
        info.text,
        type=info.type,
        attachments=info.attachments,
        device=info.device,
        sim=info.sim,
        received_at=info.sent_at,
        stored_at=info.delivered_at,
    )


def pushed(account: ProviderAccount) -> None:
    """The account's callback brought a received message."""
    now = timezone.now()
    known = Listening.objects.filter(account=account)
    if known.filter(pushed_at__gt=now - OFTEN).exists():
        return
    if not known.update(pushed_at=now):
        Listening.objects.bulk_create(
            [Listening(account=account, since=account.created_at, pushed_at=now)], ignore_conflicts=True
        )
