"""The phones and SIMs of an account, as its provider lists them."""

from __future__ import annotations

import re

from django.db import transaction
from django.utils import timezone

from providers.models import ProviderAccount
from providers.types import DeviceInfo, ListDevices

from .models import Device, Sim


def sync(account: ProviderAccount) -> int:
    """Ask the provider and bring our rows in line. Returns the number of devices. Raises ProviderError."""
    found: tuple[DeviceInfo, ...] = account.adapter().call(ListDevices())
    with transaction.atomic():
        for info in found:
            _save(account, info)
        gone = Device.objects.filter(account=account).exclude(device_id__in=[info.id for info in found])
        gone.update(enabled=False, online=False)
    return len(found)


def _save(account: ProviderAccount, info: DeviceInfo) -> None:
    device, _ = Device.objects.update_or_create(
        account=account,
        device_id=info.id,
        defaults={
            "name": info.name[:100],
            "model": info.model[:100],
            "enabled": info.enabled,
            "online": info.online,
            "primary": info.primary,
            "last_seen": info.last_seen,
            "synced_at": timezone.now(),
        },
    )
    for sim in info.sims:
        Sim.objects.update_or_create(
            device=device,
            slot=sim.slot,
            defaults={"label": sim.label[:100], "number": re.sub(r"[^\d+]", "", sim.number)[:16]},
        )
    device.sims.exclude(slot__in=[sim.slot for sim in info.sims]).delete()
