"""What the background workers do for imports. A task may run twice, late or never; the rows say what is to be done."""

from __future__ import annotations

import os
import select
import uuid

from . import importing


def work(pk: int, worker: str = "") -> None:
    """Go on with an import for a while, then queue the rest. ``worker`` empty: the beginning of a chain."""
    worker = worker or uuid.uuid4().hex
    if importing.work(pk, worker, stopping=_stopping):
        importing.go_on(pk, worker)


def _stopping() -> bool:
    """Whether the supervisor wants this process to finish (see smsdash/supervisor.py)."""
    descriptor = os.environ.get("SMSDASH_STOP_FD")
    return bool(descriptor and select.select([int(descriptor)], [], [], 0)[0])
