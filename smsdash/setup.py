"""What a start makes sure of: database, cache table, static files, the first administrator, the demo."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from . import demo

Say = Callable[[str], None]
MIGRATING = 0x5D5  # the number of the advisory lock


def prepare(say: Say) -> None:
    """Do what is not done yet; a start with nothing to do takes no time."""
    _database(say)
    _static_files(say)
    _administrator(say)
    if settings.SMSDASH_DEMO and settings.SMSDASH_WEB:
        demo.load(say)


def _database(say: Say) -> None:
    if _ready():
        return
    say("Preparing the database …")
    with _alone():
        if not _ready():
            call_command("migrate", interactive=False, verbosity=0)
            call_command("createcachetable", verbosity=0)


def _ready() -> bool:
    """Whether nothing is left to do; a first start may have been killed half way."""
    executor = MigrationExecutor(connection)
    migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return migrated and settings.CACHES["default"]["LOCATION"] in connection.introspection.table_names()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Hosts that start together over one PostgreSQL migrate one after the other."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATING])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATING])


def _static_files(say: Say) -> None:
    stamp = Path(settings.DATA_DIR, "static.stamp")
    state = _static_state()
    if stamp.exists() and stamp.read_text() == state:
        return
    say("Collecting static files …")
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(state)


def _static_state() -> str:
    digest = hashlib.sha256()
    for finder in get_finders():
        for path, storage in finder.list([]):
            stat = os.stat(storage.path(path))
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _administrator(say: Say) -> None:
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return
    password = os.environ.get("SMSDASH_ADMIN_PASSWORD") or secrets.token_urlsafe(12)
    users.create_superuser("admin", "", password)
    if not os.environ.get("SMSDASH_ADMIN_PASSWORD"):
        say(f"admin password: {password}")
