"""Sending through a lane, against a bare loop: the same session, threads and requests, and no database.

``python -m bench.send BATCH MESSAGES PAIRS`` runs on the database of the settings and prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.models import Max  # noqa: E402

from messaging import campaigns, dispatch, drain  # noqa: E402
from messaging.models import Message  # noqa: E402
from providers import registry  # noqa: E402
from providers.base import Adapter  # noqa: E402
from providers.models import ProviderAccount  # noqa: E402
from providers.types import Outgoing, Send, Status  # noqa: E402

KIND = "smsprovider"
TEXT = "Doors open at seven. Bring a coat."


@contextlib.contextmanager
def provider(seconds: float = 0.0) -> Iterator[str]:
    """The base URL of a provider, in a process of its own, that answers after so many seconds."""
    command = [sys.executable, "-m", "bench.provider", KIND, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ends = registry.adapter_class(KIND).base_url_ends
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}{ends}"
    finally:
        process.terminate()
        process.wait()


def numbers(count: int) -> list[str]:
    return [f"+1555{index:07d}" for index in range(count)]


def make_account(url: str, rates: list[str]) -> ProviderAccount:
    account = ProviderAccount(name="Bench", kind=KIND, base_url=url, rates=rates)
    account.set_credentials({field.name: "bench-key-0123456789" for field in account.kind_class.fields})
    account.save()
    return account


def bare(adapter: Adapter, recipients: Sequence[str]) -> float:
    """Seconds to hand the messages over with nothing around it. Writing and reading the wire is part of it."""
    rest = iter(recipients)
    batches = iter(lambda: tuple(Outgoing(number, TEXT) for number in islice(rest, adapter.max_batch)), ())
    operations = [Send(batch) for batch in batches]
    begun = time.monotonic()
    with ThreadPoolExecutor(max(adapter.concurrency, dispatch.SMALL if adapter.max_batch == 1 else 0)) as pool:
        for result in pool.map(adapter.send, operations):
            assert all(outcome.taken for outcome in result.outcomes)
    return time.monotonic() - begun


def lane(account: ProviderAccount, recipients: Sequence[str]) -> float:
    """Seconds from the start of a drain to the last message recorded as sent. Their rows stand before."""
    campaign = campaigns.submit(campaigns.Draft(account, recipients, TEXT))
    campaigns.expand(campaign.pk)
    begun = time.time()
    while Message.objects.filter(campaign=campaign, status=Status.QUEUED).exists():
        drain.drain(account.pk, lambda: None)
    sent = Message.objects.filter(campaign=campaign, status=Status.SENT)
    assert sent.count() == len(recipients)
    return float(sent.aggregate(last=Max("sent_at"))["last"].timestamp() - begun)


def run(batch: int, messages: int, pairs: int) -> dict[str, object]:
    """``batch``: recipients that a request may have, whatever the kind says."""
    registry.adapter_class(KIND).max_batch = batch
    recipients = numbers(messages)
    with provider() as url:
        account = make_account(url, ["1000000/second"])
        lane(account, recipients[:200])  # connections, caches, imports
        taken = [(bare(account.adapter(), recipients), lane(account, recipients)) for _ in range(pairs)]
    middle = sorted(taken, key=lambda pair: pair[0] / pair[1])[len(taken) // 2]
    return {
        "bench": "send",
        "database": connection.vendor,
        "recipients_a_request": batch,
        "messages": messages,
        "pairs": pairs,
        "bare_a_second": round(messages / middle[0]),
        "lane_a_second": round(messages / middle[1]),
        "ratio": round(statistics.median(bare / own for bare, own in taken), 3),
        "ratios": sorted(round(bare / own, 3) for bare, own in taken),
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:]))))
