"""The message log's pages over many rows and over a tenth of them: an index that is missed shows as a ratio.

``python -m bench.log ROWS PAIRS`` runs on the database of the settings and prints one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Count  # noqa: E402
from django.http import QueryDict  # noqa: E402
from django.utils import timezone  # noqa: E402

from messaging import ledger, pages  # noqa: E402
from messaging.log import Filters  # noqa: E402
from messaging.models import Campaign, Message, Tally  # noqa: E402
from providers.models import ProviderAccount  # noqa: E402

ACCOUNTS = 4
SPAN = timedelta(days=60)  # from the first message to the last
SMALLER = 10  # times fewer rows, for comparison

# An account of four, a status of eight (one message in 5,000 is uncertain, in one block of an old week), any number.
_FILL = """
WITH RECURSIVE numbered(n) AS (SELECT CAST(1 AS bigint) UNION ALL SELECT n + 1 FROM numbered WHERE n < %(rows)s)
INSERT INTO messaging_message (account_id, campaign_id, number, text, sender, type, attachments, segments, status,
    priority, due_at, attempts, provider_id, provider_group, provider_status, device, error_code, error_text, polls,
    created_at)
SELECT %(first)s + n %% {accounts}, CASE WHEN n %% 3 = 0 THEN %(campaign)s END,
    '+1' || CAST(2000000000 + (n * 7919 %% 1000003) * 7 AS text),
    'Doors open at seven, guest ' || n, '', 'sms', '[]', 1,
    CASE WHEN n BETWEEN %(rows)s / 10 AND %(rows)s / 10 + %(rows)s / 5000 THEN 'uncertain' ELSE
        CASE (n * 31 / 7) %% 20 WHEN 0 THEN 'failed' WHEN 1 THEN 'expired' WHEN 2 THEN 'canceled' WHEN 3 THEN 'sent'
            WHEN 4 THEN 'received' WHEN 5 THEN 'scheduled' WHEN 6 THEN 'sent' ELSE 'delivered' END END,
    0, {at}, 1, '', '', '', '', '', '', 0, {at}
FROM numbered
"""
_AT = {
    "postgresql": "CAST(%(start)s AS timestamptz) + n * interval '1 second' * %(step)s",
    "sqlite": "strftime('%%Y-%%m-%%d %%H:%%M:%%f000', julianday(%(start)s) + n * %(step)s / 86400.0)",
}


def fill(rows: int) -> int:
    """Replace all messages. Returns the id of the first account."""
    Message.objects.all().delete()
    Tally.objects.all().delete()
    accounts = [
        ProviderAccount.objects.get_or_create(name=f"Bench {n}", kind="smsprovider", base_url="http://127.0.0.1:9/v1")[
            0
        ]
        for n in range(ACCOUNTS)
    ]
    campaign = Campaign.objects.get_or_create(text="Doors open", account=accounts[0])[0]
    start = timezone.now() - SPAN
    sql = _FILL.format(accounts=ACCOUNTS, at=_AT[connection.vendor])
    values: dict[str, Any] = {
        "rows": rows,
        "first": accounts[0].pk,
        "campaign": campaign.pk,
        "start": start.isoformat(" ") if connection.vendor == "postgresql" else f"{start:%Y-%m-%d %H:%M:%S}",
        "step": SPAN.total_seconds() / rows,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        if connection.vendor == "postgresql":  # what autovacuum does there by itself
            cursor.execute("ANALYZE")
    _count(start)
    return accounts[0].pk


def _count(start: Any) -> None:
    counts = Message.objects.values_list("account_id", "campaign_id", "status").annotate(n=Count("pk")).order_by()
    ledger.count((account, campaign, ledger.hour_of(start), status, n) for account, campaign, status, n in counts)


def cases(account: int, rows: int) -> dict[str, str]:
    """What is measured, as queries of the log."""
    day = timezone.localtime() - SPAN / 2
    at = f"from={day:%Y-%m-%dT00:00}&to={day + timedelta(days=1):%Y-%m-%dT00:00}"
    middle = Message.objects.earliest("pk").pk + rows // 2
    number = Message.objects.get(pk=middle).number.replace("+", "%2B")
    campaign = Campaign.objects.get().pk
    return {
        "no filter": "",
        "status": "status=failed",
        "account": f"account={account}",
        "account, status": f"account={account}&status=failed",
        "rare status": "status=uncertain",
        "absent status": "status=queued",
        "campaign": f"campaign={campaign}",
        "campaign, status": f"campaign={campaign}&status=failed",
        "campaign, rare status": f"campaign={campaign}&status=uncertain",
        "status, day": f"status=failed&{at}",
        "prefix": f"number={number[:-4]}",
        "wide prefix": f"number={number[:8]}",
        "number": f"number={number}",
        "account, status, day, prefix": f"account={account}&status=delivered&{at}&number={number[:8]}",
        "text": "q=guest",
        "absent text": "q=nowhere",
        "status, absent text": "status=delivered&q=nowhere",
        "in the middle": f"before={middle}",
        "account, in the middle": f"account={account}&before={middle}",
        "forward, status": f"status=delivered&after={middle}",
    }


def clock(work: Callable[[], object], times: int) -> list[float]:
    """Milliseconds, sorted. The first run is left out: it compiles and caches."""
    work()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return sorted(taken)


def measure(rows: int, times: int) -> dict[str, list[float]]:
    account = fill(rows)
    found = {}
    for name, query in cases(account, rows).items():
        found[name] = clock(partial(pages.page, Filters.from_query(QueryDict(query))), times)
    return found


def run(rows: int, pairs: int) -> dict[str, object]:
    times = pairs * 5
    few, many = measure(rows // SMALLER, times), measure(rows, times)
    results = {
        name: {
            "p50": round(statistics.median(taken), 2),
            "p95": round(taken[round(0.95 * (len(taken) - 1))], 2),
            "ratio": round(taken[0] / few[name][0], 2),  # of the quickest: other work on the machine makes none quicker
        }
        for name, taken in many.items()
    }
    return {
        "bench": "log",
        "database": connection.vendor,
        "rows": rows,
        "against": rows // SMALLER,
        "case": f"{rows:,} rows ÷ {rows // SMALLER:,}, the worst filter",
        "worst": max(result["ratio"] for result in results.values()),
        "pairs": pairs,
        "milliseconds": results,
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:]))))
