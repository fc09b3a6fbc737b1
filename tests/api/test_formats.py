"""What receivers make of our posts: their own code, restated here as PHP and Node run it, has to accept them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

import pytest
from standardwebhooks import Webhook as Receiver
from standardwebhooks import WebhookVerificationError

from api import formats
from api.formats import Happening
from api.models import Webhook
from contacts.models import Contact
from providers.types import MessageInfo, MessageType, Problem, Status, UssdInfo

pytestmark = pytest.mark.once

AT = datetime(2026, 11, 21, 10, 30, 5, 999_000, UTC)
SENT = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)
SMSGATEWAY, SMSPROVIDER, STANDARD = Webhook.Format.values
TEXTS = [
    "Hello",
    "Õun & пирог 100% + 😀 / \\ “q” \"q\" 'q'",
    "</script> line\nnext\ttab \u2028 \u2029 \x7f \x01 \x1f",
    "a=b&c=d;%41+%2B",
]


def message(status: Status = Status.DELIVERED, text: str = "Hello", **values: object) -> MessageInfo:
    info = MessageInfo("12", "+11234567890", text, status, sender="Shop", sent_at=SENT, delivered_at=AT)
    return replace(info, **values)


def happening(word: str, info: MessageInfo) -> Happening:
    return Happening(f"message.{word}", AT, info, account="Main")


# --- The receivers -----------------------------------------------------------------------------------------


def php(body: str, headers: dict[str, str], key: str) -> dict[str, object]:
    """Seed 004: hash_hmac('sha256', $_POST["messages"], API_KEY, true), in base64, against X-SG-SIGNATURE."""
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    post = dict(_php_pair(pair) for pair in body.encode().split(b"&"))
    (field,) = post
    lower = {name.lower(): value for name, value in headers.items()}
    made = base64.b64encode(hmac.new(key.encode(), post[field], hashlib.sha256).digest()).decode()
    assert made == lower["x-sg-signature"]
    return {field: json.loads(post[field])}


def _php_pair(pair: bytes) -> tuple[str, bytes]:
    name, _, value = pair.partition(b"=")
    return name.decode(), unquote_to_bytes(value.replace(b"+", b" "))


def node(body: str, headers: dict[str, str], secret: str) -> dict[str, object]:
    """Seed 002: createHmac('sha256', SECRET).update(JSON.stringify(req.body)).digest('hex')."""
    assert headers["content-type"] == "application/json"
    payload = json.loads(body)
    made = hmac.new(secret.encode(), stringify(payload).encode(), hashlib.sha256).hexdigest()
    assert made == headers["x-smsprovider-signature"]
    return payload


SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def stringify(value: object) -> str:
    """JSON.stringify by ECMA-262: QuoteJSONString, integer-like keys first, no whole float with a point."""
    if isinstance(value, dict):
        whole = sorted((k for k in value if k.isdecimal() and str(int(k)) == k and int(k) < 2**32 - 1), key=int)
        keys = [*whole, *(k for k in value if k not in whole)]
        return "{" + ",".join(f"{stringify(k)}:{stringify(value[k])}" for k in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(stringify, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(SHORT.get(c) or (f"\\u{ord(c):04x}" if ord(c) < 0x20 else c) for c in value) + '"'
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else repr(value)
    return json.dumps(value)


# --- The wires -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_php_verifies_a_received_message(text: str) -> None:
    info = message(
        Status.RECEIVED, text, device="7", sim=1, type=MessageType.MMS, attachments=("https://x.example/a,b",)
    )
    body = formats.body(SMSGATEWAY, happening("received", info))
    read = php(body, formats.headers(SMSGATEWAY, "msg_1", body, "key-äö", AT), "key-äö")
    ((told,),) = read.values()
    assert {name: told[name] for name in ("ID", "number", "message", "deviceID", "simSlot", "status", "type")} == {
        "ID": "12", "number": "+11234567890", "message": text, "deviceID": "7", "simSlot": "1",
        "status": "Received", "type": "mms",
    }  # fmt: skip
    assert (told["errorCode"], told["sentDate"]) == (None, "2026-11-21T10:30:00+00:00")


@pytest.mark.parametrize("text", TEXTS)
def test_php_verifies_the_answer_to_a_code(text: str) -> None:
    what = Happening("ussd.answered", AT, ussd=UssdInfo("3", "*100#", "7", 0, text, sent_at=SENT, answered_at=AT))
    body = formats.body(SMSGATEWAY, what)
    told = php(body, formats.headers(SMSGATEWAY, "msg_1", body, "k", AT), "k")["ussdRequest"]
    assert (told["ID"], told["request"], told["response"], told["simSlot"]) == ("3", "*100#", text, "0")


REPORTS = [("sent", "Sent", "sent"), ("delivered", "Delivered", "delivered"), ("failed", "Failed", "failed")]


@pytest.mark.parametrize(("word", "theirs", "_other"), [*REPORTS, ("canceled", "Canceled", "")])
def test_php_reads_a_report(word: str, theirs: str, _other: str) -> None:
    body = formats.body(SMSGATEWAY, happening(word, message(Status.DELIVERED)))
    ((told,),) = php(body, formats.headers(SMSGATEWAY, "msg_1", body, "k", AT), "k").values()
    assert (told["ID"], told["number"], told["status"]) == ("12", "+11234567890", theirs)
    assert (told["deliveredDate"] is not None) == (word == "delivered")


@pytest.mark.parametrize("text", ["no route / 404", *TEXTS])
def test_node_verifies_a_report(text: str) -> None:
    info = message(Status.FAILED, problem=Problem("30005", text))
    body = formats.body(SMSPROVIDER, happening("failed", info))
    told = node(body, formats.headers(SMSPROVIDER, "msg_1", body, "sécret", AT), "sécret")
    assert body == stringify(told)
    assert list(told)[:4] == ["event", "message_id", "to", "status"]
    assert told["message_id"] == "12" and told["timestamp"] == int(AT.timestamp())
    assert told["error"]["message"] == text


@pytest.mark.parametrize(
    ("word", "_other", "theirs"), [*REPORTS, ("expired", "", "expired"), ("canceled", "", "failed")]
)
def test_node_reads_what_the_seed_documents(word: str, _other: str, theirs: str) -> None:
    body = formats.body(SMSPROVIDER, happening(word, message()))
    told = node(body, formats.headers(SMSPROVIDER, "msg_1", body, "s", AT), "s")
    assert (told["event"], told["status"], told["to"]) == (f"message.{theirs}", theirs, "+11234567890")
    assert ("delivered_at" in told) == (word == "delivered")


@pytest.mark.parametrize("format", Webhook.Format.values)
def test_a_format_speaks_just_what_it_says_it_does(format: str) -> None:
    for name in formats.EVENTS:
        room, _, word = name.partition(".")
        values = {
            "message": {"message": message(Status(word) if room == "message" else Status.SENT)},
            "ussd": {"ussd": UssdInfo("3", "*100#", "7", 0, "x")},
            "contact": {"contact": Contact(pk=5, number="+11234567890", name="Ann")},
        }[room]
        assert bool(formats.body(format, Happening(name, AT, **values))) == formats.speaks(format, name), name


# --- Ours ------------------------------------------------------------------------------------------------------


def told(what: Happening) -> dict[str, object]:
    """As the library for receivers reads and verifies it."""
    body, secret = formats.body(STANDARD, what), formats.new_secret()
    headers = formats.headers(STANDARD, "msg_1", body, secret, datetime.now(UTC))
    read = Receiver(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Receiver(formats.new_secret()).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Receiver(secret).verify(body, headers | {"webhook-id": "msg_2"})
    return read


@pytest.mark.parametrize("text", TEXTS)
def test_a_standard_receiver_verifies_a_message(text: str) -> None:
    info = message(Status.RECEIVED, text, sender="+15550100009", group="ab12", device="7", sim=1)
    assert told(happening("received", info)) == {
        "type": "message.received",
        "timestamp": "2026-11-21T10:30:05Z",
        "data": {
            "message_id": "12", "status": "received", "from": "+11234567890", "to": "+15550100009", "message": text,
            "type": "sms", "attachments": [], "account": "Main", "group_id": "ab12", "device_id": "7", "sim": 1,
            "sent_at": "2026-11-21T10:30:00Z", "delivered_at": "2026-11-21T10:30:05Z", "error": None,
        },
    }  # fmt: skip


def test_an_event_says_how_it_was_then() -> None:
    """The message is delivered by now; the event tells that it was sent."""
    data = told(happening("sent", message(Status.DELIVERED)))["data"]
    assert (data["status"], data["from"], data["to"]) == ("sent", "Shop", "+11234567890")
    assert (data["delivered_at"], data["error"]) == (None, None)
    failed = told(happening("failed", message(Status.FAILED, problem=Problem("30005", "No such number."))))
    assert failed["data"]["error"] == {"code": "30005", "message": "No such number."}


def test_a_standard_receiver_hears_of_codes_and_contacts() -> None:
    code = UssdInfo("3", "*100#", "7", 0, "Balance: 5", sent_at=SENT, answered_at=AT)
    assert told(Happening("ussd.answered", AT, ussd=code, account="Phones"))["data"] == {
        "ussd_id": "3", "code": "*100#", "response": "Balance: 5", "account": "Phones", "device_id": "7", "sim": 0,
        "sent_at": "2026-11-21T10:30:00Z", "answered_at": "2026-11-21T10:30:05Z",
    }  # fmt: skip
    person = Contact(pk=5, number="+11234567890", name="Õnne")
    for name, out in (("contact.opted_out", True), ("contact.opted_in", False)):
        data = {"contact_id": "5", "number": "+11234567890", "name": "Õnne", "opted_out": out}
        assert told(Happening(name, AT, contact=person))["data"] == data


@pytest.mark.parametrize("format", Webhook.Format.values)
def test_there_is_a_test_event_in_every_format(format: str) -> None:
    name, body = formats.test_body(format, AT)
    assert name == "webhook.test" and body
    assert formats.headers(format, "msg_1", body, "s", AT)["webhook-id"] == "msg_1"
