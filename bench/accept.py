"""Accepting messages, on the web server as it runs.

``python -m bench.accept RECIPIENTS REQUESTS PAIRS`` runs on the database of the settings and prints one line of JSON.
One recipient: requests against a view that does nothing, on the same server. Several: a request with all of them
against inserting their rows raw, into the same table.
"""

from __future__ import annotations

import json
import os
import statistics
import sys

os.environ.setdefault("SMSDASH_API_RATE", "1000000/second")  # what is measured is the work, not the limit

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from api import keys  # noqa: E402
from bench import expand, send, web  # noqa: E402
from messaging.models import Campaign, Message  # noqa: E402
from providers.models import ProviderAccount  # noqa: E402

PATH = "/v1/messages"


def requests(key: str, recipients: int, count: int) -> list[bytes]:
    headers = {**web.JSON, "authorization": f"Bearer {key}"}
    numbers = send.numbers(recipients * count)
    bodies = (numbers[n * recipients : (n + 1) * recipients] for n in range(count))
    return [
        web.request(PATH, json.dumps({"to": to[0] if recipients == 1 else to, "message": send.TEXT}).encode(), headers)
        for to in bodies
    ]


def alone(key: str, port: int, count: int) -> tuple[float, float, float]:
    """Seconds for requests to a view that does nothing, for those that send a message each, and for the first by the
    long way, through all middleware."""
    asked = requests(key, 1, count)
    body = asked[0].partition(b"\r\n\r\n")[2]
    bare = web.post(port, [web.request(web.NOTHING, body)] * count)
    own = web.post(port, asked)
    assert Message.objects.count() == Campaign.objects.count() == count
    return bare, own, web.post(port, [web.request(web.LONG_WAY, body)] * count)


def many(account: ProviderAccount, key: str, port: int, recipients: int) -> tuple[float, float, float]:
    """Seconds to insert the rows raw, and for a request with all of the recipients."""
    asked = requests(key, recipients, 1)
    own = web.post(port, asked)
    assert Message.objects.count() == recipients
    expand.clear()
    bare = expand.raw(account, recipients, False)
    return bare, own, bare


def run(recipients: int, count: int, pairs: int) -> dict[str, object]:
    account = send.make_account("http://127.0.0.1:9/v1", [])
    _row, key, _secret = keys.create("Bench", account)
    taken = []
    with web.server() as port:
        web.post(port, requests(key, 1, web.CLIENTS * 20))  # connections, caches, imports
        for _ in range(pairs):
            expand.clear()
            taken.append(alone(key, port, count) if recipients == 1 else many(account, key, port, recipients))
    middle = sorted(taken, key=lambda pair: pair[0] / pair[1])[len(taken) // 2]
    case = "one message a request ÷ a view that does nothing" if recipients == 1 else f"{recipients:,} in a request"
    return {
        "bench": "accept",
        "database": connection.vendor,
        "case": case,
        "ratio": round(statistics.median(bare / own for bare, own, _long in taken), 3),
        "ratio_by_the_long_way": round(statistics.median(long / own for _bare, own, long in taken), 3),
        "bare_seconds": round(middle[0], 3),
        "own_seconds": round(middle[1], 3),
        "own_slowest": round(max(own for _bare, own, _long in taken), 3),
        "messages_a_second": round(count * recipients / middle[1]),
        "pairs": pairs,
        "ratios": sorted(round(bare / own, 3) for bare, own, _long in taken),
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:4]))))
