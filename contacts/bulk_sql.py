"""Statements over thousands of ids at once, in the words that both databases know."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection

_SOURCES = {
    "postgresql": ("(SELECT unnest(%s::{type}[]))", "unnest(%s::{type}[]) AS given(id)"),
    "sqlite": ("(SELECT value FROM json_each(%s))", "(SELECT value AS id FROM json_each(%s)) AS given"),
}


def source(form: int, type: str = "bigint") -> str:
    """Where a list of values stands in a statement: 1, for IN; 2, as a table with the column ``id``."""
    return _SOURCES[connection.vendor][form - 1].format(type=type)


def execute(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Run a statement; its rows, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(sql, [_sent(value) for value in values])
        return cursor.fetchall() if cursor.description else []


def _sent(value: Any) -> Any:
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    if isinstance(value, list):
        return json.dumps(value) if connection.vendor == "sqlite" else value
    return value
