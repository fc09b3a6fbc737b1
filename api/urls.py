"""Where the wire APIs are served: each below the end of its base URL, as its Dialect says."""

from __future__ import annotations

import re

from django.urls import re_path

from providers import registry

from . import compat

_SERVED = [
    (kind, kind.adapter.base_url_ends + path) for kind in registry.kinds().values() for path in kind.dialect.paths
]
BEGINNINGS = tuple(beginning for _kind, beginning in _SERVED)

urlpatterns = [
    re_path(f"^{re.escape(path[1:])}" + ("" if path.endswith("/") else "/?$"), compat.wire, {"kind": kind.slug})
    for kind, path in _SERVED
]
