"""smsdash's settings, and a view that does nothing beside the others."""

from smsdash.settings import *  # noqa: F403

ROOT_URLCONF = "bench.web_urls"
