"""People by filter: what a URL asks for, pages of 50, and slices for bulk changes. Newest first, and never an OFFSET.

Pages go on from a contact's id. A list's members are walked along its own index, each status by itself, and merged. A
number is found by its index while few begin like it. What no index helps with is looked for in ``SCAN`` rows at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Exists, Max, Min, OuterRef, QuerySet, Value
from django.db.models.functions import Concat
from django.http import QueryDict

from .models import Contact, ContactList, Subscription
from .search import LOOKS_LIKE_A_NUMBER, begins, prefixes

PAGE = 50
SCAN = 20_000  # rows in which something is looked for at once
FEW = 2_000  # numbers with the same beginning that are quicker found by number than by walking
SUBSCRIBED, UNSUBSCRIBED, OPTED_OUT, UNLISTED = "subscribed", "unsubscribed", "opted_out", "unlisted"
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Filters:
    """Whom to show. ``list`` None: everybody. ``text``: the beginning of a number in any spelling, or part of a name.

    ``status``: on a list ``subscribed``, ``unsubscribed`` or ``opted_out``; of everybody ``opted_out`` or ``unlisted``.
    ``before`` / ``after``: contact ids; whoever is older / newer than that.
    """

    list: ContactList | None = None
    status: str = ""
    text: str = ""
    before: int | None = None
    after: int | None = None

    @classmethod
    def from_query(cls, query: QueryDict, of: ContactList | None = None) -> Filters:
        """Read a URL. Values that mean nothing are left out."""
        known = (SUBSCRIBED, UNSUBSCRIBED, OPTED_OUT) if of else (OPTED_OUT, UNLISTED)
        status = query.get("status", "")
        return cls(
            list=of,
            status=status if status in known else "",
            text=" ".join(query.get("q", "").replace("\x00", "").split())[:100],
            before=_id(query.get("before", "")),
            after=_id(query.get("after", "")),
        )

    def query(self, **changes: Any) -> str:
        """The URL's query with the changes. A change begins on the first page again."""
        shown = replace(self, **{"before": None, "after": None, **changes})
        pairs = {"status": shown.status, "q": shown.text, "before": shown.before, "after": shown.after}
        return urlencode({name: value for name, value in pairs.items() if value not in (None, "")})

    @property
    def here(self) -> str:
        """The query of this very page."""
        return self.query(before=self.before, after=self.after)

    @property
    def any(self) -> bool:
        return bool(self.status or self.text)

    @property
    def first_page(self) -> bool:
        return self.before is None and self.after is None

    @property
    def total(self) -> int | None:
        """How many they are, by the kept counts; None: nobody counted them."""
        if self.text or self.list is None:
            return None
        kept = {"": self.list.members, SUBSCRIBED: self.list.subscribed, UNSUBSCRIBED: self.list.unsubscribed}
        return kept.get(self.status)


@dataclass(frozen=True, slots=True)
class Page:
    """At most 50 people. ``newer`` / ``older``: the queries of the pages beside it, empty at the ends.

    ``cut``: something was looked for in ``SCAN`` rows and there are older ones.
    """

    rows: list[Contact]
    newer: str = ""
    older: str = ""
    cut: bool = False


def page(filters: Filters) -> Page:
    """The contacts; with a list, each has its ``place`` there (a Subscription)."""
    if filters.after is None:
        return _going_back(filters)
    found, edge = _read(filters, PAGE, forward=True)
    if edge is None:  # the newest page, and a whole one
        return _going_back(replace(filters, after=None, before=None))
    oldest = found[0] if found else filters.after + 1
    return Page(_people(filters, found), filters.query(after=edge), filters.query(before=oldest))


def ids(filters: Filters, below: int, limit: int) -> tuple[list[int], int | None]:
    """The newest ``limit`` contacts with a smaller id than ``below``, and the id to go on below (None: no more)."""
    return _read(replace(filters, before=below, after=None), limit)


def top() -> int:
    """More than any contact's id."""
    return (Contact.objects.order_by("-pk").values_list("pk", flat=True).first() or 0) + 1


def _going_back(filters: Filters) -> Page:
    found, edge = _read(filters, PAGE)
    newest = found[0] if found else (filters.before or 1) - 1
    return Page(
        _people(filters, found),
        newer=filters.query(after=newest) if filters.before is not None else "",
        older=filters.query(before=edge) if edge is not None else "",
        cut=edge is not None and len(found) < PAGE,
    )


def _people(filters: Filters, found: Sequence[int]) -> list[Contact]:
    rows = list(Contact.objects.filter(pk__in=found).order_by("-pk"))
    if filters.list and rows:
        places = {place.contact_id: place for place in filters.list.subscriptions.filter(contact__in=found)}
        for row in rows:
            row.place = places.get(row.pk)  # type: ignore[attr-defined]
    return rows


# --- Which rows are walked -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Walk:
    """Rows that one index has in the order of ``key``, a contact's id."""

    rows: QuerySet[Any]
    key: str

    def only(self, bounds: Mapping[str, Any]) -> Walk:
        return replace(self, rows=self.rows.filter(**{f"{self.key}__{name}": value for name, value in bounds.items()}))


def _read(filters: Filters, limit: int, forward: bool = False) -> tuple[list[int], int | None]:
    """The next contacts in a direction, and the id to go on from; None: there are no more."""
    bounds: dict[str, Any] = {} if filters.before is None else {"lt": filters.before}
    if forward:
        bounds["gt"] = filters.after
    beginnings = prefixes(filters.text) if LOOKS_LIKE_A_NUMBER.fullmatch(filters.text) else []
    if beginnings and len(few := _few(beginnings)) <= FEW:
        bounds["in"], beginnings = few, []
    walks = [walk.only(bounds) for walk in _walks(filters)]
    end = None
    if _is_looked_for(filters) or beginnings:
        end = _scanned(walks, forward)
        if end is not None:
            bounds["lte" if forward else "gte"] = end
        walks = [_looked_for(filters, beginnings, bounds)]
    parts = []
    for walk in walks:
        order = walk.key if forward else f"-{walk.key}"
        parts.append(list(walk.rows.order_by(order).values_list(walk.key, flat=True)[: limit + 1]))
    found = list(heapq.merge(*parts, reverse=not forward))
    return (found[:limit], found[limit - 1]) if len(found) > limit else (found, end)


def _few(beginnings: Sequence[str]) -> list[int]:
    """Whose numbers begin so; of more than ``FEW`` only as many as show that."""
    return list(Contact.objects.filter(begins("number", beginnings)).values_list("pk", flat=True)[: FEW + 1])


def _walks(filters: Filters) -> list[Walk]:
    people = Contact.objects.all()
    if filters.list is None or (filters.status == OPTED_OUT and filters.list.members > SCAN):
        return [Walk(people.filter(opted_out_at__isnull=False) if filters.status == OPTED_OUT else people, "pk")]
    members = Subscription.objects.filter(list=filters.list)
    return [Walk(members.filter(subscribed=one), "contact_id") for one in _wanted(filters)]


def _wanted(filters: Filters) -> tuple[bool, ...]:
    """The kinds of places on a list."""
    return {SUBSCRIBED: (True,), UNSUBSCRIBED: (False,)}.get(filters.status, (True, False))


# --- What no index helps with ----------------------------------------------------------------------------


def _is_looked_for(filters: Filters) -> bool:
    is_name = filters.text and not LOOKS_LIKE_A_NUMBER.fullmatch(filters.text)
    return bool(is_name or filters.status == UNLISTED or (filters.status == OPTED_OUT and filters.list))


def _looked_for(filters: Filters, beginnings: Sequence[str], bounds: Mapping[str, Any]) -> Walk:
    """Contacts within bounds that meet every condition. The bounds stand on both sides of each join: PostgreSQL does
    not carry them over, and would read a whole index."""
    rows = Walk(Contact.objects.all(), "pk").only(bounds).rows
    places = Walk(Subscription.objects.filter(contact=OuterRef("pk")), "contact_id").only(bounds).rows
    if filters.list:
        rows = rows.filter(Exists(places.filter(list=filters.list, subscribed__in=_wanted(filters))))
    if filters.status == OPTED_OUT:
        rows = rows.filter(opted_out_at__isnull=False)
    if filters.status == UNLISTED:
        rows = rows.exclude(Exists(places))
    if beginnings:  # spelled as an expression, so that no database takes the index of numbers here
        rows = rows.alias(spelled=Concat("number", Value(""))).filter(begins("spelled", beginnings))
    elif filters.text and "in" not in bounds:
        rows = rows.filter(name__icontains=filters.text)
    return Walk(rows, "pk")


def _scanned(walks: Sequence[Walk], forward: bool) -> int | None:
    """The last id that a search over these walks looks at; None: it looks at everything."""
    last, nearest = (Max, min) if forward else (Min, max)
    ends = []
    for walk in walks:
        order = walk.key if forward else f"-{walk.key}"
        seen = walk.rows.order_by(order)[:SCAN].aggregate(last=last(walk.key), n=Count(walk.key))
        if seen["n"] == SCAN:
            ends.append(seen["last"])
    return nearest(ends, default=None)


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= LARGEST else None
