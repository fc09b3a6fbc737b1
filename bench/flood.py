"""Storing what a provider posts, against a view that does nothing on the same web server.

``python -m bench.flood POSTS PAIRS`` runs on the database of the settings and prints one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from bench import send, web  # noqa: E402
from messaging.models import Posted  # noqa: E402
from providers import registry  # noqa: E402
from providers.models import ProviderAccount  # noqa: E402
from providers.types import Report, Status  # noqa: E402


def reports(account: ProviderAccount, first: int, count: int) -> list[bytes]:
    """Signed posts of a delivery each."""
    dialect, secret = registry.dialect(account.kind), account.credentials["webhook_secret"]
    found = []
    for n in range(first, first + count):
        event = dialect.write_event(Report(f"m{n}", Status.DELIVERED, f"+1555{n:07d}", "delivered"), secret)
        assert event is not None
        found.append(web.request(f"/callbacks/{account.callback_token}/", event.body, event.headers))
    return found


def run(posts: int, pairs: int) -> dict[str, object]:
    account = send.make_account("http://127.0.0.1:9/v1", [])
    stored = reports(account, 1, posts)
    body = stored[0].partition(b"\r\n\r\n")[2]
    nothing = [web.request(web.NOTHING, body)] * posts
    with web.server() as port:
        for warm in (nothing, stored):
            web.post(port, warm[: web.CLIENTS * 20])
        Posted.objects.all().delete()
        taken = []
        for _ in range(pairs):
            taken.append((web.post(port, nothing), web.post(port, stored)))
            assert Posted.objects.count() == posts
            Posted.objects.all().delete()
    middle = sorted(taken, key=lambda pair: pair[0] / pair[1])[len(taken) // 2]
    return {
        "bench": "flood",
        "database": connection.vendor,
        "case": "storing a post ÷ a view that does nothing",
        "ratio": round(statistics.median(bare / own for bare, own in taken), 3),
        "nothing_a_second": round(posts / middle[0]),
        "stored_a_second": round(posts / middle[1]),
        "pairs": pairs,
        "ratios": sorted(round(bare / own, 3) for bare, own in taken),
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:]))))
