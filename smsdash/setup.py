"""What a start makes sure of: database, cache table, static files, roles, the first administrator, the demo."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from providers import encryption
from providers.models import ProviderAccount

from . import demo, roles

Say = Callable[[str], None]
PREPARING = 0x5D5  # the number of the advisory lock


def prepare(say: Say) -> None:
    """Do what is not done yet; a start with nothing to do takes no time. Raises CommandError with a sentence."""
    with _alone():
        _database(say)
        _keys()
        _static_files(say)
        roles.provide()
        _administrator(say)
        if settings.SMSDASH_DEMO and settings.SMSDASH_WEB:
            demo.load(say)


def _database(say: Say) -> None:
    if _ready():
        return
    say("Preparing the database …")
    call_command("migrate", interactive=False, verbosity=0)
    call_command("createcachetable", verbosity=0)


def _ready() -> bool:
    """Whether nothing is left to do; a first start may have been killed half way."""
    executor = MigrationExecutor(connection)
    migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return migrated and settings.CACHES["default"]["LOCATION"] in connection.introspection.table_names()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Those that start together, over one data directory or one PostgreSQL, make ready one after the other."""
    with Path(settings.DATA_DIR, "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        if connection.vendor != "postgresql":
            yield
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [PREPARING])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [PREPARING])


def _keys() -> None:
    """Workers that can read nobody's credentials would only take wake-ups from the others.

    A web server does start: on its pages the credentials can be typed in anew.
    """
    accounts = list(ProviderAccount.objects.values_list("pk", flat=True))
    if accounts and not settings.SMSDASH_WEB and not any(_readable(pk) for pk in accounts):
        raise CommandError(
            "The accounts' credentials were encrypted with a key that this machine does not have. "
            "Set SMSDASH_FIELD_KEYS to the content of “field-key” in the first machine's data directory."
        )


def _readable(account: int) -> bool:
    try:
        ProviderAccount.objects.get(pk=account)
    except encryption.Locked:
        return False
    return True


def _static_files(say: Say) -> None:
    stamp = Path(settings.DATA_DIR, "static.stamp")
    state = _static_state()
    if stamp.exists() and stamp.read_text() == state:
        return
    say("Collecting static files …")
    unused = ["redoc.*"]  # the other way in which django-ninja could show the reference of /v1
    call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=unused)
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
