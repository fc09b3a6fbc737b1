"""One drain at a time for an account, over any number of processes and machines."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from .models import Lease

LENGTH = timedelta(seconds=15)
_RENEWED = "UPDATE messaging_lease SET until = {} WHERE account_id = %s AND holder = %s RETURNING epoch"
_RENEW = {
    "postgresql": _RENEWED.format("statement_timestamp() + interval '15 seconds'"),
    "sqlite": _RENEWED.format("strftime('%%Y-%%m-%%d %%H:%%M:%%f', 'now', '+15 seconds')"),
}


class LeaseLost(Exception):
    """Somebody else drains the account now; this process stood still for longer than the lease."""


def acquire(account_id: int, holder: str) -> bool:
    """Take the lease if it is free or has ended."""
    Lease.objects.bulk_create([Lease(account_id=account_id)], ignore_conflicts=True)
    free = Q(holder="") | Q(until__lt=Now())
    return bool(Lease.objects.filter(free, account_id=account_id).update(holder=holder, until=Now() + LENGTH))


def renew(account_id: int, holder: str) -> int:
    """Prolong a lease that is still ours and lock its row until the transaction ends; the account's epoch (gate.py).

    Raises LeaseLost.
    """
    with connection.cursor() as cursor:
        cursor.execute(_RENEW[connection.vendor], [account_id, holder])
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost
    return int(row[0])


def release(account_id: int, holder: str) -> None:
    Lease.objects.filter(account_id=account_id, holder=holder).update(holder="")


def held() -> set[int]:
    """The accounts that somebody drains at this moment."""
    with transaction.atomic():
        return set(Lease.objects.exclude(holder="").filter(until__gte=Now()).values_list("account_id", flat=True))
