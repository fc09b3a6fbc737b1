"""smsgateway: phones behind PHP scripts; form posts, HTTP 200 for everything, numbers as text, webhooks set up by hand.

The documentation is sample clients in PHP and C# (seed 004). Not said there, so ours: the fields of contacts and of
USSD requests beyond the webhook's four, ``errorText`` of a message, and the codes 406, 413 and 422. The paths and forms
stand in ``phones/forms.py``, the statuses and JSON bodies in ``phones/bodies.py``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from .. import base, errors, wire
from ..phones import bodies, forms
from ..types import (
    AccountInfo,
    ContactInfo,
    Credential,
    Credits,
    DeviceInfo,
    Event,
    Feature,
    Field,
    GetAccount,
    ListDevices,
    MessageInfo,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    ReadMessages,
    ReadUssd,
    Reply,
    Request,
    Resend,
    SaveContact,
    Send,
    SendResult,
    SendUssd,
    SentRef,
    Status,
    Unsubscribe,
    UssdInfo,
)
from ..words import Words, retry_header

FORM, JSON = {"content-type": wire.FORM}, {"content-type": "application/json"}
SIGNATURE = "x-sg-signature"

WORDS = Words(
    {
        "401": (errors.KeyRefused, 200),
        "403": (errors.KeyRefused, 200),
        "402": (errors.NoCredits, 200),
        "404": (errors.NotFound, 200),
        "400": (errors.InvalidRequest, 200),
        "406": (errors.Rejected, 200),
        "413": (errors.TextTooLong, 200),
        "422": (errors.InvalidNumber, 200),
        "429": (errors.RateLimited, 200),
        "500": (errors.Uncertain, 200),
        "503": (errors.Unavailable, 200),
    }
)
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


class Adapter(base.Adapter):
    kind = "smsgateway"
    label = "SMS Gateway"
    base_url_example = "https://sms.example.com"
    supports = frozenset(Feature) - {Feature.SENDER_ID, Feature.REPORTS, Feature.WEBHOOKS}
    fields = (Field("api_key", "API key", help="It also signs what the gateway posts to the callback URL."),)
    max_batch = 100  # not documented; ours
    mixed_texts = True
    poll_after = 2.0
    callback_headers = ("content-type", SIGNATURE)

    def write_send(self, op: Send) -> Request:
        return _post(forms.SEND, forms.write_send(op, self.account.credentials["api_key"]))

    def read_send(self, op: Send, reply: Reply) -> SendResult:
        infos = [bodies.read_message(raw) for raw in _data(reply)["messages"]]
        if op.list_id:
            return SendResult((_list_outcome(op.messages[0], infos),))
        outcomes = (_read_outcome(m, info) for m, info in zip(op.messages, _matched(op, infos), strict=True))
        return SendResult(tuple(outcomes))

    def write_account(self, op: GetAccount) -> Request:
        return self._ask(forms.SEND)

    def read_account(self, op: GetAccount, reply: Reply) -> AccountInfo:
        left = _data(reply)["credits"]
        if left is not None and wire.amount(left) is None:
            raise ValueError(f"“{left}” is no number of credits")
        return AccountInfo(Credits(wire.amount(left)))

    def write_messages(self, op: ReadMessages) -> Request:
        return self._ask(forms.READ, *forms.write_criteria(op))

    def read_messages(self, op: ReadMessages | Resend, reply: Reply) -> tuple[MessageInfo, ...]:
        return tuple(bodies.read_message(raw) for raw in _data(reply)["messages"])

    def write_resend(self, op: Resend) -> Request:
        if op == Resend():
            raise errors.Unsupported("Say which messages to send again.")
        return self._ask(forms.RESEND, *forms.write_criteria(op))

    read_resend = read_messages

    def write_devices(self, op: ListDevices) -> Request:
        return self._ask(forms.DEVICES)

    def read_devices(self, op: ListDevices, reply: Reply) -> tuple[DeviceInfo, ...]:
        return tuple(bodies.read_device(raw) for raw in _data(reply)["devices"])

    def write_send_ussd(self, op: SendUssd) -> Request:
        return self._ask(
            forms.SEND_USSD, ("request", op.code), ("device", op.device), ("sim", bodies.write_slot(op.sim))
        )

    def read_send_ussd(self, op: SendUssd, reply: Reply) -> UssdInfo:
        return bodies.read_ussd(_data(reply)["request"])

    def write_read_ussd(self, op: ReadUssd) -> Request:
        return self._ask(forms.READ_USSD, ("id", op.id or None), ("request", op.code or None), *forms.write_where(op))

    def read_read_ussd(self, op: ReadUssd, reply: Reply) -> tuple[UssdInfo, ...]:
        return tuple(bodies.read_ussd(raw) for raw in _data(reply)["requests"])

    def write_save_contact(self, op: SaveContact) -> Request:
        again = str(int(op.resubscribe))
        contact = (("listID", op.list_id), ("number", op.number), ("name", op.name or None), ("resubscribe", again))
        return self._ask(forms.CONTACTS, *contact)

    def read_save_contact(self, op: SaveContact | Unsubscribe, reply: Reply) -> ContactInfo:
        raw = _data(reply)["contact"]
        return ContactInfo(
            id=bodies.identity(raw),
            number=wire.number_or_name(bodies.as_text(raw.get("number"))) or op.number,
            name=bodies.as_text(raw.get("name")),
            list_id=bodies.as_text(raw.get("contactsListID")) or op.list_id,
            subscribed=wire.truth(raw.get("subscribed", isinstance(op, SaveContact))),
        )

    def write_unsubscribe(self, op: Unsubscribe) -> Request:
        return self._ask(forms.CONTACTS, ("listID", op.list_id), ("number", op.number), ("unsubscribe", "1"))

    read_unsubscribe = read_save_contact

    def read_error(self, op: Operation, reply: Reply) -> errors.ProviderError | None:
        """``success`` false with a code as in HTTP; plain text or a page is an error with that text."""
        try:
            body = wire.load_object(reply.body)
        except ValueError:
            text = " ".join(re.sub("<[^<>]*>", " ", self._redacted(reply).body[:4000].decode(errors="ignore")).split())
            said = f"The provider answered with a text instead of data: “{text[:200]}”."
            return errors.BadAnswer(said) if text and reply.status < 300 else None
        if wire.truth(body.get("success", True)):
            return None
        error = body.get("error") or body.get("message") or {}
        found = error if isinstance(error, dict) else {"message": error}
        return WORDS.read(bodies.as_text(found.get("code")), bodies.as_text(found.get("message")), reply)

    def check_post(self, request: Request) -> Request:
        """The field that the signature is over, alone, or the raw body as some re-brands post it."""
        try:
            form = wire.read_form(request)
        except ValueError:
            form = {}
        fields = [(name, form[name].encode(errors="replace")) for name in ("messages", "ussdRequest") if name in form]
        given = request.headers.get(SIGNATURE, "").strip().encode(errors="replace")
        for name, value in (*fields, ("", request.body)):
            if hmac.compare_digest(_sign(value, self.account.credentials["api_key"]).encode(), given):
                return _post("", [(name, value.decode())]) if name else Request("POST", "", body=value)
        raise errors.BadSignature()

    def read_post(self, request: Request) -> tuple[Event, ...]:
        try:
            form = wire.read_form(request) if request.headers else {}
            ((name, value),) = [(name, text.encode()) for name, text in form.items()] or [("", request.body)]
            return bodies.read_events(name, wire.load_json(value))
        except UNREADABLE as fault:
            raise errors.BadCallback("The posted messages or USSD answer could not be understood.") from fault

    def polls(self, sent: Sequence[SentRef]) -> tuple[ReadMessages, ...]:
        """One request for each group; what has none is asked for by its id."""
        groups = dict.fromkeys(ref.group for ref in sent if ref.group)
        ids = dict.fromkeys(ref.provider_id for ref in sent if ref.provider_id and not ref.group)
        return (*(ReadMessages(group=group) for group in groups), *(ReadMessages(id=found) for found in ids))

    def _ask(self, path: str, *pairs: tuple[str, str | None]) -> Request:
        return _post(path, [("key", self.account.credentials["api_key"]), *pairs])


def _post(path: str, pairs: forms.Pairs) -> Request:
    """What is None is left out, as PHP's http_build_query does."""
    body = wire.dump_form((name, value) for name, value in pairs if value is not None)
    return Request("POST", path, headers=FORM, body=body)


def _data(reply: Reply) -> dict[str, Any]:
    data: dict[str, Any] = wire.load_object(reply.body)["data"]
    return data


def _matched(op: Send, infos: Sequence[MessageInfo]) -> list[MessageInfo | None]:
    """By number and text, because one request can have several texts for a number; else by number alone."""
    both = replace(op, messages=tuple(replace(m, number=f"{m.number}\x00{m.text}") for m in op.messages))
    found = base.matched(both, infos, lambda info: f"{info.number}\x00{info.text}")
    return base.matched(op, infos, lambda info: info.number) if None in found else found


def _read_outcome(message: Outgoing, info: MessageInfo | None) -> Outcome:
    if info is None:
        return base.left_out(message)
    failed = info.status is Status.FAILED
    return Outcome(
        status=Status.QUEUED if info.status is Status.UNKNOWN else info.status,
        ref=message.ref,
        number=message.number,
        provider_id=info.id,
        group=info.group,
        problem=(info.problem or Problem("failed", "The gateway says that it failed.")) if failed else None,
        device=info.device,
        sim=info.sim,
    )


def _list_outcome(message: Outgoing, infos: Sequence[MessageInfo]) -> Outcome:
    """One outcome for a whole list: refused only when every message of it failed. Several are found by their group."""
    if not infos:
        problem = Problem("no_messages", "The gateway made no messages of this list: it may be empty.")
        return Outcome(Status.FAILED, ref=message.ref, problem=problem)
    first = next((info for info in infos if info.status is not Status.FAILED), infos[0])
    outcome = _read_outcome(message, first)
    return outcome if len(infos) == 1 else replace(outcome, provider_id="", device="", sim=None)


def _sign(value: bytes, key: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), value, hashlib.sha256).digest()).decode()


class Dialect(base.Dialect):
    kind = "smsgateway"
    paths = ("/services/",)

    def credential(self, request: Request) -> Credential:
        key = forms.read_form(request).get("key", "")
        if not key:
            raise errors.KeyRefused("The API key is missing: give it as “key”.")
        return Credential(key)

    def operation(self, request: Request) -> Operation:
        if request.path not in forms.ROUTES:
            raise errors.NotFound("There is no such service.")
        if request.method not in ("GET", "POST"):
            raise errors.InvalidRequest(f"{request.path} takes POST and GET only.")
        try:
            return forms.ROUTES[request.path](forms.read_form(request))
        except ValueError as error:
            raise errors.InvalidRequest(str(error)) from error

    def write_send(self, op: Send, result: SendResult) -> Reply:
        """A list is answered with a message for each of its outcomes, however many the service made."""
        own = len(result.outcomes) == len(op.messages)
        texts = op.messages if own else op.messages[:1] * len(result.outcomes)
        return _messages(_sent(op, m, outcome) for m, outcome in zip(texts, result.outcomes, strict=True))

    def write_account(self, op: GetAccount, result: AccountInfo) -> Reply:
        left = result.credits.amount if result.credits else None
        return _answer({"credits": None if left is None else format(left, "f")})

    def write_messages(self, op: ReadMessages | Resend, result: tuple[MessageInfo, ...]) -> Reply:
        """Raises NotFound for an id that is nobody's: clients take the first message without looking."""
        if op.id and not result:
            raise errors.NotFound("There is no message with this ID.")
        return _messages(result)

    write_resend = write_messages

    def write_devices(self, op: ListDevices, result: tuple[DeviceInfo, ...]) -> Reply:
        return _answer({"devices": [bodies.write_device(device) for device in result]})

    def write_send_ussd(self, op: SendUssd, result: UssdInfo) -> Reply:
        return _answer({"request": bodies.write_ussd(result)})

    def write_read_ussd(self, op: ReadUssd, result: tuple[UssdInfo, ...]) -> Reply:
        """Raises NotFound for an id that is nobody's, as above."""
        if op.id and not result:
            raise errors.NotFound("There is no USSD request with this ID.")
        return _answer({"requests": [bodies.write_ussd(info) for info in result]})

    def write_save_contact(self, op: SaveContact | Unsubscribe, result: ContactInfo) -> Reply:
        contact = {"ID": result.id, "number": result.number, "name": result.name or None}
        contact |= {"contactsListID": result.list_id}
        return _answer({"contact": {**contact, "subscribed": result.subscribed}})

    write_unsubscribe = write_save_contact

    def refuse(self, error: errors.ProviderError) -> Reply:
        body = {"success": False, "data": None, "error": {"code": int(WORDS.code(error)), "message": str(error)}}
        return Reply(200, {**JSON, **retry_header(error)}, wire.dump_json(body))

    def write_event(self, event: Event, secret: str) -> Request | None:
        """The signed form that the seed's webhook reads: ``messages`` or ``ussdRequest``."""
        name, value = bodies.write_event(event)
        if not name:
            return None
        body = wire.dump_form([(name, wire.dump_json(value).decode())])
        return Request("POST", "", headers=self.sign_event(body, secret), body=body)

    def sign_event(self, body: bytes, secret: str) -> dict[str, str]:
        """The one field of the form is signed as its value is before it is encoded."""
        ((_name, value),) = parse_qsl(body.decode())
        return {**FORM, SIGNATURE: _sign(value.encode(), secret)}


def _answer(data: dict[str, Any]) -> Reply:
    return Reply(200, JSON, wire.dump_json({"success": True, "data": data, "error": None}))


def _messages(infos: Iterable[MessageInfo]) -> Reply:
    return _answer({"messages": [bodies.write_message(info) for info in infos]})


def _sent(op: Send, message: Outgoing, outcome: Outcome) -> MessageInfo:
    failed = outcome.status is Status.FAILED
    return MessageInfo(
        id=outcome.provider_id,
        number=outcome.number or message.number,
        text=message.text,
        status=outcome.status,
        type=message.type,
        attachments=message.attachments,
        device=outcome.device,
        sim=outcome.sim,
        user=bodies.USER,
        group=outcome.group,
        sent_at=datetime.now(UTC),
        schedule=op.schedule,
        problem=(outcome.problem or Problem("rejected")) if failed else None,
    )
