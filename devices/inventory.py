"""The phones and SIMs of an account, as its provider lists them. What we noted of them outlives every listing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from providers import registry
from providers.errors import ProviderError, RateLimited
from providers.models import ProviderAccount
from providers.types import DeviceInfo, Feature, ListDevices, SimInfo

from . import calling
from .models import Balance, Device, Inventory, Sim

EVERY = timedelta(minutes=15)  # between two listings of an account's phones
SAME = 7  # last digits by which two spellings of a number are the same


@dataclass(frozen=True, slots=True)
class Synced:
    """``phones`` and ``sims`` that the provider lists; of the phones ``new`` ones, and ``gone`` ones that it no longer
    lists."""

    phones: int
    sims: int
    new: int
    gone: int


# --- When --------------------------------------------------------------------------------------------


def due() -> list[int]:
    """The accounts whose phones are to be listed again. Not those with an error for the whole account."""
    kinds = [slug for slug in registry.kinds() if Feature.DEVICES in registry.adapter_class(slug).supports]
    later = Inventory.objects.filter(account_id=OuterRef("pk"), next_at__gt=timezone.now())
    accounts = ProviderAccount.objects.filter(kind__in=kinds, enabled=True, paused_code="")
    return list(accounts.filter(~Exists(later)).values_list("pk", flat=True))


def refresh(account_id: int) -> None:
    """List the phones of an account if that is due and nobody else does. What went wrong is kept for the page."""
    if not _claim(account_id):
        return
    account = ProviderAccount.objects.get(pk=account_id)
    try:
        sync(account)
    except RateLimited as error:  # gently: later, when there is room
        wait = timedelta(seconds=max(60.0, error.retry_after or 0.0))
        Inventory.objects.filter(pk=account_id).update(next_at=timezone.now() + wait)
    except ProviderError as error:
        failed(account_id, error)


def _claim(account_id: int) -> bool:
    """Set the time of the next listing before this one begins."""
    now = timezone.now()
    if account_id not in due():
        return False
    Inventory.objects.bulk_create([Inventory(account_id=account_id, next_at=now)], ignore_conflicts=True)
    mine = Inventory.objects.filter(pk=account_id, next_at__lte=now)
    return bool(mine.update(next_at=now + EVERY))


def failed(account_id: int, error: ProviderError) -> None:
    kept = str(error).replace("\x00", "\ufffd")[:300]
    Inventory.objects.update_or_create(
        account_id=account_id, defaults={"error": kept, "next_at": timezone.now() + EVERY}
    )


# --- What --------------------------------------------------------------------------------------------


def sync(account: ProviderAccount, patience: float = 0.0) -> Synced:
    """Ask the provider and bring our rows in line. Raises ProviderError; see calling.call for ``patience``."""
    answer: tuple[DeviceInfo, ...] = calling.call(account, ListDevices(), patience)
    found = {info.id[:40]: info for info in answer if info.id}
    now = timezone.now()
    with transaction.atomic():
        # the account's row is the lock: two listings at once must not both make a phone
        ProviderAccount.objects.select_for_update().only("pk").get(pk=account.pk)
        known = {phone.device_id: phone for phone in Device.objects.filter(account=account).prefetch_related("sims")}
        for device_id, info in found.items():
            _save(known.get(device_id) or Device(account=account, device_id=device_id), info, now)
        gone = Device.objects.filter(account=account, gone_at=None).exclude(device_id__in=found)
        n = gone.update(enabled=False, online=False, primary=False, gone_at=now)
        Inventory.objects.update_or_create(
            account=account, defaults={"synced_at": now, "next_at": now + EVERY, "error": ""}
        )
    sims = sum(len({sim.slot for sim in info.sims}) for info in found.values())
    return Synced(len(found), sims, len(found.keys() - known.keys()), n)


def _save(phone: Device, info: DeviceInfo, now: datetime) -> None:
    facts: dict[str, Any] = {
        "name": info.name[:100],
        "model": info.model[:100],
        "android": info.android[:40],
        "app": info.app[:40],
        "enabled": info.enabled,
        "online": info.online,
        "primary": info.primary,
        "last_seen": info.last_seen,
        "synced_at": now,
        "gone_at": None,
    }
    for name, value in facts.items():
        setattr(phone, name, value)
    phone.save(update_fields=facts if phone.pk else None)  # a person may be naming it at this moment
    known = {sim.slot: sim for sim in phone.sims.all()}
    listed = {sim.slot: sim for sim in info.sims}
    for slot, sim in listed.items():
        _save_sim(known.get(slot) or Sim(device=phone, slot=slot), sim)
    phone.sims.filter(gone_at=None).exclude(slot__in=listed).update(gone_at=now)


def _save_sim(sim: Sim, info: SimInfo) -> None:
    number = re.sub(r"[^\d+]", "", info.number)[:16]
    if sim.pk and sim.number and number and sim.number[-SAME:] != number[-SAME:]:
        Balance.objects.filter(sim=sim).delete()  # another SIM is in the slot
    sim.label, sim.number, sim.gone_at = info.label[:100], number, None
    sim.save(update_fields=["label", "number", "gone_at"] if sim.pk else None)
