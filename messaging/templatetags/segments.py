"""Template tag for the counter under a text field."""

from __future__ import annotations

import json

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from messaging.segments import browser_tables

register = template.Library()


@register.simple_tag
def gsm_alphabet_attributes() -> SafeString:
    """Data attributes for ``static/js/segments.js``, each value in JSON.

    ASCII alone, so that no HTML parser or minifier touches a line end or a form feed. Put it on one element:
    ``<form {% gsm_alphabet_attributes %}>``.
    """
    pairs = ((name, json.dumps(table)) for name, table in browser_tables().items())
    return format_html_join(" ", 'data-{}="{}"', pairs)
