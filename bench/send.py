"""Sending through a lane, against a bare loop: the same session, threads and requests, and no database.

``python -m bench.send BATCH MESSAGES PAIRS SECONDS`` runs on the database of the settings and prints one line of
JSON. BATCH: recipients in a request. SECONDS: how long the provider takes to answer. On PostgreSQL the log that is
written ahead (WAL) is measured too.
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
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.backends.utils import CursorWrapper  # noqa: E402

from messaging import campaigns, dispatch, drain  # noqa: E402
from messaging.models import Campaign, Message  # noqa: E402
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


def queue(account: ProviderAccount, recipients: Sequence[str]) -> Campaign:
    campaign = campaigns.submit(campaigns.Draft(account, recipients, TEXT))
    while not campaign.complete:
        campaigns.expand(campaign.pk)
        campaign.refresh_from_db()
    return campaign


def lane(account: ProviderAccount, recipients: Sequence[str]) -> float:
    """Seconds from the start of a drain to its end, when all is recorded as sent. The rows stand before."""
    campaign = queue(account, recipients)
    begun = time.monotonic()
    while Message.objects.filter(campaign=campaign, status=Status.QUEUED).exists():
        drain.drain(account.pk, lambda: None)
    taken = time.monotonic() - begun
    assert Message.objects.filter(campaign=campaign, status=Status.SENT).count() == len(recipients)
    return taken


class Statements:
    """Counts what is sent to the database, by any thread."""

    def __init__(self) -> None:
        self.n = 0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        execute, executemany = CursorWrapper.execute, CursorWrapper.executemany

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.n += 1
            return execute(*args, **kwargs)

        def counted_many(*args: Any, **kwargs: Any) -> Any:
            self.n += 1
            return executemany(*args, **kwargs)

        CursorWrapper.execute, CursorWrapper.executemany = counted, counted_many  # type: ignore[method-assign]
        try:
            yield
        finally:
            CursorWrapper.execute, CursorWrapper.executemany = execute, executemany  # type: ignore[method-assign]


def costs(account: ProviderAccount, recipients: Sequence[str], batch: int) -> dict[str, float]:
    """What sending costs the database: counts, not times."""
    campaign, statements = queue(account, recipients), Statements()
    before = wal()
    with statements.counting():
        drain.drain(account.pk, lambda: None)
    written = wal() - before
    assert not Message.objects.filter(campaign=campaign, status=Status.QUEUED).exists()
    found = {"statements_a_request": round(statements.n / (len(recipients) / batch), 2)}
    return found | ({"wal_bytes_a_message": round(written / len(recipients))} if written else {})


def wal() -> int:
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')")
        return int(cursor.fetchone()[0])


def run(batch: int, messages: int, pairs: int, seconds: float) -> dict[str, object]:
    """``batch``: recipients that a request may have, whatever the kind says."""
    registry.adapter_class(KIND).max_batch = batch
    drain.LINGER = 0.0
    recipients = numbers(messages)
    with provider(seconds) as url:
        account = make_account(url, ["1000000/second"])
        lane(account, recipients[:200])  # connections, caches, imports
        taken = [(bare(account.adapter(), recipients), lane(account, recipients)) for _ in range(pairs)]
        cost = costs(account, recipients[: 100 * batch], batch)
    middle = sorted(taken, key=lambda pair: pair[0] / pair[1])[len(taken) // 2]
    return {
        "bench": "send",
        "database": connection.vendor,
        "case": f"{messages:,} at {batch} a request" + (f", answered after {seconds * 1000:.0f} ms" if seconds else ""),
        "ratio": round(statistics.median(bare / own for bare, own in taken), 3),
        "bare_a_second": round(messages / middle[0]),
        "own_a_second": round(messages / middle[1]),
        "pairs": pairs,
        "ratios": sorted(round(bare / own, 3) for bare, own in taken),
        **cost,
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:4]), float(sys.argv[4]))))
