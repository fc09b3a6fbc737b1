"""What the message pages are drawn with.

{% log_query filters status="failed" %}   the log's URL for these filters with that change
{% request_text exchange %}               the request of an exchange as it went over the wire; so reply_text, as_curl
{% waiting_by_account as waiting %}       the kept counts of what has not left; {{ waiting|of:account.pk }}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import template
from django.urls import reverse

from messaging import timeline, waiting
from messaging.log import Filters

register = template.Library()

for reader in (timeline.request_text, timeline.reply_text, timeline.as_curl):
    register.simple_tag(reader)
register.simple_tag(waiting.by_account, name="waiting_by_account")


@register.simple_tag
def log_query(filters: Filters, **changes: Any) -> str:
    return f"{reverse('messaging-log')}?{filters.query(**changes)}".removesuffix("?")


@register.filter
def of(counts: Mapping[int, int], key: int) -> int:
    return counts.get(key, 0)
