"""The words every provider shares. Standard library only: no Django, no HTTP client.

An *operation* is one thing that can be asked of a provider (``Send``, ``ListDevices``, …). It is the same
object on both sides of a wire: an ``Adapter`` writes it as an HTTP request, a ``Dialect`` reads it back.
Its *result* travels the other way. Everything is frozen and comparable, so ``read(write(x)) == x`` can be
asserted for every operation, result, event and error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import ClassVar


class Status(StrEnum):
    """Where a message is. The words of the log, the API and the wire maps.

    ``uncertain``: a request broke off and nobody can tell whether the provider took the message.
    ``unknown``: a report carried a word that its kind does not document; it never changes a message.
    """

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELED = "canceled"
    UNCERTAIN = "uncertain"
    RECEIVED = "received"
    UNKNOWN = "unknown"


class Feature(StrEnum):
    """What a kind of provider can do on its wire. Ask for these, never for the kind's name."""

    SEND = "send"
    SENDER_ID = "sender_id"  # a sender ID can be chosen per message
    SCHEDULE = "schedule"  # the provider can hold a message until a time
    CREDITS = "credits"  # the balance can be asked
    STATUS = "status"  # a message's status can be asked by its id
    SEARCH = "search"  # messages can be listed by group, status, device, time
    RESEND = "resend"
    REPORTS = "reports"  # delivery reports are posted to our callback
    INBOUND = "inbound"  # received messages are posted to our callback
    WEBHOOKS = "webhooks"  # the callback is registered through the wire
    MMS = "mms"
    DEVICES = "devices"  # phones and SIMs behind the account; messages can name one
    USSD = "ussd"
    CONTACTS = "contacts"  # contact lists that live at the provider
    PRIORITY = "priority"


class MessageType(StrEnum):
    SMS = "sms"
    MMS = "mms"


# --- HTTP, as both halves of a provider see it -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request without its host. ``path`` starts with ``/`` and is relative to the account's base URL.

    ``query`` holds decoded pairs in order. Header names are lower case.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller proved itself with: a key, and a secret where the wire carries one."""

    key: str
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What an adapter is made from. ``credentials`` are in clear: never log or print one of these."""

    base_url: str
    credentials: Mapping[str, str] = field(repr=False)
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """One HTTP exchange with a provider, secrets already cut out, bodies cut to a readable length.

    ``status`` None: no answer; ``error`` then says why. ``rate`` is what the answer's headers said.
    """

    verb: str
    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: str
    at: datetime
    seconds: float
    status: int | None = None
    reply_headers: Mapping[str, str] = field(default_factory=dict)
    reply_body: str = ""
    error: str = ""
    rate: RateState | None = None


# --- Values ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """One thing an account of a kind is set up with; forms and commands are drawn from these.

    ``secret`` fields are write-only for people and are cut out of every exchange.
    """

    name: str
    label: str
    secret: bool = True
    required: bool = True
    help: str = ""
    default: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` requests in any ``seconds``."""

    limit: int
    seconds: int

    UNITS: ClassVar[Mapping[str, int]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read ``100/minute``. Raises ValueError with a sentence for the person who typed it."""
        count, _, unit = text.strip().partition("/")
        seconds = cls.UNITS.get(unit.strip().lower().removesuffix("s"))
        if seconds is None or not count.strip().isascii() or not count.strip().isdigit() or int(count) < 1:
            raise ValueError(f"“{text}” is not a rate. Write it as 10/second, 100/minute, 5000/hour or 50000/day.")
        return cls(int(count), seconds)

    def __str__(self) -> str:
        unit = next(name for name, seconds in self.UNITS.items() if seconds == self.seconds)
        return f"{self.limit}/{unit}"


@dataclass(frozen=True, slots=True)
class Credits:
    """A balance. ``amount`` None: unlimited. Where nothing is known there is no Credits object at all."""

    amount: Decimal | None

    @property
    def unlimited(self) -> bool:
        return self.amount is None


@dataclass(frozen=True, slots=True)
class RateState:
    """What a rate-limited server says of its window. ``reset``: whole seconds until the window is fresh."""

    limit: int
    remaining: int
    reset: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Why one recipient was refused or failed: the wire's own code and a plain sentence."""

    code: str
    text: str = ""


class Spread(IntEnum):
    """How messages are split over phones (seed 004, ``option``)."""

    SPECIFIED = 0
    ALL_DEVICES = 1  # each enabled device with its default SIM
    ALL_SIMS = 2


@dataclass(frozen=True, slots=True)
class Target:
    """A phone, or one SIM of it. ``sim`` is the slot index from 0; None: the phone's default SIM."""

    device: str
    sim: int | None = None

    def __str__(self) -> str:
        return self.device if self.sim is None else f"{self.device}|{self.sim}"


@dataclass(frozen=True, slots=True)
class Devices:
    """Which phones a request wants. No targets with SPECIFIED: the primary device.

    ``random``: one of the selection, for all messages of the request.
    """

    spread: Spread = Spread.SPECIFIED
    targets: tuple[Target, ...] = ()
    random: bool = False


# --- Operations --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one number.

    ``ref`` is ours: outcomes are matched by it, because providers rewrite numbers. It is not on any wire,
    so it does not take part in comparison. ``number`` is E.164 with ``+``, or a short code.
    """

    number: str
    text: str
    ref: str = field(default="", compare=False)
    type: MessageType = MessageType.SMS
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SentRef:
    """A message that was handed over and whose end is not known: what a status poll is made from."""

    provider_id: str
    group: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Hand messages over. Result: ``SendResult``, its outcomes in the order of ``messages``.

    ``callback_url``: where this request's delivery reports go (seed 002). ``list_id``: send the one message
    to a list that lives at the provider (seed 004); its ``number`` is then empty. ``array``: the numbers came in one,
    and the answer has an entry for each of them, though there be one (seed 002).
    """

    verb: ClassVar[str] = "send"
    feature: ClassVar[Feature] = Feature.SEND

    messages: tuple[Outgoing, ...]
    sender: str = ""
    schedule: datetime | None = None
    callback_url: str = ""
    devices: Devices = Devices()
    priority: bool = False
    list_id: str = ""
    array: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class GetAccount:
    """Ask for the balance. Result: ``AccountInfo``."""

    verb: ClassVar[str] = "account"
    feature: ClassVar[Feature] = Feature.CREDITS


@dataclass(frozen=True, slots=True)
class ReadMessages:
    """Find messages. Result: a tuple of ``MessageInfo``. All criteria given must hold; none: the newest."""

    verb: ClassVar[str] = "messages"
    feature: ClassVar[Feature] = Feature.STATUS

    id: str = ""
    group: str = ""
    status: Status | None = None
    device: str = ""
    sim: int | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Resend:
    """Send messages again, chosen as in ``ReadMessages``. Result: a tuple of ``MessageInfo``."""

    verb: ClassVar[str] = "resend"
    feature: ClassVar[Feature] = Feature.RESEND

    id: str = ""
    group: str = ""
    status: Status | None = None
    device: str = ""
    sim: int | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class ListDevices:
    """Result: a tuple of ``DeviceInfo``."""

    verb: ClassVar[str] = "devices"
    feature: ClassVar[Feature] = Feature.DEVICES


@dataclass(frozen=True, slots=True)
class SendUssd:
    """Dial a USSD code. Result: ``UssdInfo`` without a response; that comes later."""

    verb: ClassVar[str] = "send_ussd"
    feature: ClassVar[Feature] = Feature.USSD

    code: str
    device: str
    sim: int | None = None


@dataclass(frozen=True, slots=True)
class ReadUssd:
    """Result: a tuple of ``UssdInfo``, newest first."""

    verb: ClassVar[str] = "read_ussd"
    feature: ClassVar[Feature] = Feature.USSD

    id: str = ""
    code: str = ""
    device: str = ""
    sim: int | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class SaveContact:
    """Add a contact to a list at the provider; one that exists stays as it is. Result: ``ContactInfo``."""

    verb: ClassVar[str] = "save_contact"
    feature: ClassVar[Feature] = Feature.CONTACTS

    list_id: str
    number: str
    name: str = ""
    resubscribe: bool = False


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Result: ``ContactInfo`` with ``subscribed`` false."""

    verb: ClassVar[str] = "unsubscribe"
    feature: ClassVar[Feature] = Feature.CONTACTS

    list_id: str
    number: str


@dataclass(frozen=True, slots=True)
class RegisterWebhook:
    """Result: ``WebhookInfo``. ``events`` in the wire's own words."""

    verb: ClassVar[str] = "register_webhook"
    feature: ClassVar[Feature] = Feature.WEBHOOKS

    url: str
    events: tuple[str, ...] = ()


Operation = (
    Send | GetAccount | ReadMessages | Resend | ListDevices | SendUssd | ReadUssd
    | SaveContact | Unsubscribe | RegisterWebhook
)  # fmt: skip


# --- Results -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message of a Send.

    ``status`` is the wire's word in ours: ``failed`` with a ``problem`` when this recipient was refused,
    anything else means the provider took it. ``group`` is the provider's id of the whole request.
    """

    status: Status
    ref: str = field(default="", compare=False)
    number: str = ""
    provider_id: str = ""
    group: str = ""
    problem: Problem | None = None
    cost: Decimal | None = None
    device: str = ""
    sim: int | None = None

    @property
    def taken(self) -> bool:
        return self.status is not Status.FAILED


@dataclass(frozen=True, slots=True)
class SendResult:
    outcomes: tuple[Outcome, ...]
    credits: Credits | None = None  # left after this request, where the answer says so
    credits_used: Decimal | None = None


@dataclass(frozen=True, slots=True)
class AccountInfo:
    credits: Credits | None = None
    name: str = ""
    sender: str = ""


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """A message as a provider keeps it. Fields a wire lacks stay at their defaults."""

    id: str
    number: str
    text: str
    status: Status
    sender: str = ""
    type: MessageType = MessageType.SMS
    attachments: tuple[str, ...] = ()
    device: str = ""
    sim: int | None = None
    user: str = ""
    group: str = ""
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    schedule: datetime | None = None
    expires_at: datetime | None = None
    problem: Problem | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True)
class SimInfo:
    slot: int
    label: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    id: str
    name: str = ""
    model: str = ""
    android: str = ""
    app: str = ""
    enabled: bool = True
    online: bool = True
    primary: bool = False
    last_seen: datetime | None = None
    sims: tuple[SimInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class UssdInfo:
    id: str
    code: str
    device: str
    sim: int | None = None
    response: str | None = None  # None: not answered yet
    user: str = ""
    sent_at: datetime | None = None
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ContactInfo:
    id: str
    number: str
    name: str = ""
    list_id: str = ""
    subscribed: bool = True


@dataclass(frozen=True, slots=True)
class WebhookInfo:
    id: str
    url: str
    events: tuple[str, ...] = ()
    secret: str = ""


Result = (
    SendResult | AccountInfo | tuple[MessageInfo, ...] | tuple[DeviceInfo, ...] | UssdInfo
    | tuple[UssdInfo, ...] | ContactInfo | WebhookInfo
)  # fmt: skip


# --- Events: what a provider posts to a callback ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """A delivery report: message ``provider_id`` (to ``number``, where one id covers several) is ``status``.

    ``raw_status`` is the provider's own word, kept for the timeline.
    """

    provider_id: str
    status: Status
    number: str = ""
    raw_status: str = field(default="", compare=False)
    problem: Problem | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """A received message. ``number`` is the person who wrote; ``to`` is our number where the wire says it.

    ``made_up``: the wire gave no id, so one was made of the contents, and the same words later have the same.
    """

    provider_id: str
    number: str
    text: str
    to: str = ""
    type: MessageType = MessageType.SMS
    attachments: tuple[str, ...] = ()
    device: str = ""
    sim: int | None = None
    received_at: datetime | None = None  # on the phone
    stored_at: datetime | None = None  # at the provider
    made_up: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class UssdReply:
    """The network's answer to a USSD code. ``id`` is empty where the wire does not repeat it."""

    code: str
    response: str
    device: str = ""
    sim: int | None = None
    id: str = ""
    at: datetime | None = None


Event = Report | Inbound | UssdReply
