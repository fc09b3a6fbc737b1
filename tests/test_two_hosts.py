"""Two hosts drain one campaign: together they keep each account's pace, and one finishes what the other cannot.

On PostgreSQL each has a data directory of its own; on SQLite they are two clusters over the one there is.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
import requests
from cryptography.fernet import Fernet

from providers import registry
from tests import feeding, judge
from tests.server import Server, until

pytestmark = pytest.mark.server

MANY = 140
RATE = 2  # requests a second
BURST = 1  # requests that may come before their time, as providers/pacing.py says
LATENCY = 0.4  # seconds that the carrier takes, so that something is on its way at any moment
WATCHED = 7.0  # seconds for which both hosts send
# asked for nothing but to send, each message in a request of its own
KINDS = [kind for kind, found in registry.kinds().items() if found.adapter.poll_after is None]
ACCOUNTS = {f"{kind}-{n}": kind for kind in KINDS for n in (1, 2)}


@dataclass(frozen=True)
class Ended:
    """``use``: of the rate, by account, while both hosts worked. ``left``: messages that waited when one was killed."""

    web: Server
    use: dict[str, float]
    left: int
    judgement: judge.Judgement


@pytest.fixture(scope="module")
def hosts(new_installation: Callable[[], dict[str, str]]) -> Iterator[tuple[Server, Server]]:
    """As docs/deploy.md says: the same database and the same keys."""
    keys = {"SMSDASH_SECRET_KEY": "one for all hosts, and long enough", "SMSDASH_FIELD_KEYS": new_key()}
    here = new_installation() | keys
    folder = here["SMSDASH_DATA_DIR"] + ("-second" if "DATABASE_URL" in here else "")
    there = here | {"SMSDASH_WEB": "0", "SMSDASH_DATA_DIR": folder}
    with Server(here, SMSDASH_WORKERS="1") as web, Server(there, "", SMSDASH_WORKERS="1") as host:
        until("both to work", lambda: len(web.query("SELECT name FROM messaging_worker")) == 2)
        yield web, host


def new_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture(scope="module")
def ended(hosts: tuple[Server, Server]) -> Ended:
    web, host = hosts
    prepare(web)
    both = {web.pid, host.pid}
    begun = until("both to send", lambda: set(judge.holders(web).values()) == both and time.time(), 30)
    time.sleep(WATCHED)
    use = {account: used([at for at in times if at >= begun]) for account, times in hits(web).items()}
    host.kill_everything()
    theirs = [account for account, supervisor in judge.holders(web).items() if supervisor == host.pid]
    flying = judge.in_flight(web, theirs)
    left = judge.waiting(web)
    judge.end_leases(web, host.pid)
    until("the other to finish", lambda: not judge.waiting(web), 60)
    ids = {pk for messages in flying.values() for pk in messages}
    return Ended(web, use, left, judge.judge(web, web, ids))


def prepare(web: Server) -> None:
    """A campaign over all accounts, each message in a request of its own."""
    for name, kind in ACCOUNTS.items():
        requests.post(
            f"{web.url}/sandbox/control/account/",
            json={"kind": kind, "rates": [f"{RATE + BURST}/second", "1000/hour"], "latency": LATENCY},
            headers={"authorization": f"Bearer sandbox-{name}"},
            timeout=30,
        ).raise_for_status()
    accounts = [
        {
            "name": name,
            "kind": kind,
            "base_url": f"{web.url}/sandbox/{kind}{registry.adapter_class(kind).base_url_ends}",
            "key": f"sandbox-{name}",
            "rates": [f"{RATE}/second"],
        }
        for name, kind in ACCOUNTS.items()
    ]
    campaign = {
        "account": accounts[0]["name"],
        "route": "All",
        "numbers": [f"+1555{index:04d}000" for index in range(MANY)],
        "text": "Hello",
        "later": 2,
    }
    routes = [{"name": "All", "accounts": list(ACCOUNTS)}]
    feeding.feed(web, {"accounts": accounts, "routes": routes, "campaigns": [campaign]})
    web.execute("UPDATE messaging_message SET batch_limit = 1 WHERE status = 'scheduled'")


def hits(web: Server) -> dict[str, list[float]]:
    """When the carrier admitted a request, by account."""
    found = defaultdict(list)
    names = {f"sandbox-{name}" for name in ACCOUNTS}
    for key, at in web.query(
        "SELECT a.key, h.at FROM sandbox_hit h JOIN sandbox_account a ON a.id = h.account_id ORDER BY h.at"
    ):
        if key in names:
            found[key].append(at)
    return found


def used(times: Sequence[float]) -> float:
    """The part of the rate, from the first to the last of these moments."""
    return (len(times) - 1) / (times[-1] - times[0]) / RATE


def test_together_they_use_each_accounts_pace(ended: Ended) -> None:
    assert len(ended.use) == len(ACCOUNTS)
    assert min(ended.use.values()) >= 0.9


def test_together_they_never_pass_it(ended: Ended) -> None:
    """The carrier would have refused it."""
    assert ended.web.query("SELECT sum(limited) FROM sandbox_account") == [(0,)]


def test_one_finishes_what_the_other_left(ended: Ended) -> None:
    assert ended.left > 0
    assert (ended.judgement.accepted, ended.judgement.lost) == (MANY, 0)


def test_nothing_goes_out_twice(ended: Ended) -> None:
    assert ended.judgement.taken_twice == 0


def test_only_what_the_killed_host_had_in_flight_is_uncertain(ended: Ended) -> None:
    assert 0 < ended.judgement.uncertain == ended.judgement.swept == ended.judgement.in_flight
    assert ended.judgement.unexplained == 0
