"""What waits of a campaign, moved all at once: put aside while the campaign may not send, brought back, or canceled.

A parked message is scheduled for its own time and a thousand years, so it is in nobody's way, and comes back to its
place in the queue. Only what surely is not on its way is moved: whoever calls has closed the gate of the accounts
(gate.py), and locked the campaign.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from providers.types import Status

from . import gate, ledger, wakeup
from .ledger import Change, Known
from .models import Campaign, Message

SLICE = 10_000  # messages that are moved in one transaction
FAR = timedelta(days=365_250)
BEYOND = datetime(2900, 1, 1, tzinfo=UTC)  # what is scheduled for later than that is parked
CODE = "campaign_paused"
State = Campaign.State


def values() -> dict[str, Any]:
    """What a parked message says of why it waits."""
    return {"error_code": CODE, "error_text": _("Its campaign is paused, or waits for approval.")}


def parks(state: str) -> bool:
    """Whether messages of a campaign in this state are put aside."""
    return state in (State.PAUSED, State.APPROVAL)


def leaves_at(message: Message) -> datetime | None:
    """The time that a waiting message has; None: that is over, and it is put aside."""
    if message.due_at < BEYOND:
        return message.due_at
    time = message.due_at - FAR
    return time if time > timezone.now() else None


def needs_gate(state: str) -> bool:
    """Whether anything is taken out of a queue for this state to hold."""
    return state != State.SENDING


def move(campaign: Campaign, flying: Collection[int], after: int = 0) -> int | None:
    """The next slice of what the campaign's state asks for. ``after``: what the last one returned; None: that is all.

    In the caller's transaction.
    """
    if campaign.state == State.SENDING:
        parked = Message.objects.filter(campaign=campaign, status=Status.SCHEDULED, due_at__gte=BEYOND)
        return 0 if _move(campaign, parked.order_by("due_at", "id"), ()) else None
    waiting = Message.objects.filter(campaign=campaign, status__in=(Status.SCHEDULED, Status.QUEUED), pk__gt=after)
    return _move(campaign, waiting.order_by("id"), flying)


def clear_way(campaign: Campaign, account_id: int) -> None:
    """Take the next of the campaign's messages out of the account's queue, thousands at once. In a transaction."""
    queue = Message.objects.filter(account=account_id, status=Status.QUEUED, priority=campaign.priority)
    with gate.closed([account_id]) as flying:
        _move(campaign, queue.filter(campaign=campaign).order_by("due_at", "id"), flying)


def end_with_campaign(ids: Iterable[int]) -> None:
    """Cancel those of these queued messages whose campaign was canceled while they were in doubt."""
    theirs = Message.objects.filter(pk__in=list(ids), campaign__state=State.CANCELED)
    rows = theirs.values_list("pk", "campaign__state_by")
    ledger.apply(Change(pk, Status.CANCELED, _end(by)) for pk, by in rows)


def _move(campaign: Campaign, rows: QuerySet[Message], flying: Collection[int]) -> int | None:
    """The last id that was looked at; None: there are no more."""
    columns = ("id", "status", "account_id", "created_at", "due_at")
    ids = list(rows.exclude(pk__in=flying).values_list("pk", flat=True)[:SLICE])
    # in the order in which everybody locks; whoever was quicker may have moved some of them
    locked = rows.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    found = list(locked.values_list(*columns))
    groups: dict[tuple[str, bool, bool], dict[int, Known]] = defaultdict(dict)
    now = timezone.now()
    for pk, status, account, created_at, due_at in found:
        parked = due_at >= BEYOND
        due = (due_at - FAR if parked else due_at) <= now
        groups[status, parked, due][pk] = Known(Status(status), account, campaign.pk, ledger.hour_of(created_at))
    for (_status, parked, due), group in groups.items():
        _move_alike(campaign, group, parked, due)
    return ids[-1] if len(ids) == SLICE else None


def _move_alike(campaign: Campaign, rows: dict[int, Known], parked: bool, due: bool) -> None:
    if parks(campaign.state):
        if not parked:
            ledger.move(rows, Status.SCHEDULED, due_at=F("due_at") + FAR, **values())
        return
    back = {"due_at": F("due_at") - FAR} if parked else {}
    if campaign.state == State.CANCELED:
        ledger.move(rows, Status.CANCELED, **back, **_end(campaign.state_by))
    elif parked:
        to = Status.QUEUED if due else Status.SCHEDULED
        ledger.move(rows, to, **back, error_code="", error_text="")
        for account in sorted({known.account_id for known in rows.values()} if due else ()):
            wakeup.drain(account)


def _end(by: str) -> dict[str, Any]:
    text = _("Canceled with its campaign by %s.") % by if by else _("Canceled with its campaign.")
    return {"error_code": "canceled", "error_text": text[:300], "done_at": timezone.now()}
