"""The message log: what a URL asks for, as rows, tabs with kept counts, and a version. Its pages: pages.py.

Nothing here counts rows: counts come from Tally, and a time becomes an id by halving.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db import connection
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from providers.models import ProviderAccount
from providers.types import Status

from . import search
from .models import STATUSES, Message, Tally

DISORDER = timedelta(minutes=10)  # how far the order of ids and that of creation may differ
LARGEST = 2**63 - 1
LARGEST_SLOT = 32_767
IN, OUT = "in", "out"
ALL = frozenset(status for status, _label in STATUSES)

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

    ``direction``: ``in`` or ``out``. ``device`` is the provider's ID of one, ``sim`` a slot. ``before`` / ``after``:
    ids; the rows older / newer than that.
    """

    status: str = ""
    account: int | None = None
    campaign: int | None = None
    direction: str = ""
    device: str = ""
    sim: int | None = None
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
        status, period, direction = (query.get(name, "") for name in ("status", "period", "direction"))
        return cls(
            status=status if status in ALL else "",
            account=read_id(query.get("account", "")),
            campaign=read_id(query.get("campaign", "")),
            direction=direction if direction in (IN, OUT) else "",
            device=_clean(query.get("device", ""))[:40],
            sim=_slot(query.get("sim", "")),
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
            "direction": shown.direction,
            "device": shown.device,
            "sim": shown.sim,
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
    def here(self) -> str:
        """The query of this very page."""
        return self.query(before=self.before, after=self.after)

    @property
    def first_page(self) -> bool:
        return self.before is None and self.after is None

    @property
    def counted(self) -> bool:
        """Are there kept counts for exactly these rows?"""
        narrowed = (self.direction, self.device, self.number, self.text, self.period, self.start, self.end)
        return not any(narrowed) and self.sim is None and not (self.account and self.campaign)

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

    @property
    def fixed(self) -> str:
        """The query with its period as moments that mean the same at any time and in any time zone."""
        start, end = ((m.astimezone(UTC).isoformat() if m else "") for m in self.span)
        times = urlencode({name: value for name, value in (("from", start), ("to", end)) if value})
        return "&".join(filter(None, (self.query(period="", start=None, end=None), times)))

    @property
    def statuses(self) -> frozenset[str]:
        asked = {IN: frozenset({Status.RECEIVED.value}), OUT: ALL - {Status.RECEIVED}}.get(self.direction, ALL)
        return asked & {self.status} if self.status else asked

    @property
    def sought(self) -> Q:
        """What no index helps with, to be looked for row by row."""
        condition = Q(text__icontains=self.text) if self.text else Q()
        if self.device:
            condition &= Q(device=self.device)
        return condition if self.sim is None else condition & Q(sim=self.sim)

    def rows(self) -> QuerySet[Message]:
        """The rows of the campaign, the period and the place in the log, in no order. See pages.py for the rest."""
        rows = Message.objects.filter(campaign_id=self.campaign) if self.campaign else Message.objects.all()
        if self.before is not None:
            rows = rows.filter(pk__lt=self.before)
        if self.after is not None:
            rows = rows.filter(pk__gt=self.after)
        return _in_span(rows, *self.span)


def _clean(text: str) -> str:
    return text.replace("\x00", "").strip()[:200]


def read_id(text: str) -> int | None:
    """None for anything that cannot be the id of a row."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if 0 < number <= LARGEST else None


def _slot(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else LARGEST_SLOT + 1
    return number if number <= LARGEST_SLOT else None


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
