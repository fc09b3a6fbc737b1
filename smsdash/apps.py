from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

FORSAKEN = 60  # seconds; no transaction of ours waits for anything but the database


class SmsdashConfig(AppConfig):
    name = "smsdash"

    def ready(self) -> None:
        connection_created.connect(_end_forsaken_transactions)


def _end_forsaken_transactions(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """A machine that stands still in the middle of a transaction does not keep its locks from the others for long."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = '{FORSAKEN}s'")
