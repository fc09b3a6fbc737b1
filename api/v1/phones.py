"""Devices and their SIMs, and the USSD codes dialled on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from django.db.models import Q
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import Field

from devices import cards, standing, tasks
from devices.models import Device, Sim, UssdRequest
from messaging.log import read_id
from providers.types import Feature, SendUssd

from .. import access, gateway, gateway_phones
from . import reading
from .caller import ADMIN, READ, SEND, USSD, Caller
from .door import Call
from .errors import Conflict, answers, missing
from .schemas import Body, Done, Id, Next, Number, Paging, Time, page

router = Router(by_alias=True, auth=READ)
DEVICES, CODES = ["Devices"], ["USSD"]


class Used(Schema):
    used: int
    limit: int | None = Field(description="null: there is no limit.")


class BalanceOut(Schema):
    name: str
    value: Number
    unit: str
    at: Time
    low: bool


class SimOut(Schema):
    slot: int = Field(description="Counted from 0.")
    name: str
    number: str
    operator: str
    paused: bool
    gone: bool
    today: Used = Field(description="In the last 24 hours.")
    hour: Used | None = Field(description="In the last hour; null: there is no limit.")
    balances: list[BalanceOut]


class DeviceOut(Schema):
    device_id: Id
    account_id: Id
    name: str
    model: str
    android_version: str
    app_version: str
    enabled: bool
    online: bool
    primary: bool
    paused: bool
    gone: bool
    state: str = Field(description="How it is doing, in a word.")
    reason: str
    last_seen: Time | None
    sims: list[SimOut]


class DevicePage(Schema):
    devices: list[DeviceOut]
    next: Next


class DevicesAsked(Paging):
    account_id: str | None = Field(None, max_length=20)


class SyncIn(Body):
    account_id: Id


@router.get("/devices", response=answers(DevicePage), tags=DEVICES, summary="List devices")
def listed(request: Call, asked: Query[DevicesAsked]) -> Any:
    """Of the accounts that this key may use; those that their providers no longer list too (`gone`)."""
    rows = _devices(request)
    if asked.account_id is not None:
        rows = rows.filter(account=read_id(asked.account_id) or 0)
    found, edge = reading.cut(rows, asked)
    return page("devices", [_written(card) for card in cards.cards(found)], edge)


@router.post("/devices/sync", response=answers(Done, 202), auth=SEND, tags=DEVICES, summary="Ask a provider anew")
def sync(request: Call, asked: SyncIn) -> Any:
    """Its devices are listed in the background."""
    account = reading.one(access.accounts(request.key), asked.account_id, "account")
    if not account.can(Feature.DEVICES):
        raise Conflict("This account has no devices.")
    tasks.start_sync(account.pk)
    return Status(202, {})


@router.get("/devices/{device_id}", response=answers(DeviceOut), tags=DEVICES, summary="Get a device")
def get(request: Call, device_id: str) -> Any:
    return _detail(_device(request, device_id))


@router.post(
    "/devices/{device_id}/{action}", response=answers(DeviceOut), auth=ADMIN, tags=DEVICES, summary="Pause or resume"
)
def switch(request: Call, device_id: str, action: Literal["pause", "resume"]) -> Any:
    """What is meant for a paused device waits."""
    row = _device(request, device_id)
    standing.set_paused(row, action == "pause", str(Caller(request.key)))
    return _detail(row)


@router.post(
    "/devices/{device_id}/sims/{slot}/{action}",
    response=answers(DeviceOut),
    auth=ADMIN,
    tags=DEVICES,
    summary="Pause or resume a SIM",
)
def switch_sim(request: Call, device_id: str, slot: str, action: Literal["pause", "resume"]) -> Any:
    row = _device(request, device_id)
    sim = Sim.objects.filter(device=row, slot=slot if slot.isascii() and slot.isdigit() and len(slot) < 4 else -1)
    found = sim.first()
    if found is None:
        raise missing("SIM")
    standing.set_paused(found, action == "pause", str(Caller(request.key)))
    return _detail(row)


def _devices(request: Call) -> Any:
    return Device.objects.filter(account__in=access.accounts(request.key).values("pk"))


def _device(request: Call, text: str) -> Device:
    row = gateway_phones.find(request.key, text)
    if row is None:
        raise missing("device")
    return row


def _detail(row: Device) -> dict[str, Any]:
    (card,) = cards.cards([Device.objects.get(pk=row.pk)])
    return _written(card)


def _written(card: cards.Card) -> dict[str, Any]:
    phone = card.phone
    return {
        "device_id": phone.pk,
        "account_id": phone.account_id,
        "name": str(phone),
        "model": phone.model,
        "android_version": phone.android,
        "app_version": phone.app,
        "enabled": phone.enabled,
        "online": phone.online,
        "primary": phone.primary or phone.chosen,
        "paused": phone.paused_at is not None,
        "gone": phone.gone_at is not None,
        "state": str(card.standing.word),
        "reason": str(card.standing.text),
        "last_seen": phone.last_seen,
        "sims": [_sim(line) for line in card.sims],
    }


def _sim(line: cards.SimLine) -> dict[str, Any]:
    return {
        "slot": line.sim.slot,
        "name": line.sim.title,
        "number": line.sim.number,
        "operator": line.sim.carrier,
        "paused": line.sim.paused_at is not None,
        "gone": line.sim.gone_at is not None,
        "today": {"used": line.day.used, "limit": line.day.limit},
        "hour": line.hour and {"used": line.hour.used, "limit": line.hour.limit},
        "balances": [
            {"name": str(one.saved), "value": one.value, "unit": one.saved.unit, "at": one.at, "low": one.low}
            for one in line.balances
        ],
    }


# --- USSD ----------------------------------------------------------------------------------------------


class UssdOut(Schema):
    ussd_id: Id
    account_id: Id
    device_id: Id | None
    sim: int | None
    code: str
    state: Literal["queued", "asked", "answered", "failed", "silent"]
    response: str | None = Field(description="null: not answered.")
    error: str
    value: Number | None = Field(description="What the pattern of a saved code found in the answer.")
    sent_at: Time
    answered_at: Time | None


class UssdPage(Schema):
    requests: list[UssdOut]
    next: Next


class UssdAsked(Paging):
    code: str = Field("", max_length=182)
    text: str = Field("", max_length=200, description="A part of the code or of the answer.")
    device_id: str | None = Field(None, max_length=20)
    sim: int | None = Field(None, ge=0, le=32_767)
    since: Time | None = None
    until: Time | None = None


class UssdIn(Body):
    device_id: Id
    code: str = Field(min_length=1, max_length=182, examples=["*100#"])
    sim: int | None = Field(None, ge=0, le=32_767, description="null: the default SIM of the device.")


class Dialled(UssdOut, Done):
    """As it is now."""


@router.get("/ussd", response=answers(UssdPage), auth=USSD, tags=CODES, summary="List USSD codes that were dialled")
def dialled(request: Call, asked: Query[UssdAsked]) -> Any:
    rows = _requests(request)
    conditions = {
        "code": asked.code or None,
        "sim": asked.sim,
        "sent_at__gte": asked.since,
        "sent_at__lt": asked.until,
    }
    rows = rows.filter(**{name: value for name, value in conditions.items() if value is not None})
    if asked.text:
        rows = rows.filter(Q(code__icontains=asked.text) | Q(response__icontains=asked.text))
    if asked.device_id is not None:
        phone = gateway_phones.find(request.key, asked.device_id)
        rows = rows.filter(account=phone.account_id, device_id=phone.device_id) if phone else rows.none()
    found, edge = reading.cut(rows, asked)
    return page("requests", _dialled(found), edge)


@router.post("/ussd", response=answers(Dialled, 201), auth=USSD, tags=CODES, summary="Dial a USSD code")
def dial(request: Call, asked: UssdIn) -> Any:
    """In the background, one at a time on a SIM. Codes that divert calls or change the network take the scope `admin`
    too. Read the answer by its id, or have it posted to a webhook."""
    made = gateway.send_ussd(request.key, SendUssd(asked.code, asked.device_id, asked.sim))
    return Status(201, _dialled([UssdRequest.objects.get(pk=made.id)])[0])


@router.get("/ussd/{ussd_id}", response=answers(UssdOut), auth=USSD, tags=CODES, summary="Get a USSD code’s answer")
def answer(request: Call, ussd_id: str) -> Any:
    return _dialled([reading.one(_requests(request), ussd_id, "USSD request")])[0]


def _requests(request: Call) -> Any:
    return UssdRequest.objects.filter(account__in=access.accounts(request.key).values("pk"))


def _dialled(rows: Iterable[UssdRequest]) -> list[dict[str, Any]]:
    found = list(rows)
    phones = gateway_phones.ids((row.account_id, row.device_id) for row in found)
    return [
        {
            "ussd_id": row.pk,
            "account_id": row.account_id,
            "device_id": phones.get((row.account_id, row.device_id)),
            "sim": row.sim,
            "code": row.code,
            "state": row.state,
            "response": row.response,
            "error": row.error,
            "value": row.value,
            "sent_at": row.sent_at,
            "answered_at": row.answered_at,
        }
        for row in found
    ]
