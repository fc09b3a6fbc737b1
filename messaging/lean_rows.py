"""New rows of a model in one statement, past the ORM: most of their columns are as the model's defaults have them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model


class Lean:
    """Writes rows of ``model``: ``columns`` (as the database names them) are given for each, the others are alike."""

    def __init__(self, model: type[Model], *columns: str) -> None:
        self.model, self.columns, self.table = model, columns, model._meta.db_table

    def add(self, rows: Sequence[Sequence[Any]]) -> list[int]:
        """The ids of the new rows, in their order."""
        marks = ", ".join([self._row] * len(rows))
        with connection.cursor() as cursor:
            cursor.execute(f"{self._insert} {marks} RETURNING id", [_sent(value) for row in rows for value in row])
            return [pk for (pk,) in cursor.fetchall()]

    def reserve(self, n: int) -> list[int]:
        """Ids for ``n`` rows that are yet to be written. On SQLite they must be, in the same transaction."""
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                sequence = "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)"
                cursor.execute(sequence, [self.table, n])
                return [pk for (pk,) in cursor.fetchall()]
            cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [self.table])
            last = (cursor.fetchone() or (0,))[0]
        return list(range(last + 1, last + 1 + n))

    @cached_property
    def _alike(self) -> dict[str, str]:
        sample = self.model()
        fields = [field for field in self.model._meta.concrete_fields if not field.primary_key]
        return {f.column: _literal(getattr(sample, f.attname)) for f in fields if f.column not in self.columns}

    @cached_property
    def _insert(self) -> str:
        return f"INSERT INTO {self.table} ({', '.join([*self.columns, *self._alike])}) VALUES"

    @cached_property
    def _row(self) -> str:
        return f"({', '.join(['%s'] * len(self.columns) + list(self._alike.values()))})"


def _literal(value: Any) -> str:
    """A default in SQL; those that differ from row to row have to be given."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value).upper()
    text = json.dumps(value) if isinstance(value, list | dict) else value
    if not isinstance(text, str) or set(text) & set("'\\%"):
        raise TypeError(f"{value!r} has to be given for each row.")
    return f"'{text}'"


def _sent(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value)
    if connection.vendor == "sqlite":
        if isinstance(value, datetime):
            return connection.ops.adapt_datetimefield_value(value)
        if isinstance(value, UUID):
            return value.hex
    return value
