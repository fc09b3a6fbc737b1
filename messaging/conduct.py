"""What becomes of a campaign: how it stands, by kept counts, and what an operator does with it.

A state holds from the moment the function that sets it returns: the lanes of the accounts see it before anything else
leaves (gate.py, admission.py). The rows follow in the background, slice by slice (``step``).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from providers.models import ProviderAccount
from providers.types import Status

from . import bulk, gate, ledger, parking, wakeup
from .expanding import END
from .ledger import WAITING
from .log import Filters
from .models import BulkAction, Campaign, Tally

APPROVE = "messaging.approve_campaign"
LATE = "opted_out_late"  # key of Campaign.skipped: opted out when they should have been handed over, so canceled rows
WHOLE = 60.0  # seconds of which the rate is told
APART = 5.0  # seconds between two looks that the rate is told from
S, State = Status, Campaign.State


# --- How it stands ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of the recipients, each in one of the parts; ``delivered`` of those ``sent`` are known to have it.

    ``waiting``: those whose message is not made yet among them. ``reasons``: why how many were skipped.
    """

    sent: int
    delivered: int
    failed: int
    skipped: int
    canceled: int
    waiting: int
    uncertain: int
    reasons: Mapping[str, int]

    @property
    def recipients(self) -> int:
        return self.sent + self.failed + self.skipped + self.canceled + self.waiting + self.uncertain


def counts_of(campaign_id: int) -> Counter[str]:
    """The kept counts of its messages by status."""
    kept = Tally.objects.filter(account_id=0, campaign_id=campaign_id, hour=0)
    return Counter(dict(kept.values_list("status", "n")))


def balance(campaign: Campaign, counts: Mapping[str, int] | None = None) -> Balance:
    """``counts``: as ``counts_of`` has them, read after the campaign."""
    n = Counter(counts_of(campaign.pk) if counts is None else counts)
    reasons = Counter(campaign.skipped)
    late = reasons.pop(LATE, 0)
    unmade = max(0, campaign.total - reasons.total() - n.total())
    reasons["opted_out"] += late
    canceled = campaign.state == State.CANCELED
    return Balance(
        sent=n[S.SENT] + n[S.DELIVERED],
        delivered=n[S.DELIVERED],
        failed=n[S.FAILED] + n[S.EXPIRED],
        skipped=reasons.total(),
        canceled=n[S.CANCELED] - late + (unmade if canceled else 0),
        waiting=sum(n[status] for status in WAITING) + (0 if canceled else unmade),
        uncertain=n[S.UNCERTAIN],
        reasons=+reasons,
    )


def state(campaign: Campaign, counts: Mapping[str, int] | None = None) -> str:
    """``approval``, ``held`` (may be undone until it is due), ``scheduled``, ``preparing``, ``sending``, ``paused``,
    ``finished`` or ``canceled``. Not finished while the end of anybody's message is not known."""
    if campaign.state != State.SENDING:
        return campaign.state
    n = Counter(counts_of(campaign.pk) if counts is None else counts)
    found = balance(campaign, n)
    if campaign.due_at > timezone.now() and (found.waiting or not campaign.complete):
        undo = timedelta(seconds=settings.SMSDASH_UNDO_SECONDS + 1)
        return "held" if campaign.due_at - (campaign.state_at or campaign.created_at) <= undo else "scheduled"
    listed = 0 < campaign.cursor < END
    if not campaign.complete and (listed or found.waiting > sum(n[status] for status in WAITING)):
        return "preparing"
    return "sending" if found.waiting or found.uncertain or not campaign.complete else "finished"


@dataclass(frozen=True, slots=True)
class Progress:
    """``rate``: messages a minute, over the last one if somebody watched. ``left``: time to the end; None: unknown."""

    rate: float
    left: timedelta | None


def progress(campaign: Campaign, counts: Mapping[str, int] | None = None) -> Progress:
    found = balance(campaign, counts)
    if campaign.state != State.SENDING or not found.waiting:
        return Progress(0.0, None)
    rate = _rate(campaign, found.sent + found.failed + found.uncertain)
    return Progress(rate, timedelta(minutes=found.waiting / rate) if rate > 0 else None)


def _rate(campaign: Campaign, done: int) -> float:
    """Messages a minute, from earlier looks; at the first look since it was due."""
    key, now = f"campaign-rate-{campaign.pk}", time.time()
    looks = [look for look in cache.get(key, []) if now - WHOLE <= look[0] <= now]
    if not looks or now - looks[-1][0] >= APART:
        cache.set(key, [*looks, (now, done)], 2 * WHOLE)
    start = looks[0] if looks and now - looks[0][0] >= APART else (campaign.due_at.timestamp(), 0)
    return max(0.0, 60 * (done - start[1]) / max(1.0, now - start[0]))


# --- What is done with it --------------------------------------------------------------------------------


def pause(campaign: Campaign, by: object, reason: str = "") -> bool:
    """Nothing of it leaves any more, but for requests on their way. ``by``: a user or a name; empty: smsdash itself."""
    return _change(campaign, {State.SENDING}, State.PAUSED, by, reason)


def resume(campaign: Campaign, by: object) -> bool:
    """It goes on where it was."""
    fresh = {"failed_in_a_row": 0, "undelivered_in_a_row": 0}
    return _change(campaign, {State.PAUSED}, State.SENDING, by, **fresh)


def cancel(campaign: Campaign, by: object, reason: str = "") -> bool:
    """What has not left does not go any more. What is uncertain is left to the operator."""
    return _change(campaign, {State.APPROVAL, State.SENDING, State.PAUSED}, State.CANCELED, by, reason)


def reject(campaign: Campaign, user: Any, reason: str = "") -> bool:
    """Instead of an approval. Raises PermissionDenied."""
    _may_approve(user)
    return _change(campaign, {State.APPROVAL}, State.CANCELED, user, reason)


def approve(campaign: Campaign, user: Any) -> bool:
    """Let it send: what waits for a time goes then. Raises PermissionDenied: nobody approves what they sent."""
    _may_approve(user)
    if campaign.created_by_id == user.pk:
        raise PermissionDenied
    return _change(campaign, {State.APPROVAL}, State.SENDING, user)


def resend_failed(campaign: Campaign, user: Any, token: str = "") -> BulkAction:
    """Send once more what failed, as messages of their own (resend.py), in the background. The same token twice, or
    two clicks on one campaign while nothing new failed, make one action."""
    counts = counts_of(campaign.pk)
    token = token or f"campaign-{campaign.pk}-{counts[S.FAILED]}"
    return bulk.start("resend", Filters(campaign=campaign.pk, status=S.FAILED.value), {}, user, token)


def _may_approve(user: Any) -> None:
    if not user.has_perm(APPROVE):
        raise PermissionDenied


def _change(campaign: Campaign, of: Collection[str], to: str, by: object, reason: str = "", **values: Any) -> bool:
    """False: its state was another one. The first slice is done at once, the rest in the background."""
    with locked(campaign.pk, gate_too=True) as (row, flying):
        if row.state not in of:
            return False
        row.state, row.state_by, row.state_reason = to, str(by or "")[:150], reason[:300]
        row.state_at, row.complete = timezone.now(), False
        for name, value in values.items():
            setattr(row, name, value)
        row.save(update_fields=["state", "state_by", "state_reason", "state_at", "complete", *values])
        parking.move(row, flying)
        wakeup.expand(row.pk)
    campaign.refresh_from_db(fields=["state", "state_by", "state_reason", "state_at", "complete", *values])
    return True


@contextmanager
def locked(campaign_id: int, *, gate_too: bool) -> Iterator[tuple[Campaign, set[int]]]:
    """A transaction in which nobody else changes the campaign. ``gate_too``: nor does anything leave of the accounts
    that it may go through; with the ids of what is on its way. Locks are taken in this order everywhere: leases,
    campaign, messages, counts."""
    rows = Campaign.objects.defer("recipients")
    with ledger.together():
        if gate_too:
            with gate.closed(_accounts(rows.only("account", "route").get(pk=campaign_id))) as flying:
                yield rows.select_for_update(no_key=True).get(pk=campaign_id), flying
        else:
            yield rows.select_for_update(no_key=True).get(pk=campaign_id), set()


def _accounts(campaign: Campaign) -> list[int]:
    """Of a route messages may have been moved to any account."""
    if campaign.route_id is None:
        return [campaign.account_id]
    return list(ProviderAccount.objects.values_list("pk", flat=True))


def skip_late(campaigns: Mapping[int, int]) -> None:
    """Count people who opted out between the making of their message and the moment in which it should have left: how
    many, by campaign. In the transaction that cancels the messages."""
    for pk, n in sorted(campaigns.items()):
        campaign = Campaign.objects.select_for_update(no_key=True).only("skipped").get(pk=pk)
        campaign.skipped = {**campaign.skipped, LATE: campaign.skipped.get(LATE, 0) + n}
        campaign.save(update_fields=["skipped"])
