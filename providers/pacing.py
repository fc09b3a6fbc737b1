"""Rate windows of an account, all at once and shared by all workers: the generic cell rate algorithm.

Each window has one row with the time at which its next request is due if no one saved up. A request may come up
to ``burst`` intervals early. GCRA lets ``limit + burst`` through in a window, so the interval is
``seconds / (limit - burst)`` and the limit is never passed. The clock is the database's: machines' clocks differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction

from .models import ProviderAccount, RateWindow
from .types import Rate

_CLOCK = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
}


def burst(rate: Rate) -> int:
    """Requests that may come early: 2 % of the limit, at least one where the limit allows it."""
    return max(min(1, rate.limit - 1), rate.limit // 50)


def interval(rate: Rate) -> float:
    return rate.seconds / (rate.limit - burst(rate))


def now() -> float:
    """Unix seconds by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(_CLOCK[connection.vendor])
        return float(cursor.fetchone()[0])


def reserve(account: ProviderAccount, rates: Sequence[Rate]) -> float:
    """Take a place for one request. Returns the seconds to wait; above zero nothing was taken: ask again then."""
    if not rates:
        return 0.0
    with transaction.atomic(savepoint=False):
        rows = _locked_rows(account, rates)
        clock = now()
        wait = max(rows[rate.seconds].next_at - burst(rate) * interval(rate) - clock for rate in rates)
        if wait > 0:
            return wait
        for rate in rates:
            row = rows[rate.seconds]
            row.next_at = max(clock, row.next_at) + interval(rate)
            row.save(update_fields=["next_at"])
    return 0.0


def hold(account: ProviderAccount, seconds: float, rates: Sequence[Rate]) -> None:
    """No request for ``seconds`` (429, Retry-After, an empty X-RateLimit window): pushes every window forward."""
    lengths = rates or (Rate(1, 1),)
    with transaction.atomic():
        rows = _locked_rows(account, lengths)
        until = now() + seconds
        for rate in lengths:
            row = rows[rate.seconds]
            row.next_at = max(row.next_at, until + burst(rate) * interval(rate))
            row.save(update_fields=["next_at"])


def _locked_rows(account: ProviderAccount, rates: Sequence[Rate]) -> dict[int, RateWindow]:
    lengths = sorted({rate.seconds for rate in rates})
    for _ in range(2):
        rows = RateWindow.objects.select_for_update().filter(account=account, seconds__in=lengths).order_by("pk")
        found = {row.seconds: row for row in rows}
        if len(found) == len(lengths):
            return found
        RateWindow.objects.bulk_create(
            [RateWindow(account=account, seconds=length) for length in lengths if length not in found],
            ignore_conflicts=True,
        )
    raise RuntimeError("The rate windows could not be made.")
