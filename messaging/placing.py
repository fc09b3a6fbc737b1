"""Where each recipient's message goes and when: its account, its phone and SIM, and the moment from which on it may."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.utils import timezone

from devices import targets
from devices.targets import Choice, Place
from providers.models import ProviderAccount
from providers.types import Feature

from . import routes, windows
from .models import Campaign


class Placed(NamedTuple):
    """``device`` and ``sim`` as in Message."""

    account_id: int
    device: str
    sim: int | None
    due_at: datetime


def place(
    campaign: Campaign, numbers: Sequence[str], offset: int, lengths: Sequence[int] | None = None
) -> list[Placed]:
    """For the recipients that come after ``offset`` others; the same again after a restart, as far as the accounts are
    as they were. ``lengths``: characters of each one's text, where these differ. Raises NoMember."""
    ids = _accounts(campaign, numbers, offset, lengths)
    accounts = ProviderAccount.objects.in_bulk(set(ids))
    moment = max(campaign.due_at, timezone.now())
    found: list[Placed | None] = [None] * len(numbers)
    for pk, account in accounts.items():
        mine = [index for index, chosen in enumerate(ids) if chosen == pk]
        opens = windows.earliest(account, campaign, [numbers[index] for index in mine], moment)
        places = _places(account, campaign, len(mine), offset)
        for index, (device, sim), at in zip(mine, places, opens, strict=True):
            found[index] = Placed(pk, device, sim, campaign.due_at if at <= moment else at)
    return [placed for placed in found if placed is not None]


def _accounts(campaign: Campaign, numbers: Sequence[str], offset: int, lengths: Sequence[int] | None) -> list[int]:
    """Texts that only some accounts of a route can carry are placed by themselves."""
    if campaign.route is None:
        return [campaign.account_id] * len(numbers)
    need = routes.need(campaign.type, campaign.sender)
    lengths = lengths or [len(campaign.text)] * len(numbers)
    limits = routes.limits(campaign.route)
    groups: dict[int, list[int]] = defaultdict(list)
    for index, length in enumerate(lengths):
        groups[bisect_left(limits, length)].append(index)
    found = [0] * len(numbers)
    for group in groups.values():
        longest = max(lengths[index] for index in group)
        some = [numbers[index] for index in group]
        ids = routes.choose(campaign.route, some, campaign.pk + offset, need, longest)
        for index, account in zip(group, ids, strict=True):
            found[index] = account
    return found


def _places(account: ProviderAccount, campaign: Campaign, n: int, offset: int) -> list[Place]:
    anywhere: list[Place] = [("", None)] * n
    if not account.can(Feature.DEVICES):
        return anywhere
    try:
        return targets.assign(account.pk, Choice.read(campaign.devices), n, offset, str(campaign.token))
    except ValueError:
        return anywhere  # the phones went away since the form was checked: the primary one stands in
