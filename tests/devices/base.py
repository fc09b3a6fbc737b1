"""Phones for the tests about them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from devices import inventory
from devices.models import Device, Sim, UssdRequest
from messaging import posted
from providers.models import ProviderAccount
from sandbox import agent
from sandbox.accounts import open_account
from sandbox.models import UssdRequest as Dialled
from tests.base import account

KEY = "sandbox-phones"


def phone(
    account: ProviderAccount, device_id: str, *slots: int, limits: dict[str, int] | None = None, **values: Any
) -> Device:
    """A phone of the account with SIMs in these slots, all of them with the same limits."""
    device = Device.objects.create(account=account, device_id=device_id, **values)
    Sim.objects.bulk_create(Sim(device=device, slot=slot, **limits or {}) for slot in slots)
    return device


def shelf_at(server: str, *, posts: bool = True, **values: Any) -> ProviderAccount:
    """An account at the sandbox that ``server`` serves, its phones listed. ``posts``: answers come to our callback."""
    values = {"base_url": f"{server}/sandbox/smsgateway", "credentials": {"api_key": KEY}, **values}
    row = account("Shelf", "smsgateway", **values)
    carrier = open_account("smsgateway", KEY)
    carrier.webhook_url = f"{server}/callbacks/{row.callback_token}/" if posts else ""
    carrier.save()
    inventory.sync(row)
    return row


def sim_of(shelf: ProviderAccount, device_id: str = "1", slot: int = 0) -> Sim:
    return Sim.objects.select_related("device__account").get(
        device__account=shelf, device__device_id=device_id, slot=slot
    )


def let_the_network_answer() -> None:
    """What was dialled so far is answered now, and posted as often as it ever will be."""
    past = timezone.now() - timedelta(seconds=5)
    Dialled.objects.filter(starts_at__lt=timezone.now() + timedelta(hours=1)).update(starts_at=past)
    Dialled.objects.filter(next_at__isnull=False).update(next_at=past)
    while agent.tick():
        pass
    posted.work()


def let_time_pass(request: UssdRequest, seconds: float) -> None:
    """As if the request had been made earlier."""
    earlier = timedelta(seconds=seconds)
    request.refresh_from_db()
    poll_at = request.poll_at and request.poll_at - earlier
    UssdRequest.objects.filter(pk=request.pk).update(sent_at=request.sent_at - earlier, poll_at=poll_at)
