"""The only writer of a message's status, and of the counts that pages show: both in one transaction.

Statuses move forward only. ``FROM`` says from where each can be reached; a change that is not allowed is left
out, so the same report twice, late or out of order ends in the same state.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from providers import outbox
from providers.types import Status

from .models import Message, Tally

S = Status
FROM: Mapping[Status, frozenset[Status]] = {
    S.SCHEDULED: frozenset({S.QUEUED}),
    # queued again: a request that surely did not go out, or an operator who asks for it
    S.QUEUED: frozenset({S.SCHEDULED, S.QUEUED, S.SENDING, S.UNCERTAIN}),
    S.SENDING: frozenset({S.QUEUED}),
    # a message on its way is queued until that takes longer than a moment
    S.UNCERTAIN: frozenset({S.QUEUED, S.SENDING}),
    S.SENT: frozenset({S.QUEUED, S.SENDING, S.UNCERTAIN}),
    # the ends are ordered (delivered over failed over expired), so the order of reports does not matter
    S.DELIVERED: frozenset({S.QUEUED, S.SENDING, S.UNCERTAIN, S.SENT, S.EXPIRED, S.FAILED}),
    S.FAILED: frozenset({S.QUEUED, S.SENDING, S.UNCERTAIN, S.SENT, S.EXPIRED}),
    S.EXPIRED: frozenset({S.QUEUED, S.SENDING, S.UNCERTAIN, S.SENT}),
    S.CANCELED: frozenset({S.SCHEDULED, S.QUEUED}),
}
WAITING = frozenset({S.SCHEDULED, S.QUEUED, S.SENDING})
FINAL = frozenset({S.DELIVERED, S.FAILED, S.EXPIRED, S.CANCELED, S.RECEIVED})
TOLD = FINAL | {S.SENT, S.UNCERTAIN}
"""Of these somebody may want to hear, as of ``message.sent`` (see providers/outbox.py)."""


@dataclass(frozen=True, slots=True)
class Change:
    """Move message ``id`` to ``to`` and set ``values`` (columns of Message) with it."""

    id: int
    to: Status
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """What whoever has a message in hand knows of its row, so that it need not be read again."""

    status: Status
    account_id: int
    campaign_id: int | None
    hour: int  # of its creation, see hour_of


@contextmanager
def together() -> Iterator[None]:
    """A transaction of any number of changes. Its counts, and what is told of them, are written once, at its end.

    Who changes messages locks leases first, then messages, each in the order of their ids, and the counts last: so
    no two of them wait for each other in a ring. (See "Locks" in docs/sending.md.)
    """
    if _open.deltas is not None:
        yield
        return
    with transaction.atomic():
        _open.deltas, _open.told = Counter(), []
        try:
            yield
            if _write_counts(_open.deltas):
                outbox.put_all(_open.told)
        finally:
            _open.deltas, _open.told = None, []


class _Open(threading.local):
    """What the transaction of this thread is to add to the counts; None: there is none. ``told``: what happened."""

    deltas: Counter[tuple[int, int, int, str]] | None = None
    told: list[tuple[str, int]]

    def __init__(self) -> None:
        self.told = []


_open = _Open()


def apply(changes: Iterable[Change]) -> dict[int, Status]:
    """Make the changes that are allowed, all or none. Returns the old status of each message that moved."""
    wanted = {change.id: change for change in changes}
    if not wanted:
        return {}
    with together():
        rows = list(
            Message.objects.select_for_update(no_key=True)
            .filter(pk__in=wanted)
            .order_by("pk")
            .values_list("id", "status", "account_id", "campaign_id", "created_at")
        )
        moves = [row for row in rows if row[1] in FROM[wanted[row[0]].to]]
        _update([wanted[row[0]] for row in moves])
        _count_moves((Known(Status(row[1]), row[2], row[3], hour_of(row[4])), wanted[row[0]].to) for row in moves)
        _tell((row[0], wanted[row[0]].to) for row in moves)
    return {row[0]: Status(row[1]) for row in moves}


def settle(changes: Sequence[Change], known: Mapping[int, Known]) -> set[int]:
    """What became of messages that their worker has in hand: written without reading the rows first.

    A message that is no longer as it is ``known`` (its worker was thought dead, a report came first) takes the
    change as any other: if it is allowed. Returns the ids of those that took it.
    """
    with together():
        moved: set[int] = set()
        by_status: dict[Status, list[Change]] = defaultdict(list)
        for change in sorted(changes, key=lambda change: change.id):
            by_status[known[change.id].status].append(change)
        for status, group in by_status.items():
            moved |= _update(group, only=status)
        _count_moves((known[change.id], change.to) for change in changes if change.id in moved)
        _tell((change.id, change.to) for change in changes if change.id in moved)
        if len(moved) < len(changes):
            moved |= apply(change for change in changes if change.id not in moved).keys()
    return moved


def move(rows: Mapping[int, Known], to: Status, **values: Any) -> None:
    """The same change for many messages, by id, that the caller has locked and knows. ``values`` may be expressions.

    A message that is in ``to`` already takes the values alone. Raises ValueError if one may not move there.
    """
    if any(known.status not in (to, *FROM[to]) for known in rows.values()):
        raise ValueError(f"Not all of these messages may become {to}.")
    with together():
        Message.objects.filter(pk__in=rows).update(status=to, **values)
        _count_moves((known, to) for known in rows.values())
        _tell((pk, to) for pk, known in rows.items() if known.status != to)


def insert(messages: Sequence[Message]) -> list[Message]:
    """Add new messages and count them."""
    with together():
        made = Message.objects.bulk_create(messages, batch_size=2000)
        count((m.account_id, m.campaign_id, hour_of(m.created_at), m.status, 1) for m in made)
        _tell((m.pk, Status(m.status)) for m in made)
    return made


def note(ids_and_values: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
    """Set columns other than the status, in bulk."""
    _update_columns([{"id": pk, **values} for pk, values in ids_and_values])


# --- One set-based UPDATE for all rows that set the same columns ---------------------------------------


def _update(changes: Sequence[Change], only: Status | None = None) -> set[int]:
    return _update_columns([{"id": c.id, "status": c.to.value, **c.values} for c in changes], only)


def _update_columns(rows: Sequence[Mapping[str, Any]], only: Status | None = None) -> set[int]:
    """The ids of the rows that were there, with ``only``: in that status."""
    shapes: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        shapes[tuple(row)].append(row)
    found: set[int] = set()
    for names, group in shapes.items():
        found |= _update_alike(names, group, only)
    return found


def _update_alike(names: Sequence[str], rows: Sequence[Mapping[str, Any]], only: Status | None) -> set[int]:
    columns = {name: [row[name] for row in rows] for name in names}
    same = [n for n in names if n != "id" and columns[n].count(columns[n][0]) == len(rows)]
    other = ["id", *(n for n in names if n != "id" and n not in same)]
    constants = [_prepared(name, columns[name][0]) for name in same]
    arrays = [[_prepared(name, value) for value in columns[name]] for name in other]
    sets = ", ".join([*(f"{n} = {_cast(n)}" for n in same), *(f"{n} = c.{n}" for n in other if n != "id")])
    where = " AND m.status = %s" if only else ""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE messaging_message AS m SET {sets} FROM {_SOURCE[connection.vendor](other)} "
            f"WHERE m.id = c.id{where} RETURNING {_RETURNED[connection.vendor]}",
            [*constants, *_SENT[connection.vendor](other, arrays), *([only.value] if only else [])],
        )
        return {row[0] for row in cursor.fetchall()}


_TYPES = {
    "id": "bigint", "attempts": "smallint", "batch_limit": "smallint", "sim": "smallint", "polls": "smallint",
    "exchange": "bigint", "cost": "numeric", "due_at": "timestamptz", "sent_at": "timestamptz",
    "done_at": "timestamptz", "poll_at": "timestamptz",
}  # fmt: skip


def _cast(name: str) -> str:
    return f"CAST(%s AS {_TYPES.get(name, 'text')})" if connection.vendor == "postgresql" else "%s"


def _prepared(name: str, value: Any) -> Any:
    if value is None or type(value) is int:
        return value
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")  # providers send it, PostgreSQL keeps none
    return Message._meta.get_field(name).get_db_prep_save(value, connection)


def _postgresql(names: Sequence[str]) -> str:
    """Text arrays travel as JSON: the driver is slow to quote them."""
    arrays = (
        f"%s::{_TYPES[name]}[]" if name in _TYPES else "ARRAY(SELECT json_array_elements_text(%s::json))"
        for name in names
    )
    return f"unnest({', '.join(arrays)}) AS c({', '.join(names)})"


def _sqlite(names: Sequence[str]) -> str:
    columns = ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(names))
    return f"(SELECT {columns} FROM json_each(%s)) AS c"


_SOURCE = {"postgresql": _postgresql, "sqlite": _sqlite}
_RETURNED = {"postgresql": "m.id", "sqlite": "id"}
_SENT: Mapping[str, Callable[[Sequence[str], list[list[Any]]], list[Any]]] = {
    "postgresql": lambda names, columns: [
        column if name in _TYPES else json.dumps(column) for name, column in zip(names, columns, strict=True)
    ],
    "sqlite": lambda names, columns: [json.dumps(list(zip(*columns, strict=True)), default=str)],
}


# --- What is told, and counts --------------------------------------------------------------------------

Counted = tuple[int, int | None, int, str, int]  # account, campaign, hour of creation, status, how many


def hour_of(moment: datetime) -> int:
    return int(moment.timestamp()) // 3600


def _tell(moves: Iterable[tuple[int, Status]]) -> None:
    _open.told += [(f"message.{to}", pk) for pk, to in moves if to in TOLD]


def _count_moves(moves: Iterable[tuple[Known, Status]]) -> None:
    alike = Counter((k.account_id, k.campaign_id, k.hour, k.status, to) for k, to in moves if k.status != to)
    count(
        (account, campaign, hour, status, moved)
        for (account, campaign, hour, old, new), n in alike.items()
        for status, moved in ((old, -n), (new, n))
    )


def count(entries: Iterable[Counted]) -> None:
    """Add to the tallies."""
    with together():
        deltas = _open.deltas
        assert deltas is not None
        for account, campaign, hour, status, n in entries:
            deltas[account, 0, 0, status] += n
            deltas[account, 0, hour, status] += n
            if campaign:
                deltas[0, campaign, 0, status] += n


def _write_counts(deltas: Mapping[tuple[int, int, int, str], int]) -> bool:
    """In one statement, in the order of their keys. Returns whether anybody wants to hear of anything."""
    if not deltas:
        return False
    rows = sorted((*key, n) for key, n in deltas.items())
    table = Tally._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (account_id, campaign_id, hour, status, n, version) VALUES "
            + ", ".join(["(%s, %s, %s, %s, %s, 1)"] * len(rows))
            + " ON CONFLICT (account_id, campaign_id, hour, status) DO UPDATE SET "
            + f"n = {table}.n + excluded.n, version = {table}.version + 1 RETURNING {outbox.ANYTHING}",
            [value for row in rows for value in row],
        )
        return any(row[0] for row in cursor.fetchall())
