"""New rows of a model in one statement, past the ORM. What is not given of a row is as the model's defaults have it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, JSONField, Model, UUIDField


class Lean:
    """Writes rows of ``model``; columns go by the names that the database has for them."""

    def __init__(self, model: type[Model]) -> None:
        self.model, self.table = model, model._meta.db_table
        self._statements: dict[tuple[str, ...], tuple[str, str]] = {}

    def add(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """The ids of the new rows, in their order. Defaults that are made for each row have to be given."""
        names = tuple(dict.fromkeys(name for row in rows for name in row))
        insert, marks = self._statements.get(names) or self._statement(names)
        values: list[Any] = []
        for row in rows:
            for name in names:
                value, write = row.get(name, self._defaults[name]), self._writers.get(name)
                values.append(write(value) if write else value)
        with connection.cursor() as cursor:
            cursor.execute(f"{insert} {', '.join([marks] * len(rows))} RETURNING id", values)
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

    def _statement(self, names: tuple[str, ...]) -> tuple[str, str]:
        alike = {name: _literal(value) for name, value in self._defaults.items() if name not in names}
        insert = f"INSERT INTO {self.table} ({', '.join([*names, *alike])}) VALUES"
        marks = f"({', '.join(['%s'] * len(names) + list(alike.values()))})"
        self._statements[names] = insert, marks
        return insert, marks

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        sample = self.model()
        return {f.column: getattr(sample, f.attname) for f in self.model._meta.concrete_fields if not f.primary_key}

    @cached_property
    def _writers(self) -> dict[str, Callable[[Any], Any]]:
        """For columns whose values the driver does not take as they are."""
        found: dict[str, Callable[[Any], Any]] = {}
        for field in self.model._meta.concrete_fields:
            if isinstance(field, JSONField):
                found[field.column] = json.dumps
            elif connection.vendor == "sqlite" and isinstance(field, DateTimeField):
                found[field.column] = _moment
            elif connection.vendor == "sqlite" and isinstance(field, UUIDField):
                found[field.column] = _hex
        return found


def _moment(value: datetime | None) -> Any:
    return value and connection.ops.adapt_datetimefield_value(value)


def _hex(value: Any) -> Any:
    return value and value.hex


def _literal(value: Any) -> str:
    """A default in SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int):
        return str(value).upper()
    text = json.dumps(value) if isinstance(value, list | dict) else value
    if not isinstance(text, str) or set(text) & set("'\\%"):
        raise TypeError(f"{value!r} has to be given for each row.")
    return f"'{text}'"
