"""What has to go up a floor goes as rows: whatever happens is written here, in the transaction in which it happens,
and whoever stands above reads it on. Nothing is written of what nobody wants to hear of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from .models import Occurrence, Wanted

ONE_TAKER = 0x736D7364  # the number of the lock, in PostgreSQL

_TABLE, _WANTED = Occurrence._meta.db_table, Wanted._meta.db_table
ANYTHING = f"EXISTS (SELECT 1 FROM {_WANTED})"
"""Whether anything is wanted, as a column of a statement that is made anyway."""

_SOURCES = {
    "postgresql": "unnest(ARRAY(SELECT json_array_elements_text(%s::json)), %s::bigint[]) "
    "WITH ORDINALITY AS c(name, subject, place)",
    "sqlite": "(SELECT json_extract(value, '$[0]') AS name, json_extract(value, '$[1]') AS subject, key AS place "
    "FROM json_each(%s)) AS c",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """An occurrence that was taken: ``name`` as ``message.delivered``, ``subject`` the id of what it happened to."""

    id: int
    name: str
    subject: int
    at: datetime


def alone() -> None:
    """Until the caller's transaction ends, nobody else decides what is wanted. On SQLite none other writes anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {_WANTED} IN SHARE ROW EXCLUSIVE MODE")


def want(names: Iterable[str]) -> None:
    """From now on these events are written, and no others. See ``alone``."""
    wanted = set(names)
    with transaction.atomic():
        Wanted.objects.exclude(name__in=wanted).delete()
        Wanted.objects.bulk_create([Wanted(name=name) for name in sorted(wanted)], ignore_conflicts=True)


def put(events: Mapping[str, Iterable[int]]) -> None:
    """Write what happened, by name the ids that it happened to, in the caller's transaction and in one statement."""
    put_all([(name, subject) for name, subjects in events.items() for subject in subjects])


def put_all(events: Sequence[tuple[str, int]]) -> None:
    """The same, in the order in which it happened."""
    if not events:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} (name, subject, at) SELECT c.name, c.subject, %s "
            f"FROM {_SOURCES[connection.vendor]} WHERE EXISTS (SELECT 1 FROM {_WANTED} w WHERE w.name = c.name) "
            "ORDER BY c.place",
            [_moment(timezone.now()), *_sent(events)],
        )


def waiting() -> bool:
    return bool(Occurrence.objects.order_by("pk").values_list("pk")[:1])


def take(limit: int) -> list[Taken]:
    """The oldest, in their order; nothing while somebody else takes some, because order is lost between two.

    They are gone when the caller's transaction is through, and here again if it is not.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [ONE_TAKER])
            if not cursor.fetchone()[0]:
                return []
        first = f"SELECT id FROM {_TABLE} ORDER BY id LIMIT %s"
        rows = Occurrence.objects.raw(
            f"DELETE FROM {_TABLE} WHERE id IN ({first}) RETURNING id, name, subject, at", [limit]
        )
        taken = [Taken(row.pk, row.name, row.subject, row.at) for row in rows]
    return sorted(taken, key=lambda each: each.id)


def _moment(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)


def _sent(pairs: Sequence[tuple[str, int]]) -> list[Any]:
    if connection.vendor == "sqlite":
        return [json.dumps(pairs)]
    return [json.dumps([name for name, _ in pairs]), [subject for _, subject in pairs]]
