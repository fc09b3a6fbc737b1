"""The kept counts, and the same counted from the rows."""

from __future__ import annotations

from collections import Counter

from messaging import ledger
from messaging.models import Message, Tally

Counts = Counter[tuple[int, int, int, str]]  # by account, campaign, hour of creation (0: any) and status


def kept() -> Counts:
    rows = Tally.objects.exclude(n=0).values_list("account_id", "campaign_id", "hour", "status", "n")
    return Counter({row[:4]: row[4] for row in rows})


def recounted() -> Counts:
    found: Counts = Counter()
    rows = Message.objects.values_list("account_id", "campaign_id", "status", "created_at")
    for account, campaign, status, created_at in rows:
        found[account, 0, 0, status] += 1
        found[account, 0, ledger.hour_of(created_at), status] += 1
        if campaign:
            found[0, campaign, 0, status] += 1
    return found
