"""Giving messages that have not left another time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from providers.types import Status

from . import gate, ledger, wakeup, windows
from .ledger import Change
from .models import Campaign, Message

MOVABLE = ledger.FROM[Status.CANCELED]


def reschedule(ids: Iterable[int], moment: datetime, by: str) -> int:
    """Let those that still wait leave at ``moment`` (now, if that is over), or when sending hours next allow it.

    What is on its way or over stays as it is, and so does what would have expired by then. ``by``: who, for the
    message's page. Returns how many were moved.
    """
    waiting = Message.objects.filter(pk__in=list(ids), status__in=MOVABLE)
    accounts = set(waiting.values_list("account_id", flat=True))
    with gate.closed(accounts) as flying:
        locked = waiting.select_for_update(of=("self",), no_key=True).select_related("account")
        here = locked.filter(account_id__in=accounts).order_by("pk")
        due = _due([message for message in here if message.pk not in flying], moment)
        note = {"provider_status": f"rescheduled by {by}"[:40], "error_code": "", "error_text": ""}
        # one that was scheduled is moved by way of the queue: nothing leaves it in here
        moved = ledger.apply(Change(pk, Status.QUEUED, {**note, "due_at": at}) for pk, at in due.items())
        now = timezone.now()
        ledger.apply(Change(pk, Status.SCHEDULED) for pk in moved if due[pk] > now)
        for pk in accounts:
            wakeup.drain(pk)
    return len(moved)


def _due(messages: list[Message], moment: datetime) -> dict[int, datetime]:
    """When each of them may leave; without those whose time is over by then."""
    moment = max(moment, timezone.now())
    timed = Campaign.objects.filter(~Q(hours=""), pk__in={m.campaign_id for m in messages})
    campaigns = timed.defer("recipients", "text").in_bulk()
    groups: dict[tuple[int, int | None], list[Message]] = defaultdict(list)
    for m in messages:
        groups[m.account_id, m.campaign_id if m.campaign_id in campaigns and not m.priority else None].append(m)
    due: dict[int, datetime] = {}
    for (_account, campaign), group in groups.items():
        its = campaigns[campaign] if campaign else None
        opens = windows.earliest(group[0].account, its, [m.number for m in group], moment)
        due |= {m.pk: at for m, at in zip(group, opens, strict=True) if not m.expires_at or at < m.expires_at}
    return due
