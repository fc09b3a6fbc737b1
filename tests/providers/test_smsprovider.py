"""The smsprovider wire: its documented bodies, both halves against each other, and what nobody should send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from providers import errors
from providers.base import rate_state
from providers.types import (
    Credential,
    Credits,
    Feature,
    GetAccount,
    MessageInfo,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    RateState,
    ReadMessages,
    RegisterWebhook,
    Reply,
    Request,
    Send,
    SendResult,
    SentRef,
    Status,
    WebhookInfo,
)

from . import cases

KIND = "smsprovider"
ID = "msg_5f8d2b38c4a7f"
ONE = Send((Outgoing("+1234567890", "Hello from SMS Provider!", "a"),), sender="YourBrand")
TWO = Send(tuple(Outgoing(number, "Bulk message from SMS Provider!") for number in ("+1234567890", "+9876543210")))
HOOK = RegisterWebhook("https://your-server.com/sms-webhook", ("message.delivered", "message.failed"))
NOON = datetime(2023, 12, 1, 12, tzinfo=UTC)
DIALECT = cases.make_dialect(KIND)


def ask(method: str, path: str, body: Any = None, headers: Mapping[str, str] = cases.JSON) -> Request:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return Request(method, path, headers=headers, body=raw)


def post(**members: Any) -> Request:
    return ask("POST", "/messages", {"to": "+1234567890", "message": "Hi", **members})


def read(op: Operation, body: object, status: int = 200) -> Any:
    return cases.make_adapter(KIND).read(op, cases.json_reply(json.dumps(body).encode(), status))


def documented(name: str) -> Any:
    return json.loads(cases.data(KIND, name))


def test_it_writes_the_documented_request() -> None:
    request = cases.make_adapter(KIND, credentials={"api_key": "YOUR_API_KEY"}).write(ONE)
    assert (request.method, request.path) == ("POST", "/messages")
    assert request.headers == {"authorization": "Bearer YOUR_API_KEY", "content-type": "application/json"}
    assert request.body == b'{"to":"+1234567890","message":"Hello from SMS Provider!","from":"YourBrand"}'
    assert json.loads(request.body) == documented("send_one.json")


def test_it_writes_several_numbers_as_an_array() -> None:
    assert json.loads(cases.make_adapter(KIND).write(TWO).body) == documented("send_array.json")


def test_it_writes_a_schedule_in_utc_and_the_accounts_own_sender() -> None:
    moment = datetime(2023, 12, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    op = Send(TWO.messages, schedule=moment, callback_url="https://here.example/c")
    body = json.loads(cases.make_adapter(KIND, sender="Brand").write(op).body)
    assert body["scheduled_at"] == "2023-12-01T12:00:00Z"
    assert (body["from"], body["callback_url"]) == ("Brand", "https://here.example/c")


def test_it_reads_the_documented_answer() -> None:
    result = cases.make_adapter(KIND, cases.json_reply(cases.data(KIND, "sent.json"))).send(ONE)
    assert result == SendResult(
        (Outcome(Status.QUEUED, number="+1234567890", provider_id=ID),), Credits(Decimal(1229)), Decimal(1)
    )
    assert result.outcomes[0].ref == "a"


def test_it_reads_one_id_for_an_array_as_everybodys() -> None:
    outcomes = read(TWO, documented("sent.json")).outcomes
    assert [(o.number, o.provider_id) for o in outcomes] == [("+1234567890", ID), ("+9876543210", ID)]


@pytest.mark.parametrize("name", ["messages", "results"])
@pytest.mark.parametrize("number", ["to", "phone", "number"])
@pytest.mark.parametrize("key", ["message_id", "id"])
def test_it_reads_an_id_for_each_number(name: str, number: str, key: str) -> None:
    items = [{number: "9876543210", key: "m2"}, {number: "+1234567890", key: "m1", "status": "Sent"}]
    outcomes = read(TWO, {"success": True, name: items}).outcomes
    assert [(o.number, o.provider_id) for o in outcomes] == [("+1234567890", "m1"), ("+9876543210", "m2")]
    assert [o.status for o in outcomes] == [Status.SENT, Status.QUEUED]


@pytest.mark.parametrize("refusal", [
    {"error": {"code": "invalid_phone_number", "message": "No."}},
    {"status": "failed", "error": {"code": "invalid_phone_number", "message": "No."}},
    {"success": False, "error": {"code": "invalid_phone_number", "message": "No."}},
])  # fmt: skip
def test_it_reads_one_numbers_refusal(refusal: dict[str, Any]) -> None:
    items = [{"to": "+1234567890", "message_id": "m1"}, {"to": "+9876543210", **refusal}]
    taken, refused = read(TWO, {"success": True, "message_id": ID, "messages": items}).outcomes
    assert (taken.status, taken.provider_id) == (Status.QUEUED, "m1")
    assert (refused.status, refused.provider_id) == (Status.FAILED, "")
    assert refused.problem == Problem("invalid_phone_number", "No.")


def test_it_says_of_an_unmentioned_number_that_it_may_be_out() -> None:
    items = [{"to": "+1234567890", "message_id": "m1"}]
    assert [o.status for o in read(TWO, {"messages": items}).outcomes] == [Status.QUEUED, Status.UNCERTAIN]


def test_it_reads_the_documented_message() -> None:
    request = cases.make_adapter(KIND).write(ReadMessages(id=ID))
    assert (request.method, request.path, request.body) == ("GET", f"/messages/{ID}", b"")
    [info] = read(ReadMessages(id=ID), documented("message.json"))
    assert info == MessageInfo(
        ID, "+1234567890", "Hello from SMS Provider!", Status.DELIVERED, sender="YourBrand",
        sent_at=datetime(2023, 12, 1, 15, 23, 45, tzinfo=UTC),
        delivered_at=datetime(2023, 12, 1, 15, 23, 48, tzinfo=UTC),
    )  # fmt: skip


@pytest.mark.parametrize("shape", [
    {"to": ["+1234567890", "9876543210"], "status": "Expired"},
    {"status": "expired", "messages": [{"to": "+1234567890"}, {"to": "+9876543210"}]},
])  # fmt: skip
def test_it_reads_every_recipient_of_a_shared_id(shape: dict[str, Any]) -> None:
    found = read(ReadMessages(id=ID), {"message_id": ID, **shape})
    assert [(i.id, i.number, i.status) for i in found] == [
        (ID, "+1234567890", Status.EXPIRED), (ID, "+9876543210", Status.EXPIRED),
    ]  # fmt: skip


def test_it_reads_an_undocumented_status_as_unknown() -> None:
    [info] = read(ReadMessages(id=ID), {**documented("message.json"), "status": "teleported"})
    assert info.status is Status.UNKNOWN


def test_it_asks_for_a_shared_id_once() -> None:
    sent = [SentRef("m1", number="+1"), SentRef("m1", number="+2"), SentRef("", number="+3"), SentRef("m2")]
    assert cases.make_adapter(KIND).polls(sent) == (ReadMessages(id="m1"), ReadMessages(id="m2"))


def test_it_refuses_to_search() -> None:
    with pytest.raises(errors.Unsupported):
        cases.make_adapter(KIND).write(ReadMessages(status=Status.SENT))


@pytest.mark.parametrize("name", ["credits_remaining", "credits", "balance"])
def test_it_reads_a_balance_under_any_likely_name(name: str) -> None:
    assert read(GetAccount(), {name: 12}).credits == Credits(Decimal(12))


def test_it_registers_the_documented_webhook() -> None:
    request = cases.make_adapter(KIND).write(HOOK)
    assert (request.path, json.loads(request.body)) == ("/webhooks", documented("webhook.json"))
    assert read(HOOK, {"id": 5}, 201) == WebhookInfo("5", HOOK.url, HOOK.events)


@pytest.mark.parametrize("status", [200, 402, 422])
def test_it_reads_the_documented_error(status: int) -> None:
    with pytest.raises(errors.NoCredits, match="Your account has insufficient credits") as caught:
        read(ONE, documented("refused.json"), status)
    assert caught.value.code == "insufficient_credits"


@pytest.mark.parametrize(
    ("code", "expected"),
    [("authentication_failed", errors.KeyRefused), ("invalid_phone_number", errors.InvalidNumber),
     ("message_too_long", errors.TextTooLong), ("rate_limit_exceeded", errors.RateLimited), ("spam", errors.Rejected)],
)  # fmt: skip
def test_it_knows_the_documented_codes(code: str, expected: type[errors.ProviderError]) -> None:
    with pytest.raises(errors.ProviderError, match="Why") as caught:
        read(ONE, {"success": False, "error": {"code": code, "message": "Why"}}, 422)
    assert (type(caught.value), caught.value.code) == (expected, code)


def test_it_does_not_take_an_unknown_id_for_a_wrong_address() -> None:
    with pytest.raises(errors.NotFound):
        read(ReadMessages(id="x"), {"success": False, "error": {"code": "no_such_message", "message": "?"}}, 404)


def test_it_reads_the_window_of_a_refusal_in_its_own_words() -> None:
    body = json.dumps({"success": False, "error": {"code": "rate_limit_exceeded", "message": "Slow"}}).encode()
    headers = {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}
    with pytest.raises(errors.RateLimited) as caught:
        cases.make_adapter(KIND).read(ONE, cases.json_reply(body, 429, headers))
    assert (caught.value.retry_after, caught.value.state) == (1.0, RateState(10, 0, 1))


@pytest.mark.parametrize("op", [ONE, TWO, GetAccount(), ReadMessages(id="x"), HOOK], ids=lambda op: op.verb)
@pytest.mark.parametrize("case", cases.error_cases())
def test_it_knows_what_a_broken_answer_means(op: Operation, case: cases.ErrorCase) -> None:
    cases.assert_error_case(KIND, op, case)


@pytest.mark.parametrize("op", [ONE, GetAccount()], ids=lambda op: op.verb)
def test_it_shows_the_key_to_nobody(op: Operation) -> None:
    cases.assert_no_secret_in_trace(KIND, op, Reply(500, {}, b"x" * 30_000))


def test_it_reads_the_documented_requests() -> None:
    headers = {"authorization": "Bearer YOUR_API_KEY", **cases.JSON}
    one = ask("POST", "/messages", cases.data(KIND, "send_one.json"), headers)
    assert DIALECT.credential(one) == Credential("YOUR_API_KEY")
    assert DIALECT.operation(one) == ONE
    assert DIALECT.operation(ask("POST", "/messages", cases.data(KIND, "send_array.json"))) == TWO
    assert DIALECT.operation(ask("GET", f"/messages/{ID}")) == ReadMessages(id=ID)
    assert DIALECT.operation(ask("GET", "/account")) == GetAccount()
    assert DIALECT.operation(ask("POST", "/webhooks", cases.data(KIND, "webhook.json"))) == HOOK


def test_it_writes_the_documented_answers() -> None:
    outcome = Outcome(Status.QUEUED, number="+1234567890", provider_id=ID)
    reply = DIALECT.write(ONE, SendResult((outcome,), Credits(Decimal(1229)), Decimal(1)))
    assert json.loads(reply.body) == documented("sent.json")
    [info] = read(ReadMessages(id=ID), documented("message.json"))
    assert json.loads(DIALECT.write(ReadMessages(id=ID), (info,)).body) == documented("message.json")
    refused = DIALECT.refuse(errors.NoCredits("Your account has insufficient credits"))
    assert (refused.status, json.loads(refused.body)) == (402, documented("refused.json"))


def test_it_answers_an_array_with_the_documented_top_and_an_entry_for_each() -> None:
    refusal = Problem("invalid_number", "No.")
    outcomes = (Outcome(Status.FAILED, number="+1234567890", problem=refusal),
                Outcome(Status.QUEUED, number="+9876543210", provider_id="m2"))  # fmt: skip
    body = json.loads(DIALECT.write(TWO, SendResult(outcomes, Credits(Decimal(8)), Decimal(1))).body)
    assert {name: body[name] for name in documented("sent.json")} == {
        "success": True, "message_id": "m2", "credits_used": 1, "credits_remaining": 8, "status": "queued",
    }  # fmt: skip
    assert body["messages"] == [
        {"to": "+1234567890", "status": "failed", "error": {"code": "invalid_phone_number", "message": "No."}},
        {"to": "+9876543210", "status": "queued", "message_id": "m2"},
    ]


def test_it_answers_a_lone_refusal_with_the_documented_error() -> None:
    refused = Outcome(Status.FAILED, number="+1234567890", problem=Problem("invalid_number", "No."))
    with pytest.raises(errors.InvalidNumber, match=r"No\."):
        DIALECT.write(ONE, SendResult((refused,)))


def test_it_writes_the_rate_headers_on_every_answer() -> None:
    reply = DIALECT.with_limits(DIALECT.refuse(errors.KeyRefused()), RateState(10, 9, 1))
    assert rate_state(reply.headers) == RateState(10, 9, 1)
    assert DIALECT.with_limits(reply, None) is reply


@pytest.mark.parametrize("number", ["+11234567890", "+1234567890", "+9876543210", "12812345678"])
def test_it_takes_the_documented_numbers(number: str) -> None:
    assert DIALECT.operation(post(to=number)) == Send((Outgoing("+" + number.lstrip("+"), "Hi"),))


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2023-12-01T12:00:00Z", NOON), ("2023-12-01T12:00:00", NOON), ("2023-12-01T14:00:00+02:00", NOON),
     ("2023-12-01T14:00:00.000+0200", NOON), (None, None), ("", None)],
)  # fmt: skip
def test_it_reads_a_schedule_with_and_without_a_zone(text: str | None, moment: datetime | None) -> None:
    op = DIALECT.operation(post(scheduled_at=text))
    assert isinstance(op, Send) and op.schedule == moment


@pytest.mark.parametrize("members", [
    {"to": 5.5}, {"to": {}}, {"to": []}, {"to": [None]}, {"to": ""}, {"to": None}, {"to": [["+1234567890"]]},
    {"to": "+1234567890\0"}, {"to": ["+1234567890"] * 5_001},
    {"message": ""}, {"message": None}, {"message": 5}, {"message": {}}, {"message": "a\0b"}, {"message": "\ud800"},
    {"from": 5}, {"from": ["x"]}, {"from": "a\0"},
    {"scheduled_at": "tomorrow"}, {"scheduled_at": 5}, {"scheduled_at": "0001-01-01T00:00:00+14:00"},
    {"callback_url": "javascript:alert(1)"}, {"callback_url": 5},
])  # fmt: skip
def test_it_refuses_bad_parameters_with_a_sentence(members: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest, match=r"\.$") as caught:
        DIALECT.operation(post(**members))
    reply = DIALECT.refuse(caught.value)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"text"', b"[" * 100_000, b'{"a": NaN}'])
@pytest.mark.parametrize("path", ["/messages", "/webhooks"])
def test_it_refuses_a_body_that_is_no_object(path: str, body: bytes) -> None:
    with pytest.raises(errors.InvalidRequest):
        DIALECT.operation(ask("POST", path, body))


@pytest.mark.parametrize("members", [{"url": None}, {"url": 5}, {"url": "ftp://x"}, {"events": "all"}, {"events": [5]}])
def test_it_refuses_a_bad_webhook(members: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest):
        DIALECT.operation(ask("POST", "/webhooks", {"url": "https://x.example/", "events": [], **members}))


def test_it_takes_1600_characters_and_no_more() -> None:
    assert DIALECT.operation(post(message="é" * 1_600))
    with pytest.raises(errors.TextTooLong) as caught:
        DIALECT.operation(post(message="é" * 1_601))
    assert json.loads(DIALECT.refuse(caught.value).body)["error"]["code"] == "message_too_long"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "YOUR_API_KEY"])
def test_it_refuses_a_missing_key(header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    with pytest.raises(errors.KeyRefused) as caught:
        DIALECT.credential(ask("GET", "/account", headers=headers))
    assert DIALECT.refuse(caught.value).status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/webhooks", 405), ("DELETE", f"/messages/{ID}", 405), ("PUT", "/account", 405), ("GET", "/nothing", 404)],
)
def test_it_refuses_other_methods_and_addresses(method: str, path: str, status: int) -> None:
    with pytest.raises(errors.NotFound) as caught:
        DIALECT.operation(ask(method, path))
    assert DIALECT.refuse(caught.value).status == status


def test_it_has_nothing_to_say_of_an_unknown_id() -> None:
    with pytest.raises(errors.NotFound):
        DIALECT.write(ReadMessages(id="x"), ())


def test_it_claims_only_what_the_wire_can_say() -> None:
    supports = cases.make_adapter(KIND).supports
    assert {Feature.SCHEDULE, Feature.REPORTS, Feature.WEBHOOKS, Feature.STATUS} <= supports
    assert not {Feature.USSD, Feature.DEVICES, Feature.INBOUND, Feature.SEARCH} & supports


@pytest.mark.parametrize("error", cases.refusal_params())
def test_it_reads_each_refusal_as_it_was_written(error: errors.ProviderError) -> None:
    cases.assert_error_round_trip(KIND, ONE, error)
