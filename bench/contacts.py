"""Importing contacts onto a list, from the file to the last commit with its counts, against the same rows raw.

``python -m bench.contacts ROWS PAIRS`` runs on the database of the settings and prints one line of JSON. Raw is COPY
on PostgreSQL and executemany on SQLite, of values that are there already, into the same three tables: contacts, places
on the list, and their history. 10 % of the file's rows repeat a number, 1 % have none; raw gets the others alone.
"""

from __future__ import annotations

import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from contacts import import_files, importing  # noqa: E402
from contacts.models import Contact, ContactList, Import  # noqa: E402

PIECE = 50_000  # rows that are in memory at once
TABLES: Mapping[str, str] = {
    "contacts_contact": "id, number, name, language, zone, fields, made_by_import_id, created_at",
    "contacts_subscription": 'contact_id, list_id, subscribed, at, how, "by", made_by_import_id',
    "contacts_consentevent": 'contact_id, list_id, what, how, "by", reason, at, proof',
}
ALL_TABLES = (*reversed(TABLES), "contacts_importreject", "contacts_importchunk", "contacts_import")


def number(row: int) -> str:
    """Every tenth row has the number of the one before it, every hundredth none."""
    return "nobody" if row % 100 == 55 else f"+1555{row - (row % 10 == 1):07d}"


def write_file(path: Path, rows: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            file.write(f"{number(row)},Person {row}\n")


def good(rows: int) -> Iterator[list[int]]:
    """The rows that become contacts, some at a time."""
    for start in range(0, rows, PIECE):
        yield [row for row in range(start, min(start + PIECE, rows)) if row % 10 != 1 and row % 100 != 55]


def raw(rows: int, to: ContactList) -> float:
    """Seconds to put the good rows into the tables with nothing around it."""
    run, at = Import.objects.create(name="raw").pk, str(connection.ops.adapt_datetimefield_value(timezone.now()))
    seconds = 0.0
    with transaction.atomic():
        for piece in good(rows):
            values: tuple[list[Sequence[Any]], ...] = (
                [(row + 1, number(row), f"Person {row}", "", "", "{}", run, at) for row in piece],
                [(row + 1, to.pk, True, at, "import", "", run) for row in piece],
                [(row + 1, to.pk, "subscribed", "import", "", "", at, "{}") for row in piece],
            )
            seconds += sum(put(*table, each) for table, each in zip(TABLES.items(), values, strict=True))
        begun = time.monotonic()
    return seconds + time.monotonic() - begun


def put(table: str, names: str, rows: Sequence[Sequence[Any]]) -> float:
    """Seconds to insert them."""
    copied = connection.vendor == "postgresql"
    lines = "".join(["\t".join(map(str, row)) + "\n" for row in rows]) if copied else ""
    marks = ", ".join(["%s"] * (names.count(",") + 1))
    with connection.cursor() as cursor:
        begun = time.monotonic()
        if copied:
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copying:
                copying.write(lines)
        else:
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
        return time.monotonic() - begun


def own(path: Path, to: ContactList) -> float:
    """Seconds from the file to the end of its import."""
    begun = time.monotonic()
    with path.open("rb") as file:
        run = import_files.receive(path.name, file)
    importing.begin(run, importing.Plan("utf-8", ",", False, ("number", "name"), lists=[to.pk]))
    while importing.work(run.pk, "bench"):
        pass
    seconds = time.monotonic() - begun
    run.refresh_from_db()
    to.refresh_from_db()
    assert run.state == Import.State.DONE, run.error
    assert run.added == to.subscribed == Contact.objects.count() == run.rows * 89 // 100
    return seconds


def clear() -> None:
    with connection.cursor() as cursor:
        for table in ALL_TABLES:
            cursor.execute(f"DELETE FROM {table}")
            if connection.vendor == "postgresql":
                cursor.execute(f"VACUUM ANALYZE {table}")
    ContactList.objects.update(members=0, subscribed=0)


def run(rows: int, pairs: int) -> dict[str, object]:
    path, to = Path(settings.DATA_DIR) / "people.csv", ContactList.objects.create(name="Bench")
    write_file(path, rows)
    own(path, to)  # connections, caches, imports
    clear()
    memory, taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
    for _pair in range(pairs):
        mine = own(path, to)
        clear()
        taken.append((raw(rows, to), mine))
        clear()
    middle = sorted(taken, key=lambda pair: pair[0] / pair[1])[len(taken) // 2]
    return {
        "bench": "import",
        "database": connection.vendor,
        "rows": rows,
        "pairs": pairs,
        "bare_a_second": round(rows / middle[0]),
        "own_a_second": round(rows / middle[1]),
        "ratio": round(statistics.median(bare / mine for bare, mine in taken), 3),
        "ratios": sorted(round(bare / mine, 3) for bare, mine in taken),
        "megabytes_at_most": memory // 1024,
    }


if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(*map(int, sys.argv[1:]))))
