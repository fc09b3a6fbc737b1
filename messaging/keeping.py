"""Storing what was posted to callbacks: all that the threads of a process have in hand goes in one statement.

One thread writes while the others read their posts; then the next one writes what they have by then. Each is told when
its own is committed, and nobody waits for company.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from providers.models import ProviderAccount
from providers.types import Event, Report, Request

MANY = 50  # posts in one statement

# All or nothing: less than all says that an account is not as it was.
_INSERT = """
INSERT INTO messaging_posted (account_id, urgent, at, method, query, headers, body, tries, next_at, error)
WITH posts (account, updated_at, urgent, at, method, query, headers, body) AS (VALUES {rows}),
known AS (
    SELECT p.* FROM posts p JOIN providers_provideraccount a ON a.id = p.account AND a.updated_at = p.updated_at
)
SELECT account, urgent, at, method, query, headers, body, 0, at, '' FROM known
WHERE (SELECT COUNT(*) FROM known) = {count}
"""
_ROW = {
    "postgresql": "(%s::bigint, %s::timestamptz, %s::boolean, %s::timestamptz, %s, %s::jsonb, %s::jsonb, %s::bytea)",
    "sqlite": "(%s, %s, %s, %s, %s, %s, %s, %s)",
}


class _Wish:
    """A row that somebody waits for. ``kept`` None: not tried yet."""

    __slots__ = ("values", "kept", "error")

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = values
        self.kept: bool | None = None
        self.error: Exception | None = None


_wishes: deque[_Wish] = deque()
_writing = threading.Lock()


def keep(account: ProviderAccount, post: Request, events: Sequence[Event]) -> bool:
    """Store what of a post is signed and says ``events``. False: the account is not as we know it any more, or gone."""
    if not events:
        return True
    moment = connection.ops.adapt_datetimefield_value
    urgent = any(not isinstance(event, Report) for event in events)
    told = (post.method, json.dumps(post.query), json.dumps(dict(post.headers)), post.body)
    wish = _Wish((account.pk, moment(account.updated_at), urgent, moment(timezone.now()), *told))
    _wishes.append(wish)
    with _writing:
        while wish.kept is None and wish.error is None:
            _fulfil([_wishes.popleft() for _ in range(min(MANY, len(_wishes)))])
    if wish.error:
        raise wish.error
    return bool(wish.kept)


def _fulfil(wishes: Sequence[_Wish]) -> None:
    """All of them in one statement, or each alone where one of them cannot be kept."""
    try:
        kept = _insert(wishes)
    except (OperationalError, InterfaceError) as error:  # the database does not answer: neither to each alone
        for wish in wishes:
            wish.error = error
        return
    except Exception as error:
        if len(wishes) == 1:
            wishes[0].error = error
            return
        kept = False
    if kept or len(wishes) == 1:
        for wish in wishes:
            wish.kept = kept
        return
    for wish in wishes:
        _fulfil([wish])


def _insert(wishes: Sequence[_Wish]) -> bool:
    rows = ", ".join([_ROW[connection.vendor]] * len(wishes))
    values = [value for wish in wishes for value in wish.values]
    connection.health_check_done = True  # a question less: the statement itself shows that a connection broke
    try:
        return _execute(_INSERT.format(rows=rows, count=len(wishes)), values)
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return _execute(_INSERT.format(rows=rows, count=len(wishes)), values)


def _execute(sql: str, values: Sequence[Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return bool(cursor.rowcount > 0)
