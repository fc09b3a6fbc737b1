"""What an import keeps of those who were there before it, so that its undo can bring it back.

``ImportChange.before`` has for each value that changed what it was before this import, and what it is after; as
``opted_out`` the time at which this import opted them out; as ``ended``, by list, the parts of a consent.Ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from .bulk_sql import execute, source
from .consent import Ended
from .models import Import, ImportChange

OPTED_OUT, ENDED = "opted_out", "ended"
Before = dict[str, Any]


def values(run: Import, changed: Mapping[int, Mapping[str, tuple[Any, Any]]]) -> None:
    """By contact and name: what was there, and what is now."""

    def add(before: Before, contact: int) -> None:
        for name, (was, becomes) in changed[contact].items():
            before[name] = [before.get(name, [was])[0], becomes]

    _keep(run, changed, add)


def opt_outs(run: Import, at: Mapping[int, Any]) -> None:
    """By contact: when this import opted them out."""
    _keep(run, at, lambda before, contact: before.update({OPTED_OUT: at[contact].isoformat()}))


def ended(run: Import, of: int, subscriptions: Mapping[int, Ended]) -> None:
    """By contact: their subscription to the list, which this import ended."""

    def add(before: Before, contact: int) -> None:
        before[ENDED] = {**before.get(ENDED, {}), str(of): _texts(subscriptions[contact])}

    _keep(run, subscriptions, add)


def ended_by(change: ImportChange) -> dict[int, Ended]:
    """The subscriptions that its import ended, by list."""
    return {int(of): _read(*texts) for of, texts in change.before.get(ENDED, {}).items()}


def _texts(one: Ended) -> list[str]:
    return [one.at.isoformat(), one.how, one.by, one.until.isoformat()]


def _read(at: str, how: str, by: str, until: str) -> Ended:
    return Ended(datetime.fromisoformat(at), how, by, datetime.fromisoformat(until))


def opted_out_by(run: Import, contacts: Sequence[int]) -> set[int]:
    """Those of the contacts that this import opted out."""
    return {contact for contact, before in _earlier(run, contacts).items() if OPTED_OUT in before}


def _keep(run: Import, contacts: Iterable[int], add: Callable[[Before, int], None]) -> None:
    ids = list(contacts)
    if not ids:
        return
    earlier = _earlier(run, ids)
    rows = []
    for contact in ids:
        before = earlier.get(contact, {})
        add(before, contact)
        rows.append((run.pk, contact, json.dumps(before)))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO contacts_importchange (import_run_id, contact_id, before) VALUES (%s, %s, %s) "
            "ON CONFLICT (import_run_id, contact_id) DO UPDATE SET before = excluded.before",
            rows,
        )


def _earlier(run: Import, contacts: Sequence[int]) -> dict[int, Before]:
    rows = execute(
        f"SELECT contact_id, before FROM contacts_importchange WHERE import_run_id = %s AND contact_id IN {source(1)}",
        [run.pk, list(contacts)],
    )
    return {contact: json.loads(before) if isinstance(before, str) else before for contact, before in rows}
