"""Campaigns by filter, newest first: what a URL asks for, pages of 25, and how each stands. Nothing here counts rows.

A text to one number is no campaign to an operator (models.IS_CAMPAIGN); an index leaves those out. A state and a search
are looked for in the newest ``SCAN`` campaigns at a time.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import QueryDict
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from providers.types import Status

from . import conduct
from .conduct import Balance
from .ledger import WAITING
from .log import read_id
from .models import IS_CAMPAIGN, Campaign, Tally

PAGE = 25
SCAN = 5_000  # campaigns in which something is looked for at once
RUNNING = 5  # campaigns that the overview shows
RECENT = 500  # campaigns among which it looks for those
OVER = frozenset({"finished", "canceled"})
UNKNOWN_END = WAITING | {Status.UNCERTAIN}
_ALL = Q()

STATES: Mapping[str, str | Promise] = {
    "sending": _("Under way"),
    "approval": _("Waits for approval"),
    "paused": _("Paused"),
    "finished": _("Finished"),
    "canceled": _("Canceled"),
}


@dataclass(frozen=True, slots=True)
class Filters:
    """``state``: a key of ``STATES``, some of which hold several of conduct.py's. ``text``: part of a name or a text.

    ``before`` / ``after``: ids; the campaigns that are older / newer than that.
    """

    state: str = ""
    text: str = ""
    before: int | None = None
    after: int | None = None

    @classmethod
    def from_query(cls, query: QueryDict) -> Filters:
        """Read a URL. Values that mean nothing are left out."""
        state = query.get("state", "")
        return cls(
            state=state if state in STATES else "",
            text=" ".join(query.get("q", "").replace("\x00", "").split())[:100],
            before=read_id(query.get("before", "")),
            after=read_id(query.get("after", "")),
        )

    def query(self, **changes: Any) -> str:
        """The URL's query with the changes. A change begins on the first page again."""
        shown = replace(self, **{"before": None, "after": None, **changes})
        pairs = {"state": shown.state, "q": shown.text, "before": shown.before, "after": shown.after}
        return urlencode({name: value for name, value in pairs.items() if value not in (None, "")})

    @property
    def any(self) -> bool:
        return bool(self.state or self.text)

    @property
    def first_page(self) -> bool:
        return self.before is None and self.after is None


@dataclass(frozen=True, slots=True)
class Shown:
    """``state``: as conduct.py has it."""

    campaign: Campaign
    state: str
    balance: Balance


@dataclass(frozen=True, slots=True)
class Page:
    """At most 25 campaigns, newest first. ``newer`` / ``older``: the queries of the pages beside it, empty at the ends.

    ``cut``: something was looked for in ``SCAN`` campaigns and there are older ones.
    """

    rows: list[Shown]
    newer: str = ""
    older: str = ""
    cut: bool = False

    @property
    def version(self) -> str:
        """Another one whenever the page would look different."""
        return version(self.rows)


def page(filters: Filters) -> Page:
    if filters.after is None:
        return _going_back(filters)
    rows, edge = _read(filters, "pk")
    if edge is None:  # the newest page, and a whole one
        return _going_back(replace(filters, after=None, before=None))
    oldest = rows[0].pk if rows else filters.after + 1
    return Page(standing(rows[::-1]), filters.query(after=edge), filters.query(before=oldest))


def _going_back(filters: Filters) -> Page:
    found, edge = _read(filters, "-pk")
    newest = found[0].pk if found else (filters.before or 1) - 1
    return Page(
        standing(found),
        newer=filters.query(after=newest) if filters.before is not None else "",
        older=filters.query(before=edge) if edge is not None else "",
        cut=edge is not None and len(found) < PAGE,
    )


def older(filters: Filters, limit: int, within: Q) -> tuple[list[Shown], int | None]:
    """The next ``limit`` campaigns of a filter for which ``within`` holds too, and the id to go on before (None: there
    are no more)."""
    found, edge = _read(filters, "-pk", limit, within)
    return standing(found), edge


def _read(filters: Filters, order: str, n: int = PAGE, within: Q = _ALL) -> tuple[list[Campaign], int | None]:
    """The next ``n`` campaigns in an order, and the id to go on from (None: there are no more)."""
    rows = Campaign.objects.filter(IS_CAMPAIGN).order_by(order)
    if filters.before is not None:
        rows = rows.filter(pk__lt=filters.before)
    if filters.after is not None:
        rows = rows.filter(pk__gt=filters.after)
    end = rows.values_list("pk", flat=True)[SCAN - 1 : SCAN].first() if filters.any or within else None
    if end is not None:
        rows = rows.filter(**{"pk__gte" if order == "-pk" else "pk__lte": end})
    found = list(_drawn(rows.filter(within, _sought(filters)))[: n + 1])
    return (found[:n], found[n - 1].pk) if len(found) > n else (found, end)


def _drawn(rows: QuerySet[Campaign]) -> QuerySet[Campaign]:
    """With what a row needs, and without the pasted numbers, which may be a million."""
    return rows.select_related("account", "route", "created_by").defer("recipients", "account__credentials")


def _sought(filters: Filters) -> Q:
    text = Q(name__icontains=filters.text) | Q(text__icontains=filters.text) if filters.text else Q()
    return text & (CONDITIONS[filters.state] if filters.state else Q())


_UNKNOWN = Q(complete=False) | Q(
    Exists(Tally.objects.filter(account_id=0, campaign_id=OuterRef("pk"), hour=0, status__in=UNKNOWN_END, n__gt=0))
)
CONDITIONS: Mapping[str, Q] = {
    "sending": Q(state=Campaign.State.SENDING) & _UNKNOWN,
    "finished": Q(state=Campaign.State.SENDING) & ~_UNKNOWN,
    **{state: Q(state=state) for state in ("approval", "paused", "canceled")},
}


def get(pk: int) -> Campaign | None:
    return _drawn(Campaign.objects.filter(pk=pk)).first()


def running() -> list[Campaign]:
    """The newest that are not over, at most ``RUNNING``: what the overview shows."""
    shown = Campaign.objects.filter(IS_CAMPAIGN).order_by("-pk")
    recent = Coalesce(Subquery(shown.values("pk")[RECENT - 1 : RECENT]), 0)
    rows = shown.filter(_UNKNOWN, pk__gte=recent).exclude(state=Campaign.State.CANCELED)
    return list(_drawn(rows)[:RUNNING])


# --- How they stand ------------------------------------------------------------------------------------


def standing(rows: Sequence[Campaign], counts: Mapping[int, Counter[str]] | None = None) -> list[Shown]:
    """``counts``: as ``kept`` has them, if they are known."""
    counts = kept([row.pk for row in rows]) if counts is None else counts
    return [Shown(row, conduct.state(row, counts[row.pk]), conduct.balance(row, counts[row.pk])) for row in rows]


def kept(ids: Sequence[int]) -> Mapping[int, Counter[str]]:
    """The kept counts of campaigns by status."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    rows = Tally.objects.filter(account_id=0, campaign_id__in=ids, hour=0) if ids else Tally.objects.none()
    for campaign, status, n in rows.values_list("campaign_id", "status", "n"):
        found[campaign][status] = n
    return found


def version(rows: Iterable[Shown], more: object = None) -> str:
    """Another one whenever a page of these, and of what it shows ``more``, would look different."""
    marks = [(row.campaign.pk, row.campaign.name, row.campaign.state_at, row.state, row.balance) for row in rows]
    return f"{zlib.crc32(repr((marks, more)).encode()):08x}"
