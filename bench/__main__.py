"""All benchmarks, each in a process and on a database of its own. Only ratios mean anything: both sides run in turn."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests import postgres

# recipients in a request, and messages in each run
SENDS = ((1, 1_000), (100, 10_000))
COLUMNS = ("bench", "database", "recipients_a_request", "messages", "bare_a_second", "lane_a_second", "ratio")


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side; the median counts (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the messages of each run (default: 1)")
    options = parser.parse_args()
    results = []
    print("".join(f"{name:>22}" for name in COLUMNS), flush=True)
    for database in ("", postgres.url(durable=True)):
        for batch, messages in SENDS:
            count = max(200, round(messages * options.scale))
            results.append(measure(database, batch, count, options.pairs))
            print("".join(f"{results[-1][name]:>22}" for name in COLUMNS), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(server: str, batch: int, messages: int, pairs: int) -> dict[str, Any]:
    """Run ``bench.send`` on a fresh database; ``server`` empty: SQLite."""
    with tempfile.TemporaryDirectory() as data_dir, fresh(server) as database:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SMSDASH_", "DATABASE_"))
        }
        environment |= {"SMSDASH_DATA_DIR": data_dir, "DJANGO_SETTINGS_MODULE": "smsdash.settings", **database}
        command = [sys.executable, "-m", "bench.send", str(batch), str(messages), str(pairs)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def fresh(server: str) -> Iterator[dict[str, str]]:
    """The variable that names an empty database on a PostgreSQL server; none for SQLite."""
    if not server:
        yield {}
        return
    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield {"DATABASE_URL": urlunsplit(urlsplit(server)._replace(path=f"/{name}"))}
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


if __name__ == "__main__":
    main()
