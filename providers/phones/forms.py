"""The forms that a phone gateway is asked with (seed 004): written as the seed's clients do, read as anyone may.

Names are read in any case of letters. Readers raise ValueError with a sentence, or a ProviderError that fits better.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from .. import errors, wire
from ..types import (
    Devices,
    GetAccount,
    ListDevices,
    MessageType,
    Operation,
    Outgoing,
    ReadMessages,
    ReadUssd,
    Request,
    Resend,
    SaveContact,
    Send,
    SendUssd,
    Spread,
    Target,
    Unsubscribe,
)
from . import bodies

SEND, RESEND = "/services/send.php", "/services/resend.php"
READ = "/services/read-messages.php"
CONTACTS = "/services/manage-contacts.php"
SEND_USSD, READ_USSD = "/services/send-ussd-request.php", "/services/read-ussd-requests.php"
DEVICES = "/services/get-devices.php"

Pairs = Sequence[tuple[str, str | None]]
Form = Mapping[str, str]


def write_send(op: Send, key: str) -> Pairs:
    """One message and a list as the documented forms have them; several as ``messages``."""
    several, plain = len(op.messages) > 1, len(op.messages) == 1 and not op.list_id
    asked, first = op.devices, op.messages[0]
    recipient = ("listID", op.list_id) if op.list_id else ("number", first.number)
    return [
        *([("messages", write_entries(op.messages))] if several else [recipient, ("message", first.text)]),
        ("schedule", write_timestamp(op.schedule)),
        ("key", key),
        ("devices", write_targets(asked.targets, scalar=plain)),
        ("option", None if plain and not asked.spread else str(int(asked.spread))),
        ("type", None if several else first.type.value),
        ("attachments", None if several else bodies.write_links(first.attachments)),
        ("useRandomDevice", str(int(asked.random)) if several or asked.random else None),
        ("prioritize", str(int(op.priority)) if plain or op.priority else None),
    ]


def write_entries(messages: Iterable[Outgoing]) -> str:
    entries = []
    for message in messages:
        entry = {"number": message.number, "message": message.text}
        if message.type is MessageType.MMS or message.attachments:
            entry |= {"type": message.type.value, "attachments": bodies.write_links(message.attachments) or ""}
        entries.append(entry)
    return wire.dump_json(entries).decode()


def write_targets(targets: Sequence[Target], *, scalar: bool) -> str:
    if scalar and len(targets) < 2:
        return str(targets[0]) if targets else "0"
    return wire.dump_json([str(target) for target in targets]).decode()


def write_timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else str(int(moment.timestamp()))


def write_criteria(op: ReadMessages | Resend) -> list[tuple[str, str | None]]:
    if op.status and op.status not in bodies.STATUS_WORDS:
        raise errors.Unsupported(f"Messages cannot be searched by the status “{op.status}” here.")
    word = bodies.STATUS_WORDS[op.status] if op.status else None
    return [("id", op.id or None), ("groupId", op.group or None), ("status", word), *write_where(op)]


def write_where(op: ReadMessages | Resend | ReadUssd) -> list[tuple[str, str | None]]:
    times = (("startTimestamp", op.start), ("endTimestamp", op.end))
    return [
        ("deviceID", op.device or None),
        ("simSlot", bodies.write_slot(op.sim)),
        *((name, write_timestamp(moment)) for name, moment in times),
    ]


SENDING = {"number", "message", "messages", "listid", "devices", "simslot", "option", "userandomdevice"}
SENDING |= {"schedule", "type", "attachments", "prioritize"}


def read_form(request: Request) -> dict[str, str]:
    """Query and body, names in lower case. Raises InvalidRequest."""
    try:
        return {name.lower(): wire.plain_text(value, name) for name, value in wire.read_form(request).items()}
    except ValueError as error:
        raise errors.InvalidRequest(f"The request could not be read as a form: {error}") from error


def _given(form: Mapping[str, Any], name: str) -> str:
    """A parameter other than a text, or an entry's; ``null`` as PHP's json_encode writes it is none."""
    value = form.get(name.lower())
    text = ",".join(map(bodies.as_text, value)) if isinstance(value, list) else bodies.as_text(value)
    return "" if text.strip().lower() == "null" else text


def _needed(form: Form, name: str) -> str:
    if not (value := _given(form, name)):
        raise ValueError(f"“{name}” is missing.")
    return value


def _send(form: Form) -> Send | GetAccount:
    """Only a key asks for the balance."""
    if not SENDING & form.keys():
        return GetAccount()
    list_id, bulk = _given(form, "listID"), _given(form, "messages")
    spread, chosen = _given(form, "option") or "0", _targets(_given(form, "devices"), _slot(form, "simSlot"))
    if spread not in ("0", "1", "2"):
        raise ValueError("“option” must be 0 (the given devices), 1 (all devices) or 2 (all SIMs).")
    messages = _entries(bulk) if bulk else _outgoing(form, [""] if list_id else _numbers(form.get("number")))
    if len(messages) > wire.MAX_RECIPIENTS:
        raise ValueError(f"At most {wire.MAX_RECIPIENTS:,} recipients fit in one request. Split it up.")
    return Send(
        messages=tuple(messages),
        schedule=_moment(form, "schedule"),
        devices=Devices(Spread(int(spread)), chosen, wire.truth(form.get("userandomdevice"))),
        priority=wire.truth(form.get("prioritize")),
        list_id="" if bulk else list_id,
    )


def _entries(bulk: str) -> list[Outgoing]:
    """``messages``: an array, a lone object, or the object that PHP makes of an array with gaps."""
    try:
        items = wire.load_json(bulk.encode())
    except ValueError as error:
        raise ValueError("“messages” is not valid JSON.") from error
    if isinstance(items, dict):
        items = [items] if "number" in items else list(items.values())
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise ValueError("“messages” must be an array of objects with “number” and “message”.")
    return [message for item in items for message in _outgoing(item, _numbers(item.get("number")))]


def _numbers(value: object) -> list[str]:
    return wire.recipients(str(value) if isinstance(value, int) else value, "number")


def _outgoing(item: Mapping[str, Any], numbers: Iterable[str]) -> list[Outgoing]:
    """One message for each number, out of the form or of an entry of ``messages``."""
    value = item.get("message")
    text = wire.plain_text(str(value) if isinstance(value, int | float) else value, "message")
    carried, links = _given(item, "type").strip().lower() or "sms", bodies.read_links(_given(item, "attachments"))
    if carried not in ("sms", "mms"):
        raise ValueError("“type” must be sms or mms.")
    if not text and not links:
        raise ValueError("“message” is missing: give the text to send.")
    return [Outgoing(number, text, type=MessageType(carried), attachments=links) for number in numbers]


def _targets(text: str, sim: int | None) -> tuple[Target, ...]:
    """``1``, ``1|0``, ``"1|0"``, ``[1,"2|0"]``; nothing, 0 and [] are the primary device.

    ``sim`` is for those that name none; the primary device takes its default SIM.
    """
    text = text.strip()
    try:
        found = wire.load_json(text.encode()) if text.startswith(("[", '"')) else text.split(",")
    except ValueError as error:
        raise ValueError("“devices” is not valid JSON.") from error
    items = [bodies.as_text(item).strip() for item in (found if isinstance(found, list) else [found])]
    return tuple(_target(item, sim) for item in items if item not in ("", "0"))


def _target(text: str, sim: int | None) -> Target:
    found = re.fullmatch(r"([^|\[\]{},\s]+)(?:\|([0-9]{1,2}))?", text)
    if not found:
        raise ValueError(f"“{text[:40]}” is no device: write its ID, or ID|slot with slots counted from 0.")
    return Target(found[1], sim if found[2] is None else int(found[2]))


def _slot(form: Form, name: str) -> int | None:
    text = _given(form, name).strip()
    if text and not re.fullmatch("[0-9]{1,2}", text):
        raise ValueError(f"“{name}” must be a slot counted from 0.")
    return int(text) if text else None


def _moment(form: Form, name: str) -> datetime | None:
    text = _given(form, name).strip().partition(".")[0]
    if not re.fullmatch("[0-9]{0,11}", text):
        raise ValueError(f"“{name}” must be Unix seconds.")
    return wire.from_timestamp(text) if text.strip("0") else None


def _criteria(form: Form) -> dict[str, Any]:
    word = _given(form, "status").strip()
    if word and word.lower() not in bodies.STATUSES:
        raise ValueError(f"“{word[:40]}” is no status. Give one of {', '.join(bodies.STATUS_WORDS.values())}.")
    group, status = _given(form, "groupId"), bodies.STATUSES.get(word.lower())
    return {"id": _given(form, "id").strip(), "group": group, "status": status, **_where(form)}


def _where(form: Form) -> dict[str, Any]:
    device, sim = _given(form, "deviceID").strip(), _slot(form, "simSlot")
    start, end = _moment(form, "startTimestamp"), _moment(form, "endTimestamp")
    return {"device": device, "sim": sim, "start": start, "end": end}


def _read(form: Form) -> ReadMessages:
    return ReadMessages(**_criteria(form))


def _resend(form: Form) -> Resend:
    op = Resend(**_criteria(form))
    if op == Resend():
        raise ValueError("Say which messages to send again: give “id”, “groupId” or “status”.")
    return op


def _contact(form: Form) -> SaveContact | Unsubscribe:
    list_id = _needed(form, "listID").strip()
    try:
        number = wire.clean_number(_needed(form, "number"))
    except ValueError as error:
        raise errors.InvalidNumber(str(error)) from error
    if wire.truth(form.get("unsubscribe")):
        return Unsubscribe(list_id, number)
    return SaveContact(list_id, number, form.get("name", ""), wire.truth(form.get("resubscribe")))


def _send_ussd(form: Form) -> SendUssd:
    return SendUssd(_needed(form, "request"), _needed(form, "device").strip(), _slot(form, "sim"))


def _read_ussds(form: Form) -> ReadUssd:
    return ReadUssd(id=_given(form, "id").strip(), code=_given(form, "request"), **_where(form))


def _devices(form: Form) -> ListDevices:
    return ListDevices()


ROUTES: Mapping[str, Callable[[Form], Operation]] = {
    SEND: _send,
    READ: _read,
    "/services/get-messages.php": _read,
    "/services/get-msgs.php": _read,
    RESEND: _resend,
    CONTACTS: _contact,
    SEND_USSD: _send_ussd,
    READ_USSD: _read_ussds,
    DEVICES: _devices,
}
