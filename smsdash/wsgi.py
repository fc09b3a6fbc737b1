from __future__ import annotations

import gc
import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

from . import chunked

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smsdash.settings")
application = chunked.with_length(get_wsgi_application())
get_resolver().check()  # the views are loaded before the first request needs them
gc.collect()
gc.freeze()  # what is there now stays: looking through it again and again costs every request
