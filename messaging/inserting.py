"""New messages by the thousand: rows straight into the table, and their counts, in the caller's transaction.

All are like a sample, and differ in some columns: given here, or found by the database itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from contacts.bulk_sql import execute

from . import ledger
from .models import Message

_FIELDS = {field.column: field for field in Message._meta.concrete_fields if not field.primary_key}
_TABLE = Message._meta.db_table
_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def add(sample: Message, columns: Mapping[str, Sequence[Any]]) -> None:
    """A message for each place of the columns (as the database names them), the same for each in the others."""
    n = len(columns["number"])
    if not n:
        return
    same = {name: getattr(sample, field.attname) for name, field in _FIELDS.items() if name not in columns}
    (_copy if connection.vendor == "postgresql" else _insert_each)(same, columns)
    accounts = columns.get("account_id", [sample.account_id] * n)
    statuses = columns.get("status", [sample.status] * n)
    _count(sample, Counter(zip(accounts, statuses, strict=True)))


def add_from(sample: Message, people: str, values: Sequence[Any]) -> list[tuple[str, int, int]]:
    """A message for each row of the query ``people`` whose ``reason`` is empty, to its ``number``, by its ``id``.

    Returns for each reason how many rows have it, and the sum of their ``n``.
    """
    names = [name for name in _FIELDS if name != "number"]
    same = [_prepared(name, getattr(sample, _FIELDS[name].attname)) for name in names]
    insert = (
        f"INSERT INTO {_TABLE} (number, {', '.join(names)}) SELECT number, {', '.join(['%s'] * len(names))} "
        "FROM people WHERE reason = '' ORDER BY id"
    )
    told = "SELECT reason, COUNT(*), SUM(n) FROM people GROUP BY reason"
    first = f"WITH people AS MATERIALIZED ({people})"
    if connection.vendor == "postgresql":
        rows = execute(f"{first}, made AS ({insert}) {told}", [*values, *same])
    else:  # nobody else writes between the two
        rows = execute(f"{first} {told}", values)
        execute(f"{first} {insert}", [*values, *same])
    found = [(reason, n, int(total)) for reason, n, total in rows]
    made = sum(n for reason, n, _sum in found if not reason)
    _count(sample, Counter({(sample.account_id, sample.status): made} if made else {}))
    return found


def _count(sample: Message, made: Mapping[tuple[int, str], int]) -> None:
    hour = ledger.hour_of(sample.created_at)
    ledger.count((account, sample.campaign_id, hour, status, n) for (account, status), n in made.items())


def _insert_each(same: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> None:
    names = ", ".join([*same, *columns])
    marks = ", ".join(["%s"] * (len(same) + len(columns)))
    first = tuple(_prepared(name, value) for name, value in same.items())
    rows = zip(*(_written(name, values) for name, values in columns.items()), strict=True)
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {_TABLE} ({names}) VALUES ({marks})", (first + row for row in rows))


def _written(name: str, values: Sequence[Any]) -> Sequence[Any]:
    return [_prepared(name, value) for value in values] if isinstance(values[0], datetime) else values


def _prepared(name: str, value: Any) -> Any:
    return _FIELDS[name].get_db_prep_save(value, connection)


def _copy(same: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]) -> None:
    frame = "\t".join(["%s"] * len(columns) + [_text(value).replace("%", "%%") for value in same.values()])
    rows = zip(*map(_texts, columns.values()), strict=True)
    with connection.cursor() as cursor, cursor.copy(f"COPY {_TABLE} ({', '.join([*columns, *same])}) FROM STDIN") as to:
        to.write("\n".join(map(frame.__mod__, rows)) + "\n")


def _texts(values: Sequence[Any]) -> Sequence[str]:
    """As COPY wants to read a column."""
    if isinstance(values[0], str):
        together = "".join(values)
        return [text.translate(_SPECIAL) for text in values] if any(c in together for c in "\\\t\n\r") else values
    return list(map(_text, values))


def _text(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, datetime):
        return value.isoformat()
    return (json.dumps(value) if isinstance(value, list | dict) else str(value)).translate(_SPECIAL)
