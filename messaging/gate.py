"""Taking waiting messages out of an account's queue, or changing them, while a drain may be handing them over.

The account's lease row is the gate: a drain locks it for the moment in which it marks what leaves next, and everybody
else locks it while they change what waits. So a message is either marked first, and then it is on its way, or
changed first, and then the drain sees that the epoch grew and reads its queue anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django.db.models import F

from providers.models import Exchange

from . import ledger
from .models import Lease


@contextmanager
def closed(accounts: Iterable[int]) -> Iterator[set[int]]:
    """A transaction in which nothing leaves through these accounts. Yields the ids of the messages on their way:
    they look as if they waited, and must be left alone."""
    ids = sorted(set(accounts))
    with ledger.together():
        Lease.objects.bulk_create([Lease(account_id=pk) for pk in ids], ignore_conflicts=True)
        for pk in ids:  # one by one, in order: no deadlock
            Lease.objects.filter(pk=pk).update(epoch=F("epoch") + 1)
        yield in_the_air(ids)


def in_the_air(accounts: Iterable[int]) -> set[int]:
    """The messages in requests that have not been settled."""
    requests = Exchange.objects.filter(account_id__in=list(accounts), open=True).values_list("refs", flat=True)
    return {ref for refs in requests for ref in refs}
