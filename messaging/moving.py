"""Giving what waits for a phone to other phones of its account, evenly, in turn.

Found by the index of an account's messages by status, so a long queue of other phones is read through as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, F, Q, QuerySet, Value, When
from django.db.models.functions import Least
from django.utils import timezone

from devices.models import Device
from devices.targets import Place
from providers.types import Status

from . import gate, wakeup
from .models import Message

SLICE = 2_000  # messages of a transaction
AT_ONCE = 10_000  # messages that one click moves; also as far as they are counted


@dataclass(frozen=True, slots=True)
class Moved:
    """``n`` messages have another phone now; ``late`` ones were on their way already; ``more``: some are left."""

    n: int
    late: int
    more: bool


def waiting(phone: Device) -> QuerySet[Message]:
    """What is queued or scheduled for a phone; for the provider's primary one also what names no phone."""
    meant = Q(device=phone.device_id) | Q(device="") if phone.primary else Q(device=phone.device_id)
    rows = Message.objects.filter(account_id=phone.account_id, status__in=(Status.QUEUED, Status.SCHEDULED))
    return rows.filter(meant)


def count(phone: Device) -> int:
    """No further than AT_ONCE."""
    return waiting(phone).order_by()[:AT_ONCE].count()


def move(phone: Device, places: Sequence[Place]) -> Moved:
    """Give what waits for a phone to these ones. Raises ValueError without any."""
    if not places:
        raise ValueError("There is no phone to move them to.")
    n = late = after = 0
    while n + late < AT_ONCE:
        ids = list(waiting(phone).filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:SLICE])
        if not ids:
            return Moved(n, late, more=False)
        done = _move(phone, ids, places, n)
        n, late, after = n + done, late + len(ids) - done, ids[-1]
    return Moved(n, late, waiting(phone).filter(pk__gt=after).exists())


def _move(phone: Device, ids: Sequence[int], places: Sequence[Place], turn: int) -> int:
    """A slice, in a transaction of its own. What its phone kept waiting may go at once."""
    with gate.closed([phone.account_id]) as flying:
        locked = waiting(phone).filter(pk__in=ids).select_for_update(no_key=True).order_by("pk")
        here = [pk for pk in locked.values_list("pk", flat=True) if pk not in flying]
        by_place: dict[Place, list[int]] = defaultdict(list)
        for number, pk in enumerate(here, turn):
            by_place[places[number % len(places)]].append(pk)
        for (device, sim), group in by_place.items():
            Message.objects.filter(pk__in=group).update(device=device, sim=sim, **_afresh())
        wakeup.drain(phone.account_id)
    return len(here)


def _afresh() -> dict[str, Any]:
    held = When(status=Status.QUEUED, error_code="sim_limit", then=Least(F("due_at"), Value(timezone.now())))
    return {
        "due_at": Case(held, default=F("due_at")),
        "error_text": Case(When(error_code="sim_limit", then=Value("")), default=F("error_text")),
        "error_code": Case(When(error_code="sim_limit", then=Value("")), default=F("error_code")),
    }
