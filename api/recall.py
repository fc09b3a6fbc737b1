"""Finding keys quickly: what was made of a key's row is used again as long as the row is the same to the last bit.

Whether it is can be asked first (``find``), or by whoever does what the key asks, in the same transaction and for many
keys at once (``remembered``, then ``still``).
"""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from typing import Any

from django.db import connection
from django.utils.crypto import constant_time_compare

from . import access
from .models import ApiKey

Proof = tuple[str, tuple[Any, ...]]
"""The hash of a key, and all that was stored of it."""

MOST = 1_000  # keys in the memory of a process
_known: dict[str, tuple[ApiKey, ApiKey]] = {}  # without its proof and with it

_STORED = (  # subqueries are planned quicker than joins
    "SELECT k.key_hash, k.*, (SELECT is_active FROM auth_user WHERE id = k.owner_id), "
    "(SELECT updated_at FROM providers_provideraccount WHERE id = k.account_id) FROM api_apikey k WHERE k.key_hash IN "
)


def find(key: str, secret: str | None = None) -> ApiKey:
    """As ``access.find``. The row is shared by threads: read it only."""
    sought = access.digest(key)
    stored = _stored([sought])
    known = _known.get(sought)
    if known and known[1].proof in stored and _is_right(secret, known[0]):
        return known[0]
    row = access.find(key, secret)
    if stored and row.key_hash == sought and _lasts(row):
        if len(_known) >= MOST:
            _known.clear()
        sure = copy(row)
        (sure.proof,) = stored
        _known[sought] = row, sure
    return row


def remembered(key: str, secret: str | None = None) -> ApiKey | None:
    """The row as it was when it was last found, with its ``proof``; nothing is asked. Read it only."""
    known = _known.get(access.digest(key))
    return known[1] if known and _is_right(secret, known[1]) else None


def still(proofs: Collection[Proof]) -> Collection[Proof]:
    """Those that hold at this moment. One query."""
    return _stored([sought for sought, _row in proofs])


def _stored(sought: list[str]) -> list[Proof]:
    with connection.cursor() as cursor:
        cursor.execute(f"{_STORED} ({', '.join(['%s'] * len(sought))})", sought)
        return [(row[0], row) for row in cursor.fetchall()]


def _is_right(secret: str | None, row: ApiKey) -> bool:
    return secret is None or constant_time_compare(access.digest(secret), row.secret_hash)


def _lasts(row: ApiKey) -> bool:
    """Whether it means the same as long as it is the same: time ends some, limits and budgets change with each request,
    and routes remember their accounts."""
    return row.expires_at is None and row.route_id is None and row.credits is None and not row.rates
