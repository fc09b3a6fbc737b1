"""Making the rows of a campaign to a list, counts and all, against the same rows raw into the same table.

``python -m bench.expand ROWS PAIRS [merged]`` runs on the database of the settings and prints one line of JSON. Raw is
COPY on PostgreSQL and executemany on SQLite, in one transaction, of texts that stand ready. ``merged``: everybody's
text is their own.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from contacts.models import Contact, ContactList, Subscription  # noqa: E402
from messaging import campaigns, conduct  # noqa: E402
from messaging.models import Campaign, Message  # noqa: E402
from providers.models import ProviderAccount  # noqa: E402

PIECE = 100_000  # rows that are in memory at once
TEXT = "Doors open at seven. Bring a coat."
FIELDS = "Dear {name|friend}, doors open at seven in {city|town}."
TABLES = ("messaging_message", "messaging_tally", "messaging_campaign_lists", "messaging_campaign")


def pieces(rows: int) -> Iterator[range]:
    return (range(start, min(start + PIECE, rows)) for start in range(0, rows, PIECE))


def number(row: int) -> str:
    return f"+1555{row:07d}"


def make_people(rows: int) -> ContactList:
    to, moment = ContactList.objects.create(name="Everybody"), timezone.now().isoformat(" ")
    names = ["number", "name", "fields", "language", "zone", "created_at"]
    for some in pieces(rows):
        lines = [
            (number(row), f"Person {row}", json.dumps({"city": f"Town {row % 1000}"}), "", "", moment) for row in some
        ]
        with transaction.atomic():
            write("contacts_contact", names, ready(lines))
    with connection.cursor() as cursor:
        cursor.execute(
            'INSERT INTO contacts_subscription (contact_id, list_id, subscribed, at, how, "by") '
            "SELECT id, %s, %s, created_at, 'import', '' FROM contacts_contact ORDER BY id",
            [to.pk, True],
        )
    ContactList.objects.filter(pk=to.pk).update(members=rows, subscribed=rows)
    assert Subscription.objects.count() == Contact.objects.count() == rows
    return to


def raw(account: ProviderAccount, rows: int, merged: bool) -> float:
    """Seconds to put the rows into the table with nothing around it."""
    seconds = 0.0
    sample = Message(account=account, campaign=Campaign.objects.create(account=account, text=TEXT), text=TEXT)
    fields = [field for field in Message._meta.concrete_fields if not field.primary_key]
    names, values = [field.column for field in fields], [plain(sample, field) for field in fields]
    to, text = names.index("number"), names.index("text")
    with transaction.atomic():
        for some in pieces(rows):
            lines = []
            for row in some:
                values[to] = number(row)
                if merged:
                    values[text] = f"Dear Person {row}, doors open at seven in Town {row % 1000}."
                lines.append(tuple(values))
            given = ready(lines)
            begun = time.monotonic()
            write("messaging_message", names, given)
            seconds += time.monotonic() - begun
        begun = time.monotonic()
    return seconds + time.monotonic() - begun


def plain(sample: Message, field: Any) -> Any:
    value = getattr(sample, field.attname)
    if isinstance(value, list | dict):
        return json.dumps(value)
    return value if connection.vendor == "postgresql" else field.get_db_prep_save(value, connection)


def ready(lines: list[tuple[Any, ...]]) -> Any:
    """As the database's quickest way takes it."""
    if connection.vendor == "postgresql":
        return "\n".join("\t".join("\\N" if v is None else str(v) for v in line) for line in lines) + "\n"
    return lines


def write(table: str, names: list[str], given: Any) -> None:
    columns = ", ".join(names)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copying:
                copying.write(given)
        else:
            marks = ", ".join(["%s"] * len(names))
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", given)


def own(account: ProviderAccount, to: ContactList, rows: int, merged: bool) -> float:
    """Seconds from Send to the last row and its counts."""
    begun = time.monotonic()
    draft = campaigns.Draft(account, (), FIELDS if merged else TEXT, lists=[to], merges=merged)
    campaign = campaigns.submit(draft)
    while not campaign.complete:
        campaigns.expand(campaign.pk)
        campaign.refresh_from_db()
    seconds = time.monotonic() - begun
    assert conduct.balance(campaign).waiting == rows == Message.objects.count()
    return seconds


def clear() -> None:
    with connection.constraint_checks_disabled(), connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"TRUNCATE {table} CASCADE" if connection.vendor == "postgresql" else f"DELETE FROM {table}")
        cursor.execute("DELETE FROM django_q_ormq")
        if connection.vendor == "postgresql":
            cursor.execute("CHECKPOINT")


def memory(what: str) -> int:
    """Megabytes: what this process has now (``VmRSS``), or had at most (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(what))


def run(rows: int, pairs: int, merged: bool) -> dict[str, object]:
    account = ProviderAccount.objects.create(name="Bench", kind="smsprovider", base_url="http://127.0.0.1:9/v1")
    to = make_people(rows)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    taken = []
    more = 0
    for _pair in range(pairs):
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins here
        before = memory("VmRSS")
        mine = own(account, to, rows, merged)
        more = max(more, memory("VmHWM") - before)
        clear()
        taken.append((raw(account, rows, merged), mine))
        clear()
    middle = sorted(taken, key=lambda pair: pair[0] / pair[1])[len(taken) // 2]
    return {
        "bench": "expand",
        "case": f"{rows:,} members of a list, " + ("a text for each" if merged else "one text"),
        "database": connection.vendor,
        "rows": rows,
        "pairs": pairs,
        "bare_a_second": round(rows / middle[0]),
        "own_a_second": round(rows / middle[1]),
        "ratio": round(statistics.median(bare / mine for bare, mine in taken), 3),
        "ratios": sorted(round(bare / mine, 3) for bare, mine in taken),
        "megabytes_more": more,
    }


def main(rows: str = "1000000", pairs: str = "5", which: str = "") -> None:
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    print(json.dumps(run(int(rows), int(pairs), which == "merged")))


if __name__ == "__main__":
    main(*sys.argv[1:])
