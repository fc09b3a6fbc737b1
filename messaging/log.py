"""The message log: what a URL asks for, as rows, pages of 50, tabs with kept counts, and a version.

Nothing here counts rows or skips over them: pages go on from an id, counts come from Tally, a time becomes an id by
halving, and a text is looked for in the newest ``SCAN`` rows of a filter at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Count, Max, Min, Q, QuerySet, Value
from django.db.models.functions import Concat
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount
from providers.types import Status

from . import search
from .models import STATUSES, Message, Tally

PAGE = 50
SCAN = 20_000  # rows in which a text is looked for at once
FEW = 2_000  # rows of one number prefix that are quicker found by number than by walking the log
DISORDER = timedelta(minutes=10)  # how far the order of ids and that of creation may differ
LARGEST = 2**63 - 1
LAST_CHARACTER = "\U0010ffff"
COLUMNS = ("id", "account_id", "number", "status", "text", "segments", "error_code", "error_text", "created_at", "type")

PERIODS: dict[str, str | Promise] = {
    "hour": _("Last hour"),
    "today": _("Today"),
    "week": _("Last 7 days"),
    "month": _("Last 30 days"),
}
ALWAYS = (Status.QUEUED, Status.SENT, Status.DELIVERED, Status.FAILED)  # the tabs that are there even when empty


@dataclass(frozen=True, slots=True)
class Filters:
    """What to show. ``number``: the beginning of one, in any spelling. ``start`` is within, ``end`` is not.

    ``before`` / ``after``: ids; the rows older / newer than that.
    """

    status: str = ""
    account: int | None = None
    campaign: int | None = None
    number: str = ""
    text: str = ""
    period: str = ""
    start: datetime | None = None
    end: datetime | None = None
    before: int | None = None
    after: int | None = None

    @classmethod
    def from_query(cls, query: QueryDict) -> Filters:
        """Read a URL. Values that mean nothing are left out."""
        number, text = search.read(_clean(query.get("number", "")), _clean(query.get("q", "")))
        status, period = query.get("status", ""), query.get("period", "")
        return cls(
            status=status if status in dict(STATUSES) else "",
            account=read_id(query.get("account", "")),
            campaign=read_id(query.get("campaign", "")),
            number=number,
            text=text,
            period=period if period in PERIODS else "",
            start=_moment(query.get("from", "")),
            end=_moment(query.get("to", "")),
            before=read_id(query.get("before", "")),
            after=read_id(query.get("after", "")),
        )

    def query(self, **changes: Any) -> str:
        """The URL's query for these filters with the changes. A change begins on the first page again."""
        shown = replace(self, **{"before": None, "after": None, **changes})
        pairs = {
            "status": shown.status,
            "account": shown.account,
            "campaign": shown.campaign,
            "number": shown.number,
            "q": search.write(shown.text),
            "period": shown.period,
            "from": _written(shown.start),
            "to": _written(shown.end),
            "before": shown.before,
            "after": shown.after,
        }
        return urlencode({name: value for name, value in pairs.items() if value not in (None, "")})

    @property
    def first_page(self) -> bool:
        return self.before is None and self.after is None

    @property
    def counted(self) -> bool:
        """Are there kept counts for exactly these rows?"""
        return not (self.number or self.text or self.period or self.start or self.end) and not (
            self.account and self.campaign
        )

    @property
    def any(self) -> bool:
        return bool(replace(self, before=None, after=None) != Filters())

    @property
    def search(self) -> str:
        """What stands in the search field."""
        return search.write(self.text) or self.number

    @property
    def span(self) -> tuple[datetime | None, datetime | None]:
        """The period and ``start`` to ``end``, both."""
        now, today = timezone.now(), timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
        starts = {
            "hour": now - timedelta(hours=1),
            "today": today,
            "week": today - timedelta(days=6),
            "month": today - timedelta(days=29),
        }
        given = [start for start in (starts.get(self.period), self.start) if start]
        return (max(given) if given else None), self.end

    def rows(self) -> QuerySet[Message]:
        """All rows that match, but for ``text`` and the place in the log, in no order."""
        exact = {"status": self.status, "account_id": self.account, "campaign_id": self.campaign}
        rows = Message.objects.filter(**{name: value for name, value in exact.items() if value})
        rows = _in_span(rows, *self.span)
        return _by_number(rows, search.prefixes(self.number)) if self.number else rows


def _clean(text: str) -> str:
    return text.replace("\x00", "").strip()[:200]


def read_id(text: str) -> int | None:
    """None for anything that cannot be the id of a row."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if 0 < number <= LARGEST else None


def _moment(text: str) -> datetime | None:
    """A local time or day in ISO 8601."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not 1970 < found.year < 3000:
        return None
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def _written(moment: datetime | None) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%dT%H:%M}" if moment else ""


# --- Times become ids --------------------------------------------------------------------------------


def _in_span(rows: QuerySet[Message], start: datetime | None, end: datetime | None) -> QuerySet[Message]:
    if start:
        rows = rows.filter(pk__gte=first_id(start - DISORDER), created_at__gte=start)
    if end:
        rows = rows.filter(pk__lt=first_id(end + DISORDER), created_at__lt=end)
    return rows


def first_id(moment: datetime) -> int:
    """The id from which on messages were created at ``moment`` or later, give or take ``DISORDER``.

    Found by halving inside the database: 42 looks at the primary key in one statement.
    """
    with connection.cursor() as cursor:
        cursor.execute(_HALVING, [connection.ops.adapt_datetimefield_value(moment)])
        (found,) = cursor.fetchone()
    return int(found) + 1


# ``place`` ends as the last id at which something older follows or stands
_HALVING = """
WITH RECURSIVE halving(place, step) AS (
    SELECT CAST(0 AS bigint), CAST(2199023255552 AS bigint)
    UNION ALL
    SELECT CASE WHEN (
            SELECT m.created_at FROM messaging_message m WHERE m.id >= place + step ORDER BY m.id LIMIT 1
        ) < %s THEN place + step ELSE place END, step / 2
    FROM halving WHERE step > 0
)
SELECT place FROM halving WHERE step = 0
"""


# --- Numbers -----------------------------------------------------------------------------------------


def _by_number(rows: QuerySet[Message], prefixes: Sequence[str]) -> QuerySet[Message]:
    return _NUMBER[connection.vendor](rows, prefixes)


def _postgresql_numbers(rows: QuerySet[Message], prefixes: Sequence[str]) -> QuerySet[Message]:
    """LIKE, by the index with pattern operators where the planner thinks that few rows match."""
    condition = Q()
    for prefix in prefixes:
        condition |= Q(number__startswith=prefix)
    return rows.filter(condition)


def _sqlite_numbers(rows: QuerySet[Message], prefixes: Sequence[str]) -> QuerySet[Message]:
    """A range of the index. Where it holds many rows, sorting them is slower than walking the log: then that."""
    ids = list(Message.objects.filter(_ranges("number", prefixes)).values_list("pk", flat=True)[: FEW + 1])
    if len(ids) <= FEW:
        return rows.filter(pk__in=ids)
    return rows.annotate(spelled=Concat("number", Value(""))).filter(_ranges("spelled", prefixes))


def _ranges(column: str, prefixes: Sequence[str]) -> Q:
    condition = Q()
    for prefix in prefixes:
        condition |= Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + LAST_CHARACTER})
    return condition


_NUMBER = {"postgresql": _postgresql_numbers, "sqlite": _sqlite_numbers}


# --- Pages -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """At most 50 rows, newest first. ``newer`` / ``older``: the queries of the pages beside it, empty at the ends.

    ``cut``: a text was looked for in ``SCAN`` rows and there are older ones.
    """

    rows: list[Message]
    newer: str = ""
    older: str = ""
    cut: bool = False


def page(filters: Filters) -> Page:
    if filters.after is None:
        return _going_back(filters)
    rows, edge, _cut = _read(filters, filters.rows().filter(pk__gt=filters.after), "pk")
    if edge is None:  # the newest page, and a whole one
        return _going_back(replace(filters, after=None, before=None))
    oldest = rows[0].pk if rows else filters.after + 1
    return Page(rows[::-1], filters.query(after=edge), filters.query(before=oldest))


def _going_back(filters: Filters) -> Page:
    rows = filters.rows()
    if filters.before is not None:
        rows = rows.filter(pk__lt=filters.before)
    found, edge, cut = _read(filters, rows, "-pk")
    newest = found[0].pk if found else (filters.before or 1) - 1
    return Page(
        found,
        newer=filters.query(after=newest) if filters.before is not None else "",
        older=filters.query(before=edge) if edge is not None else "",
        cut=cut,
    )


def _read(filters: Filters, rows: QuerySet[Message], order: str) -> tuple[list[Message], int | None, bool]:
    """The next rows in an order, the id to go on from (None: there are no more), and whether a search broke off."""
    end = None
    if filters.text:
        end = _scanned(rows, order)
        if end is not None:
            rows = rows.filter(**{"pk__gte" if order == "-pk" else "pk__lte": end})
        rows = rows.filter(text__icontains=filters.text)
    found = list(rows.only(*COLUMNS).order_by(order)[: PAGE + 1])
    if len(found) > PAGE:
        return found[:PAGE], found[PAGE - 1].pk, False
    return found, end, end is not None


def _scanned(rows: QuerySet[Message], order: str) -> int | None:
    """The last id that a search over these rows looks at; None: it looks at all of them."""
    last = Min("pk") if order == "-pk" else Max("pk")
    seen = rows.order_by(order)[:SCAN].aggregate(last=last, n=Count("pk"))
    return seen["last"] if seen["n"] == SCAN else None


# --- Tabs and version --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tab:
    """``n`` None: not known without counting."""

    status: str
    label: str | Promise
    n: int | None
    current: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """The kept counts of an account, a campaign or everything, and a number that grows with each change."""

    counts: Counter[str]
    version: int


def kept(filters: Filters) -> Kept:
    scope: dict[str, Any] = {"account_id__in": ProviderAccount.objects.values("pk"), "campaign_id": 0}
    if filters.campaign:
        scope = {"account_id": 0, "campaign_id": filters.campaign}
    elif filters.account:
        scope = {"account_id": filters.account, "campaign_id": 0}
    counts: Counter[str] = Counter()
    version = 0
    for status, n, changes in Tally.objects.filter(hour=0, **scope).values_list("status", "n", "version"):
        counts[status] += n
        version += changes
    return Kept(counts, version)


def version(filters: Filters) -> int:
    return kept(filters).version


def tabs(filters: Filters, counts: Counter[str]) -> list[Tab]:
    """All, and each status that occurs, is always there or is chosen."""
    known = filters.counted
    shown = [(s, label) for s, label in STATUSES if counts[s] or s in ALWAYS or s == filters.status]
    return [
        Tab("", _("All"), counts.total() if known else None, not filters.status),
        *(Tab(s, label, counts[s] if known else None, s == filters.status) for s, label in shown),
    ]
