"""From a request to a draft of a campaign, through the form that people write in: so the same rules hold."""

from __future__ import annotations

import uuid
import zoneinfo
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from django.forms import BaseForm
from django.http import QueryDict
from django.utils import timezone
from pydantic import Field

from messaging import segments
from messaging.campaigns import Draft
from messaging.forms import Compose
from messaging.models import Route
from providers import errors, hours
from providers.models import ProviderAccount
from providers.types import Devices, Spread, Target

from .. import access, gateway
from ..models import ApiKey, Scope
from . import reading, routes
from .caller import Caller
from .errors import missing
from .schemas import Body, Id, Time

NAMES: Mapping[str, str] = {
    "numbers": "to",
    "text": "message",
    "sender": "from",
    "due": "scheduled_at",
    "zone": "time_zone",
    "lists": "list_ids",
    "account": "account_id",
}  # of the form's fields in a request, where they differ
SPREADS: Mapping[str, Spread] = {"devices": Spread.ALL_DEVICES, "sims": Spread.ALL_SIMS}


class Place(Body):
    device_id: Id
    sim: int | None = Field(None, ge=0, le=99, description="The slot, counted from 0; null: its default SIM.")


class DevicesIn(Body):
    """Several of them share the messages evenly."""

    all: Literal["devices", "sims"] | None = None
    chosen: list[Place] = Field([], max_length=200)
    random: bool = Field(False, description="One of them at random for all.")


class CampaignIn(Body):
    message: str = Field(max_length=segments.LONGEST, description="May hold merge fields, as `{name|friend}`.")
    to: str | list[str] = Field("", description="Numbers: an array, or a text with a number on each line.")
    list_ids: list[Id] = Field([], max_length=200)
    name: str = Field("", max_length=100)
    from_: str = Field("", alias="from", max_length=20, description="The sender ID.")
    attachments: list[str] = Field([], max_length=20, description="Links to pictures: it goes out as an MMS.")
    account_id: Id | None = Field(None, description="Through this account; null: as the key is set up.")
    route_id: Id | None = None
    devices: DevicesIn | None = None
    scheduled_at: Time | None = None
    time_zone: str = Field("UTC", max_length=40, description="By which `hours` are told.")
    hours: str = Field("", max_length=200, examples=[hours.EXAMPLE])
    by_recipient: bool = Field(False, description="`hours` by the clock where each number is from.")
    finish_by: Time | None = None
    expires_at: Time | None = None
    priority: bool = False
    leave_out_invalid: bool = Field(False, description="Leave out what is no number, instead of refusing it all.")


def form(key: ApiKey, asked: CampaignIn) -> Compose:
    """The form, filled in and found right. Raises InvalidRequest with its sentences, NotFound, KeyRefused."""
    if asked.list_ids:
        access.need(key, Scope.CONTACTS)
    data = _data(key, asked)
    found = Compose(data, user=Caller(key))
    if asked.leave_out_invalid and found.is_valid() is False:
        data["leave_out"] = str(len(found.recipients.kept))
        found = Compose(data, user=Caller(key))
    if asked.finish_by and "finish_by" not in found.fields:
        raise errors.InvalidRequest("“finish_by”: only a route can be told when to finish, and there is none.")
    if not found.is_valid():
        wrong_numbers = "numbers" in found.errors and bool(found.recipients.rejected)
        kind = errors.InvalidNumber if wrong_numbers else errors.InvalidRequest
        raise kind(sentences(found, NAMES))
    return found


def draft(key: ApiKey, asked: CampaignIn, form: Compose) -> Draft:
    written = replace(form.draft(Caller(key).user), name=asked.name.strip(), client=key.pk)
    if asked.devices is None:
        return written
    account, choice = gateway.devices_of(key, _devices(asked.devices))
    if account.pk != written.account.pk or written.route:
        raise errors.InvalidRequest("“devices”: these are phones of another account. Name it in “account_id”.")
    return replace(written, devices=choice.write())


def sentences(form: BaseForm, names: Mapping[str, str] = {}) -> str:  # noqa: B006 - nobody changes it
    """What the form complains of, with the ``names`` that a request has, where they differ."""
    said = [
        f"“{names.get(name, name)}”: {sentence}" if name != "__all__" else str(sentence)
        for name, found in form.errors.items()
        for sentence in found
    ]
    return " ".join(said[:3])


def after(left: timedelta | None) -> datetime | None:
    try:
        return None if left is None else timezone.now() + left
    except OverflowError:
        return None


def _data(key: ApiKey, asked: CampaignIn) -> QueryDict:
    data = QueryDict(mutable=True)
    data["token"] = str(uuid.uuid4())
    data["account"] = _through(key, asked)
    data["numbers"] = asked.to if isinstance(asked.to, str) else "\n".join(asked.to)
    data.setlist("lists", list(dict.fromkeys(asked.list_ids)))
    for name, value in (("text", asked.message), ("sender", asked.from_), ("hours", asked.hours)):
        data[name] = value
    if any(any(sign.isspace() for sign in link) for link in asked.attachments):
        raise errors.InvalidRequest("“attachments”: a link holds no spaces.")
    data["attachments"] = "\n".join(asked.attachments)
    data["zone"] = asked.time_zone
    times = {"due": asked.scheduled_at, "finish_by": asked.finish_by, "expires_at": asked.expires_at}
    data.update({name: _on_the_clock(at, asked.time_zone) for name, at in times.items() if at})
    data.update({name: "on" for name in ("priority", "by_recipient") if getattr(asked, name)})
    return data


def _on_the_clock(moment: datetime, zone: str) -> str:
    """As the form has it; in a zone that there is not, it complains of that."""
    try:
        shown = moment.astimezone(zoneinfo.ZoneInfo(zone))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        shown = moment
    return shown.replace(tzinfo=None).isoformat()


def _through(key: ApiKey, asked: CampaignIn) -> str:
    """The form's word for an account or a route. A key that is bound to one sends through that alone."""
    if asked.account_id and asked.route_id:
        raise errors.InvalidRequest("Name an account or a route, not both.")
    if asked.account_id:
        return str(_account(key, asked.account_id).pk)
    if asked.route_id:
        return f"route:{_route(key, asked.route_id).pk}"
    if asked.devices and asked.devices.chosen:
        return str(gateway.devices_of(key, _devices(asked.devices))[0].pk)
    account, route = access.way(key)
    return f"route:{route.pk}" if route else str(account.pk)


def _account(key: ApiKey, text: str) -> ProviderAccount:
    found = reading.one(access.accounts(key), text, "account")
    if key.account_id not in (None, found.pk) or key.route_id:
        raise missing("account")
    return found


def _route(key: ApiKey, text: str) -> Route:
    return reading.one(routes.usable(key), text, "route")


def _devices(asked: DevicesIn) -> Devices:
    targets = tuple(Target(place.device_id, place.sim) for place in asked.chosen)
    return Devices(SPREADS[asked.all] if asked.all else Spread.SPECIFIED, targets, asked.random)
