"""What is answered when something is wrong: always JSON, always the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from ninja import Schema
from pydantic import Field

from providers import errors, wire
from providers.words import retry_header

from ..access import FORBIDDEN

JSON = "application/json"
CODES: Mapping[type[errors.ProviderError], tuple[int, str]] = {
    errors.KeyRefused: (401, "authentication_failed"),
    errors.NoCredits: (402, "insufficient_credits"),
    errors.RateLimited: (429, "rate_limit_exceeded"),
    errors.InvalidNumber: (422, "invalid_phone_number"),
    errors.TextTooLong: (422, "message_too_long"),
    errors.NotFound: (404, "not_found"),
    errors.Rejected: (422, "invalid_request"),
    errors.Unsupported: (422, "invalid_request"),
    errors.ProviderError: (409, "conflict"),
}
OWN = ("idempotency_key_reused", "invalid_idempotency_key")  # codes that go out as they are
STATUSES = frozenset({400, 401, 402, 403, 404, 409, 413, 415, 422, 429})


class ErrorBody(Schema):
    code: str = Field(description="A word for programs.", examples=["not_found"])
    message: str = Field(description="A sentence for people.", examples=["There is no message with this id."])


class Error(Schema):
    """Nothing was done."""

    success: bool = Field(examples=[False])
    error: ErrorBody


class Conflict(errors.ProviderError):
    """It cannot be done as things are now: the state is another one, or something is in the way."""


def missing(what: str) -> errors.NotFound:
    return errors.NotFound(f"There is no {what} with this id, or this API key may not see it.")


def refuse(error: errors.ProviderError) -> HttpResponse:
    status, code = next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)
    if error.code in OWN:
        code = error.code
    if error.code == FORBIDDEN:
        status, code = 403, "forbidden"
    return answer(status, code, str(error), retry_header(error))


def answer(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    body: dict[str, Any] = {"success": False, "error": {"code": code, "message": message}}
    return HttpResponse(wire.dump_json(body), status=status, content_type=JSON, headers=dict(headers or {}))


def answers(body: Any, status: int = 200) -> dict[Any, Any]:
    """The ``response`` of an operation: what it answers, and that it may refuse."""
    return {status: body, STATUSES: Error}
