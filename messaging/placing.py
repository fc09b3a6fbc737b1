"""Where each recipient's message goes and when: its account, its phone and SIM, and the moment from which on it may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from devices import targets
from devices.targets import Choice, Place
from providers.models import ProviderAccount
from providers.types import Feature

from . import routes, windows
from .models import Campaign


@dataclass(frozen=True, slots=True)
class Placed:
    """``device`` and ``sim`` as in Message."""

    account_id: int
    device: str
    sim: int | None
    due_at: datetime


def place(campaign: Campaign, numbers: Sequence[str]) -> list[Placed]:
    """For the recipients that come after those placed before; the same again after a restart, as far as the accounts
    are as they were."""
    ids = _accounts(campaign, numbers)
    accounts = ProviderAccount.objects.in_bulk(set(ids))
    moment = max(campaign.due_at, timezone.now())
    found: list[Placed | None] = [None] * len(numbers)
    for pk, account in accounts.items():
        mine = [index for index, chosen in enumerate(ids) if chosen == pk]
        opens = windows.earliest(account, campaign, [numbers[index] for index in mine], moment)
        places = _places(account, campaign, len(mine))
        for index, (device, sim), at in zip(mine, places, opens, strict=True):
            found[index] = Placed(pk, device, sim, campaign.due_at if at <= moment else at)
    return [placed for placed in found if placed is not None]


def _accounts(campaign: Campaign, numbers: Sequence[str]) -> list[int]:
    if campaign.route is None:
        return [campaign.account_id] * len(numbers)
    need = routes.need(campaign.type, campaign.sender)
    offset = campaign.pk + campaign.expanded
    return routes.choose(campaign.route, numbers, offset, need, len(campaign.text))


def _places(account: ProviderAccount, campaign: Campaign, n: int) -> list[Place]:
    anywhere: list[Place] = [("", None)] * n
    if not campaign.devices or not account.can(Feature.DEVICES):
        return anywhere
    try:
        return targets.assign(account.pk, Choice.read(campaign.devices), n, campaign.expanded, str(campaign.token))
    except ValueError:
        return anywhere  # the phones went away since the form was checked: the primary one stands in
