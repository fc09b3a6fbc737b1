"""Does the rate fall as the queue grows? ``python -m bench.growth MESSAGES PAIRS``: many queued against a hundredth.

Runs on the database of the settings and prints one line of JSON. Both sides send the same number of messages: the
first hundredth of the many, then as many that are all there is.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from bench import send  # noqa: E402
from messaging import drain  # noqa: E402
from messaging.models import Message  # noqa: E402
from providers import registry  # noqa: E402
from providers.models import ProviderAccount  # noqa: E402
from providers.types import Status  # noqa: E402


def first(account: ProviderAccount, n: int) -> float:
    """Seconds in which the first ``n`` of whatever is queued are sent."""
    before = Message.objects.filter(account=account, status=Status.SENT).count()
    begun = time.monotonic()
    end: list[float] = []

    def enough() -> bool:
        if not end and Message.objects.filter(account=account, status=Status.SENT).count() - before >= n:
            end.append(time.monotonic())
        return bool(end)

    drain.stopping, kept = enough, drain.stopping
    try:
        drain.drain(account.pk, lambda: None)
    finally:
        drain.stopping = kept
    return (end[0] if end else time.monotonic()) - begun


def run(messages: int, pairs: int) -> dict[str, object]:
    registry.adapter_class(send.KIND).max_batch = 10
    drain.LINGER = 0.0
    few = messages // 100
    with send.provider() as url:
        account = send.make_account(url, ["1000000/second"])
        send.lane(account, send.numbers(200))
        small = []
        for _ in range(pairs):
            send.queue(account, send.numbers(few))
            small.append(first(account, few))
        send.queue(account, send.numbers(messages))
        large = [first(account, few) for _ in range(pairs)]
    return {
        "bench": "growth",
        "database": connection.vendor,
        "case": f"{messages:,} queued ÷ {few:,} queued, 10 a request",
        "ratio": round(statistics.median(small) / statistics.median(large), 3),
        "pairs": pairs,
        "a_second": [round(few / taken) for taken in large],
        "a_second_few": [round(few / taken) for taken in small],
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:]))))
