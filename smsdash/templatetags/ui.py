"""What every page is drawn with: icons, status pills, times, form fields.

{% load ui %}
{% icon "plug" %}                     any lucide icon; those of table rows come from the sprite in base.html
{% status_pill message.status %}      icon and word
{% when message.created_at %}         local, short; everything on hover
{% ago device.last_seen %}            '3 minutes ago'
{% field form.name %}                 label, input, help, errors
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache

import lucide
from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.forms import BoundField, CheckboxInput
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from messaging.models import STATUSES
from providers.models import pretty_amount
from providers.types import Status

register = template.Library()

S = Status
LOOKS: Mapping[str, tuple[str, str]] = {
    S.SCHEDULED: ("quiet", "calendar-clock"),
    S.QUEUED: ("quiet", "clock"),
    S.SENDING: ("info sending", "send-horizontal"),
    S.SENT: ("info", "check"),
    S.DELIVERED: ("ok", "check-check"),
    S.FAILED: ("bad", "circle-x"),
    S.EXPIRED: ("warn", "timer-off"),
    S.CANCELED: ("quiet", "ban"),
    S.UNCERTAIN: ("warn", "circle-question-mark"),
    S.RECEIVED: ("quiet", "arrow-down-left"),
}
"""Status to tone and icon. Amber wants a person's attention, red is failure alone."""

SPRITE = frozenset(icon for _, icon in LOOKS.values()) | {
    "triangle-alert", "circle-alert", "circle-check", "info", "image", "smartphone", "pause", "chevron-right",
}  # fmt: skip
WORDS: Mapping[str, str | Promise] = dict(STATUSES)


@cache
def _drawn(name: str) -> SafeString:
    """Raises lucide.IconDoesNotExist."""
    svg = lucide._render_icon(name, None, **{"class": "icon", "aria-hidden": "true", "focusable": "false"})
    svg = svg.replace(' width="24" height="24"', "")
    return mark_safe(" ".join(svg.split()))


@register.simple_tag
def icon(name: str) -> SafeString:
    if name in SPRITE:
        return format_html('<svg class="icon" aria-hidden="true"><use href="#i-{}"/></svg>', name)
    return _drawn(str(name))


@register.simple_tag
@cache
def sprite() -> SafeString:
    """The symbols that ``icon`` points to; once in a page."""
    symbols = (
        str(_drawn(name))
        .replace("<svg ", f'<symbol id="i-{name}" ')
        .replace("</svg>", "</symbol>")
        .replace(' class="icon" aria-hidden="true" focusable="false"', "")
        for name in sorted(SPRITE)
    )
    return mark_safe(f"<svg hidden>{''.join(symbols)}</svg>")


@register.simple_tag
def pill(tone: str, icon_name: str, word: str | Promise) -> SafeString:
    return format_html('<span class="pill {}">{}{}</span>', tone, icon(icon_name), word)


@register.simple_tag
def status_pill(status: str) -> SafeString:
    tone, icon_name = LOOKS[status]
    return pill(tone, icon_name, WORDS[status])


@register.simple_tag
def when(moment: datetime | None, empty: str = "–") -> SafeString | str:
    """The time alone today, with the day otherwise, with the year when it is another one."""
    if moment is None:
        return empty
    local, today = timezone.localtime(moment), timezone.localdate()
    short = "H:i:s" if local.date() == today else "j M, H:i" if local.year == today.year else "j M Y"
    return _time(local, date_format(local, short))


@register.simple_tag
def ago(moment: datetime | None, empty: str = "–") -> SafeString | str:
    """'3 minutes ago', 'in 2 hours'."""
    if moment is None:
        return empty
    now = timezone.now()
    if abs((now - moment).total_seconds()) < 60:
        return _time(timezone.localtime(moment), _("just now"))
    past = moment < now
    span = timesince(*((moment, now) if past else (now, moment)), depth=1)
    return _time(timezone.localtime(moment), (_("%s ago") if past else _("in %s")) % span)


def _time(local: datetime, text: str) -> SafeString:
    title = date_format(local, "l, j F Y, H:i:s") + local.strftime(" %Z")
    return format_html('<time datetime="{}" title="{}">{}</time>', local.isoformat(), title, text)


@register.filter
def amount(value: Decimal | None) -> str:
    """Credits and costs: grouped, without trailing zeros."""
    return "–" if value is None else intcomma(pretty_amount(value))


@register.inclusion_tag("smsdash/field.html")
def field(bound: BoundField, label: str = "") -> dict[str, object]:
    """One form field. Its widget carries aria-describedby and aria-invalid by Django's own doing."""
    return {
        "field": bound,
        "label": label or bound.label,
        "is_check": isinstance(bound.field.widget, CheckboxInput),
    }
