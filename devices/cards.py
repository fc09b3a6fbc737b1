"""What the pages show of phones and their SIMs. Two queries for any number of phones, two more for their balances."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.db.models import Q

from providers import registry
from providers.models import ProviderAccount
from providers.tasks import Check
from providers.types import Feature

from . import balances as readings
from . import limits, standing, tasks
from .models import Balance, Device, Inventory, Sim
from .standing import Standing


@dataclass(frozen=True, slots=True)
class Meter:
    """``used`` of ``limit`` (None: there is none) in the last hour or day. ``high``: from where on it is nearly used
    up."""

    used: int
    limit: int | None

    @property
    def high(self) -> int:
        return (self.limit or 0) * 8 // 10


@dataclass(frozen=True, slots=True)
class SimLine:
    """``hour`` None: there is no such limit."""

    sim: Sim
    day: Meter
    hour: Meter | None
    balances: Sequence[Balance]


@dataclass(frozen=True, slots=True)
class Card:
    phone: Device
    standing: Standing
    sims: Sequence[SimLine]


@dataclass(frozen=True, slots=True)
class Shelf:
    """An account with its phones; ``gone`` are those that it no longer lists. ``check``: how a listing asked for by a
    person goes."""

    account: ProviderAccount
    inventory: Inventory | None
    check: Check | None
    cards: Sequence[Card]
    gone: Sequence[Card]


def accounts() -> list[ProviderAccount]:
    """Those that have phones. One query."""
    kinds = [slug for slug in registry.kinds() if Feature.DEVICES in registry.adapter_class(slug).supports]
    return list(ProviderAccount.objects.filter(kind__in=kinds).defer("credentials").select_related("inventory"))


def shelves() -> list[Shelf]:
    found = accounts()
    checks = tasks.last([account.pk for account in found]) if found else {}
    by_account: dict[int, list[Card]] = defaultdict(list)
    phones = Device.objects.filter(account__in=found).order_by("-primary", "name", "pk") if found else ()
    for card in cards(phones):
        by_account[card.phone.account_id].append(card)
    return [
        Shelf(
            account,
            getattr(account, "inventory", None),
            checks.get(account.pk),
            [card for card in by_account[account.pk] if not card.phone.gone_at],
            [card for card in by_account[account.pk] if card.phone.gone_at],
        )
        for account in found
    ]


def cards(phones: Iterable[Device]) -> list[Card]:
    rows = list(phones)
    sims: dict[int, list[Sim]] = defaultdict(list)
    for sim in Sim.objects.filter(device__in=rows).order_by("slot"):
        sims[sim.device_id].append(sim)
    told = balances([sim.pk for group in sims.values() for sim in group])
    return [Card(phone, standing.of(phone), [line(sim, told[sim.pk]) for sim in sims[phone.pk]]) for phone in rows]


def balances(sims: Collection[int]) -> dict[int, list[Balance]]:
    found: dict[int, list[Balance]] = defaultdict(list)
    for balance in Balance.objects.filter(sim__in=sims).select_related("saved").order_by("saved__name"):
        found[balance.sim_id].append(balance)
    return found


def line(sim: Sim, told: Sequence[Balance]) -> SimLine:
    used = limits.used(sim)
    hour = None if sim.per_hour is None else Meter(used["hour"], sim.per_hour)
    return SimLine(sim, Meter(used["day"], sim.per_day), hour, told)


def sims() -> list[Sim]:
    """Every SIM on which a code could be dialled, with its phone and account. One query."""
    there = Sim.objects.filter(gone_at=None, device__gone_at=None, device__account__kind__in=_dialling())
    found = there.select_related("device__account").defer("device__account__credentials")
    return list(found.order_by("device__account__name", "device__name", "device", "slot"))


def _dialling() -> list[str]:
    return [slug for slug in registry.kinds() if Feature.USSD in registry.adapter_class(slug).supports]


def version(found: Sequence[Shelf]) -> str:
    """Another whenever the page shows something else."""
    shown = []
    for shelf in found:
        inventory = shelf.inventory
        shown.append((shelf.account.name, inventory and (inventory.synced_at, inventory.error), shelf.check))
        for card in (*shelf.cards, *shelf.gone):
            phone = card.phone
            shown.append((str(phone), phone.model, card.standing, phone.last_seen, phone.chosen, phone.primary))
            for one in card.sims:
                sim = one.sim
                told = [(str(balance), balance.low, balance.at) for balance in one.balances]
                shown.append((sim.title, sim.carrier, sim.number, sim.paused_at, sim.gone_at, one.day, one.hour, told))
    return f"{zlib.crc32(repr(shown).encode()):08x}"


@dataclass(frozen=True, slots=True)
class Attention:
    """What a person should look at: balances below their limits, and phones that went silent."""

    balances: Sequence[Balance]
    silent: Sequence[Device]

    def __bool__(self) -> bool:
        return bool(self.balances or self.silent)


def attention() -> Attention:
    """Two queries."""
    phones = Device.objects.filter(Q(online=False) | Q(last_seen__isnull=False), enabled=True, gone_at=None)
    return Attention(readings.low(), [phone for phone in phones if standing.of(phone).wants_attention])
