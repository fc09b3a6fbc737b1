"""A campaign that fails again and again pauses itself, with the reason of the last failure.

There are two streaks: messages that the provider refused since it last took one, and reports of a failure since the
last one of a delivery (what was taken says nothing about those). Nothing is written while all goes well: a streak that
this process knows of, or has read, is ended, and others are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from providers.types import Status

from . import conduct
from .ledger import Change, Known
from .models import Campaign

REFUSED, UNDELIVERED = "failed_in_a_row", "undelivered_in_a_row"
MOST_KNOWN = 1_000

_running: dict[int, None] = {}  # campaigns that may have refused messages in a row


class Streak(NamedTuple):
    """``n`` failures at the end, after a success if it was ``broken``. ``last``: why the last one failed."""

    n: int = 0
    broken: bool = False
    last: str = ""

    def then(self, change: Change, success: Status) -> Streak:
        if change.to is Status.FAILED:
            return Streak(self.n + 1, self.broken, str(change.values.get("error_text", "")))
        return Streak(0, True) if change.to in (success, Status.DELIVERED) else self


def know(campaigns: Iterable[Campaign]) -> None:
    """They were read just now."""
    for campaign in campaigns:
        if campaign.failed_in_a_row:
            _running[campaign.pk] = None


def of_outcomes(changes: Iterable[Change], known: Mapping[int, Known]) -> None:
    """Messages that were handed over, in the transaction that settles them."""
    found: dict[int, Streak] = {}
    for change in changes:
        if pk := known[change.id].campaign_id:
            found[pk] = found.get(pk, Streak()).then(change, Status.SENT)
    for pk, streak in sorted(found.items()):
        if streak.n or (streak.broken and pk in _running):
            _running.pop(pk, None)
            if streak.n and len(_running) < MOST_KNOWN:
                _running[pk] = None
            _keep(pk, REFUSED, streak)


def of_reports(changes: Iterable[Change], campaigns: Mapping[int, Campaign | None]) -> None:
    """Reports that moved messages, in the same transaction. ``campaigns``: by message, with their streak as read."""
    found: dict[int, Streak] = {}
    running: set[int] = set()
    for change in changes:
        if campaign := campaigns[change.id]:
            found[campaign.pk] = found.get(campaign.pk, Streak()).then(change, Status.DELIVERED)
            running |= {campaign.pk} if campaign.undelivered_in_a_row else set()
    for pk, streak in sorted(found.items()):
        if streak.n or (streak.broken and pk in running):
            _keep(pk, UNDELIVERED, streak)


def _keep(campaign_id: int, column: str, streak: Streak) -> None:
    campaign = Campaign.objects.select_for_update(no_key=True).only("state", column).get(pk=campaign_id)
    n = streak.n if streak.broken else streak.n + getattr(campaign, column)
    Campaign.objects.filter(pk=campaign_id).update(**{column: n})
    most = settings.SMSDASH_STOP_AFTER_FAILURES
    if 0 < most <= n and campaign.state == Campaign.State.SENDING:
        transaction.on_commit(partial(_pause, campaign_id, column, n, streak.last))


def _pause(campaign_id: int, column: str, n: int, last: str) -> None:
    if column == REFUSED:
        said = ngettext("%(n)d message was refused.", "%(n)d messages in a row were refused.", n)
    else:
        said = ngettext("%(n)d message was not delivered.", "%(n)d messages in a row were not delivered.", n)
    reason = said % {"n": n}
    if last:
        reason = _("%(said)s The last one: %(reason)s") % {"said": reason, "reason": last}
    conduct.pause(Campaign.objects.defer("recipients").get(pk=campaign_id), "", reason)
