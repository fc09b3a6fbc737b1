"""The actors of the gateway's tests: keys, and accounts with phones under other ids than ours."""

from __future__ import annotations

from typing import Any

from api import keys
from api.models import ApiKey
from devices.models import Device, Sim
from messaging import ledger
from messaging.models import Message
from providers.models import ProviderAccount
from tests.base import account
from tests.devices.base import phone

NUMBER = "+11234567890"


def key(account: ProviderAccount | None = None, **settings: Any) -> ApiKey:
    return keys.create("Shop", account, **settings)[0]


def message(through: ProviderAccount, client: ApiKey | None = None, **values: Any) -> Message:
    row = {"number": NUMBER, "text": "Hello", "status": "sent", "client": client.pk if client else None, **values}
    return ledger.insert([Message(account=through, **row)])[0]


def shelf(name: str = "Shelf", **values: Any) -> ProviderAccount:
    """Two phones, the first of them primary, each with two SIMs, the second one's named."""
    row = account(name, "smsgateway", **values)
    phone(row, f"{name}-a", 0, 1, name="Front desk", primary=True)
    second = phone(row, f"{name}-b", 0, 1, name="Warehouse", model="Pixel 8", android="15", app="9.4.1")
    Sim.objects.filter(device=second, slot=0).update(label="Blue Mobile", number="+15550100201")
    return row


def seeds_phones() -> ProviderAccount:
    """The phones of the seed's examples, by its ids: 1, 2 and 8, each with two SIMs. Another account is older."""
    account("Other", "smsprovider")
    row = account("Shelf", "smsgateway")
    for pk in (1, 2, 8):
        phone(row, f"p{pk}", 0, 1, pk=pk, name=f"Phone {pk}", primary=pk == 1)
    Sim.objects.filter(device=2, slot=0).update(label="Blue Mobile", number="+15550100201")
    return row


def phones(of: ProviderAccount) -> list[Device]:
    return list(Device.objects.filter(account=of).order_by("pk"))
