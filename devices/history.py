"""Codes that were dialled: what a URL asks for, in pages of 50, newest first, from an id on and never an OFFSET."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.utils import timezone

from .models import Device, UssdRequest

PAGE = 50
SCAN = 20_000  # rows in which a text is looked for at once
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Filters:
    """``text``: part of the code or of the answer. ``device``: the id of a phone's row, ``sim`` a slot of it.
    ``start`` is within, ``end`` is not. ``before``: the id below which the page begins."""

    text: str = ""
    device: int | None = None
    sim: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    before: int | None = None

    @classmethod
    def from_query(cls, query: QueryDict) -> Filters:
        """Read a URL. Values that mean nothing are left out. ``on`` is a phone, as ``3``, or a SIM, as ``3|0``."""
        device, _bar, slot = query.get("on", "").partition("|")
        return cls(
            text=query.get("q", "").replace("\x00", "").strip()[:200],
            device=_number(device),
            sim=int(slot) if slot.isascii() and slot.isdigit() and len(slot) < 3 else None,
            start=_moment(query.get("from", "")),
            end=_moment(query.get("to", "")),
            before=_number(query.get("before", "")),
        )

    def query(self, **changes: Any) -> str:
        """The URL's query with the changes. A change begins on the first page again."""
        shown = replace(self, **{"before": None, **changes})
        pairs = {
            "q": shown.text,
            "on": shown.on,
            "from": _written(shown.start),
            "to": _written(shown.end),
            "before": shown.before,
        }
        return urlencode({name: value for name, value in pairs.items() if value not in (None, "")})

    @property
    def on(self) -> str:
        if self.device is None:
            return ""
        return str(self.device) if self.sim is None else f"{self.device}|{self.sim}"

    @property
    def any(self) -> bool:
        return bool(replace(self, before=None) != Filters())

    @property
    def times(self) -> tuple[str, str]:
        return _written(self.start), _written(self.end)


@dataclass(frozen=True, slots=True)
class Page:
    """At most 50 rows. ``older``: the query of the next page, empty at the end. ``cut``: a text was looked for in
    ``SCAN`` rows, and there are older ones."""

    rows: Sequence[UssdRequest]
    older: str = ""
    cut: bool = False


def page(filters: Filters) -> Page:
    """At most four queries."""
    rows = _rows(filters).order_by("-pk")
    edge = None
    if filters.text:
        edge = rows.values_list("pk", flat=True)[SCAN : SCAN + 1].first()
        rows = rows.filter(Q(code__icontains=filters.text) | Q(response__icontains=filters.text))
        rows = rows if edge is None else rows.filter(pk__gt=edge)
    found = list(rows.select_related("account", "saved", "created_by").defer("account__credentials")[: PAGE + 1])
    if len(found) > PAGE:
        return Page(found[:PAGE], filters.query(before=found[PAGE - 1].pk))
    return Page(found, "" if edge is None else filters.query(before=edge + 1), cut=edge is not None)


def _rows(filters: Filters) -> QuerySet[UssdRequest]:
    rows = UssdRequest.objects.all()
    if filters.device is not None:
        phone = Device.objects.filter(pk=filters.device).values_list("account_id", "device_id").first()
        account, device_id = phone or (0, "")
        rows = rows.filter(account_id=account, device_id=device_id)
    if filters.sim is not None:
        rows = rows.filter(sim=filters.sim)
    if filters.start:
        rows = rows.filter(sent_at__gte=filters.start)
    if filters.end:
        rows = rows.filter(sent_at__lt=filters.end)
    return rows if filters.before is None else rows.filter(pk__lt=filters.before)


def _number(text: str) -> int | None:
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
