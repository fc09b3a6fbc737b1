"""kill -9 in the middle of the work: nothing is lost, nothing goes out twice, and only what was in flight is in doubt.

The judge is the carrier: the sandbox keeps every message that it took. It hangs, breaks connections and answers 500,
503 and 429 as well. bench/crash.py does the same for much longer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from messaging import dispatch
from providers import registry
from tests import feeding, judge
from tests.server import Server, until

pytestmark = pytest.mark.server

MANY = 1_000
HANGS = "914"
# in one request each of the ten that a kind's messages make; all others in these are ordinary
FATES = {0: HANGS, 2: "910", 3: "907", 4: "911", 5: "909"}


@dataclass(frozen=True)
class Crashed:
    server: Server
    flying: list[dict[int, set[int]]]  # the requests on their way at each kill
    judgement: judge.Judgement


@pytest.fixture(scope="module")
def crashed(new_installation: Callable[[], dict[str, str]]) -> Iterator[Crashed]:
    """After 1,000 messages through each kind: workers were killed, then everything, then the wake-ups were lost."""
    first, *others = registry.kinds()
    with Server(new_installation(), SMSDASH_WORKERS="2") as server:
        accounts = [account(server, kind) for kind in registry.kinds()]
        feeding.feed(server, {"accounts": accounts, "campaigns": [campaign(first)]})
        flying = [strike(server, [first], server.kill_workers)]
        feeding.feed(server, {"campaigns": [campaign(kind) for kind in others]})
        flying.append(strike(server, others, server.kill_everything))
        judge.end_leases(server, server.pid)
        server.start()
        server.execute("DELETE FROM django_q_ormq")
        until("all to have an end", lambda: not judge.waiting(server), 120)
        ids = {pk for requests in flying for messages in requests.values() for pk in messages}
        yield Crashed(server, flying, judge.judge(server, server, ids))


def account(server: Server, kind: str) -> dict[str, object]:
    url = f"{server.url}/sandbox/{kind}{registry.adapter_class(kind).base_url_ends}"
    return {"name": kind, "kind": kind, "base_url": url, "key": f"sandbox-slow-{kind}", "rates": ["500/second"]}


def campaign(kind: str) -> dict[str, object]:
    return {"account": kind, "text": "Hello", "numbers": numbers(kind)}


def numbers(kind: str) -> list[str]:
    """Ordinary ones, but for the first of each hundred in FATES."""
    block = 1 + list(registry.kinds()).index(kind)
    found = [f"+1555{block}{index // 900}{index % 900:05d}" for index in range(MANY)]
    return [
        f"+1555{block}99{FATES[index // 100]}" if index % 100 == 0 and index // 100 in FATES else number
        for index, number in enumerate(found)
    ]


def strike(server: Server, kinds: list[str], blow: Callable[[], None]) -> dict[int, set[int]]:
    """At a random moment while the carrier keeps one request of each kind waiting. The requests on their way."""
    hanging = {next(number for number in numbers(kind) if number.endswith(HANGS)) for kind in kinds}
    until("the carrier to hang", lambda: hanging <= judge.taken(server).keys())
    time.sleep(random.uniform(0, 0.4))
    blow()
    return judge.in_flight(server)


def test_nothing_is_lost(crashed: Crashed) -> None:
    assert (crashed.judgement.accepted, crashed.judgement.lost) == (MANY * len(registry.kinds()), 0)


def test_nothing_goes_out_twice(crashed: Crashed) -> None:
    assert crashed.judgement.taken_twice == 0
    assert crashed.judgement.taken_once > 0.5 * crashed.judgement.accepted


def test_only_what_was_in_flight_is_uncertain(crashed: Crashed) -> None:
    """In flight at a kill, or in a request whose answer the carrier spoilt."""
    assert 0 < crashed.judgement.swept == crashed.judgement.in_flight
    assert crashed.judgement.unexplained == 0


def test_few_were_in_flight(crashed: Crashed) -> None:
    """Under way, more of them where they carry few messages, or answered and not written down yet."""
    most = [kind.adapter.concurrency + dispatch.SMALL for kind in registry.kinds().values()]
    assert 0 < len(crashed.flying[0]) <= most[0]
    assert len(most) - 1 <= len(crashed.flying[1]) <= sum(most)


def test_the_kept_counts_are_those_of_the_rows(crashed: Crashed) -> None:
    assert crashed.judgement.counts_wrong == 0


def test_the_log_tells_of_no_fault(crashed: Crashed) -> None:
    """Web and workers write one database at once, and are killed while they do."""
    assert crashed.server.faults() == []
    assert [line for line in crashed.server.log_file.read_text().splitlines() if "locked" in line] == []
