"""People by filter: what a URL asks for, pages of 50, and slices for bulk changes. Newest first, and never an OFFSET.

Pages go on from a contact's id. A list's members are walked along its own index, each status by itself, and merged. A
number is found by its index while few begin like it. What no index helps with is looked for in ``SCAN`` rows at a time.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Exists, Max, Min, OuterRef, Q, QuerySet
from django.http import QueryDict

from .models import Contact, ContactList, Subscription
from .search import LOOKS_LIKE_A_NUMBER, begins
from .search import prefixes as prefixes_of

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
    """Rows that one index has in the order of ``key``, a contact's id. ``person`` leads from a row to the contact."""

    rows: QuerySet[Any]
    key: str
    person: str

    def only(self, **conditions: Any) -> Walk:
        return replace(self, rows=self.rows.filter(**{f"{self.key}__{name}": v for name, v in conditions.items()}))


def _read(filters: Filters, limit: int, forward: bool = False) -> tuple[list[int], int | None]:
    """The next contacts in a direction, and the id to go on from; None: there are no more."""
    walks, sought = _walks(filters), _sought(filters)
    prefixes = prefixes_of(filters.text) if LOOKS_LIKE_A_NUMBER.fullmatch(filters.text) else []
    if prefixes:
        known = Contact.objects.filter(begins("number", prefixes)).values_list("pk", flat=True)
        few = list(known[: FEW + 1])
        walks = [walk.only(**{"in": few}) for walk in walks] if len(few) <= FEW else walks
        sought += [lambda walk: begins(f"{walk.person}number", prefixes)] if len(few) > FEW else []
    if filters.before is not None:
        walks = [walk.only(lt=filters.before) for walk in walks]
    if forward:
        walks = [walk.only(gt=filters.after) for walk in walks]
    end = _scanned(walks, forward) if sought else None
    if end is not None:
        walks = [walk.only(**{"lte" if forward else "gte": end}) for walk in walks]
    parts = []
    for walk in walks:
        rows = walk.rows
        for condition in sought:
            rows = rows.filter(condition(walk))
        order = walk.key if forward else f"-{walk.key}"
        parts.append(list(rows.order_by(order).values_list(walk.key, flat=True)[: limit + 1]))
    found = list(heapq.merge(*parts, reverse=not forward))
    return (found[:limit], found[limit - 1]) if len(found) > limit else (found, end)


def _walks(filters: Filters) -> list[Walk]:
    people = Walk(Contact.objects.all(), "pk", "")
    if filters.list is None:
        return [_opted_out(people)] if filters.status == OPTED_OUT else [people]
    if filters.status == OPTED_OUT and filters.list.members > SCAN:
        return [_opted_out(people)]
    members = Subscription.objects.filter(list=filters.list)
    wanted = {SUBSCRIBED: (True,), UNSUBSCRIBED: (False,)}.get(filters.status, (True, False))
    return [Walk(members.filter(subscribed=one), "contact_id", "contact__") for one in wanted]


def _opted_out(people: Walk) -> Walk:
    return replace(people, rows=people.rows.filter(opted_out_at__isnull=False))


def _sought(filters: Filters) -> list[Any]:
    """Conditions that no index helps with, each made for a walk."""
    found: list[Any] = []
    if filters.text and not LOOKS_LIKE_A_NUMBER.fullmatch(filters.text):
        found.append(lambda walk: Q(**{f"{walk.person}name__icontains": filters.text}))
    places = Subscription.objects.filter(contact=OuterRef("pk"))
    if filters.status == UNLISTED:
        found.append(lambda walk: ~Q(Exists(places)))
    if filters.status == OPTED_OUT and filters.list:
        here = Q(Exists(places.filter(list=filters.list)))
        found.append(lambda walk: Q(**{f"{walk.person}opted_out_at__isnull": False}) if walk.person else here)
    return found


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
