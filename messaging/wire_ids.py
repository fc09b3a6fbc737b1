"""Providers' ids of messages, however they are spelt: ``MSG_1`` in an answer may be ``msg_1`` in its report.

Ids are kept as they came, because they are shown and asked for by that. Both sides of a comparison are read without
capitals, outer blanks, a leading + and leading zeros: a report may carry as a number what was a text before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db.models import CharField, Func, Model, QuerySet

T = TypeVar("T", bound=Model)
NOISE = " +0"


class WireId(Func):
    """``wire_id`` of a column, in the database; the indexes on providers' ids are over this."""

    template = f"ltrim(rtrim(lower(%(expressions)s)), '{NOISE}')"
    output_field = CharField()


def wire_id(text: object) -> str:
    """Empty for what is no id."""
    return str(text).replace("\x00", "\ufffd")[:100].lower().strip().lstrip(NOISE)


def with_ids(rows: QuerySet[T], account_id: int, ids: Iterable[object]) -> QuerySet[T]:
    """The account's rows whose ``provider_id`` is one of ``ids`` in any spelling. What is no id finds others."""
    wanted = sorted({wire_id(text) for text in ids})
    by_wire_id: Any = rows.alias(wire=WireId("provider_id"))  # the stubs lose the model here
    found: QuerySet[T] = by_wire_id.filter(account_id=account_id, wire__in=wanted)
    return found
