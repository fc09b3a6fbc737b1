"""kill -9 in the middle of the work: nothing is lost, nothing goes out twice, and only what was in flight is in doubt.

The judge is the carrier: the sandbox counts every message that it took.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests

from providers import registry
from tests.server import Server, until

pytestmark = pytest.mark.server

MANY = 1_000
FIRST = next(iter(registry.kinds()))
WAITING = "status IN ('queued', 'sending', 'scheduled')"


@pytest.fixture(scope="module")
def crashed(new_installation: Callable[[], dict[str, str]]) -> Iterator[Server]:
    """An installation after 1,000 messages through each kind: first its workers were killed, then everything."""
    with Server(new_installation(), SMSDASH_WORKERS="2") as server:
        for kind in registry.kinds():
            add_account(server, kind)
        for kind in registry.kinds():
            server.manage("send", "--account", kind, "--to", ",".join(numbers(kind)), "--text", "Hello")
            if kind == FIRST:
                until("some to be in flight", lambda: in_flight(server))
                kill_workers(server)
        until("some to be in flight again", lambda: in_flight(server))
        server.kill_everything()
        server.start()
        until("all to have an end", lambda: not count(server, WAITING), 120)
        yield server


def add_account(server: Server, kind: str) -> None:
    adapter = registry.adapter_class(kind)
    secrets = {"api_password": "sandbox-secret"}
    credentials = [
        f"--credential={field.name}={secrets.get(field.name, key(kind)) if field.secret else field.default}"
        for field in adapter.fields
    ]
    address = f"{server.url}/sandbox/{kind}{adapter.base_url_ends}"
    server.manage("add_account", kind, "--kind", kind, "--base-url", address, "--rate", "500/second", *credentials)


def key(kind: str) -> str:
    return f"sandbox-slow-{kind}"


def numbers(kind: str) -> list[str]:
    """Ordinary ones: in the sandbox those that end in 9xx have fates of their own."""
    block = 1 + list(registry.kinds()).index(kind)
    return [f"+1555{block}{index // 900}{index % 900:05d}" for index in range(MANY)]


def kill_workers(server: Server) -> None:
    for pid in server.workers():
        os.kill(pid, signal.SIGKILL)


def count(server: Server, where: str) -> int:
    return int(server.query(f"SELECT count(*) FROM messaging_message WHERE {where}")[0][0])


def in_flight(server: Server) -> int:
    """Requests that left and whose end is not written down."""
    return int(server.query("SELECT count(*) FROM providers_exchange WHERE open")[0][0])


def statuses(server: Server, kind: str) -> dict[str, str]:
    return dict(
        server.query(
            "SELECT number, m.status FROM messaging_message m JOIN providers_provideraccount a ON a.id = m.account_id"
            f" WHERE a.name = '{kind}' AND m.status <> 'received'"
        )
    )


def taken(server: Server, kind: str) -> Counter[str]:
    """What the carrier took, by number."""
    found: Counter[str] = Counter()
    page = f"{server.url}/sandbox/control/messages/?kind={kind}"
    reply = requests.get(page, headers={"authorization": f"Bearer {key(kind)}"}, timeout=30)
    for entry in reply.json()["counts"]:
        found[entry["number"]] += entry["taken"]
    return found


@pytest.mark.parametrize("kind", list(registry.kinds()))
def test_nothing_is_lost(crashed: Server, kind: str) -> None:
    assert set(statuses(crashed, kind)) == set(numbers(kind))


@pytest.mark.parametrize("kind", list(registry.kinds()))
def test_nothing_goes_out_twice(crashed: Server, kind: str) -> None:
    assert max(taken(crashed, kind).values()) == 1


@pytest.mark.parametrize("kind", list(registry.kinds()))
def test_what_was_not_handed_over_went_out_by_itself(crashed: Server, kind: str) -> None:
    went, words = taken(crashed, kind), statuses(crashed, kind)
    assert {number for number in words if words[number] in ("sent", "delivered")} <= set(went)
    assert {words[number] for number in set(words) - set(went)} <= {"uncertain"}


def test_only_what_was_in_flight_is_uncertain(crashed: Server) -> None:
    uncertain = count(crashed, "status = 'uncertain'")
    kinds = [kind.adapter for kind in registry.kinds().values()]
    assert 0 < uncertain <= 2 * sum(kind.max_batch * kind.concurrency for kind in kinds)


def test_the_log_tells_of_no_fault(crashed: Server) -> None:
    """Web and workers write one database at once, and are killed while they do."""
    log = crashed.log_file.read_text()
    assert "Traceback" not in log
    assert "locked" not in log
