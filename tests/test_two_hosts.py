"""Two hosts drain one campaign: together they keep each account's pace, and one finishes what the other cannot.

Each has a data directory of its own, and the same PostgreSQL. How much of the pace they use: bench/hosts.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests
from cryptography.fernet import Fernet

from providers import registry
from tests import feeding, judge
from tests.server import Server, until

pytestmark = [pytest.mark.server, pytest.mark.machines]

MANY = 320
RATE = 4  # requests a second
BURST = 1  # requests that may come before their time, as providers/pacing.py says
SEEN = 30  # requests of each account while both send
# asked for nothing but to send, each message in a request of its own
KINDS = [kind for kind, found in registry.kinds().items() if found.adapter.poll_after is None]
ACCOUNTS = {f"two-{kind}-{n}": kind for kind in KINDS for n in (1, 2)}


@dataclass(frozen=True)
class Ended:
    """``admitted``, ``over``: requests that the carrier took and refused while both hosts sent. ``left``: messages that
    waited when one was killed.
    """

    admitted: int
    over: int
    left: int
    judgement: judge.Judgement


@pytest.fixture(scope="module")
def hosts(new_installation: Callable[[], dict[str, str]]) -> Iterator[tuple[Server, Server]]:
    """As docs/deploy.md says: the same database and the same keys."""
    keys = {"SMSDASH_SECRET_KEY": "one for all hosts, and long enough", "SMSDASH_FIELD_KEYS": new_key()}
    here = new_installation() | keys
    there = here | {"SMSDASH_WEB": "0", "SMSDASH_DATA_DIR": here["SMSDASH_DATA_DIR"] + "-second"}
    # the first start ever, and both at once
    with Server(there, "", SMSDASH_WORKERS="1") as host, Server(here, SMSDASH_WORKERS="1") as web:
        until("both to work", lambda: len(web.query("SELECT name FROM messaging_worker")) == 2)
        yield web, host


def new_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture(scope="module")
def ended(hosts: tuple[Server, Server]) -> Ended:
    web, host = hosts
    prepare(web)
    until("both to send", lambda: set(judge.holders(web).values()) == {web.pid, host.pid})
    until("enough to be seen", lambda: min(admitted(web)) >= SEEN)
    sent = sum(admitted(web)), refused(web)
    set_up(web, latency=1)  # so that something is on its way at any moment
    until("the other host to have a request on its way", lambda: judge.in_flight(web, theirs(web, host)))
    host.kill_everything()
    flying = judge.in_flight(web, theirs(web, host))
    left = judge.waiting(web)
    judge.end_leases(web, host.pid)
    set_up(web, latency=0)
    until("the other to finish", lambda: not judge.waiting(web))
    ids = {pk for messages in flying.values() for pk in messages}
    return Ended(*sent, left, judge.judge(web, web, ids))


def set_up(web: Server, **values: object) -> None:
    """At the carrier."""
    for name, kind in ACCOUNTS.items():
        address = f"{web.url}/sandbox/control/account/"
        headers = {"authorization": f"Bearer sandbox-{name}"}
        requests.post(address, json={"kind": kind, **values}, headers=headers, timeout=30).raise_for_status()


def prepare(web: Server) -> None:
    """A campaign over all accounts, each message in a request of its own."""
    set_up(web, rates=[f"{RATE + BURST}/second", "1000/hour"])
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
        "alone": True,
    }
    routes = [{"name": "All", "accounts": list(ACCOUNTS)}]
    feeding.feed(web, {"accounts": accounts, "routes": routes, "campaigns": [campaign]})


def theirs(web: Server, host: Server) -> list[int]:
    """The accounts that the other host drains."""
    return [account for account, supervisor in judge.holders(web).items() if supervisor == host.pid]


def admitted(web: Server) -> list[int]:
    """Requests of each account that the carrier took."""
    hits = "SELECT count(*) FROM sandbox_hit WHERE account_id IN ({}) GROUP BY account_id"
    found = [n for (n,) in web.query(hits.format("SELECT id FROM sandbox_account WHERE key LIKE 'sandbox-two-%'"))]
    return found + [0] * (len(ACCOUNTS) - len(found))


def refused(web: Server) -> int:
    return int(web.query("SELECT sum(limited) FROM sandbox_account")[0][0])


def test_together_they_keep_each_accounts_pace(ended: Ended) -> None:
    """Requests that the machine held up may arrive with the next ones; who passes the rate is refused each second."""
    assert ended.over <= ended.admitted / (2 * RATE)


def test_one_finishes_what_the_other_left(ended: Ended) -> None:
    assert ended.left > 0
    assert (ended.judgement.accepted, ended.judgement.lost) == (MANY, 0)


def test_workers_with_another_key_do_not_start(hosts: tuple[Server, Server], ended: Ended) -> None:
    """They could read nobody's credentials."""
    stranger = Server(hosts[1].environment | {"SMSDASH_FIELD_KEYS": new_key()})
    done = stranger.run_to_the_end()
    assert done.returncode != 0
    assert "Set SMSDASH_FIELD_KEYS to the content of “field-key”" in done.stderr


def test_nothing_goes_out_twice(ended: Ended) -> None:
    assert ended.judgement.taken_twice == 0


def test_only_what_the_killed_host_had_in_flight_is_uncertain(ended: Ended) -> None:
    assert 0 < ended.judgement.uncertain == ended.judgement.swept == ended.judgement.in_flight
    assert ended.judgement.unexplained == 0
