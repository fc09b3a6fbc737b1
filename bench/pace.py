"""How much of a rate limit is used while work waits, and whether it is ever passed, as the provider sees it.

``python -m bench.pace RATE SECONDS`` (such as 10/second 20) runs on the database of the settings and prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise

import django

django.setup()

import requests  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from bench import send  # noqa: E402
from messaging import campaigns, drain  # noqa: E402
from providers import registry  # noqa: E402
from providers.types import Rate  # noqa: E402


def most_in_any(window: float, times: list[float]) -> int:
    first, most = 0, 0
    for last, moment in enumerate(times):
        while times[first] <= moment - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def run(text: str, seconds: float) -> dict[str, object]:
    """One recipient a request, for so long; what is counted begins after the first window."""
    rate = Rate.parse(text)
    registry.adapter_class(send.KIND).max_batch = 1
    with send.provider() as url:
        account = send.make_account(url, [text])
        count = round(rate.limit / rate.seconds * (seconds + rate.seconds) * 1.1) + 10
        campaigns.submit(campaigns.Draft(account, send.numbers(count), send.TEXT))
        end = time.monotonic() + seconds + rate.seconds
        while time.monotonic() < end:
            drain.drain(account.pk, lambda: None)
        times = sorted(requests.get(url, timeout=10).json())
    counted = [t for t in times if times[0] + rate.seconds <= t < times[0] + rate.seconds + seconds]
    return {
        "bench": "pace",
        "database": connection.vendor,
        "case": f"use of {text}, never over",
        "use": round(len(counted) / (rate.limit * seconds / rate.seconds), 3),
        "most_in_a_window": most_in_any(rate.seconds, times),
        "longest_gap": round(max(b - a for a, b in pairwise(counted)), 3),
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(sys.argv[1], float(sys.argv[2]))))
