"""Settling by hand what nobody can tell: the provider may have taken these messages, or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from providers.types import Status

from . import ledger, wakeup
from .ledger import Change
from .models import Message


def count_as_sent(ids: Iterable[int], by: str) -> int:
    """The operator knows, or decides, that the provider took them. Returns how many were settled."""
    now = timezone.now()
    note = {"provider_status": f"counted as sent by {by}"[:40], "error_code": "", "error_text": "", "sent_at": now}
    return len(_settle(ids, Status.SENT, note))


def send_again(ids: Iterable[int]) -> int:
    """The operator asks for it, knowing that they may arrive twice. Returns how many were queued again."""
    again = {"due_at": timezone.now(), "poll_at": None, "error_code": "", "error_text": ""}
    moved = _settle(ids, Status.QUEUED, again)
    for account in Message.objects.filter(pk__in=moved).values_list("account_id", flat=True).distinct():
        wakeup.drain(account)
    return len(moved)


def _settle(ids: Iterable[int], to: Status, values: Mapping[str, Any]) -> list[int]:
    with transaction.atomic():
        # only these: a message on its way may be queued again too, but not by a person
        uncertain = Message.objects.select_for_update(no_key=True).filter(pk__in=list(ids), status=Status.UNCERTAIN)
        rows = uncertain.order_by("pk").values_list("pk", flat=True)
        return list(ledger.apply(Change(pk, to, values) for pk in rows))
