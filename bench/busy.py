"""Sending, and the log's page, while providers post a flood of reports, against the same without it.

``python -m bench.busy MESSAGES PAIRS POSTS_A_SECOND`` runs an installation on the data directory and the database of
the environment, with the reports of what it sends itself, and prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator

import django

django.setup()

from django.db import connection  # noqa: E402

from bench import flood, send, web  # noqa: E402
from messaging import campaigns  # noqa: E402
from messaging.models import Message, Posted  # noqa: E402
from providers.models import ProviderAccount  # noqa: E402
from providers.types import Status  # noqa: E402
from tests.server import Server, free_port, until  # noqa: E402

BURST = 20  # posts at once
LOOK = 0.3  # seconds between two looks at the log


def sending(account: ProviderAccount, messages: int) -> float:
    """Seconds until all are handed over. Making the rows is part of it."""
    begun = time.monotonic()
    campaign = campaigns.submit(campaigns.Draft(account, send.numbers(messages), send.TEXT))
    left = Message.objects.filter(campaign=campaign, status__in=(Status.SENT, Status.DELIVERED))
    until("all to be sent", lambda: left.count() >= messages, 600)
    return time.monotonic() - begun


@contextlib.contextmanager
def flooded(server: Server, account: ProviderAccount, rate: int, counted: list[int]) -> Iterator[None]:
    """So many signed reports a second, about the messages ``m1`` and on. ``counted``: how many were posted."""
    over = threading.Event()

    def pour() -> None:
        begun, posted = time.monotonic(), 0
        while not over.is_set():
            web.post(server.port, flood.reports(account, counted[0] + posted + 1, BURST))
            posted += BURST
            over.wait(max(0.0, begun + posted / rate - time.monotonic()))
        counted[0] += posted

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def looking(server: Server, taken: list[float]) -> Iterator[None]:
    """Somebody looks at the log again and again; the seconds of each look."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            begun = time.monotonic()
            server.get("/messages/")
            taken.append(time.monotonic() - begun)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run(messages: int, pairs: int, rate: int) -> dict[str, object]:
    with send.provider() as url, Server({**os.environ, "PORT": str(free_port()), "SMSDASH_DEMO": "0"}) as server:
        server.log_in()
        account = send.make_account(url, ["1000000/second"])
        sending(account, messages)
        quiet: list[float] = []
        busy: list[float] = []
        pace: list[float] = []
        counted = [0]
        for _ in range(pairs):
            with looking(server, quiet):
                alone = sending(account, messages)
            with looking(server, busy), flooded(server, account, rate, counted):
                among = sending(account, messages)
            pace.append(alone / among)
            until("the reports to be worked on", lambda: not Posted.objects.exists(), 120)
    return {
        "bench": "busy",
        "database": connection.vendor,
        "case": f"rate of sending among {rate:,} reports a second ÷ alone",
        "ratio": round(statistics.median(pace), 3),
        "reports": counted[0],
        "log_alone": round(statistics.median(quiet) * 1000, 1),
        "log_among": round(statistics.median(busy) * 1000, 1),
        "log_ratio": round(statistics.median(busy) / statistics.median(quiet), 2),
        "pairs": pairs,
        "ratios": sorted(round(each, 3) for each in pace),
    }


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:]))))
