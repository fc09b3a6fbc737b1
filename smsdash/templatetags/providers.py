"""What the account pages are drawn with."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from django import template
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from providers.types import Feature

register = template.Library()

WORDS: Mapping[Feature, Promise] = {
    Feature.SENDER_ID: _("Sender ID"),
    Feature.SCHEDULE: _("Scheduling"),
    Feature.CREDITS: _("Credits"),
    Feature.STATUS: _("Status by request"),
    Feature.REPORTS: _("Delivery reports"),
    Feature.INBOUND: _("Replies"),
    Feature.WEBHOOKS: _("Webhook setup"),
    Feature.MMS: _("MMS"),
    Feature.DEVICES: _("Phones and SIMs"),
    Feature.USSD: _("USSD"),
    Feature.CONTACTS: _("Contact lists"),
    Feature.PRIORITY: _("Priority"),
}


@register.filter
def abilities(supports: Collection[Feature]) -> list[Promise]:
    """In words for people, in one order for all kinds; what everybody or nobody cares about is left out."""
    return [word for feature, word in WORDS.items() if feature in supports] or [_("Sending only")]
