"""What the demo knows of the sandbox's phones: balances of two weeks, saved codes, limits, and a few answers."""

from __future__ import annotations

import time
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from devices import limits
from devices.models import Balance, Reading, SavedCode, Sim, UssdRequest, UssdSchedule
from providers.models import ProviderAccount
from sandbox.ussd import MENUS

DAYS = 14
A_DAY = Decimal("1.15")
LEFT = {("1", 0): "12.50", ("1", 1): "38.20", ("2", 0): "3.10", ("2", 1): "21.00"}  # by phone and slot
SENT = {("1", 0): 146, ("1", 1): 37}
LIMIT = 200
DIALLED = (("*#06#", 60 * 26), ("*150#", 65), ("*150*3#", 63), ("*903#", 40), ("*100#", 30))  # minutes ago
SILENT = "No answer in 3 minutes. The network may not know this code, or the phone has no service."


@transaction.atomic
def load(account: ProviderAccount) -> None:
    """After its phones were listed."""
    balance = SavedCode.objects.create(
        name="Balance", code="*100#", pattern="balance is ([0-9.,]+)", unit="EUR", warn_below=5
    )
    for name, code in (("Menu", "*150#"), ("IMEI", "*#06#"), ("End all diverts", "##002#")):
        SavedCode.objects.create(name=name, code=code)
    sims = Sim.objects.filter(device__account=account).select_related("device")
    for sim in sims:
        if left := LEFT.get((sim.device.device_id, sim.slot)):
            _readings(sim, balance, Decimal(left))
    Sim.objects.filter(device__account=account, device__device_id="1").update(per_day=LIMIT)
    limits.take(account.pk, SENT, time.time() - 7200)
    if first := sims.order_by("device__device_id", "slot").first():
        _answers(first, balance)


def _readings(sim: Sim, code: SavedCode, left: Decimal) -> None:
    """Falling by the day, topped up once."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    values = [left + A_DAY * day - (20 if day > 9 and left + A_DAY * day > 25 else 0) for day in range(DAYS)][::-1]
    kept = Balance.objects.create(sim=sim, saved=code, value=values[-1], at=now)
    moments = [now - timedelta(days=day) for day in range(DAYS)][::-1]
    Reading.objects.bulk_create(
        Reading(balance=kept, value=value, at=at) for value, at in zip(values, moments, strict=True)
    )
    UssdSchedule.objects.create(saved=code, sim=sim, every=UssdSchedule.DAY, next_at=now + timedelta(days=1))


def _answers(sim: Sim, balance: SavedCode) -> None:
    for code, minutes in DIALLED:
        at, answer = timezone.now() - timedelta(minutes=minutes), MENUS[code].text
        UssdRequest.objects.create(
            account=sim.device.account,
            device_id=sim.device.device_id,
            sim=sim.slot,
            code=code,
            saved=balance if code == balance.code else None,
            value=Decimal("12.50") if code == balance.code else None,
            state=UssdRequest.State.ANSWERED if answer else UssdRequest.State.SILENT,
            response=answer or None,
            error="" if answer else SILENT,
            sent_at=at,
            answered_at=at + timedelta(seconds=1) if answer else None,
        )
