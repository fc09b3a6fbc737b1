"""voipcommunications: one form post with Basic auth, numbers without +, a log entry with its own code for each number.

An error can come with HTTP 200 as ``{"error": true, "error_message": "…"}``; ``code`` beside it, and its values other
than 200 and 401, are ours. No status can be read. Replies are posted with fields that are not documented.
"""

from __future__ import annotations

import base64
import binascii
from collections import ChainMap
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE as REGIONS

from .. import base, errors, wire
from ..types import (
    Credential,
    Event,
    Feature,
    Field,
    Inbound,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    Reply,
    Request,
    Send,
    SendResult,
    Status,
)
from ..words import Words, retry_header

PATH = "/sms/send"
JSON = {"content-type": "application/json"}
FORM = {"content-type": wire.FORM}

STATUSES = {
    "SCHEDULED": Status.SCHEDULED,  # the only one that is documented
    "QUEUED": Status.QUEUED,
    "PENDING": Status.QUEUED,
    "SENDING": Status.SENDING,
    "SENT": Status.SENT,
    "DELIVERED": Status.DELIVERED,
    "FAILED": Status.FAILED,
    "ERROR": Status.FAILED,
    "REJECTED": Status.FAILED,
    "UNDELIVERED": Status.FAILED,
    "EXPIRED": Status.EXPIRED,
    "CANCELED": Status.CANCELED,
    "CANCELLED": Status.CANCELED,
    "UNCERTAIN": Status.UNCERTAIN,
}  # anything else, with a good code, was taken

WORDS = Words(
    {
        "401": (errors.KeyRefused, 401),
        "402": (errors.NoCredits, 200),
        "429": (errors.RateLimited, 200),
        "503": (errors.Unavailable, 200),
        "400": (errors.InvalidRequest, 200),
        "404": (errors.NotFound, 200),
        "406": (errors.Rejected, 200),
        "413": (errors.TextTooLong, 200),
        "422": (errors.InvalidNumber, 200),
        "500": (errors.Uncertain, 200),
    }
)
FOR_ALL = {"401", "402", "429", "503"}  # when every entry says the same of these, it concerns the account

FROM = ("from", "sender", "source", "msisdn", "number", "src", "from_number")
TO = ("to", "destination", "recipient", "dst", "did", "to_number")
TEXT = ("msg", "message", "text", "body", "content", "sms")
ID = ("smsid", "id", "message_id", "messageid", "sms_id", "msgid")
DATE = ("date", "received_at", "datetime", "delivery_date", "timestamp", "time")
FORMATS = tuple(
    f"{day} {time}".strip()
    for day in ("%Y/%m/%d", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y")
    for time in ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M%p", "")
)


class Adapter(base.Adapter):
    kind = "voipcommunications"
    label = "VoIP Communications"
    doc_url = "https://voip-communications.net/api-v2/index.php/sms/send"
    base_url_example = "https://voip-communications.net/api-v2/index.php"
    base_url_ends = "/api-v2/index.php"
    supports = frozenset({Feature.SEND, Feature.SENDER_ID, Feature.SCHEDULE, Feature.INBOUND})
    fields = (
        Field("api_key", "API key"),
        Field("api_password", "API password"),
        Field(
            "zone",
            "Time zone",
            secret=False,
            required=False,
            default="UTC",
            help="The account's zone at the provider, such as America/Chicago. Its dates carry none.",
        ),
    )
    max_batch = 100  # not documented; ours
    keeps_callbacks = True

    def write_send(self, op: Send) -> Request:
        given = self.account.credentials
        pairs = [
            ("from", _bare(op.sender or self.account.sender)),
            ("to", ",".join(_bare(message.number) for message in op.messages)),
            ("msg", op.messages[0].text),
            ("delivery_date", _write_date(op.schedule, self._zone()) if op.schedule else ""),
        ]
        headers = {**FORM, "authorization": base.basic_auth(given["api_key"], given["api_password"])}
        return Request("POST", PATH, headers=headers, body=wire.dump_form((k, v) for k, v in pairs if v))

    def read_send(self, op: Send, reply: Reply) -> SendResult:
        entries = wire.load_object(reply.body)["send_log"]
        found = base.matched(op, entries, lambda entry: str(entry["to"]))
        return SendResult(tuple(_read_entry(m, entry) for m, entry in zip(op.messages, found, strict=True)))

    def read_error(self, op: Operation, reply: Reply) -> errors.ProviderError | None:
        body = wire.load_object(reply.body)
        if wire.truth(body.get("error")):
            said = (body.get("error_message"), body.get("message"), body["error"])
            text = next((value for value in said if value and isinstance(value, str)), "")
            return WORDS.read(str(body.get("code") or ""), text, reply)
        codes = {str(entry.get("code")): str(entry.get("code_desc") or "") for entry in body.get("send_log") or ()}
        code, text = next(iter(codes.items()), ("", ""))
        return WORDS.read(code, text, reply) if len(codes) == 1 and code in FOR_ALL else None

    def read_post(self, request: Request) -> tuple[Event, ...]:
        """Replies to 2-way numbers. Nothing is signed on this wire: the secret is the callback's own address."""
        try:
            zone = self._zone()
        except errors.InvalidRequest:
            zone = UTC  # a wrong setting must not lose a reply
        try:
            return tuple(_read_reply(fields, zone) for fields in _posted(request))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as fault:
            raise errors.BadCallback("The posted data is no received message: give from, to and msg.") from fault

    def _zone(self) -> tzinfo:
        """Raises InvalidRequest when what was entered is no time zone."""
        name = self.account.credentials.get("zone", "").strip() or "UTC"
        try:
            return UTC if name.upper() == "UTC" else ZoneInfo(name)
        except (LookupError, ValueError, OSError) as fault:
            raise errors.InvalidRequest(f"“{name}” is not a time zone. Correct the account's settings.") from fault


def _bare(number: str) -> str:
    """A number in any spelling as digits; a name stays."""
    return wire.number_or_name(number).removeprefix("+")


def _write_date(moment: datetime, zone: tzinfo) -> str:
    """``YYYY-MM-DD HH:MM``; seconds only where there are some, an offset only in the hour that a clock repeats."""
    local = moment.astimezone(zone)
    twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    kept = local if twice else local.replace(tzinfo=None)
    return kept.isoformat(" ", "seconds" if local.second else "minutes")


def _read_date(text: str, zone: tzinfo) -> datetime:
    """ISO 8601, Unix seconds, RFC 2822 and the spellings of FORMATS; what has no zone is in ``zone``.

    Raises ValueError with a sentence.
    """
    text = text.strip()
    if text.removeprefix("@").isdecimal() and len(text) > 8:
        return wire.from_timestamp(text.removeprefix("@"))
    for read in (wire.parse_time, _by_formats, _read_rfc):
        try:
            return read(text, zone)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    raise ValueError(f"“{text[:40]}” is not a date. Write it as YYYY-MM-DD HH:MM.")


def _by_formats(text: str, zone: tzinfo) -> datetime:
    for known in FORMATS:
        with suppress(ValueError):
            return datetime.strptime(text, known).replace(tzinfo=zone)
    raise ValueError(text)


def _read_rfc(text: str, zone: tzinfo) -> datetime:
    moment = parsedate_to_datetime(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _read_entry(message: Outgoing, entry: Mapping[str, Any] | None) -> Outcome:
    if entry is None:
        return base.left_out(message)
    code, word = str(entry.get("code", 200)), str(entry.get("status") or "")
    status = STATUSES.get(word.strip().upper(), Status.SENT) if code.startswith("2") else Status.FAILED
    text = str(entry.get("code_desc") or "") or f"The provider's log says {word or 'nothing more'}."
    return Outcome(
        status,
        ref=message.ref,
        number=message.number,
        provider_id=str(entry.get("smsid") or ""),
        problem=Problem(code, text) if status is Status.FAILED else None,
        cost=wire.amount(entry.get("sale")),
    )


def _posted(request: Request) -> list[Mapping[str, Any]]:
    """The fields of each message in a post: a form, a query, a JSON object or an array of these."""
    query = dict(request.query)
    if request.body.lstrip()[:1] not in (b"{", b"["):
        return [wire.read_form(request)]
    found = wire.load_json(request.body)
    return [ChainMap(item, query) for item in (found if isinstance(found, list) else [found])]


def _read_reply(posted: Mapping[str, Any], zone: tzinfo) -> Inbound:
    fields = {name.lower(): _plain(value) for name, value in posted.items()}
    number, to = wire.number_or_name(_first(fields, FROM)), wire.number_or_name(_first(fields, TO))
    text, date = _first(fields, TEXT), _first(fields, DATE)
    if not number or not any(name in fields for name in TEXT):
        raise ValueError("no sender or no text")
    given, at = _first(fields, ID), _optional_date(date, zone)
    found_id = given or wire.fingerprint(number, to, text, date)
    return Inbound(found_id, number, text, to=to, received_at=at, made_up=not given and not date)


def _plain(value: object) -> str:
    return "" if value is None or isinstance(value, dict | list) else wire.plain_text(str(value), "value")


def _first(fields: Mapping[str, str], names: Iterable[str]) -> str:
    return next((fields[name] for name in names if fields.get(name)), "")


def _optional_date(text: str, zone: tzinfo) -> datetime | None:
    """None for what cannot be read: a reply is worth more than its date."""
    try:
        return _read_date(text, zone) if text else None
    except ValueError:
        return None


class Dialect(base.Dialect):
    """Dates without a zone are by its clock, in requests and in answers."""

    kind = "voipcommunications"
    paths = ("/",)

    def credential(self, request: Request) -> Credential:
        scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
        try:
            key, colon, secret = base64.b64decode(token.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            key = colon = secret = ""
        if scheme.lower() != "basic" or not key or not colon:
            raise errors.KeyRefused("Invalid api credentials: send the API key and password with Basic authentication.")
        return Credential(key, secret)

    def operation(self, request: Request) -> Send:
        if request.path.rstrip("/") != PATH:
            raise errors.NotFound(f"There is nothing at this address. Post to {PATH}.")
        if request.method != "POST":
            raise errors.NotFound(f"{PATH} takes POST only.")
        try:
            return self._read_send(wire.read_form(request))
        except ValueError as error:
            raise errors.InvalidRequest(str(error)) from error

    def _read_send(self, form: Mapping[str, str]) -> Send:
        text, date = wire.plain_text(form.get("msg"), "msg"), form.get("delivery_date", "").strip()
        if not text:
            raise ValueError("“msg” is missing: give the text to send.")
        return Send(
            tuple(Outgoing(number, text) for number in wire.recipients(form.get("to"), "to")),
            sender=wire.number_or_name(wire.plain_text(form.get("from"), "from")),
            schedule=_read_date(date, self.clock()) if date else None,
        )

    def write_send(self, op: Send, result: SendResult) -> Reply:
        moment = (op.schedule or datetime.now(UTC)).astimezone(self.clock())
        shared = {
            "from": _bare(op.sender),
            "msg": op.messages[0].text,
            "delivery_date": moment.strftime("%Y-%m-%d %H:%M:%S"),
            "type": "2WAYSMS" if op.sender else "BULKSMS",
        }
        return Reply(200, JSON, wire.dump_json({"send_log": [_write_entry(o, shared) for o in result.outcomes]}))

    def refuse(self, error: errors.ProviderError) -> Reply:
        body = {"error": True, "error_message": str(error), "code": int(WORDS.code(error))}
        return Reply(WORDS.status(error), {**JSON, **retry_header(error)}, wire.dump_json(body))

    def write_event(self, event: Event, secret: str) -> Request | None:
        if not isinstance(event, Inbound):
            return None
        pairs = [("from", _bare(event.number)), ("to", _bare(event.to)), ("msg", event.text)]
        pairs += [("smsid", event.provider_id)]
        pairs += [("date", event.received_at.isoformat(" ", "seconds"))] if event.received_at else []
        return Request("POST", "", headers=FORM, body=wire.dump_form(pairs))


def _write_entry(outcome: Outcome, shared: Mapping[str, str]) -> dict[str, Any]:
    """In the documented order of names. ``sale`` is null where the price is not known."""
    problem = (outcome.problem or Problem("rejected")) if outcome.status is Status.FAILED else None
    code = WORDS.problem_code(problem.code) if problem else "200"
    return {
        "code": int(code) if code.isdecimal() else 406,
        "code_desc": problem.text if problem else "",
        "from": shared["from"],
        "to": _bare(outcome.number),
        "country": _country(outcome.number),
        "msg": shared["msg"],
        "delivery_date": shared["delivery_date"],
        "sale": None if outcome.cost is None else wire.json_number(outcome.cost),
        "type": shared["type"],
        "status": outcome.status.name,
        "smsid": outcome.provider_id,
    }


def _country(number: str) -> str:
    """The region that a calling code stands for first: US for +1. Empty for short codes."""
    codes = (number[1:end] for end in (2, 3, 4) if number.startswith("+"))
    return next((REGIONS[int(code)][0] for code in codes if code.isdecimal() and int(code) in REGIONS), "")
