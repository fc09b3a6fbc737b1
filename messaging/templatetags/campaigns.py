"""What the pages of campaigns are drawn with.

{% state_pill shown.state %}                  icon and word
{% balance_bar balance campaign counts %}     the recipients by what became of them, each part a link into the log
{% balance_bar balance %}                     the same without links
{{ balance.failed|share:balance.recipients }}    '2.5 %'
{{ progress.left|lasting }}                      '2 hours'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.timesince import timesince
from django.utils.translation import gettext_lazy as _

from messaging.conduct import Balance
from messaging.models import Campaign
from providers.types import Status

register = template.Library()

S = Status
WIDTH = 1000.0
LEAST = 4.0  # so wide is what there is at all, though it be one of a million
LOOKS: Mapping[str, tuple[str, str, str | Promise]] = {
    "approval": ("warn", "user-check", _("Waits for approval")),
    "held": ("info", "hourglass", _("Leaves in a moment")),
    "preparing": ("info sending", "loader-circle", _("Being prepared")),
    "scheduled": ("quiet", "calendar-clock", _("Scheduled")),
    "sending": ("info sending", "send-horizontal", _("Sending")),
    "paused": ("warn", "pause", _("Paused")),
    "finished": ("ok", "circle-check", _("Finished")),
    "canceled": ("quiet", "ban", _("Canceled")),
}


@dataclass(frozen=True, slots=True)
class Segment:
    """``kind``: its colour. ``status``: what the log shows of it; empty: nothing."""

    kind: str
    label: str | Promise
    n: int
    status: str
    x: float = 0.0
    width: float = 0.0

    @property
    def title(self) -> str:
        return f"{self.label}: {intcomma(self.n)}"


@register.inclusion_tag("messaging/state.html")
def state_pill(state: str) -> dict[str, Any]:
    tone, icon, word = LOOKS[state]
    return {"tone": tone, "icon_name": icon, "word": word}


@register.inclusion_tag("messaging/balance.html")
def balance_bar(
    balance: Balance, campaign: Campaign | None = None, counts: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """``counts``: the campaign's kept counts by status."""
    log = f"{reverse('messaging-log')}?campaign={campaign.pk}&status=" if campaign else ""
    return {"segments": segments(balance, counts or {}), "width": WIDTH, "log": log}


def segments(balance: Balance, counts: Mapping[str, int]) -> list[Segment]:
    """Side by side from the left, as wide as their share."""
    all_of: list[tuple[str, str | Promise, int, tuple[str, ...]]] = [
        ("delivered", _("Delivered"), balance.delivered, (S.DELIVERED,)),
        ("sent", _("Sent"), balance.sent - balance.delivered, (S.SENT,)),
        ("uncertain", _("Uncertain"), balance.uncertain, (S.UNCERTAIN,)),
        ("failed", _("Failed"), balance.failed, (S.FAILED, S.EXPIRED)),
        ("skipped", _("Skipped"), balance.skipped, ()),
        ("canceled", _("Canceled"), balance.canceled, (S.CANCELED,)),
        ("waiting", _("Waiting"), balance.waiting, (S.QUEUED, S.SCHEDULED, S.SENDING)),
    ]
    there = [
        Segment(kind, label, n, next((status for status in statuses if counts.get(status)), ""))
        for kind, label, n, statuses in all_of
        if n > 0
    ]
    total = sum(one.n for one in there)
    widths = [max(LEAST, WIDTH * one.n / total) for one in there]
    fit, x, found = WIDTH / sum(widths, 0.0) if widths else 1.0, 0.0, []
    for one, width in zip(there, widths, strict=True):
        found.append(Segment(one.kind, one.label, one.n, one.status, round(x, 2), round(width * fit, 2)))
        x += width * fit
    return found


@register.filter
def share(n: int, total: int) -> str:
    """In percent; what is not quite none or all never looks like it."""
    percent = 100 * n / total if total else 0.0
    if 0 < percent < 0.1 or 99.9 < percent < 100:
        return "< 0.1\u202f%" if percent < 1 else "> 99.9\u202f%"
    return f"{percent:.1f}\u202f%".replace(".0\u202f", "\u202f")


@register.filter
def lasting(span: timedelta) -> str:
    if span < timedelta(minutes=1):
        return str(_("under a minute"))
    now = timezone.now()
    return timesince(now, now + span, depth=1)
