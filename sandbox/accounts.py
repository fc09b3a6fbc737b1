"""Who may use the carrier: any key that begins with ``sandbox-``. Its account is made when it is first used."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.crypto import constant_time_compare

from providers import errors, registry
from providers.base import Adapter
from providers.types import Credential, Feature

from .carrier import Carrier
from .models import Account, Device, Sim
from .waiting import Pause

SECRET = "sandbox-secret"  # the password of every account, where the wire carries one
CREDITS = 100_000

_KEY = re.compile(r"sandbox-[A-Za-z0-9._-]{0,80}", re.ASCII)

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "sandbox-broke": {"credits": 0},
    "sandbox-slow": {"latency": 0.5},
    "sandbox-tight": {"rates": ["2/second"]},
}

REFUSES_WHOLE = frozenset({"smsprovider"})  # kinds whose documentation has no answer for one bad number of many

DEVICES: tuple[tuple[Mapping[str, Any], tuple[tuple[str, str], ...]], ...] = (
    (
        {"name": "Front desk", "model": "Pixel 8", "android": "15", "app": "9.4.1", "primary": True},
        (("Blue Mobile", "+15550100101"), ("Green Telecom", "+15550100102")),
    ),
    (
        {"name": "Warehouse", "model": "Galaxy A54", "android": "14", "app": "9.4.1"},
        (("Blue Mobile", "+15550100201"), ("Red Wireless", "+15550100202")),
    ),
    (
        {"name": "Old phone", "model": "Moto G6", "android": "9", "app": "8.0.2", "enabled": False, "silent": 777_600},
        (("Green Telecom", "+15550100301"),),
    ),
)


def login(kind: str, pause: Pause) -> Callable[[Credential], Carrier]:
    """What ``providers.serving.serve`` asks who calls. ``pause`` is how the carrier waits."""

    def check(credential: Credential) -> Carrier:
        account = open_account(kind, credential.key)
        if credential.secret is not None and not constant_time_compare(credential.secret, account.secret):
            raise errors.KeyRefused("Invalid API credentials.")
        return Carrier(account, pause)

    return check


def open_account(kind: str, key: str) -> Account:
    """The account of a key, made now if need be. Raises KeyRefused, and KeyError for an unknown kind."""
    if not _KEY.fullmatch(key):
        raise errors.KeyRefused("Invalid or inactive API key. In the sandbox every key begins with “sandbox-”.")
    try:
        return Account.objects.get(kind=kind, key=key)
    except Account.DoesNotExist:
        return _make(kind, key)


def _make(kind: str, key: str) -> Account:
    adapter = registry.adapter_class(kind)
    try:
        with transaction.atomic():
            account = Account.objects.create(kind=kind, key=key, **_defaults(adapter, key))
            if Feature.DEVICES in adapter.supports:
                _add_devices(account)
            return account
    except IntegrityError:  # another request was first
        return Account.objects.get(kind=kind, key=key)


def _defaults(adapter: type[Adapter], key: str) -> dict[str, Any]:
    """Phones of one's own cost nothing, so accounts with devices have no balance to run out of."""
    defaults: dict[str, Any] = {
        "secret": SECRET,
        "name": key.removeprefix("sandbox-") or "sandbox",
        "sender": "SANDBOX",
        "credits": None if Feature.DEVICES in adapter.supports else CREDITS,
        "webhook_secret": key,
        "rates": [str(rate) for rate in adapter.rates],
        "refuses_whole": adapter.kind in REFUSES_WHOLE,
    }
    for prefix, preset in PRESETS.items():
        if key.startswith(prefix):
            defaults |= preset
    return defaults


def _add_devices(account: Account) -> None:
    rows = [Device(account=account, number=n, **facts) for n, (facts, _) in enumerate(DEVICES, start=1)]
    Device.objects.bulk_create(rows)
    Sim.objects.bulk_create(
        Sim(device=device, slot=slot, label=label, number=number)
        for device, (_, sims) in zip(rows, DEVICES, strict=True)
        for slot, (label, number) in enumerate(sims)
    )
