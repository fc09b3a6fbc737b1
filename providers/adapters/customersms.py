"""customersms: one JSON POST for everything, the key in the body, a result per number, and nothing to ask later.

The last thing that can be known of a message is that it was sent: no status can be read, nothing is posted back.
Of the error codes only INVALID_API_KEY is documented; the others are ours in its style. An error may come with any
HTTP status, 200 included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import base, errors, wire
from ..types import (
    Credential,
    Feature,
    Field,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    Rate,
    Reply,
    Request,
    Send,
    SendResult,
    Status,
)
from ..words import Words, retry_header

PATH = "/sms_system/api.php"
PATHS = frozenset({PATH, "/api.php"})  # both stand in the documentation; the second only in its first example
JSON = {"content-type": "application/json"}

WORDS = Words(
    {
        "INVALID_API_KEY": (errors.KeyRefused, 401),
        "INSUFFICIENT_CREDITS": (errors.NoCredits, 402),
        "RATE_LIMIT_EXCEEDED": (errors.RateLimited, 429),
        "INVALID_PHONE_NUMBER": (errors.InvalidNumber, 400),
        "MESSAGE_TOO_LONG": (errors.TextTooLong, 400),
        "INVALID_REQUEST": (errors.InvalidRequest, 400),
        "MISSING_PARAMETER": (errors.InvalidRequest, 400),
        "MESSAGE_REJECTED": (errors.Rejected, 400),
        "OPTED_OUT": (errors.OptedOut, 400),
        "NOT_FOUND": (errors.NotFound, 404),
        "METHOD_NOT_ALLOWED": (errors.NotFound, 405),
        "SERVICE_UNAVAILABLE": (errors.Unavailable, 503),
        "INTERNAL_ERROR": (errors.Uncertain, 500),
    }
)


class Adapter(base.Adapter):
    kind = "customersms"
    label = "Customer SMS"
    doc_url = "https://customersms.pro/"
    base_url_example = "https://customersms.pro"
    supports = frozenset({Feature.SEND})
    fields = (Field("api_key", "API key", help="It starts with cspro_."),)
    rates = (Rate(100, 60), Rate(5_000, 3_600), Rate(50_000, 86_400))
    max_batch = 100  # not documented; ours

    def write_send(self, op: Send) -> Request:
        numbers = [message.number for message in op.messages]
        body = {
            "api_key": self.account.credentials["api_key"],
            "phone": numbers[0] if len(numbers) == 1 else numbers,
            "message": op.messages[0].text,
        }
        return Request("POST", PATH, headers=JSON, body=wire.dump_json(body))

    def read_send(self, op: Send, reply: Reply) -> SendResult:
        body = wire.load_object(reply.body)
        entries = [entry for entry in body["results"] if {"phone", "success"} <= entry.keys()]
        matched = base.matched(op, entries, lambda entry: str(entry["phone"]))
        outcomes = (_read_entry(message, entry) for message, entry in zip(op.messages, matched, strict=True))
        return SendResult(tuple(outcomes), credits=wire.read_credits(body, "remaining_credits"))

    def read_error(self, op: Operation, reply: Reply) -> errors.ProviderError | None:
        """An error names its code; an answer with results is none, even when every number was refused."""
        body = wire.load_object(reply.body)
        if wire.truth(body.get("success", True)) or body.get("results"):
            return None
        problem = _read_problem(body)
        return WORDS.read(problem.code, problem.text, reply)


def _read_entry(message: Outgoing, entry: dict[str, Any] | None) -> Outcome:
    if entry is None:
        return base.left_out(message)
    taken = wire.truth(entry["success"])
    problem = _read_problem(entry)
    return Outcome(
        Status.SENT if taken else Status.FAILED,
        ref=message.ref,
        number=message.number,
        provider_id=str(entry.get("message_id") or ""),
        problem=None if taken else problem,
    )


def _read_problem(body: Mapping[str, Any]) -> Problem:
    """``error`` is a sentence, or an object with the sentence and the code in it."""
    error = body.get("error")
    found = {**body, "error": None, **error} if isinstance(error, dict) else body
    return Problem(str(found.get("code") or ""), str(found.get("error") or found.get("message") or ""))


class Dialect(base.Dialect):
    kind = "customersms"
    paths = tuple(sorted(PATHS))

    def credential(self, request: Request) -> Credential:
        key = _body(request).get("api_key")
        if not isinstance(key, str) or not key:
            raise errors.KeyRefused("The API key is missing: give it as “api_key” in the JSON body.")
        return Credential(key)

    def operation(self, request: Request) -> Send:
        body = _body(request)
        for name in ("phone", "message"):
            if body.get(name) in (None, "", []):
                raise errors.InvalidRequest(f"“{name}” is missing.", code="MISSING_PARAMETER")
        try:
            text = wire.plain_text(body["message"], "message")
            numbers = wire.recipients(body["phone"], "phone")
        except ValueError as error:
            raise errors.InvalidRequest(str(error)) from error
        return Send(tuple(Outgoing(number, text) for number in numbers))

    def write_send(self, op: Send, result: SendResult) -> Reply:
        """``success`` is false only when no number was taken; the first reason then stands beside it."""
        entries = [_write_entry(outcome) for outcome in result.outcomes]
        taken = sum(outcome.taken for outcome in result.outcomes)
        body: dict[str, Any] = {
            "success": taken > 0,
            "message": "SMS sending completed",
            "total_numbers": len(entries),
            "successful_sends": taken,
            "failed_sends": len(entries) - taken,
        }
        body |= wire.write_credits("remaining_credits", result.credits)
        if not taken:
            body |= {name: entries[0][name] for name in ("error", "code")}
        return _reply(200, body | {"results": entries})

    def refuse(self, error: errors.ProviderError) -> Reply:
        body = {"success": False, "error": str(error), "code": WORDS.code(error)}
        return _reply(WORDS.status(error), body, retry_header(error))


def _body(request: Request) -> dict[str, Any]:
    if request.path not in PATHS:
        raise errors.NotFound(f"There is nothing at this address. Post to {PATH}.")
    if request.method != "POST":
        raise errors.NotFound(f"{PATH} takes POST only.", code="METHOD_NOT_ALLOWED")
    try:
        return wire.load_object(request.body)
    except ValueError as error:
        raise errors.InvalidRequest(str(error)) from error


def _write_entry(outcome: Outcome) -> dict[str, object]:
    entry: dict[str, object] = {"phone": outcome.number, "success": outcome.taken}
    if outcome.provider_id:
        entry["message_id"] = outcome.provider_id
    if not outcome.taken:
        problem = outcome.problem or Problem("MESSAGE_REJECTED")
        entry |= {"error": problem.text, "code": WORDS.problem_code(problem.code)}
    return entry


def _reply(status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {**JSON, **(headers or {})}, wire.dump_json(body))
