"""The messages of a filter as CSV, streamed newest first: one slice is in memory, however many there are.

A slice is its ids, found as bulk.py finds them, and one query for all that stands in their rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from django.db.models import F, OuterRef, Subquery
from django.db.models.functions import Left
from django.http import QueryDict, StreamingHttpResponse
from django.utils import timezone

from contacts.exporting import as_csv, download, guarded
from contacts.models import Contact
from devices.models import Device, Sim
from providers.models import ProviderAccount, pretty_amount

from . import pages
from .log import ALL, Filters
from .models import Message

COLUMNS = (
    "id", "created", "number", "name", "text", "parts", "status", "account", "device", "sim", "campaign",
    "provider_id", "sent", "done", "error_code", "error", "cost",
)  # fmt: skip
SLICE = 2_000  # messages that are in memory at once
CALLED = 40  # characters of its text by which a campaign without a name is called


def answer(filters: Filters, names: bool) -> StreamingHttpResponse:
    """The download of a filter. ``names``: may whoever asks see what contacts are called?"""
    fixed = Filters.from_query(QueryDict(filters.fixed))  # while it is written, time goes on
    zone = timezone.get_current_timezone()
    return download(lines(fixed, zone, names), f"messages-{timezone.localdate():%Y-%m-%d}.csv")


def lines(filters: Filters, zone: tzinfo, names: bool = True) -> Iterator[str]:
    """Some lines at a time. Times are by the clock of ``zone``, in ISO 8601. What is written meanwhile is left out."""
    yield as_csv([COLUMNS])
    places = Places.known()
    below: int | None = pages.top()
    while below is not None:
        ids, below = pages.ids(filters, ALL, below, SLICE)
        yield as_csv(_cells(row, places, zone) for row in _rows(ids, names))


@dataclass(frozen=True, slots=True)
class Places:
    """What accounts, phones (by account and device ID) and SIMs (by slot as well) are called; they are few."""

    accounts: Mapping[int, str]
    devices: Mapping[tuple[int, str], str]
    sims: Mapping[tuple[int, str, int], str]

    @classmethod
    def known(cls) -> Places:
        sims = Sim.objects.select_related("device")
        return cls(
            dict(ProviderAccount.objects.values_list("pk", "name")),
            {(phone.account_id, phone.device_id): str(phone) for phone in Device.objects.all()},
            {(sim.device.account_id, sim.device.device_id, sim.slot): sim.title for sim in sims},
        )


def _rows(ids: Sequence[int], names: bool) -> list[dict[str, Any]]:
    called: dict[str, Any] = {"campaign_name": F("campaign__name"), "campaign_text": Left("campaign__text", CALLED)}
    if names:
        called["name"] = Subquery(Contact.objects.filter(number=OuterRef("number")).values("name"))
    return list(Message.objects.filter(pk__in=ids).order_by("-pk").values(*_READ, **called))


_READ = (
    "id", "created_at", "number", "text", "segments", "status", "account_id", "device", "sim", "provider_id",
    "sent_at", "done_at", "error_code", "error_text", "cost",
)  # fmt: skip


def _cells(row: Mapping[str, Any], places: Places, zone: tzinfo) -> list[str]:
    """As in ``COLUMNS``."""
    phone = (row["account_id"], row["device"])
    slot = "" if row["sim"] is None else str(row["sim"] + 1)
    return [
        str(row["id"]),
        _moment(row["created_at"], zone),
        guarded(row["number"]),
        guarded(row.get("name") or ""),
        guarded(row["text"]),
        str(row["segments"]),
        row["status"],
        guarded(places.accounts.get(row["account_id"], "")),
        guarded(places.devices.get(phone, row["device"])),
        guarded(places.sims.get((*phone, row["sim"]), slot)),
        guarded(row["campaign_name"] or row["campaign_text"] or ""),
        guarded(row["provider_id"]),
        _moment(row["sent_at"], zone),
        _moment(row["done_at"], zone),
        guarded(row["error_code"]),
        guarded(row["error_text"]),
        _amount(row["cost"]),
    ]


def _moment(at: datetime | None, zone: tzinfo) -> str:
    return at.astimezone(zone).isoformat(timespec="seconds") if at else ""


def _amount(cost: Decimal | None) -> str:
    return "" if cost is None else pretty_amount(cost)
