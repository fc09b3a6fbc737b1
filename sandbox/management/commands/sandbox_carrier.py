"""The carrier's agent as a process: posts reports until it is told to stop or its parent is gone."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from sandbox import agent

logger = logging.getLogger(__name__)

POLL = 0.15  # seconds
AFTER_FAULT = 2.0  # seconds until a database that failed is asked again


class Command(BaseCommand):
    help = "Post the sandbox's delivery reports, received messages and USSD answers. SIGTERM stops it."

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        run(stop)


def run(stop: threading.Event) -> None:
    """Tick until ``stop`` is set or the process that started us has died."""
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        stop.wait(once())


def once() -> float:
    """One tick; the seconds to wait before the next."""
    close_old_connections()
    try:
        return 0.0 if agent.tick() else POLL
    except DatabaseError as error:
        logger.warning("The sandbox's database failed, it is asked again in a moment: %s", error)
        return AFTER_FAULT
