"""Adapter (we call them) and Dialect (we are called): the two halves that every provider fills.

The base owns the flow, a provider fills the verbs. For every operation that its wire can say, a provider has

    Adapter.write_<verb>(op) -> Request          Dialect.operation(request) -> op
    Adapter.read_<verb>(op, reply) -> result     Dialect.write_<verb>(op, result) -> Reply

and one pair for errors (``Adapter.read_error`` / ``Dialect.refuse``) and events (``Adapter.read_callback`` /
``Dialect.write_event``). None of them writes a row, sleeps, logs or knows Django.
"""

from __future__ import annotations

import base64
import math
import re
import time
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, TypeVar

from . import errors, wire
from .redaction import Redactor, readable, spellings
from .transport import HttpTransport, Transport, url_of
from .types import (
    Account,
    Credential,
    Event,
    Feature,
    Field,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    Rate,
    RateState,
    ReadMessages,
    RegisterWebhook,
    Reply,
    Request,
    Result,
    Send,
    SendResult,
    SentRef,
    Status,
    Trace,
)

EXCERPTED = 4_000  # bytes of an answer that an excerpt is made of
LONGEST_WAIT = 86_400.0  # seconds; who asks for more is not believed

T = TypeVar("T")


class Adapter(ABC):
    """One account's way to its provider. Subclasses declare what their wire can do and fill the verbs."""

    kind: ClassVar[str]  # the slug in URLs, commands and rows
    label: ClassVar[str]  # what people read
    doc_url: ClassVar[str] = ""
    base_url_example: ClassVar[str]
    base_url_ends: ClassVar[str] = ""  # what a right base URL ends in; forms check it
    supports: ClassVar[frozenset[Feature]]
    fields: ClassVar[tuple[Field, ...]]
    rates: ClassVar[tuple[Rate, ...]] = ()  # published limits, all at once
    max_batch: ClassVar[int] = 1  # recipients in one request
    mixed_texts: ClassVar[bool] = False  # may they have different texts?
    max_text: ClassVar[int | None] = None  # characters; None: no stated limit
    poll_after: ClassVar[float | None] = None  # seconds until a status is worth asking for; None: never
    concurrency: ClassVar[int] = 8  # requests under way at once; more of them where they carry few messages
    webhook_events: ClassVar[tuple[str, ...]] = ()  # what a webhook is registered for, in the wire's words
    callback_headers: ClassVar[tuple[str, ...]] = ("content-type",)  # those that check_post looks at
    keeps_callbacks: ClassVar[bool] = False  # what is posted is not documented, so each post is kept as it came

    def __init__(self, account: Account, transport: Transport | None = None) -> None:
        self.account = account
        self.transport = transport or HttpTransport(account.base_url)

    # -- the flow, the same for all --

    def call(self, op: Operation, traces: list[Trace] | None = None) -> Any:
        """Do one operation over HTTP and return its result (see each operation in types.py).

        Appends the exchange to ``traces``. Raises a ProviderError, and nothing else.
        """
        request = self.write(op)
        at, start = datetime.now(UTC), time.monotonic()
        reply: Reply | None = None
        failure = ""
        try:
            reply = self.transport(request)
            return self.read(op, reply)
        except errors.ProviderError as error:
            failure = Redactor(self.secrets)(str(error))
            error.args = (failure,)  # an answer may have repeated the key
            raise
        finally:
            if traces is not None:
                traces.append(self._trace(op, request, reply, at, time.monotonic() - start, failure))

    def send(self, op: Send, traces: list[Trace] | None = None) -> SendResult:
        """Hand messages over; one outcome for each message, in their order and with their refs."""
        try:
            result: SendResult = self.call(op, traces)
        except errors.NotFound as error:
            if op.devices.targets or op.list_id:
                raise
            raise errors.WrongAddress.instead_of(error) from error  # nothing was named that could be missing
        if len(result.outcomes) != len(op.messages):
            raise errors.BadAnswer(f"The provider answered for {len(result.outcomes)} of {len(op.messages)} messages.")
        return result

    def write(self, op: Operation) -> Request:
        """The request for an operation. Raises Unsupported when this wire cannot say it."""
        self._check_supported(op)
        try:
            request: Request = getattr(self, f"write_{op.verb}")(op)
        except UnicodeError as fault:
            raise errors.InvalidRequest("The message holds a character that cannot be sent.") from fault
        return request

    def read(self, op: Operation, reply: Reply) -> Result:
        """The result in a reply. Raises the error that the reply means, BadAnswer when it means nothing."""
        try:
            error = self.read_error(op, reply)
        except (LookupError, TypeError, ValueError, AttributeError):
            error = None
        if error is None and reply.status >= 300:
            error = status_error(self._redacted(reply))
        if error:
            if isinstance(error, errors.RateLimited) and error.state is None:
                error.state = rate_state(reply.headers)
            if error.retry and error.retry_after is None:
                error.retry_after = retry_after(reply.headers)
            raise error
        try:
            result: Result = getattr(self, f"read_{op.verb}")(op, reply)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as fault:
            raise errors.BadAnswer(
                f"The provider's answer could not be understood ({excerpt(self._redacted(reply))})."
            ) from fault
        return result

    def _check_supported(self, op: Operation) -> None:
        needs = {op.feature}
        if isinstance(op, ReadMessages) and (op.group or op.status or op.device or op.start or op.end or not op.id):
            needs = {Feature.SEARCH}
        if isinstance(op, Send):
            needs |= self._send_needs(op)
        if missing := needs - self.supports:
            raise errors.Unsupported(feature=sorted(missing)[0])

    def _send_needs(self, op: Send) -> set[Feature]:
        if len(op.messages) > self.max_batch:
            raise errors.Unsupported(f"At most {self.max_batch} recipients fit in one request.")
        if not self.mixed_texts and len({(m.text, m.type, m.attachments) for m in op.messages}) > 1:
            raise errors.Unsupported("All recipients of one request get the same text.")
        wanted = {
            Feature.SCHEDULE: op.schedule is not None,
            Feature.SENDER_ID: bool(op.sender),
            Feature.MMS: any(m.type == "mms" for m in op.messages),
            Feature.DEVICES: bool(op.devices.targets or op.devices.spread),
            Feature.CONTACTS: bool(op.list_id),
        }
        return {feature for feature, asked in wanted.items() if asked}

    # -- what a provider fills --

    def read_error(self, op: Operation, reply: Reply) -> errors.ProviderError | None:
        """The error in the provider's own words, or None. Plain HTTP statuses are understood without it."""
        return None

    def read_callback(self, request: Request) -> tuple[Event, ...]:
        """The events in a post to our callback. Raises BadSignature or BadCallback."""
        return self.read_post(self.check_post(request))

    def check_post(self, request: Request) -> Request:
        """What of a post is signed, by the signature over the raw bytes. Raises BadSignature.

        ``request`` has no path, and no headers but ``callback_headers``. All of it, where a wire signs nothing.
        """
        return request

    def read_post(self, request: Request) -> tuple[Event, ...]:
        """The events in what ``check_post`` returned: when it comes, and once more when it is worked on, whatever the
        secret is by then. Raises BadCallback. Unknown events are left out, not refused."""
        raise errors.Unsupported("This kind of account posts nothing back.")

    def polls(self, sent: Sequence[SentRef]) -> tuple[ReadMessages, ...]:
        """The requests that learn the status of ``sent``: one for each id, unless the wire can ask for many."""
        return tuple(ReadMessages(id=found) for found in dict.fromkeys(ref.provider_id for ref in sent) if found)

    # -- traces --

    @property
    def secrets(self) -> list[str]:
        """The values of secret fields, and each form in which they can stand in a request. Longest first."""
        return spellings(self.account.credentials.get(field.name, "") for field in self.fields if field.secret)

    def _redacted(self, reply: Reply) -> Reply:
        """The reply as a sentence may quote it: an excerpt could cut a key in two, and half would stay."""
        return replace(reply, body=Redactor(self.secrets)(readable(reply.body)).encode())

    def _trace(
        self, op: Operation, request: Request, reply: Reply | None, at: datetime, seconds: float, error: str
    ) -> Trace:
        # whoever knows our callback's address can post to it
        ours = [getattr(op, "callback_url", ""), op.url if isinstance(op, RegisterWebhook) else ""]
        hide = Redactor([*spellings(ours), *self.secrets])
        return Trace(
            verb=op.verb,
            method=request.method,
            url=hide(url_of(self.account.base_url, request)),
            request_headers={k: hide.header(k, v) for k, v in request.headers.items()},
            request_body=hide.body(request.body),
            at=at,
            seconds=seconds,
            status=reply.status if reply else None,
            reply_headers={k: hide.header(k, v) for k, v in reply.headers.items()} if reply else {},
            reply_body=hide.body(reply.body) if reply else "",
            error=error,
            rate=rate_state(reply.headers) if reply else None,
        )


def basic_auth(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def excerpt(reply: Reply) -> str:
    """The first words of an answer, for a sentence that a person reads."""
    text = " ".join(re.sub("<[^<>]*>", " ", readable(reply.body[:EXCERPTED])).split())
    return (
        f"HTTP {reply.status}, “{text[:120]}{'…' if len(text) > 120 else ''}”"
        if text
        else f"HTTP {reply.status}, empty"
    )


def status_error(reply: Reply) -> errors.ProviderError | None:
    """What an HTTP status means when the body says nothing better.

    503 is the one 5xx that says the request was not worked on; after any other nobody knows.
    """
    status = reply.status
    if status < 300:
        return None
    if 300 <= status < 400 or status in (404, 405):
        return errors.WrongAddress(f"There is no such API at this address ({excerpt(reply)}).")
    known: dict[int, type[errors.ProviderError]] = {
        401: errors.KeyRefused,
        402: errors.NoCredits,
        403: errors.KeyRefused,
        429: errors.RateLimited,
        503: errors.Unavailable,
    }
    if kind := known.get(status):
        return kind(retry_after=retry_after(reply.headers)) if kind.retry else kind()
    if status >= 500 or status == 408:  # which some say when whoever is behind them takes too long
        return errors.Uncertain(f"The provider failed while it had the message ({excerpt(reply)}).", code=str(status))
    return errors.Rejected(f"The provider refused the request ({excerpt(reply)}).", code=str(status))


def rate_state(headers: Mapping[str, str]) -> RateState | None:
    """``X-RateLimit-Limit/-Remaining/-Reset`` as seed 002 sends them; Reset is seconds until the reset."""
    try:
        return RateState(*(int(headers[f"x-ratelimit-{name}"]) for name in ("limit", "remaining", "reset")))
    except (KeyError, ValueError):
        return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, a day at most, from ``Retry-After`` (seconds or a date) or else ``X-RateLimit-Reset``."""
    value = headers.get("retry-after", "").strip()
    state = rate_state(headers)
    seconds = _seconds(value) if value else None
    if seconds is None and state:
        seconds = float(state.reset)
    return None if seconds is None else min(max(0.0, seconds), LONGEST_WAIT)


def _seconds(value: str) -> float | None:
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value)
    return seconds if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        return (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


def same_for_all(op: Send, outcome: Outcome) -> tuple[Outcome, ...]:
    """One outcome for each message of a request that was answered as a whole."""
    return tuple(
        Outcome(
            status=outcome.status,
            ref=message.ref,
            number=message.number,
            provider_id=outcome.provider_id,
            group=outcome.group,
            problem=outcome.problem,
            cost=outcome.cost,
        )
        for message in op.messages
    )


def matched(op: Send, entries: Sequence[T], key: Callable[[T], str]) -> list[T | None]:
    """The entry of an answer for each message, in their order; None where the answer leaves one out.

    Numbers decide, in any spelling, each entry once (``key``: an entry's number as it came). Where nothing is
    missing, an entry whose number nobody asked for was rewritten by the provider, and stands in its order.
    """
    asked = {wire.number_or_name(message.number) for message in op.messages}
    waiting: defaultdict[str, deque[T]] = defaultdict(deque)
    for entry in entries:
        name = wire.number_or_name(key(entry))
        waiting[name if name in asked else ""].append(entry)
    found = [_next(waiting[wire.number_or_name(message.number)]) for message in op.messages]
    if len(entries) == len(op.messages):
        found = [_next(waiting[""]) if entry is None else entry for entry in found]
    return found


def _next(entries: deque[T]) -> T | None:
    return entries.popleft() if entries else None


def left_out(message: Outgoing) -> Outcome:
    """The outcome of a message that an otherwise good answer does not mention."""
    problem = Problem("left_out", "The provider's answer does not mention this number. It may have taken the message.")
    return Outcome(Status.UNCERTAIN, ref=message.ref, number=message.number, problem=problem)


class Dialect(ABC):
    """One wire format as its server: reads requests, writes answers, errors and events.

    ``paths``: what it serves, below ``Adapter.base_url_ends``; with a slash at the end everything that begins so.
    ``clock``: the zone of times that come without one.
    """

    kind: ClassVar[str]
    paths: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.clock: Callable[[], tzinfo] = lambda: UTC

    @abstractmethod
    def credential(self, request: Request) -> Credential:
        """Who calls. Raises KeyRefused when nothing is given, InvalidRequest when the body cannot be read."""

    @abstractmethod
    def operation(self, request: Request) -> Operation:
        """What is asked. Raises NotFound or InvalidRequest (or a child of Rejected that fits better)."""

    @abstractmethod
    def refuse(self, error: errors.ProviderError) -> Reply:
        """The error in this wire's shape."""

    def write(self, op: Operation, result: Result) -> Reply:
        reply: Reply = getattr(self, f"write_{op.verb}")(op, result)
        return reply

    def with_limits(self, reply: Reply, state: RateState | None) -> Reply:
        """The reply with this wire's rate-limit headers, where it has any."""
        return reply

    def write_event(self, event: Event, secret: str) -> Request | None:
        """The signed post to a callback (``path`` empty); None where the wire has no such event."""
        return None

    def sign_event(self, body: bytes, secret: str) -> Mapping[str, str]:
        """The headers of such a post: what the body is, and who signed it."""
        return {}
