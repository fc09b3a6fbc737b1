"""smsprovider: REST with JSON and a Bearer key; status by id, a rate window in every answer, signed webhooks.

Not documented, so ours: ids per recipient of an array, the answers of ``GET /account`` and ``POST /webhooks``, and
``error`` in a message or an event that failed. Read generously, written as documented with these beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any
from urllib.parse import quote, unquote

from .. import base, errors, signing, wire
from ..types import (
    AccountInfo,
    Credential,
    Event,
    Feature,
    Field,
    GetAccount,
    MessageInfo,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    Rate,
    RateState,
    ReadMessages,
    RegisterWebhook,
    Reply,
    Report,
    Request,
    Send,
    SendResult,
    Status,
    WebhookInfo,
)
from ..words import Words, limit_headers, retry_header

MESSAGES, ACCOUNT, WEBHOOKS = "/messages", "/account", "/webhooks"
JSON = {"content-type": "application/json"}
SIGNATURE = "x-smsprovider-signature"
MAX_TEXT = 1_600

STATUSES = {
    "queued": Status.QUEUED,
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "failed": Status.FAILED,
    "expired": Status.EXPIRED,
}
STATUS_WORDS = {status: word for word, status in STATUSES.items()} | {Status.CANCELED: "failed"}
"""A canceled message has failed, with the code of CANCELED: whoever polls needs a word that ends it. Else: queued."""
EVENTS = {f"message.{word}": status for word, status in STATUSES.items() if word != "queued"}
EVENT_WORDS = {status: word for status, word in STATUS_WORDS.items() if word != "queued"}
BALANCES = ("credits_remaining", "credits", "balance")  # the first is documented
CANCELED = Problem("canceled", "The message was canceled before it was sent.")

WORDS = Words(
    {
        "authentication_failed": (errors.KeyRefused, 401),
        "insufficient_credits": (errors.NoCredits, 402),
        "invalid_phone_number": (errors.InvalidNumber, 422),
        "message_too_long": (errors.TextTooLong, 422),
        "rate_limit_exceeded": (errors.RateLimited, 429),
        "invalid_request": (errors.InvalidRequest, 400),
        "message_rejected": (errors.Rejected, 422),
        "opted_out": (errors.OptedOut, 422),
        "not_found": (errors.NotFound, 404),
        "method_not_allowed": (errors.NotFound, 405),
        "service_unavailable": (errors.Unavailable, 503),
        "internal_error": (errors.Uncertain, 500),
    }  # the first five are documented
)


class Adapter(base.Adapter):
    kind = "smsprovider"
    label = "SMS Provider"
    doc_url = "https://api.smsprovider.com/v1"
    base_url_example = "https://api.smsprovider.com/v1"
    base_url_ends = "/v1"
    supports = frozenset({
        Feature.SEND, Feature.SENDER_ID, Feature.SCHEDULE, Feature.CREDITS,
        Feature.STATUS, Feature.REPORTS, Feature.WEBHOOKS,
    })  # fmt: skip
    fields = (
        Field("api_key", "API key"),
        Field("webhook_secret", "Webhook secret", required=False, help="Delivery reports are refused without it."),
    )
    rates = (Rate(10, 1),)  # the Standard plan; Enterprise has 50
    max_batch = 100  # not documented; ours
    max_text = MAX_TEXT
    poll_after = 60.0
    webhook_events = tuple(EVENTS)
    callback_headers = (SIGNATURE,)

    def write_send(self, op: Send) -> Request:
        numbers = [message.number for message in op.messages]
        body = {
            "to": numbers[0] if len(numbers) == 1 else numbers,
            "message": op.messages[0].text,
            "from": op.sender or self.account.sender,
            "scheduled_at": op.schedule and wire.write_time(op.schedule),
            "callback_url": op.callback_url,
        }
        return self._request("POST", MESSAGES, {name: value for name, value in body.items() if value})

    def read_send(self, op: Send, reply: Reply) -> SendResult:
        """One id for all, or a list with an entry for each number."""
        body = wire.load_object(reply.body)
        items = _items(body)
        if not items:
            outcomes = base.same_for_all(op, _read_outcome(body, body["message_id"]))
        else:
            matched = base.matched(op, items, lambda item: _first(item, "to", "phone", "number"))
            outcomes = tuple(
                replace(_read_outcome(item, body.get("message_id")), ref=message.ref, number=message.number)
                if item
                else base.left_out(message)
                for message, item in zip(op.messages, matched, strict=True)
            )
        return SendResult(outcomes, wire.read_credits(body, *BALANCES), wire.amount(body.get("credits_used")))

    def write_account(self, op: GetAccount) -> Request:
        return self._request("GET", ACCOUNT)

    def read_account(self, op: GetAccount, reply: Reply) -> AccountInfo:
        """Not documented: the balance under any likely name."""
        body = wire.load_object(reply.body)
        if not {*BALANCES, "name"} & body.keys():
            raise ValueError("neither a balance nor a name")
        return AccountInfo(wire.read_credits(body, *BALANCES), str(body.get("name") or ""), str(body.get("from") or ""))

    def write_messages(self, op: ReadMessages) -> Request:
        return self._request("GET", f"{MESSAGES}/{quote(op.id, safe='')}")

    def read_messages(self, op: ReadMessages, reply: Reply) -> tuple[MessageInfo, ...]:
        """One message, or as many as the id covers: ``messages`` with an entry each, or an array in ``to``."""
        body = wire.load_object(reply.body)
        if items := _items(body):
            return tuple(_read_message({**body, **item}) for item in items)
        numbers = body["to"] if isinstance(body["to"], list) else [body["to"]]
        return tuple(_read_message({**body, "to": number}) for number in numbers)

    def write_register_webhook(self, op: RegisterWebhook) -> Request:
        return self._request("POST", WEBHOOKS, {"url": op.url, "events": list(op.events)})

    def read_register_webhook(self, op: RegisterWebhook, reply: Reply) -> WebhookInfo:
        """Not documented: the secret may be in it, or only on the provider's pages."""
        body = wire.load_object(reply.body)
        return WebhookInfo(
            id=str(body["webhook_id"] if "webhook_id" in body else body["id"]),
            url=str(body.get("url") or op.url),
            events=tuple(body["events"]) if isinstance(body.get("events"), list) else op.events,
            secret=str(body.get("secret") or ""),
        )

    def read_error(self, op: Operation, reply: Reply) -> errors.ProviderError | None:
        body = wire.load_object(reply.body)
        if wire.truth(body.get("success", "error" not in body)) or (isinstance(op, Send) and _items(body)):
            return None
        if isinstance(op, ReadMessages) and "status" in body:
            return None
        problem = _read_problem(body.get("error") or body.get("message")) or Problem("")
        return WORDS.read(problem.code, problem.text, reply)

    def check_post(self, request: Request) -> Request:
        if not (secret := self.account.credentials.get("webhook_secret", "")):
            raise errors.BadSignature("The account has no webhook secret. Register the webhook or enter the secret.")
        if not signing.is_signed(request.body, request.headers.get(SIGNATURE, ""), secret):
            raise errors.BadSignature()
        return request

    def read_post(self, request: Request) -> tuple[Event, ...]:
        try:
            return _read_event(wire.load_object(request.body))
        except (KeyError, ValueError) as error:
            raise errors.BadCallback(f"The delivery report could not be understood: {error}") from error

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Request:
        headers = {"authorization": f"Bearer {self.account.credentials['api_key']}", **(JSON if body else {})}
        return Request(method, path, headers=headers, body=wire.dump_json(body) if body else b"")


def _items(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of an answer to an array; those that are no objects are left out."""
    found: list[Any] = next((body[name] for name in ("messages", "results") if isinstance(body.get(name), list)), [])
    return [item for item in found if isinstance(item, dict)]


def _first(item: dict[str, Any], *names: str) -> str:
    return next((str(item[name]) for name in names if item.get(name)), "")


def _read_outcome(item: dict[str, Any], shared_id: object) -> Outcome:
    """A refused recipient has ``success`` false, an ``error`` or the status failed."""
    word = str(item.get("status") or "").lower()
    status = STATUSES.get(word, Status.QUEUED)
    problem = _read_problem(item.get("error"))
    if problem or not wire.truth(item.get("success", True)):
        status = Status.FAILED
    refused = status is Status.FAILED
    return Outcome(
        status,
        provider_id=_first(item, "message_id", "id") or ("" if refused else str(shared_id or "")),
        problem=(problem or Problem("failed")) if refused else None,
    )


def _read_problem(value: object) -> Problem | None:
    if not isinstance(value, dict):
        value = {"message": "" if value is True else value} if value else None
    parts = value and [str(value.get(name) or "").replace("\x00", "") for name in ("code", "message")]
    return Problem(*parts) if parts else None


def _read_status(word: str, problem: Problem | None) -> tuple[Status, Problem | None]:
    status = STATUSES.get(word.lower(), Status.UNKNOWN)
    if status is Status.FAILED and problem and problem.code == CANCELED.code:
        return Status.CANCELED, None
    return status, problem


def _read_message(body: dict[str, Any]) -> MessageInfo:
    status, problem = _read_status(str(body["status"]), _read_problem(body.get("error")))
    return MessageInfo(
        id=str(body["message_id"]),
        number=wire.number_or_name(str(body["to"])),
        text=str(body.get("message") or ""),
        status=status,
        sender=str(body.get("from") or ""),
        sent_at=wire.optional_time(body.get("sent_at"), "sent_at"),
        delivered_at=wire.optional_time(body.get("delivered_at"), "delivered_at"),
        schedule=wire.optional_time(body.get("scheduled_at"), "scheduled_at"),
        problem=problem,
    )


def _read_event(body: dict[str, Any]) -> tuple[Report, ...]:
    """Raises KeyError and ValueError for a known event without its parts. Unknown events: nothing."""
    event = wire.plain_text(body["event"], "event")
    if event not in EVENTS:
        return ()
    status, problem = _read_status(event.removeprefix("message."), _read_problem(body.get("error")))
    stamp = body.get("timestamp")
    at = wire.optional_time(body.get("delivered_at"), "delivered_at") if stamp is None else wire.from_timestamp(stamp)
    found, raw = wire.plain_value(body["message_id"], "message_id"), wire.plain_value(body.get("status"), "status")
    if not found:
        raise ValueError("“message_id” is missing.")
    numbers: list[object] = body["to"] if isinstance(body.get("to"), list) else [body.get("to")]
    cleaned = [wire.number_or_name(wire.plain_value(number, "to")) for number in numbers]
    return tuple(Report(found, status, number, raw or event, problem, at) for number in cleaned)


class Dialect(base.Dialect):
    kind = "smsprovider"
    paths = (MESSAGES, f"{MESSAGES}/", ACCOUNT, WEBHOOKS)

    def credential(self, request: Request) -> Credential:
        scheme, _, key = request.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise errors.KeyRefused("Invalid or missing API key. Send it as “Authorization: Bearer YOUR_API_KEY”.")
        return Credential(key.strip())

    def operation(self, request: Request) -> Operation:
        method, path = request.method, request.path.rstrip("/")
        routes: dict[str, tuple[str, Callable[[Request], Operation]]] = {
            MESSAGES: ("POST", lambda request: _send(request, self.clock)),
            ACCOUNT: ("GET", lambda request: GetAccount()),
            WEBHOOKS: ("POST", _webhook),
        }
        if path.startswith(f"{MESSAGES}/"):
            routes[path] = ("GET", _message)
        if path not in routes:
            raise errors.NotFound("There is nothing at this address.")
        expected, read = routes[path]
        if method != expected:
            raise errors.NotFound(f"{path} takes {expected} only.", code="method_not_allowed")
        try:
            return read(replace(request, path=path))
        except ValueError as error:
            raise errors.InvalidRequest(str(error)) from error

    def write_send(self, op: Send, result: SendResult) -> Reply:
        """The documented top level, and ``messages`` beside it for an array. Raises Rejected for a lone refused one."""
        entries = [_write_entry(outcome) for outcome in result.outcomes]
        first = next((outcome for outcome in result.outcomes if outcome.taken), None)
        if len(entries) == 1 and first is None:
            refusal = entries[0]["error"]
            raise WORDS.read(refusal["code"], refusal["message"], Reply(422))
        body: dict[str, Any] = {"success": first is not None}
        body |= {"message_id": first.provider_id} if first else {"error": entries[0]["error"]}
        if result.credits_used is not None:
            body["credits_used"] = wire.json_number(result.credits_used)
        body |= wire.write_credits(BALANCES[0], result.credits)
        body["status"] = STATUS_WORDS.get(first.status, "queued") if first else "failed"
        return _reply(200, body | ({"messages": entries} if op.array or len(entries) > 1 else {}))

    def write_account(self, op: GetAccount, result: AccountInfo) -> Reply:
        left = wire.write_credits(BALANCES[0], result.credits)
        return _reply(200, {"success": True, "name": result.name, **left, "from": result.sender})

    def write_messages(self, op: ReadMessages, result: tuple[MessageInfo, ...]) -> Reply:
        """Raises NotFound for an id that is nobody's."""
        if not result:
            raise errors.NotFound("There is no message with this id.")
        bodies = [_write_message(info) for info in result]
        return _reply(200, bodies[0] if len(bodies) == 1 else {**bodies[0], "messages": bodies})

    def write_register_webhook(self, op: RegisterWebhook, result: WebhookInfo) -> Reply:
        body = {"success": True, "webhook_id": result.id, "url": result.url, "events": list(result.events)}
        return _reply(201, body | {"secret": result.secret})

    def refuse(self, error: errors.ProviderError) -> Reply:
        body = {"success": False, "error": {"code": WORDS.code(error), "message": str(error)}}
        return _reply(WORDS.status(error), body, retry_header(error))

    def with_limits(self, reply: Reply, state: RateState | None) -> Reply:
        return reply if state is None else replace(reply, headers={**reply.headers, **limit_headers(state)})

    def write_event(self, event: Event, secret: str) -> Request | None:
        word = EVENT_WORDS.get(event.status) if isinstance(event, Report) else None
        if not isinstance(event, Report) or word is None:
            return None
        moment = event.at or datetime.now(UTC)
        body: dict[str, Any] = {"event": f"message.{word}", "message_id": event.provider_id, "to": event.number}
        delivered = {"delivered_at": wire.write_time(moment)} if event.status is Status.DELIVERED else {}
        body |= {"status": word, **delivered, **_write_problem(event.status, event.problem)}
        raw = wire.dump_json(body | {"timestamp": int(moment.timestamp())})
        return Request("POST", "", headers=self.sign_event(raw, secret), body=raw)

    def sign_event(self, body: bytes, secret: str) -> dict[str, str]:
        return {**JSON, SIGNATURE: signing.sign(body, secret)}


def _send(request: Request, clock: Callable[[], tzinfo]) -> Send:
    body = wire.load_object(request.body)
    text = wire.plain_text(body.get("message"), "message")
    if not text:
        raise ValueError("“message” is missing.")
    if len(text) > MAX_TEXT:
        raise errors.TextTooLong(f"The message has {len(text):,} characters; at most {MAX_TEXT:,} are sent.")
    return Send(
        tuple(Outgoing(number, text) for number in wire.recipients(body.get("to"), "to")),
        sender=wire.plain_text(body.get("from"), "from"),
        schedule=wire.optional_time(body.get("scheduled_at"), "scheduled_at", clock),
        callback_url=wire.optional_url(body.get("callback_url"), "callback_url"),
        array=isinstance(body.get("to"), list),
    )


def _message(request: Request) -> ReadMessages:
    return ReadMessages(id=wire.plain_text(unquote(request.path.removeprefix(f"{MESSAGES}/")), "message_id"))


def _webhook(request: Request) -> RegisterWebhook:
    body = wire.load_object(request.body)
    url = wire.optional_url(body.get("url"), "url")
    events = [] if body.get("events") is None else body["events"]
    if not url:
        raise ValueError("“url” is missing.")
    if not isinstance(events, list):
        raise ValueError("“events” must be an array of event names.")
    return RegisterWebhook(url, tuple(wire.plain_text(event, "events") for event in events))


def _write_entry(outcome: Outcome) -> dict[str, Any]:
    entry: dict[str, Any] = {"to": outcome.number, "status": STATUS_WORDS.get(outcome.status, "queued")}
    entry |= {"message_id": outcome.provider_id} if outcome.provider_id else {}
    problem = outcome.problem or (None if outcome.taken else Problem("message_rejected"))
    return entry | _write_problem(outcome.status, problem)


def _write_message(info: MessageInfo) -> dict[str, Any]:
    times = {"sent_at": info.sent_at, "delivered_at": info.delivered_at}
    body: dict[str, Any] = {
        "message_id": info.id,
        "to": info.number,
        "from": info.sender,
        "message": info.text,
        "status": STATUS_WORDS.get(info.status, "queued"),
        **{name: moment and wire.write_time(moment) for name, moment in times.items()},
    }
    later = {"scheduled_at": wire.write_time(info.schedule)} if info.schedule else {}
    return body | later | _write_problem(info.status, info.problem)


def _write_problem(status: Status, problem: Problem | None) -> dict[str, Any]:
    """``error`` of a message that failed or expired; a canceled one always has it."""
    problem = CANCELED if status is Status.CANCELED else problem
    if problem is None or status not in (Status.FAILED, Status.EXPIRED, Status.CANCELED):
        return {}
    return {"error": {"code": WORDS.problem_code(problem.code), "message": problem.text}}


def _reply(status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {**JSON, **(headers or {})}, wire.dump_json(body))
