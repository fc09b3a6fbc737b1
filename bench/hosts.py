"""How much of their accounts' rate limits two hosts use together, as each provider sees it, and whether they pass it.

``python -m bench.hosts RATE SECONDS`` (such as 10/second 20) uses the data directory and the database of the
environment and prints one line of JSON. SQLite serves one host, so there it is one.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from itertools import count

import requests
from cryptography.fernet import Fernet

from bench import send
from bench.pace import most_in_any
from providers import pacing
from providers.types import Rate
from tests import feeding, judge
from tests.server import Server, free_port, until

ACCOUNTS = 4


def run(text: str, seconds: float) -> dict[str, object]:
    """One recipient a request. What is counted begins when it is known how fast the provider answers."""
    rate = Rate.parse(text)
    keys = {
        "SMSDASH_SECRET_KEY": "one for all hosts, and long enough",
        "SMSDASH_FIELD_KEYS": Fernet.generate_key().decode(),
    }
    here = {**os.environ, **keys, "SMSDASH_DEMO": "0", "SMSDASH_WORKERS": "1", "PORT": str(free_port())}
    two = bool(os.environ.get("DATABASE_URL"))
    with contextlib.ExitStack() as running:
        web = running.enter_context(Server(here))
        hosts = [web]
        if two:
            there = {"SMSDASH_WEB": "0", "SMSDASH_DATA_DIR": here["SMSDASH_DATA_DIR"] + "-second"}
            hosts.append(running.enter_context(Server(here | there, "")))
        until("all to work", lambda: len(web.query("SELECT name FROM messaging_worker")) == len(hosts))
        urls = [running.enter_context(send.provider()) for _ in range(ACCOUNTS)]
        feeding.feed(web, plan(urls, text, round(rate.limit / rate.seconds * (seconds + 15)) + pacing.KNOWN))
        until("all to send", lambda: set(judge.holders(web).values()) == {host.pid for host in hosts})
        until("the network to be known", lambda: min(len(came(url)) for url in urls) > pacing.KNOWN)
        begun = time.time()
        time.sleep(seconds)
        seen = [came(url) for url in urls]
    used = [
        sum(begun <= at < begun + seconds for at in times) / (rate.limit * seconds / rate.seconds) for times in seen
    ]
    return {
        "bench": "hosts",
        "database": "postgresql" if two else "sqlite",
        "case": f"use of {text} by {len(hosts)} host{'s' * two}, the least of {ACCOUNTS} accounts",
        "use": round(min(used), 3),
        "most_in_a_window": max(most_in_any(rate.seconds, times) for times in seen),
    }


def plan(urls: list[str], rate: str, messages: int) -> feeding.Facts:
    numbers, names = count(), [f"Bench {n}" for n, _ in enumerate(urls)]
    accounts = [
        {"name": name, "kind": send.KIND, "base_url": url, "key": "bench-key-0123456789", "rates": [rate]}
        for name, url in zip(names, urls, strict=True)
    ]
    campaigns = [
        {
            "account": name,
            "numbers": [f"+1555{next(numbers):07d}" for _ in range(messages)],
            "text": send.TEXT,
            "alone": True,
        }
        for name in names
    ]
    return {"accounts": accounts, "campaigns": campaigns}


def came(url: str) -> list[float]:
    return sorted(requests.get(url, timeout=10).json())


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], float(sys.argv[2]))))
