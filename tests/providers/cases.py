"""Tables and helpers that every provider's tests share.

A provider's test file says which operations, results and events its wire can carry; the rest stands here:
that both halves agree, what a broken answer means, and that no secret reaches a trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from providers import errors, registry
from providers.base import Adapter, Dialect
from providers.types import Account, Event, Operation, Reply, Request, Result, Trace

DATA = Path(__file__).parent / "data"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=utf-8"}


def data(kind: str, name: str) -> bytes:
    """A body of the provider's documentation, typed in: ``data/<kind>/<name>``."""
    return (DATA / kind / name).read_bytes()


def make_account(kind: str, credentials: Mapping[str, str] | None = None, sender: str = "") -> Account:
    """An account of a kind: the documented base URL, and each field's default or ``<kind>-<field>``."""
    adapter = registry.adapter_class(kind)
    defaults = {field.name: field.default or f"{kind}-{field.name}" for field in adapter.fields}
    return Account(adapter.base_url_example, {**defaults, **(credentials or {})}, sender)


class FakeTransport:
    """Stands where HTTP would be: keeps the requests, gives the answers in turn, raises those that are errors."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def make_adapter(
    kind: str, *answers: Reply | Exception, credentials: Mapping[str, str] | None = None, sender: str = ""
) -> Adapter:
    """An adapter that talks to ``answers``; its ``transport.requests`` are what it sent."""
    account = make_account(kind, credentials, sender)
    return registry.adapter_class(kind)(account, FakeTransport(*answers))


def make_dialect(kind: str) -> Dialect:
    return registry.dialect(kind)


def json_reply(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {**JSON, **(headers or {})}, body)


# Both halves of a wire agree.


def assert_round_trip(kind: str, op: Operation, result: Result) -> None:
    """The dialect reads the operation that the adapter wrote, and the adapter the result that the dialect wrote."""
    adapter, dialect = make_adapter(kind), make_dialect(kind)
    request = adapter.write(op)
    assert dialect.operation(request) == op
    assert dialect.credential(request).key == adapter.account.credentials["api_key"]
    assert adapter.read(op, dialect.write(op, result)) == result


def assert_error_round_trip(kind: str, op: Operation, error: errors.ProviderError) -> None:
    """The adapter raises the class, sentence and waiting time that the dialect refused with."""
    reply = make_dialect(kind).refuse(error)
    with pytest.raises(errors.ProviderError) as caught:
        make_adapter(kind).read(op, reply)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert caught.value.retry_after == error.retry_after


def assert_event_round_trip(kind: str, event: Event, secret: str, credentials: Mapping[str, str]) -> None:
    """The callback reads the event that the dialect wrote and signed. ``credentials`` hold the same secret."""
    request = make_dialect(kind).write_event(event, secret)
    assert request is not None
    assert make_adapter(kind, credentials=credentials).read_callback(request) == (event,)


def refusals() -> list[errors.ProviderError]:
    """One of each error that a caller of a served wire can be told, and that has to arrive as what it is."""
    return [
        errors.KeyRefused("This key is not known."),
        errors.NoCredits("Nothing is left."),
        errors.RateLimited("Slow down.", retry_after=7.0),
        errors.Unavailable("Come back.", retry_after=30.0),
        errors.Rejected("This number asked for no messages."),
        errors.InvalidNumber("“12” is not a phone number."),
        errors.TextTooLong("The text is too long."),
        errors.InvalidRequest("Something is missing."),
        errors.NotFound("There is no such thing."),
    ]


def refusal_params() -> list[object]:
    return [pytest.param(error, id=type(error).__name__) for error in refusals()]


# What an answer in nobody's words means.


@dataclass(frozen=True)
class ErrorCase:
    """An answer (or the transport's failure) and what has to be made of it."""

    name: str
    answer: Reply | errors.ProviderError
    error: type[errors.ProviderError]
    retry: bool = False
    maybe_taken: bool = False
    retry_after: float | None = None


_PAGE = b"<!DOCTYPE html><html><body><h1>Not what you wanted</h1></body></html>"
_WINDOW = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "3"}

_CASES = (
    ErrorCase("refused_key", Reply(401), errors.KeyRefused),
    ErrorCase("forbidden", Reply(403, HTML, _PAGE), errors.KeyRefused),
    ErrorCase("no_credits", Reply(402), errors.NoCredits),
    ErrorCase("rate_limit", Reply(429), errors.RateLimited, retry=True),
    ErrorCase("rate_limit_retry_after", Reply(429, {"retry-after": "12"}), errors.RateLimited, True, False, 12.0),
    ErrorCase("rate_limit_window", Reply(429, _WINDOW), errors.RateLimited, True, False, 3.0),
    ErrorCase("bad_request", Reply(400, HTML, _PAGE), errors.Rejected),
    ErrorCase("server_error", Reply(500, HTML, _PAGE), errors.Uncertain, maybe_taken=True),
    ErrorCase("bad_gateway", Reply(502, HTML, _PAGE), errors.Uncertain, maybe_taken=True),
    ErrorCase("unavailable", Reply(503, {"retry-after": "30"}, _PAGE), errors.Unavailable, True, False, 30.0),
    ErrorCase("gateway_timeout", Reply(504, HTML, _PAGE), errors.Uncertain, maybe_taken=True),
    ErrorCase("not_found_page", Reply(404, HTML, _PAGE), errors.WrongAddress),
    ErrorCase("redirect", Reply(302, {"location": "https://elsewhere.example/"}), errors.WrongAddress),
    ErrorCase("html_with_200", Reply(200, HTML, _PAGE), errors.BadAnswer, maybe_taken=True),
    ErrorCase("empty_with_200", Reply(200), errors.BadAnswer, maybe_taken=True),
    ErrorCase("not_utf8", json_reply(b'{"success": true, "x": "\xff"}'), errors.BadAnswer, maybe_taken=True),
    ErrorCase("null", json_reply(b"null"), errors.BadAnswer, maybe_taken=True),
    ErrorCase("number", json_reply(b"7"), errors.BadAnswer, maybe_taken=True),
    ErrorCase("list", json_reply(b"[]"), errors.BadAnswer, maybe_taken=True),
    ErrorCase("other_object", json_reply(b'{"hello": ["world"]}'), errors.BadAnswer, maybe_taken=True),
    ErrorCase("success_alone", json_reply(b'{"success": true}'), errors.BadAnswer, maybe_taken=True),
    ErrorCase("truncated_json", json_reply(b'{"success": true, "data": {"mess'), errors.BadAnswer, maybe_taken=True),
    ErrorCase("deep_json", json_reply(b"[" * 50_000), errors.BadAnswer, maybe_taken=True),
    ErrorCase("unreachable", errors.Unreachable("Connection refused"), errors.Unreachable, retry=True),
    ErrorCase("no_answer", errors.Uncertain("Read timed out"), errors.Uncertain, maybe_taken=True),
)


def error_cases(*, without: tuple[str, ...] = ()) -> list[object]:
    """The table as pytest parameters. ``without``: names of cases that mean something else on this wire."""
    assert set(without) <= {case.name for case in _CASES}
    return [pytest.param(case, id=case.name) for case in _CASES if case.name not in without]


def assert_error_case(kind: str, op: Operation, case: ErrorCase) -> None:
    """The call raises exactly that class, with its flags, and leaves one trace that says why."""
    adapter = make_adapter(kind, case.answer)
    traces: list[Trace] = []
    with pytest.raises(errors.ProviderError) as caught:
        adapter.call(op, traces)
    error = caught.value
    assert type(error) is case.error
    assert (error.retry, error.maybe_taken, error.retry_after) == (case.retry, case.maybe_taken, case.retry_after)
    assert len(traces) == 1
    assert traces[0].error == str(error) != ""
    assert traces[0].status == (case.answer.status if isinstance(case.answer, Reply) else None)


# No secret leaves.


def assert_no_secret_in_trace(kind: str, op: Operation, reply: Reply) -> None:
    """Neither the request nor an answer that repeats the secrets shows one in the trace."""
    credentials = {field.name: f'S3cret/{field.name} +&"\\é' for field in registry.adapter_class(kind).fields}
    adapter = make_adapter(kind, credentials=credentials)
    request = adapter.write(op)
    echo = Reply(reply.status, dict(request.headers), request.body + repr(request.query).encode() + reply.body)
    adapter.transport = FakeTransport(echo)
    traces: list[Trace] = []
    with pytest.raises(errors.ProviderError) as caught:
        adapter.call(op, traces)
    assert "S3cret" not in repr(traces) + str(caught.value)
