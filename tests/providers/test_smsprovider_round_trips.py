"""The two halves of the smsprovider wire against each other, and against anything at all."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.adapters.smsprovider import CANCELED
from providers.types import (
    AccountInfo,
    GetAccount,
    MessageInfo,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    ReadMessages,
    RegisterWebhook,
    Request,
    Result,
    Send,
    SendResult,
    Status,
    WebhookInfo,
)

from . import cases
from .strategies import balances, bodies, moments, numbers, texts

KIND = "smsprovider"
ONE = Send((Outgoing("+1234567890", "Hi"),))
TWO = Send((Outgoing("+1234567890", "Hi"), Outgoing("+9876543210", "Hi")))
HOOK = RegisterWebhook("https://your-server.com/sms-webhook", ("message.delivered", "message.failed"))
DIALECT = cases.make_dialect(KIND)


odd_ids = st.text("abcXYZ0123_/ %é", min_size=1, max_size=12).map(lambda text: f"m{text}z")
problems = st.builds(Problem, st.sampled_from(["invalid_phone_number", "spam"]), texts)
statuses = st.sampled_from([Status.QUEUED, Status.SENT, Status.DELIVERED, Status.FAILED, Status.EXPIRED])
pairs_of_times = st.fixed_dictionaries({name: st.none() | moments for name in ("sent_at", "delivered_at", "schedule")})
hooks = st.builds(RegisterWebhook, st.just("https://x.example/é?a=b"), st.lists(texts, max_size=3).map(tuple))


@st.composite
def sends(draw: st.DrawFn) -> tuple[Operation, Result]:
    text, found = draw(texts), draw(st.lists(numbers, min_size=1, max_size=6))
    taken = Outcome(draw(st.sampled_from([Status.QUEUED, Status.SENT])), provider_id=draw(odd_ids))
    refused = Outcome(Status.FAILED, problem=draw(problems))
    chosen = [taken, *(draw(st.sampled_from([taken, refused])) for _ in found[1:])]
    outcomes = tuple(replace(outcome, number=number) for outcome, number in zip(chosen, found, strict=True))
    op = Send(
        tuple(Outgoing(number, text) for number in found),
        sender=draw(st.just("") | texts),
        schedule=draw(st.none() | moments),
        callback_url=draw(st.sampled_from(["", "https://x.example/cb"])),
    )
    return op, SendResult(outcomes, draw(balances), draw(st.none() | st.integers(0, 99).map(Decimal)))


@st.composite
def lookups(draw: st.DrawFn) -> tuple[Operation, Result]:
    status = draw(statuses | st.just(Status.CANCELED))
    problem = draw(problems) if status is Status.FAILED else None
    info = MessageInfo(draw(odd_ids), draw(numbers), draw(texts), status, problem=problem, **draw(pairs_of_times))
    return ReadMessages(id=info.id), (info,)


others = st.tuples(st.just(GetAccount()), st.builds(AccountInfo, balances, texts, texts)) | hooks.flatmap(
    lambda op: st.tuples(st.just(op), st.builds(WebhookInfo, odd_ids, st.just(op.url), st.just(op.events), texts))
)


@given(sends() | lookups() | others)
def test_it_reads_what_it_writes(pair: tuple[Operation, Result]) -> None:
    cases.assert_round_trip(KIND, *pair)


def test_it_ends_a_canceled_message_with_a_documented_word() -> None:
    info = MessageInfo("m1", "+1234567890", "Hi", Status.CANCELED)
    body = json.loads(DIALECT.write(ReadMessages(id="m1"), (info,)).body)
    assert (body["status"], body["error"]["code"]) == ("failed", CANCELED.code)


requests = bodies("to", "message", "from", "scheduled_at", "callback_url", "url", "events")
answers = bodies("success", "error", "status", "messages", "results", "message_id", "to", "webhook_id", "credits")


@given(st.sampled_from(["GET", "POST"]), st.sampled_from(["/messages", "/messages/a%00", "/webhooks", "/x"]), requests)
def test_no_request_raises_anything_but_a_provider_error(method: str, path: str, body: bytes) -> None:
    try:
        DIALECT.operation(Request(method, path, headers=cases.JSON, body=body))
    except errors.ProviderError as error:
        assert str(error)


@given(st.sampled_from([ONE, TWO, GetAccount(), ReadMessages(id="x"), HOOK]), answers)
def test_no_answer_raises_anything_but_a_provider_error(op: Operation, body: bytes) -> None:
    try:
        cases.make_adapter(KIND).read(op, cases.json_reply(body))
    except errors.ProviderError as error:
        assert str(error)
