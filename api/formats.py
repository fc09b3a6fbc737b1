"""What is posted to a webhook: the body of an event in its format, and the headers that sign a post of it.

The two wire formats are those of the wires themselves (providers/adapters/). Ours is JSON in an envelope of Standard
Webhooks; docs/webhooks.md shows its bodies.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext_lazy as _

from contacts.models import Contact
from providers import registry, wire
from providers.types import Event, Inbound, MessageInfo, Report, Status, UssdInfo, UssdReply

from .models import Webhook

PREFIX = "whsec_"
EVENTS = {
    "message.sent": _("A message was sent"),
    "message.delivered": _("A message was delivered"),
    "message.failed": _("A message failed"),
    "message.expired": _("A message expired"),
    "message.canceled": _("A message was canceled"),
    "message.uncertain": _("Nobody can tell whether a message went out"),
    "message.received": _("A message came in"),
    "ussd.answered": _("A USSD code was answered"),
    "contact.opted_out": _("A contact opted out"),
    "contact.opted_in": _("A contact opted in again"),
}
TEST = "webhook.test"


@dataclass(frozen=True, slots=True)
class Happening:
    """An event and what it happened to, one of the three. ``account``: the name of its account."""

    name: str
    at: datetime
    message: MessageInfo | None = None
    ussd: UssdInfo | None = None
    contact: Contact | None = None
    account: str = ""


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(24)).decode()


def speaks(format: str, name: str) -> bool:
    """Whether the format has a word for this event."""
    return name in _WORDS.get(format, EVENTS)


def body(format: str, what: Happening) -> str:
    """As it is posted. Empty where the format has no word for this event."""
    if format == Webhook.Format.STANDARD:
        envelope = {"type": what.name, "timestamp": wire.write_time(what.at), "data": _data(what)}
        return wire.dump_json(envelope).decode()
    event = _event(what)
    request = event and registry.dialect(format).write_event(event, "")
    return request.body.decode() if request else ""


def test_body(format: str, at: datetime) -> tuple[str, str]:
    """The name and the body of an event that tries a webhook out."""
    if format == Webhook.Format.STANDARD:
        return TEST, body(format, Happening(TEST, at))
    info = MessageInfo("0", "+15550100001", "This is a test.", Status.DELIVERED, delivered_at=at)
    return TEST, body(format, Happening("message.delivered", at, info))


def headers(format: str, name: str, text: str, secret: str, now: datetime) -> dict[str, str]:
    """Of a post of ``text`` now. ``name``: the same whenever the same event is posted, so that it is told as one."""
    if format != Webhook.Format.STANDARD:
        return {**registry.dialect(format).sign_event(text.encode(), secret), "webhook-id": name}
    seconds = int(now.timestamp())
    signed = hmac.new(_key(secret), f"{name}.{seconds}.{text}".encode(), hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PREFIX)) if secret.startswith(PREFIX) else secret.encode()


# --- The wires -------------------------------------------------------------------------------------------

_REPORTS = frozenset(f"message.{word}" for word in ("sent", "delivered", "failed", "expired", "canceled"))
_WORDS: Mapping[str, frozenset[str]] = {
    Webhook.Format.SMSGATEWAY: _REPORTS | {"message.received", "ussd.answered"},
    Webhook.Format.SMSPROVIDER: _REPORTS,
}


def _event(what: Happening) -> Event | None:
    if what.ussd:
        told = what.ussd
        return UssdReply(told.code, told.response or "", told.device, told.sim, told.id, told.answered_at)
    if what.message is None:
        return None
    status, info = Status(what.name.removeprefix("message.")), what.message
    if status is not Status.RECEIVED:
        problem = info.problem if status in (Status.FAILED, Status.EXPIRED) else None
        return Report(info.id, status, info.number, problem=problem, at=what.at)
    return Inbound(
        info.id,
        info.number,
        info.text,
        to=info.sender,
        type=info.type,
        attachments=info.attachments,
        device=info.device,
        sim=info.sim,
        received_at=info.sent_at,
        stored_at=info.delivered_at,
    )


# --- Ours ------------------------------------------------------------------------------------------------


def _data(what: Happening) -> dict[str, Any]:
    if what.message:
        return _message(what, what.message)
    if what.ussd:
        return _ussd(what, what.ussd)
    if what.contact:
        person = what.contact
        out = what.name == "contact.opted_out"
        return {"contact_id": str(person.pk), "number": person.number, "name": person.name, "opted_out": out}
    return {"text": "This is a test."}


def _message(what: Happening, info: MessageInfo) -> dict[str, Any]:
    """``status`` is the event's: the message may be further by now."""
    status = Status(what.name.removeprefix("message."))
    came_in, there = status is Status.RECEIVED, status in (Status.DELIVERED, Status.RECEIVED)
    ours, theirs = info.sender, info.number
    problem = info.problem if status in (Status.FAILED, Status.EXPIRED) else None
    return {
        "message_id": info.id,
        "status": status.value,
        "from": theirs if came_in else ours,
        "to": ours if came_in else theirs,
        "message": info.text,
        "type": info.type.value,
        "attachments": list(info.attachments),
        "account": what.account,
        "group_id": info.group or None,
        "device_id": info.device or None,
        "sim": info.sim,
        "sent_at": _time(info.sent_at),
        "delivered_at": _time(info.delivered_at) if there else None,
        "error": {"code": problem.code, "message": problem.text} if problem else None,
    }


def _ussd(what: Happening, info: UssdInfo) -> dict[str, Any]:
    return {
        "ussd_id": info.id,
        "code": info.code,
        "response": info.response,
        "account": what.account,
        "device_id": info.device or None,
        "sim": info.sim,
        "sent_at": _time(info.sent_at),
        "answered_at": _time(info.answered_at),
    }


def _time(moment: datetime | None) -> str | None:
    return moment and wire.write_time(moment)
