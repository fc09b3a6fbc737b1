"""Pages of the log, 50 rows each, and slices of a filter: they go on from an id, and no row is skipped over.

An index costs on every message that is sent, so there is none for a status or an account alone. Their rows are
merged: the newest of each account in each status, of those that occur, by the index that has both. A number is found
by its index while few rows have it. What no index helps with is looked for in the newest ``SCAN`` rows at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection
from django.db.models import Count, F, Max, Min, Q, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Concat

from . import search
from .log import ALL, Filters
from .models import Message, Tally

PAGE = 50
SCAN = 20_000  # rows in which a text is looked for at once
FEW = 2_000  # rows of one number prefix that are quicker found by number than by walking the log
MOST = 64  # pairs of account and status that are merged; for more of them the log is walked
LAST_CHARACTER = "\U0010ffff"
COLUMNS = (
    "id", "account_id", "number", "status", "text", "segments", "error_code", "error_text", "created_at", "due_at",
    "type",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """At most 50 rows, newest first. ``newer`` / ``older``: the queries of the pages beside it, empty at the ends.

    ``cut``: something was looked for in ``SCAN`` rows and there are older ones.
    """

    rows: list[Message]
    newer: str = ""
    older: str = ""
    cut: bool = False


def page(filters: Filters) -> Page:
    if filters.after is None:
        return _going_back(filters)
    rows, edge, _cut = _read(filters, "pk")
    if edge is None:  # the newest page, and a whole one
        return _going_back(replace(filters, after=None, before=None))
    oldest = rows[0].pk if rows else filters.after + 1
    return Page(rows[::-1], filters.query(after=edge), filters.query(before=oldest))


def _going_back(filters: Filters) -> Page:
    found, edge, cut = _read(filters, "-pk")
    newest = found[0].pk if found else (filters.before or 1) - 1
    return Page(
        found,
        newer=filters.query(after=newest) if filters.before is not None else "",
        older=filters.query(before=edge) if edge is not None else "",
        cut=cut,
    )


def _read(filters: Filters, order: str) -> tuple[list[Message], int | None, bool]:
    """The next rows in an order, the id to go on from (None: there are no more), and whether a search broke off."""
    rows, end = _next(filters, filters.statuses, order, PAGE + 1)
    found = list(rows.only(*COLUMNS))
    if len(found) > PAGE:
        return found[:PAGE], found[PAGE - 1].pk, False
    return found, end, end is not None


def top() -> int:
    """An id below which all messages are that there are now."""
    newest = Message.objects.order_by("-pk").values_list("pk", flat=True).first()
    return (newest or 0) + 1


def ids(filters: Filters, statuses: Collection[str], below: int, limit: int) -> tuple[list[int], int | None]:
    """The newest ``limit`` messages of a filter that are in one of the statuses and have a smaller id than ``below``,
    and the id to go on below (None: there are no more)."""
    statuses = filters.statuses & set(statuses)
    return ids_of(_parts(replace(filters, before=below, after=None), statuses), filters.sought, limit)


def ids_of(parts: Sequence[Part], sought: Q, limit: int) -> tuple[list[int], int | None]:
    """The same of the rows of all parts for which ``sought`` holds; see ``newest``."""
    rows, end = _found(parts, sought, "-pk", limit + 1)
    found = list(rows.values_list("pk", flat=True))
    return (found[:limit], found[limit - 1]) if len(found) > limit else (found, end)


def newest(parts: Sequence[Part], sought: Q, n: int) -> QuerySet[Message]:
    """The newest ``n`` rows of all parts, newest first, for which ``sought`` holds: what no index helps with, which is
    looked for in the newest ``SCAN`` rows. No row may be in two of the parts."""
    return _found(parts, sought, "-pk", n)[0]


def _next(filters: Filters, statuses: frozenset[str], order: str, n: int) -> tuple[QuerySet[Message], int | None]:
    """The next ``n`` rows, and the last id that was looked at when that was not all."""
    return _found(_parts(filters, statuses), filters.sought, order, n)


def _found(parts: Sequence[Part], sought: Q, order: str, n: int) -> tuple[QuerySet[Message], int | None]:
    end = _scanned(parts, order) if sought else None
    if end is not None:
        parts = [
            replace(part, rows=part.rows.filter(**{"pk__gte" if order == "-pk" else "pk__lte": end})) for part in parts
        ]
    return _merged([part.rows.filter(sought) for part in parts], order, n), end


# --- Which rows are walked ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that one index has in the order of their ids; ``n`` of them, or about so many."""

    rows: QuerySet[Message]
    n: int = 1


def _parts(filters: Filters, statuses: frozenset[str]) -> list[Part]:
    rows, few = of_number(filters.rows(), filters.number)
    if few:
        return [Part(_narrowed(rows, filters.account, statuses))]
    if not filters.account and statuses == ALL:
        return [Part(rows)]
    pairs = _pairs(filters.account, statuses)
    if len(pairs) > MOST or _is_shorter(filters.campaign, pairs):
        return [Part(_narrowed(rows, filters.account, statuses))]
    return [Part(rows.filter(account_id=account, status=status), n) for account, status, n in pairs]


def of_number(rows: QuerySet[Message], number: str) -> tuple[QuerySet[Message], bool]:
    """Those whose number begins so (empty: all), and whether these are few that an index finds."""
    if not number:
        return rows, False
    prefixes = search.prefixes(number)
    found = Message.objects.filter(_begins("number", prefixes)).values("pk")[: FEW + 1]
    if found.aggregate(n=Count("pk"))["n"] <= FEW:
        return rows.filter(pk__in=found), True
    return rows.annotate(spelled=Concat("number", Value(""))).filter(_begins("spelled", prefixes)), False


def _pairs(account: int | None, statuses: frozenset[str]) -> list[tuple[int, str, int]]:
    """The accounts and statuses that occur together, and how often."""
    kept = Tally.objects.filter(hour=0, campaign_id=0, account_id__gt=0, n__gt=0, status__in=statuses)
    if account:
        kept = kept.filter(account_id=account)
    return list(kept.values_list("account_id", "status", "n"))


def _is_shorter(campaign: int | None, pairs: Sequence[tuple[int, str, int]]) -> bool:
    """Does the whole campaign have fewer rows than these pairs?"""
    if not campaign:
        return False
    kept = Tally.objects.filter(hour=0, campaign_id=campaign, account_id=0).values_list("n", flat=True)
    return sum(kept) < sum(n for _account, _status, n in pairs)


def _narrowed(rows: QuerySet[Message], account: int | None, statuses: frozenset[str]) -> QuerySet[Message]:
    """Spelled as expressions, so that no database takes the index of both, which is not the one to walk here."""
    if account:
        rows = rows.annotate(through=F("account_id") + 0).filter(through=account)
    if statuses != ALL:
        rows = rows.annotate(said=Concat("status", Value(""))).filter(said__in=statuses)
    return rows


def _begins(column: str, prefixes: Sequence[str]) -> Q:
    condition = Q()
    for prefix in prefixes:
        condition |= _BEGINS[connection.vendor](column, prefix)
    return condition


# LIKE goes by the index with pattern operators; SQLite's LIKE knows no index, a range does
_BEGINS = {
    "postgresql": lambda column, prefix: Q(**{f"{column}__startswith": prefix}),
    "sqlite": lambda column, prefix: Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + LAST_CHARACTER}),
}


# --- Merging -----------------------------------------------------------------------------------------


def _merged(parts: Sequence[QuerySet[Message]], order: str, n: int) -> QuerySet[Message]:
    if len(parts) == 1:
        return parts[0].order_by(order)[:n]
    if not parts:
        return Message.objects.none()
    sql, values = _all_of([part.order_by(order).values("pk")[:n] for part in parts])
    first = RawSQL(f"{sql} ORDER BY 1 {'DESC' if order == '-pk' else 'ASC'} LIMIT {n:d}", values)
    return Message.objects.filter(pk__in=first).order_by(order)


def _scanned(parts: Sequence[Part], order: str) -> int | None:
    """The last id that a search over these rows looks at; None: it looks at all of them.

    Each part has its share of ``SCAN``. Where the nearest of those that are longer than theirs ends, all end.
    """
    last, nearest = (Min("pk"), max) if order == "-pk" else (Max("pk"), min)
    total = sum(part.n for part in parts)
    ends = []
    for part in parts:
        share = max(1, SCAN * part.n // total)
        seen = part.rows.order_by(order)[:share].aggregate(last=last, n=Count("pk"))
        if seen["n"] == share:
            ends.append(seen["last"])
    return nearest(ends, default=None)


def _all_of(queries: Sequence[QuerySet[Message, Any]]) -> tuple[str, tuple[object, ...]]:
    """One statement of all, each with its own order and limit: more than Django can say to SQLite."""
    compiled = [query.query.get_compiler(connection=connection).as_sql() for query in queries]
    sql = " UNION ALL ".join(f"SELECT * FROM ({one}) AS part{number}" for number, (one, _values) in enumerate(compiled))
    return sql, tuple(value for _one, values in compiled for value in values)
