"""What the message pages are drawn with.

{% log_query filters status="failed" %}   the log's URL for these filters with that change
{% request_text exchange %}               the request of an exchange as it went over the wire; so reply_text, as_curl
"""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse

from messaging import timeline
from messaging.log import Filters

register = template.Library()

for reader in (timeline.request_text, timeline.reply_text, timeline.as_curl):
    register.simple_tag(reader)


@register.simple_tag
def log_query(filters: Filters, **changes: Any) -> str:
    return f"{reverse('messaging-log')}?{filters.query(**changes)}".removesuffix("?")
