"""The only writer of a message's status, and of the counts that pages show: both in one transaction.

Statuses move forward only. ``FROM`` says from where each can be reached; a change that is not allowed is left
out, so the same report twice, late or out of order ends in the same state.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from providers.types import Status

from .models import Message, Tally

S = Status
FROM: Mapping[Status, frozenset[Status]] = {
    S.SCHEDULED: frozenset({S.QUEUED}),
    # queued again: a request that surely did not go out, or an operator who asks for it
    S.QUEUED: frozenset({S.SCHEDULED, S.SENDING, S.UNCERTAIN}),
    S.SENDING: frozenset({S.QUEUED}),
    S.UNCERTAIN: frozenset({S.SENDING}),
    S.SENT: frozenset({S.SENDING, S.UNCERTAIN}),
    # the ends are ordered (delivered over failed over expired), so the order of reports does not matter
    S.DELIVERED: frozenset({S.SENDING, S.UNCERTAIN, S.SENT, S.EXPIRED, S.FAILED}),
    S.FAILED: frozenset({S.QUEUED, S.SENDING, S.UNCERTAIN, S.SENT, S.EXPIRED}),
    S.EXPIRED: frozenset({S.QUEUED, S.SENDING, S.UNCERTAIN, S.SENT}),
    S.CANCELED: frozenset({S.SCHEDULED, S.QUEUED}),
}
WAITING = frozenset({S.SCHEDULED, S.QUEUED, S.SENDING})
FINAL = frozenset({S.DELIVERED, S.FAILED, S.EXPIRED, S.CANCELED, S.RECEIVED})

_TYPES = {
    "id": "bigint", "status": "text", "attempts": "smallint", "batch_limit": "smallint", "sim": "smallint",
    "polls": "smallint", "exchange": "bigint", "cost": "numeric", "due_at": "timestamptz", "sent_at": "timestamptz",
    "done_at": "timestamptz", "poll_at": "timestamptz",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """Move message ``id`` to ``to`` and set ``values`` (columns of Message) with it."""

    id: int
    to: Status
    values: Mapping[str, Any] = field(default_factory=dict)


def apply(changes: Iterable[Change]) -> dict[int, Status]:
    """Make the changes that are allowed, all or none. Returns the old status of each message that moved."""
    wanted = {change.id: change for change in changes}
    if not wanted:
        return {}
    with transaction.atomic(savepoint=False):
        rows = list(
            Message.objects.select_for_update()
            .filter(pk__in=wanted)
            .order_by("pk")
            .values_list("id", "status", "account_id", "campaign_id", "created_at")
        )
        moves = [row for row in rows if row[1] in FROM[wanted[row[0]].to]]
        _update([wanted[row[0]] for row in moves])
        count(
            entry
            for pk, old, account, campaign, created in moves
            for entry in ((account, campaign, created, old, -1), (account, campaign, created, wanted[pk].to, 1))
        )
    return {row[0]: Status(row[1]) for row in moves}


def insert(messages: Sequence[Message]) -> list[Message]:
    """Add new messages and count them."""
    with transaction.atomic(savepoint=False):
        made = Message.objects.bulk_create(messages, batch_size=2000)
        count((m.account_id, m.campaign_id, m.created_at, m.status, 1) for m in made)
    return made


def note(ids_and_values: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
    """Set columns other than the status, in bulk."""
    _update_columns([{"id": pk, **values} for pk, values in ids_and_values])


def _update(changes: Sequence[Change]) -> None:
    _update_columns([{"id": c.id, "status": c.to.value, **c.values} for c in changes])


def _update_columns(rows: Sequence[Mapping[str, Any]]) -> None:
    """One set-based UPDATE for all rows that set the same columns."""
    shapes: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        shapes[tuple(row)].append(row)
    for names, group in shapes.items():
        data = json.dumps([{name: _prepared(name, row[name]) for name in names} for row in group], default=str)
        with connection.cursor() as cursor:
            cursor.execute(_SQL[connection.vendor](names), [data])


def _prepared(name: str, value: Any) -> Any:
    if isinstance(value, str):
        value = value.replace("\x00", "\ufffd")  # providers send it, PostgreSQL keeps none
    return Message._meta.get_field(name).get_db_prep_save(value, connection)


def _postgresql(names: Sequence[str]) -> str:
    columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in names)
    sets = ", ".join(f"{name} = c.{name}" for name in names if name != "id")
    return f"UPDATE messaging_message m SET {sets} FROM jsonb_to_recordset(%s::jsonb) AS c({columns}) WHERE m.id = c.id"


def _sqlite(names: Sequence[str]) -> str:
    columns = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in names)
    sets = ", ".join(f"{name} = c.{name}" for name in names if name != "id")
    return (
        f"UPDATE messaging_message SET {sets} FROM (SELECT {columns} FROM json_each(%s)) AS c "
        "WHERE messaging_message.id = c.id"
    )


_SQL = {"postgresql": _postgresql, "sqlite": _sqlite}


# --- Counts ------------------------------------------------------------------------------------------

Counted = tuple[int, int | None, datetime, str, int]  # account, campaign, created, status, how many


def hour_of(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600


def count(entries: Iterable[Counted]) -> None:
    """Add to the tallies, in one statement and in the order of their keys (no deadlocks)."""
    deltas: Counter[tuple[int, int, int, str]] = Counter()
    for account, campaign, created, status, n in entries:
        deltas[account, 0, 0, status] += n
        deltas[account, 0, hour_of(created), status] += n
        if campaign:
            deltas[0, campaign, 0, status] += n
    if not deltas:
        return
    rows = sorted((*key, n) for key, n in deltas.items())
    table = Tally._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (account_id, campaign_id, hour, status, n, version) VALUES "
            + ", ".join(["(%s, %s, %s, %s, %s, 1)"] * len(rows))
            + " ON CONFLICT (account_id, campaign_id, hour, status) DO UPDATE SET "
            + f"n = {table}.n + excluded.n, version = {table}.version + 1",
            [value for row in rows for value in row],
        )
