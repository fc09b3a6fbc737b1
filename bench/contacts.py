"""Importing contacts, from the file to the last commit with its counts, against the same rows raw into the same tables.

``python -m bench.contacts ROWS PAIRS`` runs on the database of the settings and prints one line of JSON. Raw is COPY
on PostgreSQL and executemany on SQLite, in one transaction. 10 % of the rows repeat a number, 1 % have none.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from contacts import import_files, importing  # noqa: E402
from contacts.models import Contact, Import  # noqa: E402

PIECE = 100_000  # rows that are in memory at once
TABLES = (
    "contacts_importreject",
    "contacts_importchunk",
    "contacts_importchange",
    "contacts_contact",
    "contacts_import",
)


def number(row: int) -> str:
    """Every tenth row has the number of the one before it, every hundredth none."""
    return "nobody" if row % 100 == 50 else f"+1555{row - (row % 10 == 1):07d}"


def write_file(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            file.write(f"{number(row)},Person {row}\n")


def good(rows: int) -> Iterator[list[tuple[str, str]]]:
    """The rows that become contacts, some at a time."""
    for start in range(0, rows, PIECE):
        those = [row for row in range(start, min(start + PIECE, rows)) if row % 10 != 1 and row % 100 != 50]
        yield [(number(row), f"Person {row}") for row in those]


def raw(rows: int) -> float:
    """Seconds to put the good rows into the table with nothing around it."""
    seconds = 0.0
    run, moment = Import.objects.create(name="raw").pk, str(connection.ops.adapt_datetimefield_value(timezone.now()))
    names = "number, name, language, zone, fields, made_by_import_id, created_at"
    copied = connection.vendor == "postgresql"
    with transaction.atomic(), connection.cursor() as cursor:
        for piece in good(rows):
            values = [(number, name, "", "", "{}", run, moment) for number, name in piece]
            lines = "".join(["\t".join(map(str, each)) + "\n" for each in values]) if copied else ""
            begun = time.monotonic()
            if copied:
                with cursor.copy(f"COPY contacts_contact ({names}) FROM STDIN") as copying:
                    copying.write(lines)
            else:
                cursor.executemany(
                    f"INSERT INTO contacts_contact ({names}) VALUES (%s, %s, %s, %s, %s, %s, %s)", values
                )
            seconds += time.monotonic() - begun
        begun = time.monotonic()
    return seconds + time.monotonic() - begun


def own(path: Path) -> float:
    """Seconds from the file to the end of its import."""
    begun = time.monotonic()
    with path.open("rb") as file:
        run = import_files.receive(path.name, file)
    importing.begin(run, importing.Plan("utf-8", ",", False, ("number", "name")))
    while importing.work(run.pk, "bench"):
        pass
    seconds = time.monotonic() - begun
    run.refresh_from_db()
    assert run.state == Import.State.DONE, run.error
    assert run.added == Contact.objects.count() and run.rows == run.added + run.updated + run.skipped + run.rejected
    return seconds


def clear() -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE contacts_contact")


def run(rows: int, pairs: int) -> dict[str, object]:
    taken = []
    path = Path(django.conf.settings.DATA_DIR) / "people.csv"
    write_file(path, rows)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _pair in range(pairs):
        bare = raw(rows)
        clear()
        taken.append((bare, own(path)))
        clear()
    middle = sorted(taken, key=lambda pair: pair[0] / pair[1])[len(taken) // 2]
    return {
        "bench": "import",
        "database": connection.vendor,
        "rows": rows,
        "pairs": pairs,
        "bare_a_second": round(rows / middle[0]),
        "own_a_second": round(rows / middle[1]),
        "ratio": round(statistics.median(bare / own for bare, own in taken), 3),
        "ratios": sorted(round(bare / own, 3) for bare, own in taken),
        "megabytes_more": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) // 1024,
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:]))))
