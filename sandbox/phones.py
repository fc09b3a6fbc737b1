"""The phones of an account: which of them send, and what they look like from outside."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from providers import errors
from providers.types import DeviceInfo, Devices, SimInfo, Spread, Target

from .models import Account, Device


def listing(account: Account) -> tuple[DeviceInfo, ...]:
    return tuple(_info(device) for device in _devices(account))


def assign(account: Account, wanted: Devices, count: int) -> list[Target]:
    """The phone and SIM of each of ``count`` messages, in turn. Raises InvalidRequest for a phone that cannot send."""
    devices = _devices(account)
    if not devices and wanted == Devices():
        return [Target("")] * count
    choice = _selection(devices, wanted)
    if wanted.random:
        choice = [random.choice(choice)]
    return [choice[turn % len(choice)] for turn in range(count)]


def sim_of(account: Account, target: Target) -> Target:
    """The target with its SIM named. Raises InvalidRequest for a phone or SIM that is not there or disabled."""
    return _resolve(_devices(account), target)


def number_of(account: Account, target: Target) -> str:
    """The phone number of a SIM; empty where there is none."""
    sims = (sim for device in _devices(account) if str(device.number) == target.device for sim in device.sims.all())
    return next((sim.number for sim in sims if sim.slot == target.sim), "")


def _devices(account: Account) -> list[Device]:
    return list(Device.objects.filter(account=account).prefetch_related("sims"))


def _selection(devices: Sequence[Device], wanted: Devices) -> list[Target]:
    enabled = [device for device in devices if device.enabled]
    every = [Target(str(device.number), sim.slot) for device in enabled for sim in device.sims.all()]
    primary = tuple(Target(str(device.number)) for device in enabled if device.primary)
    choices = {
        Spread.SPECIFIED: wanted.targets or primary,
        Spread.ALL_DEVICES: tuple(Target(str(device.number)) for device in enabled),
        Spread.ALL_SIMS: tuple(every),
    }
    if not choices[wanted.spread]:
        raise errors.InvalidRequest("There is no phone to send with.")
    return [_resolve(devices, target) for target in choices[wanted.spread]]


def _resolve(devices: Sequence[Device], target: Target) -> Target:
    device = next((device for device in devices if str(device.number) == target.device), None)
    if device is None:
        raise errors.InvalidRequest(f"There is no device {target.device[:20]}.")
    if not device.enabled:
        raise errors.InvalidRequest(f"Device {target.device} is disabled.")
    slots = [sim.slot for sim in device.sims.all()]
    if target.sim is None:
        return Target(target.device, slots[0] if slots else None)
    if target.sim not in slots:
        raise errors.InvalidRequest(f"Device {target.device} has no SIM in slot {target.sim}.")
    return target


def _info(device: Device) -> DeviceInfo:
    return DeviceInfo(
        id=str(device.number),
        name=device.name,
        model=device.model,
        android=device.android,
        app=device.app,
        enabled=device.enabled,
        online=device.silent == 0,
        primary=device.primary,
        last_seen=timezone.now() - timedelta(seconds=device.silent),
        sims=tuple(SimInfo(sim.slot, sim.label, sim.number) for sim in device.sims.all()),
    )
