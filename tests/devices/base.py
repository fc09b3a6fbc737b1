"""Phones for the tests about them."""

from __future__ import annotations

from typing import Any

from devices.models import Device, Sim
from providers.models import ProviderAccount


def phone(
    account: ProviderAccount, device_id: str, *slots: int, limits: dict[str, int] | None = None, **values: Any
) -> Device:
    """A phone of the account with SIMs in these slots, all of them with the same limits."""
    device = Device.objects.create(account=account, device_id=device_id, **values)
    Sim.objects.bulk_create(Sim(device=device, slot=slot, **limits or {}) for slot in slots)
    return device
