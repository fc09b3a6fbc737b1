"""What the background workers run for contacts. Each may run twice, late or never; the rows say what is to be done."""

from __future__ import annotations

from . import changes, remote


def mirror(account_id: int) -> None:
    """Tell an account what changed on its lists."""
    remote.work(account_id)


def change(pk: int, worker: str) -> None:
    """Go on with a bulk change."""
    changes.work(pk, worker)
