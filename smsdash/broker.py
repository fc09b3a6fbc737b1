"""The queue of wake-ups that django-q2 reads: its own, but one that outlives a database that is away for a moment.

Its pusher stands still for ten seconds after the first failure and then ends, and its leader never opens a connection
anew that the server closed. After a restart of PostgreSQL nothing was sent for as long.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connection
from django_q.brokers.orm import ORM

log = logging.getLogger(__name__)

AGAIN = 0.5  # seconds until a database that did not answer is asked again


class Broker(ORM):
    def dequeue(self) -> Any:
        with _patience():
            return super().dequeue()
        time.sleep(AGAIN)
        return None

    def set_stat(self, key: str, value: str, timeout: int) -> Any:
        with _patience():
            return super().set_stat(key, value, timeout)
        return None


@contextmanager
def _patience() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        log.error("The queue of wake-ups cannot be read: %s", error)
        connection.close()
