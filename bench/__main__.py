"""All benchmarks, each in a process and on a database of its own. Only ratios mean anything: both sides run in turn.

The crash bench is apart: ``python -m bench.crash`` (it takes minutes and measures no time).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests import postgres


@dataclass(frozen=True, slots=True)
class Bench:
    """``arguments`` with ``PAIRS`` in them. ``rows``: which argument grows with --scale. ``target``: the ratio (or
    what ``shows`` names) to reach on PostgreSQL and on SQLite."""

    name: str
    arguments: tuple[str, ...]
    rows: int | None = None
    target: tuple[str, str] = ("", "")
    shows: str = "ratio"


BENCHES = (
    Bench("send", ("1", "5000", "PAIRS", "0"), 1, ("0.95", "0.95")),
    Bench("send", ("1", "2000", "PAIRS", "0.05"), 1, ("0.95", "0.95")),
    Bench("send", ("100", "30000", "PAIRS", "0"), 1, ("0.6", "0.75")),
    Bench("send", ("100", "30000", "PAIRS", "0.05"), 1, ("0.9", "0.95")),
    Bench("growth", ("100000", "PAIRS"), 0, ("0.95", "0.95")),
    Bench("pace", ("10/second", "20"), None, ("0.97", "0.97"), "use"),
    Bench("pace", ("100/second", "10"), None, ("0.97", "0.97"), "use"),
    Bench("pace", ("100/minute", "120"), None, ("0.97", "0.97"), "use"),
    Bench("hosts", ("10/second", "20"), None, ("0.97", "0.97"), "use"),
    Bench("wake", ("5",), None, ("< 0.3 s", "< 0.3 s"), "median"),
    Bench("log", ("1000000", "PAIRS"), 0, ("≤ 2", "≤ 2"), "worst"),
    Bench("expand", ("1000000", "PAIRS"), 0, ("0.9", "0.9")),
    Bench("expand", ("1000000", "PAIRS", "merged"), 0, ("0.5", "0.4")),
    Bench("flood", ("3000", "PAIRS"), 0, ("0.4", "0.45")),
    Bench("busy", ("30000", "PAIRS", "100"), 0, ("0.8", "0.8")),
    Bench("accept", ("1", "2000", "PAIRS"), 1, ("0.4", "0.45")),
    Bench("accept", ("5000", "1", "PAIRS"), None, ("0.5", "0.5")),
    Bench("contacts", ("1000000", "PAIRS"), 0, ("0.45", "0.6")),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"only these: {', '.join(dict.fromkeys(b.name for b in BENCHES))}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--pairs", type=int, default=5, help="runs of each side; the median counts (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="times the rows of each run (default: 1)")
    options = parser.parse_args()
    results = []
    print(f"{'':10}{'database':12}{'measured':>12}{'target':>10}   case", flush=True)
    for database, place in ((postgres.url(durable=True), 0), ("", 1)):
        for bench in BENCHES:
            if options.names and bench.name not in options.names:
                continue
            found = measure(database, bench.name, scaled(bench, options.pairs, options.scale))
            results.append(found | {"target": bench.target[place]})
            case = found.get("case", " ".join(bench.arguments[:1]))
            shown = f"{found['database']:12}{found[bench.shows]:>12}{bench.target[place]:>10}"
            print(f"{bench.name:10}{shown}   {case}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


def scaled(bench: Bench, pairs: int, scale: float) -> list[str]:
    arguments = [str(pairs) if argument == "PAIRS" else argument for argument in bench.arguments]
    if bench.rows is not None:
        arguments[bench.rows] = str(max(200, round(int(arguments[bench.rows]) * scale)))
    return arguments


def measure(server: str, name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run ``bench.<name>`` on a fresh database; ``server`` empty: SQLite."""
    with tempfile.TemporaryDirectory() as data_dir, fresh(server) as database:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("SMSDASH_", "DATABASE_"))
        }
        environment |= {"SMSDASH_DATA_DIR": data_dir, "DJANGO_SETTINGS_MODULE": "smsdash.settings", **database}
        command = [sys.executable, "-m", f"bench.{name}", *arguments]
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
