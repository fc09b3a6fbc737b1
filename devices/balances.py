"""Balances of SIMs, as the answers to saved codes told them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import F

from . import patterns
from .models import Balance, Reading, SavedCode, Sim, UssdRequest

log = logging.getLogger(__name__)
SHOWN = 60  # readings in a chart


def read(saved: SavedCode | None, response: str) -> Decimal | None:
    """The number in an answer. None: there is none, or nobody said how to find it."""
    if saved is None or not saved.pattern or not response:
        return None
    try:
        return patterns.value(saved.pattern, response, saved.decimal)
    except patterns.WrongPattern as error:
        log.warning("The pattern of the saved code %s: %s", saved, error)
        return None


def keep(request: UssdRequest, value: Decimal, at: datetime) -> None:
    """Note what the answer to a request told of its SIM. An older answer that comes late is no news."""
    sims = Sim.objects.filter(device__account_id=request.account_id, device__device_id=request.device_id)
    sim = sims.filter(slot=request.sim).first()
    if sim is None or request.saved is None:
        return
    balance, new = Balance.objects.get_or_create(sim=sim, saved=request.saved, defaults={"value": value, "at": at})
    Reading.objects.create(balance=balance, value=value, at=at)
    if not new:
        Balance.objects.filter(pk=balance.pk, at__lte=at).update(value=value, at=at)


def low() -> list[Balance]:
    """Those of SIMs still there that are below their limit. One query."""
    found = Balance.objects.filter(value__lt=F("saved__warn_below"), sim__gone_at=None, sim__device__gone_at=None)
    return list(found.select_related("saved", "sim__device").order_by("value"))


def history(balance: Balance) -> Sequence[Reading]:
    """Its last readings, oldest first."""
    return list(Reading.objects.filter(balance=balance).order_by("-at")[:SHOWN])[::-1]
