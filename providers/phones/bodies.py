"""The JSON of a phone gateway (seed 004), read and written side by side: messages, devices, USSD requests, events.

Everything that is a number is text, nulls stay null, dates are ISO 8601 with a zone. Readers raise the errors of a
wrong shape (LookupError, TypeError, ValueError, AttributeError); callers say what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from .. import wire
from ..types import (
    DeviceInfo,
    Event,
    Inbound,
    MessageInfo,
    MessageType,
    Problem,
    Report,
    SimInfo,
    Status,
    UssdInfo,
    UssdReply,
)

USER = "1"  # where we serve, everything belongs to one user

STATUSES = {
    "pending": Status.QUEUED,
    "scheduled": Status.SCHEDULED,
    "queued": Status.SENDING,  # the phone has it
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "failed": Status.FAILED,
    "received": Status.RECEIVED,
    "canceled": Status.CANCELED,
    "cancelled": Status.CANCELED,
}
STATUS_WORDS = {
    Status.SCHEDULED: "Scheduled",
    Status.QUEUED: "Pending",
    Status.SENDING: "Queued",
    Status.SENT: "Sent",
    Status.DELIVERED: "Delivered",
    Status.FAILED: "Failed",
    Status.CANCELED: "Canceled",
    Status.RECEIVED: "Received",
}
NEAREST = {Status.EXPIRED: "Failed", Status.UNCERTAIN: "Queued"}  # written so; nothing can be searched by them
EXPIRED = "expired"  # the errorCode that tells an expired message from a failed one

RESULTS = {
    "1": "The phone could not send the message.",
    "2": "The phone's radio is off (flight mode?).",
    "3": "The phone could not encode the message.",
    "4": "The phone has no service.",
    "5": "The phone's limit of messages is reached; Android asks its owner.",
    "6": "The SIM allows fixed numbers only.",
    "7": "The phone may not send to this short code.",
    "8": "The phone may never send to this short code.",
}  # https://developer.android.com/reference/android/telephony/SmsManager


def as_text(value: object) -> str:
    """Ids and numbers come as text or as JSON numbers. A NUL could not be stored."""
    return "" if value is None else str(value).replace("\x00", "\ufffd")


def identity(raw: Mapping[str, Any]) -> str:
    return as_text(raw["ID"] if "ID" in raw else raw["id"])


def read_slot(value: object) -> int | None:
    text = as_text(value)
    return int(text) if re.fullmatch("[0-9]{1,2}", text) else None


def write_slot(sim: int | None) -> str | None:
    return None if sim is None else str(sim)


def read_time(value: object) -> datetime | None:
    """ISO 8601 or Unix seconds; None for what is neither: a message is worth more than its date."""
    text = as_text(value)
    try:
        return wire.from_timestamp(text) if text.isdecimal() else wire.parse_time(text)
    except ValueError:
        return None


def write_time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def read_links(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else as_text(value).split(",")
    return tuple(link for item in items if (link := as_text(item).strip()))


def write_links(links: Sequence[str]) -> str | None:
    """Joined by commas, so a comma inside a link is escaped."""
    return ",".join(link.replace(",", "%2C") for link in links) or None


def read_message(raw: Mapping[str, Any]) -> MessageInfo:
    status = STATUSES.get(as_text(raw["status"]).strip().lower(), Status.UNKNOWN)
    problem = _read_problem(raw, status)
    if status is Status.FAILED and problem and problem.code == EXPIRED:
        status, problem = Status.EXPIRED, None
    return MessageInfo(
        id=identity(raw),
        number=wire.number_or_name(as_text(raw.get("number"))),
        text=as_text(raw.get("message")),
        status=status,
        type=MessageType.MMS if as_text(raw.get("type")).lower() == "mms" else MessageType.SMS,
        attachments=read_links(raw.get("attachments")),
        device=as_text(raw.get("deviceID")),
        sim=read_slot(raw.get("simSlot")),
        user=as_text(raw.get("userID")),
        group=as_text(raw.get("groupID")),
        sent_at=read_time(raw.get("sentDate")),
        delivered_at=read_time(raw.get("deliveredDate")),
        schedule=read_time(raw.get("schedule")),
        expires_at=read_time(raw.get("expiryDate")),
        problem=problem,
        retries=read_slot(raw.get("retries")) or 0,
    )


def _read_problem(raw: Mapping[str, Any], status: Status) -> Problem | None:
    """``resultCode`` is Android's, and also stands in messages that were sent."""
    if status is not Status.FAILED:
        return None
    code = as_text(raw.get("errorCode")) or as_text(raw.get("resultCode"))
    return Problem(code, as_text(raw.get("errorText")) or RESULTS.get(code, "")) if code else None


def _told(info: MessageInfo) -> Problem:
    """The problem that is written: only of what failed or expired."""
    if info.status is Status.EXPIRED:
        return Problem(EXPIRED, "The message expired before it was delivered.")
    return info.problem or Problem("") if info.status is Status.FAILED else Problem("")


def write_message(info: MessageInfo) -> dict[str, Any]:
    """As the seed shows it, then what real servers add.

    ``errorCode`` and ``deliveredDate`` are null unless they mean it: some programs look at nothing else.
    """
    there = info.status in (Status.DELIVERED, Status.RECEIVED)
    problem = _told(info)
    return {
        "ID": info.id or None,
        "number": info.number,
        "message": info.text,
        "deviceID": info.device or None,
        "simSlot": write_slot(info.sim),
        "userID": info.user or None,
        "status": STATUS_WORDS.get(info.status) or NEAREST.get(info.status, "Pending"),
        "type": info.type.value,
        "attachments": write_links(info.attachments),
        "sentDate": write_time(info.sent_at),
        "deliveredDate": write_time(info.delivered_at) if there else None,
        "groupID": info.group or None,
        "schedule": write_time(info.schedule),
        "resultCode": problem.code if problem.code in RESULTS else None,
        "errorCode": problem.code or None,
        "errorText": problem.text or None,
        "retries": str(info.retries),
        "expiryDate": write_time(info.expires_at),
    }


def read_device(raw: Mapping[str, Any]) -> DeviceInfo:
    return DeviceInfo(
        id=identity(raw),
        name=as_text(raw.get("name")),
        model=as_text(raw.get("model")),
        android=as_text(raw.get("androidVersion")),
        app=as_text(raw.get("appVersion")),
        enabled=wire.truth(raw.get("enabled", True)),
        online=as_text(raw.get("status")).lower() not in ("offline", "disconnected"),
        primary=wire.truth(raw.get("primary")),
        last_seen=read_time(raw.get("lastSeen")),
        sims=_read_sims(raw.get("sims")),
    )


def _read_sims(raw: object) -> tuple[SimInfo, ...]:
    """An object from slot to label, or a list of labels or of objects; a number stands in brackets after the label."""
    slots = dict(enumerate(raw)) if isinstance(raw, list) else raw if isinstance(raw, Mapping) else {}
    return tuple(_read_sim(slot, value) for slot, value in slots.items())


def _read_sim(slot: object, value: object) -> SimInfo:
    known = value if isinstance(value, Mapping) else {"name": value}
    label, number = as_text(known.get("label") or known.get("name")).strip(), as_text(known.get("number"))
    found = re.fullmatch(r"(.*?) ?\[([^\[\]]*)\]", label, re.DOTALL)
    if found and wire.number_or_name(found[2]).lstrip("+").isdecimal():
        label, number = found[1], found[2]
    place = read_slot(known.get("slot", known.get("simSlot", slot)))
    return SimInfo(0 if place is None else place, label, wire.number_or_name(number))


def write_device(info: DeviceInfo) -> dict[str, Any]:
    labels = {sim.slot: f"{sim.label} [{sim.number}]".strip() if sim.number else sim.label for sim in info.sims}
    return {
        "id": int(info.id) if re.fullmatch("[1-9][0-9]{0,15}", info.id) else info.id,
        "ID": info.id,
        "name": info.name,
        "model": info.model,
        "androidVersion": info.android,
        "appVersion": info.app,
        "enabled": info.enabled,
        "status": "online" if info.online else "offline",
        "lastSeen": write_time(info.last_seen),
        "primary": info.primary,
        "sims": {str(slot): label for slot, label in labels.items()},
    }


def read_ussd(raw: Mapping[str, Any]) -> UssdInfo:
    response = raw.get("response")
    return UssdInfo(
        id=identity(raw),
        code=as_text(raw["request"]),
        device=as_text(raw.get("deviceID")),
        sim=read_slot(raw.get("simSlot")),
        response=None if response is None else as_text(response),
        user=as_text(raw.get("userID")),
        sent_at=read_time(raw.get("sentDate")),
        answered_at=read_time(raw.get("responseDate")),
    )


def write_ussd(info: UssdInfo) -> dict[str, Any]:
    return {
        "ID": info.id or None,
        "userID": info.user or None,
        "deviceID": info.device or None,
        "simSlot": write_slot(info.sim),
        "request": info.code,
        "response": info.response,
        "sentDate": write_time(info.sent_at),
        "responseDate": write_time(info.answered_at),
    }


def read_events(name: str, value: Any) -> tuple[Event, ...]:
    """``name`` is the form field; without one, a re-brand's JSON body tells what it is by its members."""
    if not name and isinstance(value, dict):
        name = next((known for known in ("messages", "ussdRequest") if known in value), "")
        value = value[name] if name else value
        name = name or ("ussdRequest" if "response" in value else "messages")
    value = wire.load_json(value.encode()) if isinstance(value, str) else value
    items = value if isinstance(value, list) else [value]
    return tuple(map(_read_ussd_event if name == "ussdRequest" else _read_message_event, items))


def _read_ussd_event(raw: Mapping[str, Any]) -> UssdReply:
    info = read_ussd({"ID": raw.get("id"), **raw})
    return UssdReply(info.code, info.response or "", info.device, info.sim, info.id, info.answered_at)


def _read_message_event(raw: Mapping[str, Any]) -> Inbound | Report:
    word = as_text(raw.get("status")) or "Received"
    info = read_message({"ID": raw.get("id"), **raw, "status": word})
    if info.status is not Status.RECEIVED:
        if not info.id:
            raise ValueError("a report without an id")
        at = info.delivered_at or info.sent_at
        return Report(info.id, info.status, info.number, word, info.problem, at)
    if not info.number:
        raise ValueError("a message from nobody")
    return Inbound(
        info.id or wire.fingerprint(info.number, info.text, info.device, as_text(raw.get("sentDate"))),
        info.number,
        info.text,
        type=info.type,
        attachments=info.attachments,
        device=info.device,
        sim=info.sim,
        received_at=info.sent_at,
        stored_at=info.delivered_at,
        made_up=not info.id and not raw.get("sentDate"),
    )


def write_event(event: Event) -> tuple[str, Any]:
    """The form field and its value; no field for what this wire has no word for."""
    if isinstance(event, UssdReply):
        told = (event.id, event.code, event.device, event.sim, event.response, USER)
        return "ussdRequest", write_ussd(UssdInfo(*told, answered_at=event.at))
    if isinstance(event, Inbound):
        info = MessageInfo(event.provider_id, event.number, event.text, Status.RECEIVED, type=event.type, user=USER)
        info = replace(info, attachments=event.attachments, device=event.device, sim=event.sim)
        return "messages", [write_message(replace(info, sent_at=event.received_at, delivered_at=event.stored_at))]
    if event.status in (Status.UNKNOWN, Status.UNCERTAIN, Status.RECEIVED):
        return "", None
    info = MessageInfo(event.provider_id, event.number, "", event.status, user=USER, problem=event.problem)
    return "messages", [write_message(replace(info, sent_at=event.at, delivered_at=event.at))]
