"""Where the wire APIs are served: each below the end of its base URL, as its Dialect says."""

from __future__ import annotations

import re

from django.urls import URLPattern, re_path

from providers import registry

from . import compat


def _patterns() -> list[URLPattern]:
    """What ends in a slash serves everything that begins so."""
    return [
        re_path(f"^{re.escape(beginning)}" + ("" if path.endswith("/") else "$"), compat.wire, {"kind": kind.slug})
        for kind in registry.kinds().values()
        for path in kind.dialect.paths
        if (beginning := (kind.adapter.base_url_ends + path).lstrip("/"))
    ]


urlpatterns = _patterns()
