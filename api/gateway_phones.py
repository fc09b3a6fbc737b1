"""The phones that a key may send through, under our own ids, and which of them a request means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Prefetch, QuerySet

from devices import targets
from devices.models import Device, Sim
from devices.targets import Choice
from messaging import log
from providers import errors
from providers.models import ProviderAccount
from providers.types import DeviceInfo, Devices, Feature, ListDevices, SimInfo, Spread, Target

from . import access
from .models import ApiKey, Scope


def devices(key: ApiKey, op: ListDevices) -> tuple[DeviceInfo, ...]:
    """The phones that can send, as seed 004 lists them: switched on and not paused, as are those that all phones mean.

    One is primary at most: the one that a request without phones goes out through. A key that only sends may ask too.
    """
    if Scope.SEND not in key.scopes:
        access.need(key, Scope.READ)
    phones = list(_phones(key).filter(enabled=True, paused_at=None, account__enabled=True))
    home = next((account.pk for account in _candidates(key, phones)), 0)
    primary = targets.places(home, Choice())[0][0] if home else ""
    return tuple(_info(phone, phone.account_id == home and _is_primary(phone, primary)) for phone in phones)


def devices_of(key: ApiKey, asked: Devices) -> tuple[ProviderAccount, Choice]:
    """The account that owns the phones a request names, and the choice among its phones in its provider's ids.

    No phones named: those of the key's own account, or else of the first with phones that it may use; where it may use
    none, the key's own account, and no choice. Raises NotFound for a phone that the key does not know, InvalidRequest
    for phones of two accounts, and for what is switched off or lacks the SIM.
    """
    if asked.spread is Spread.SPECIFIED and asked.targets:
        return _named(key, asked)
    account = next(iter(_candidates(key, list(_phones(key)))), None) or access.way(key)[0]
    choice = Choice.of(asked) if account.can(Feature.DEVICES) else Choice()
    try:
        targets.places(account.pk, choice)
    except ValueError as error:
        raise errors.InvalidRequest(str(error)) from error
    return account, choice


def find(key: ApiKey, text: str) -> Device | None:
    """A phone of the key's accounts by our id, whether it is still listed or not."""
    return Device.objects.filter(pk=log.read_id(text) or 0, account__in=access.accounts(key).values("pk")).first()


def ids(places: Iterable[tuple[int, str]]) -> dict[tuple[int, str], str]:
    """Our ids of phones, by account and the provider's id. One query."""
    wanted = {place for place in places if place[1]}
    accounts, names = {account for account, _name in wanted}, {name for _account, name in wanted}
    rows = Device.objects.filter(account__in=accounts, device_id__in=names) if wanted else Device.objects.none()
    return {(account, name): str(pk) for account, name, pk in rows.values_list("account_id", "device_id", "pk")}


def _phones(key: ApiKey) -> QuerySet[Device]:
    """Those that their providers list, with their account and those of their SIMs that can send."""
    rows = Device.objects.filter(account__in=access.accounts(key).values("pk"), gone_at=None)
    sims = Sim.objects.filter(gone_at=None, paused_at=None).order_by("slot")
    return (
        rows.select_related("account")
        .defer("account__credentials")
        .prefetch_related(Prefetch("sims", sims))
        .order_by("pk")
    )


def _candidates(key: ApiKey, phones: Sequence[Device]) -> list[ProviderAccount]:
    """The accounts whose phones could be meant by a request that names none, the key's own first."""
    having = {phone.account_id: phone.account for phone in phones if phone.account.enabled}
    try:
        own = access.way(key)[0]
    except errors.ProviderError:
        return list(having.values())
    first = [own] if own.can(Feature.DEVICES) else []
    return [*first, *(account for account in having.values() if account.pk != own.pk)]


def _is_primary(phone: Device, chosen: str) -> bool:
    """``chosen`` empty: the provider's own."""
    return phone.device_id == chosen if chosen else phone.primary


def _info(phone: Device, primary: bool) -> DeviceInfo:
    return DeviceInfo(
        id=str(phone.pk),
        name=str(phone),
        model=phone.model,
        android=phone.android,
        app=phone.app,
        enabled=phone.enabled,
        online=phone.online,
        primary=primary,
        last_seen=phone.last_seen,
        sims=tuple(SimInfo(sim.slot, sim.title, sim.number) for sim in phone.sims.all()),
    )


def _named(key: ApiKey, asked: Devices) -> tuple[ProviderAccount, Choice]:
    wanted = {log.read_id(target.device) or 0 for target in asked.targets}
    known = {str(phone.pk): phone for phone in _phones(key).filter(pk__in=wanted)}
    for target in asked.targets:
        _check(target, known.get(target.device))
    accounts = {phone.account_id: phone.account for phone in known.values()}
    if len(accounts) > 1:
        raise errors.InvalidRequest("These devices belong to different accounts. Send to each in a request of its own.")
    (account,) = accounts.values()
    theirs = tuple(Target(known[target.device].device_id, target.sim) for target in asked.targets)
    return account, Choice.of(Devices(targets=theirs, random=asked.random))


def _check(target: Target, phone: Device | None) -> None:
    """Raises what stands against sending through it. A paused one is fine: its messages wait."""
    if phone is None:
        raise errors.NotFound(f"There is no device with the ID {target.device}.")
    if not phone.enabled:
        raise errors.InvalidRequest(f"Device {target.device} is switched off in its app.")
    slots = set(Sim.objects.filter(device=phone, gone_at=None).values_list("slot", flat=True))
    if target.sim is not None and slots and target.sim not in slots:
        raise errors.InvalidRequest(f"Device {target.device} has no SIM in slot {target.sim}.")
