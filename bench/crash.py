"""Kill -9 at random moments while messages come in, and judge every message by the carrier's own record.

``python -m bench.crash [KILLS] [--database sqlite|postgresql] [--json]``: a running installation with two worker
processes and an account of each kind, at a carrier that is slow, hangs, breaks connections and answers 500, 503 and
429. Workers, their leader, the web server and everything at once are killed, a worker stands still for longer than
its lease, the queue of wake-ups is emptied, PostgreSQL is restarted. Takes some ten minutes for each database.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from providers import registry
from tests import feeding, judge, postgres
from tests.server import Server, alive, free_port, until

PAUSE = 18.0  # seconds that a stopped worker stands still; its lease has 15
ASKED = 300.0  # seconds that the carrier is asked for what is uncertain, where it can be
BETWEEN = 8.0  # seconds between two kills, at most
RATES = {"customersms": ["100/minute"], "smsprovider": ["10/second"]}
FATES = ("903", "905", "907", "907", "909", "909", "910", "911", "912", "914", "915", "916")
ODD = 0.008  # of the numbers have one of these
BLOWS = {"worker": 6, "everything": 2, "leader": 2, "stand_still": 2, "web": 1, "queue": 1, "database": 1}


class Scene:
    """``flying``: the messages in requests on their way when their worker was killed or stopped."""

    def __init__(self, server: Server, carrier: Server, database: postgres.Server | None, dice: random.Random) -> None:
        self.server, self.carrier, self.database, self.dice = server, carrier, database, dice
        self.flying: set[int] = set()
        self.most = 0  # requests on their way at one kill
        self.done: Counter[str] = Counter()
        self.still: dict[int, float] = {}  # stopped processes, and when they go on
        self.blows: dict[str, Callable[[], None]] = {
            "worker": self.kill_worker,
            "leader": self.kill_leader,
            "everything": self.kill_everything,
            "stand_still": self.stop_worker,
            "web": self.kill_web,
            "queue": lambda: server.execute("DELETE FROM django_q_ormq"),
        }
        if database:
            self.blows["database"] = database.restart

    def strike(self) -> None:
        """One blow, once something is on its way."""
        time.sleep(self.dice.uniform(0, BETWEEN))
        self.go_on()
        self.wait_for_work()
        time.sleep(self.dice.uniform(0, 0.5))
        name = self.dice.choices(list(self.blows), [BLOWS[name] for name in self.blows])[0]
        self.blows[name]()
        self.done[name] += 1
        print(time.strftime("%H:%M:%S"), name, file=sys.stderr, flush=True)

    def wait_for_work(self) -> None:
        """Until something is on its way, or for a while: perhaps all was sent."""
        end = time.monotonic() + 2 * PAUSE
        while time.monotonic() < end and not judge.in_flight(self.server):
            self.go_on()
            time.sleep(0.1)

    def go_on(self) -> None:
        for pid in [pid for pid, due in self.still.items() if due < time.monotonic()]:
            del self.still[pid]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def note(self, accounts: set[int] | None = None) -> None:
        found = judge.in_flight(self.server, accounts)
        self.most = max(self.most, len(found))
        self.flying.update(pk for messages in found.values() for pk in messages)

    def held_by(self, *pids: int) -> set[int]:
        """The accounts that these processes drain."""
        leases = self.server.query("SELECT account_id, holder FROM messaging_lease WHERE holder <> ''")
        return {account for account, holder in leases if holder.split(":")[-2] in map(str, pids)}

    def some_worker(self) -> int:
        """More often one that is at work."""
        workers = until("workers to be there", lambda: self.server.workers()[2:])
        busy = [pid for pid in workers if self.held_by(pid)]
        return self.dice.choice(busy if busy and self.dice.random() < 0.8 else workers)

    def kill_worker(self) -> None:
        pid = self.some_worker()
        os.kill(pid, signal.SIGKILL)
        self.note(self.held_by(pid))

    def stop_worker(self) -> None:
        """One at a time: on SQLite, whoever stands still while it writes keeps everybody waiting."""
        if self.still:
            return self.kill_worker()
        pid = self.some_worker()
        os.kill(pid, signal.SIGSTOP)
        self.still[pid] = time.monotonic() + PAUSE
        self.note(self.held_by(pid))

    def kill_leader(self) -> None:
        """Its processes work on until the supervisor sees it."""
        family = until("workers to be there", self.server.workers)
        accounts = self.held_by(*family)
        self.note(accounts)
        os.kill(family[0], signal.SIGKILL)
        while any(map(alive, family)):
            accounts |= self.held_by(*family)
            self.note(accounts)
        self.note(accounts)

    def kill_everything(self) -> None:
        self.server.kill_everything()
        self.note()
        self.server.start()

    def kill_web(self) -> None:
        os.kill(self.server.descendants()[0], signal.SIGKILL)


def numbers(count: int, dice: random.Random) -> list[str]:
    found = []
    for index in range(count):
        odd = dice.random() < ODD
        block, last = (5000 + index // 10, dice.choice(FATES)) if odd else (index // 900, f"{index % 900:03d}")
        found.append(f"+1555{block:04d}{last}")
    return list(dict.fromkeys(found))


def campaigns(messages: int, seconds: float, dice: random.Random) -> Iterator[dict[str, Any]]:
    """Some large, most small; some urgent, some for a little later."""
    kinds, rest = list(registry.kinds()), numbers(messages, dice)
    while rest:
        size = dice.choice((1, 3, 10, 30, 100, 300))
        some, rest = rest[:size], rest[size:]
        yield {
            "account": dice.choice(kinds),
            "numbers": some,
            "text": f"Doors open at {dice.randrange(24)}.",
            "priority": int(dice.random() < 0.1),
            "later": dice.choice((0, 0, 0, 4)),
            "at": seconds * (1 - len(rest) / messages),
        }


def account(carrier: Server, kind: str) -> dict[str, Any]:
    url = f"{carrier.url}/sandbox/{kind}{registry.adapter_class(kind).base_url_ends}"
    rates = RATES.get(kind, ["20/second"])
    return {"name": kind, "kind": kind, "base_url": url, "key": f"sandbox-slow-{kind}", "rates": rates}


def environment(base: Path, name: str, database_url: str = "") -> dict[str, str]:
    ours = ("SMSDASH_", "DATABASE_")
    known = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    known |= {"SMSDASH_DATA_DIR": str(base / name), "PORT": str(free_port()), "SMSDASH_STALLED_AFTER": "30"}
    return known | ({"DATABASE_URL": database_url} if database_url else {})


def uncertain(server: Server, where: str = "TRUE") -> int:
    rows = server.query(f"SELECT count(*) FROM messaging_message WHERE status = 'uncertain' AND {where}")
    return int(rows[0][0])


def run(database: str, kills: int, messages: int, seed: int) -> dict[str, Any]:
    dice, begun = random.Random(seed), time.monotonic()
    own = postgres.started(durable=True) if database == "postgresql" else None
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        carrier = Server(environment(Path(folder), "carrier"), "/healthz", SMSDASH_WORKERS="0")
        here = environment(Path(folder), "server", own.url if own else "")
        with carrier, Server(here, SMSDASH_DEMO="0", SMSDASH_WORKERS="2") as server:
            scene = Scene(server, carrier, own, dice)
            feeding.feed(server, {"accounts": [account(carrier, kind) for kind in registry.kinds()]})
            feeder = feeding.start(server, {"campaigns": list(campaigns(messages, kills * BETWEEN, dice))})
            while sum(scene.done.values()) < kills and (feeder.poll() is None or judge.waiting(server)):
                scene.strike()
            assert feeder.wait(600) == 0
            while scene.still:
                scene.go_on()
                time.sleep(0.1)
            until("all to have an end", lambda: not judge.waiting(server), 600)
            before = uncertain(server)
            end = time.monotonic() + ASKED
            while uncertain(server, "poll_at IS NOT NULL") and time.monotonic() < end:
                time.sleep(1)
            until("all to have an end", lambda: not judge.waiting(server), 600)
            server.stop()
            found = judge.judge(server, carrier, scene.flying)
    return {
        "bench": "crash",
        "database": database,
        "seed": seed,
        "seconds": round(time.monotonic() - begun),
        "blows": dict(scene.done),
        "most_requests_at_a_kill": scene.most,
        "uncertain_before_asking": before,
        **found.facts(),
        "holds": found.holds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.crash", description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=50)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON, and nothing else")
    options = parser.parse_args()
    for database in [options.database] if options.database else ["sqlite", "postgresql"]:
        found = run(database, options.kills, options.messages, options.seed)
        if options.json:
            print(json.dumps(found), flush=True)
        else:
            print("".join(f"{name:>24}  {value}\n" for name, value in found.items()), flush=True)
        if not found["holds"]:
            sys.exit(1)


if __name__ == "__main__":
    main()
