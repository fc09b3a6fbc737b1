"""The customersms wire: its documented bodies, both halves against each other, and what nobody should send."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.adapters.customersms import PATH
from providers.serving import handle, serve
from providers.types import (
    Credential,
    Credits,
    Feature,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    RateState,
    Reply,
    Request,
    Result,
    Send,
    SendResult,
    Status,
)

from . import cases
from .strategies import balances, bodies, ids, numbers, texts

KIND = "customersms"
ONE = Send((Outgoing("+12125551234", "Hello World!"),))
TWO = Send(tuple(Outgoing(number, "Hello from customersms.pro!") for number in ("+12125551234", "+13235554567")))
THREE = Send(
    tuple(Outgoing(number, "Hi", ref) for number, ref in (("+1111111", "a"), ("+2222222", "b"), ("+3333333", "c")))
)
DIALECT = cases.make_dialect(KIND)


def post(body: bytes, path: str = PATH, method: str = "POST") -> Request:
    return Request(method, path, headers=cases.JSON, body=body)


def ask(**members: Any) -> Request:
    return post(json.dumps({"api_key": "k", "phone": "+12125551234", "message": "Hi", **members}).encode())


def read(op: Send, *entries: Any, **top: Any) -> SendResult:
    body = json.dumps({"success": True, "results": entries, **top}).encode()
    result = cases.make_adapter(KIND).read(op, cases.json_reply(body))
    assert isinstance(result, SendResult)
    return result


def test_it_writes_one_number_as_a_string() -> None:
    adapter = cases.make_adapter(KIND, credentials={"api_key": "your_api_key_here"})
    request = adapter.write(ONE)
    assert (request.method, request.path) == ("POST", "/sms_system/api.php")
    assert request.headers == {"content-type": "application/json"}
    assert request.body == b'{"api_key":"your_api_key_here","phone":"+12125551234","message":"Hello World!"}'
    assert json.loads(request.body) == json.loads(cases.data(KIND, "send_one.json"))


def test_it_writes_several_numbers_as_an_array() -> None:
    adapter = cases.make_adapter(KIND, credentials={"api_key": "your_api_key_here"})
    assert json.loads(adapter.write(TWO).body) == json.loads(cases.data(KIND, "send_array.json"))


def test_it_reads_the_documented_answer() -> None:
    adapter = cases.make_adapter(KIND, cases.json_reply(cases.data(KIND, "sent.json")))
    result = adapter.send(TWO)
    assert [(o.number, o.status, o.provider_id) for o in result.outcomes] == [
        ("+12125551234", Status.SENT, "msg_123456"),
        ("+13235554567", Status.SENT, "msg_123457"),
    ]
    assert result.credits == Credits(Decimal(98))


@pytest.mark.parametrize("status", [200, 400, 401, 403, 500])
def test_it_reads_the_documented_refusal_with_any_http_status(status: int) -> None:
    reply = cases.json_reply(cases.data(KIND, "refused.json"), status)
    with pytest.raises(errors.KeyRefused, match="Invalid or inactive API key") as caught:
        cases.make_adapter(KIND).read(ONE, reply)
    assert caught.value.code == "INVALID_API_KEY"


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, errors.Rejected), (400, errors.Rejected), (401, errors.KeyRefused), (404, errors.NotFound),
     (429, errors.RateLimited), (500, errors.Uncertain)],
)  # fmt: skip
def test_it_reads_an_unknown_code_by_the_http_status(status: int, expected: type[errors.ProviderError]) -> None:
    reply = cases.json_reply(b'{"success": false, "error": "Blocked content", "code": "SPAM"}', status)
    with pytest.raises(errors.ProviderError, match="Blocked content") as caught:
        cases.make_adapter(KIND).read(ONE, reply)
    assert (type(caught.value), caught.value.code) == (expected, "SPAM")


def test_it_keeps_each_numbers_own_refusal() -> None:
    refused = {"phone": "+2222222", "success": False, "error": "Blacklisted", "code": "BLACKLISTED"}
    result = read(THREE, {"phone": "+1111111", "success": True, "message_id": 7}, refused,
                  {"phone": "+3333333", "success": True})  # fmt: skip
    assert [o.status for o in result.outcomes] == [Status.SENT, Status.FAILED, Status.SENT]
    assert [o.provider_id for o in result.outcomes] == ["7", "", ""]
    assert result.outcomes[1].problem == Problem("BLACKLISTED", "Blacklisted")


@pytest.mark.parametrize(
    ("answered", "ids"),
    [
        (["+1111111", "+2222222", "+3333333"], ["0", "1", "2"]),
        (["+3333333", "+1111111", "+2222222"], ["1", "2", "0"]),
        (["3333333", "1 111-111", "002222222"], ["1", "2", "0"]),
        (["+1111111", "national", "+3333333"], ["0", "1", "2"]),
        (["+3333333", "+1111111"], ["1", None, "0"]),
        (["+1111111", "+1111111", "+3333333"], ["0", None, "2"]),
        (["+9999999", "+1111111"], ["1", None, None]),
        (["+1111111", "+2222222", "+3333333", "+4444444"], ["0", "1", "2"]),
    ],
)
def test_it_matches_results_to_messages(answered: list[str], ids: list[str | None]) -> None:
    entries = [{"phone": phone, "success": True, "message_id": str(place)} for place, phone in enumerate(answered)]
    outcomes = read(THREE, *entries).outcomes
    assert [outcome.provider_id or None for outcome in outcomes] == ids
    assert [outcome.ref for outcome in outcomes] == ["a", "b", "c"]
    assert [outcome.status is Status.UNCERTAIN for outcome in outcomes] == [found is None for found in ids]


def test_it_gives_the_same_number_twice_its_two_results() -> None:
    op = Send((Outgoing("+1111111", "Hi", "a"), Outgoing("+1111111", "Hi", "b")))
    result = read(op, *({"phone": "+1111111", "success": True, "message_id": name} for name in ("x", "y")))
    assert [(outcome.ref, outcome.provider_id) for outcome in result.outcomes] == [("a", "x"), ("b", "y")]


def test_it_says_of_an_unmentioned_number_that_it_may_be_out() -> None:
    [outcome] = read(ONE, *[]).outcomes
    assert outcome.status is Status.UNCERTAIN
    assert outcome.problem and "may have taken" in outcome.problem.text


@pytest.mark.parametrize(
    ("value", "expected"),
    [(98, Credits(Decimal(98))), ("12.50", Credits(Decimal("12.50"))), (-3, Credits(Decimal(-3))),
     (0, Credits(Decimal(0))), (None, Credits(None)), ("plenty", None), (True, None), ([], None)],
)  # fmt: skip
def test_it_reads_the_balance_or_leaves_it_unknown(value: object, expected: Credits | None) -> None:
    assert read(ONE, {"phone": "+12125551234", "success": True}, remaining_credits=value).credits == expected


@pytest.mark.parametrize("case", cases.error_cases())
def test_it_knows_what_a_broken_answer_means(case: cases.ErrorCase) -> None:
    cases.assert_error_case(KIND, ONE, case)


def test_it_shows_the_key_to_nobody() -> None:
    cases.assert_no_secret_in_trace(KIND, ONE, Reply(500, {}, b"x" * 30_000))


def test_it_claims_only_what_the_wire_can_say() -> None:
    adapter = cases.make_adapter(KIND)
    assert adapter.supports == {Feature.SEND}
    with pytest.raises(errors.Unsupported):
        adapter.write(Send(ONE.messages, sender="Brand"))
    with pytest.raises(errors.Unsupported):
        adapter.write(Send((*ONE.messages, Outgoing("+13235554567", "another text"))))
    with pytest.raises(errors.Unsupported):
        adapter.write(Send(ONE.messages * 101))


@pytest.mark.parametrize("path", ["/api.php", "/sms_system/api.php"])
@pytest.mark.parametrize(("name", "expected"), [("send_one", ONE), ("send_comma", TWO), ("send_array", TWO)])
def test_it_reads_the_documented_requests_at_both_addresses(path: str, name: str, expected: Send) -> None:
    request = post(cases.data(KIND, f"{name}.json"), path)
    assert DIALECT.credential(request) == Credential("your_api_key_here")
    assert DIALECT.operation(request) == expected


def test_it_writes_the_documented_answer() -> None:
    outcomes = [
        Outcome(Status.QUEUED, number=m.number, provider_id=f"msg_12345{6 + i}") for i, m in enumerate(TWO.messages)
    ]
    reply = DIALECT.write(TWO, SendResult(tuple(outcomes), Credits(Decimal(98))))
    assert reply.status == 200
    assert json.loads(reply.body) == json.loads(cases.data(KIND, "sent.json"))


def test_it_writes_the_documented_refusal() -> None:
    reply = DIALECT.refuse(errors.KeyRefused("Invalid or inactive API key"))
    assert (reply.status, json.loads(reply.body)) == (401, json.loads(cases.data(KIND, "refused.json")))


@pytest.mark.parametrize("number", ["+11234567890", "+1234567890", "+9876543210", "12812345678"])
def test_it_takes_the_documented_numbers(number: str) -> None:
    assert DIALECT.operation(ask(phone=number)) == Send((Outgoing("+" + number.lstrip("+"), "Hi"),))


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"phone": 5.5}, "INVALID_REQUEST"),
        ({"phone": {}}, "INVALID_REQUEST"),
        ({"phone": {"a": 1}}, "INVALID_REQUEST"),
        ({"phone": []}, "MISSING_PARAMETER"),
        ({"phone": ""}, "MISSING_PARAMETER"),
        ({"phone": None}, "MISSING_PARAMETER"),
        ({"phone": [None]}, "INVALID_REQUEST"),
        ({"phone": " , ,"}, "INVALID_REQUEST"),
        ({"phone": [["+12125551234"]]}, "INVALID_REQUEST"),
        ({"phone": ["+12125551234", True]}, "INVALID_REQUEST"),
        ({"phone": "+12125551234\0"}, "INVALID_REQUEST"),
        ({"phone": ["+12125551234"] * 5_001}, "INVALID_REQUEST"),
        ({"phone": "+12125551234," * 5_001}, "INVALID_REQUEST"),
        ({"message": ""}, "MISSING_PARAMETER"),
        ({"message": None}, "MISSING_PARAMETER"),
        ({"message": 7}, "INVALID_REQUEST"),
        ({"message": ["Hi"]}, "INVALID_REQUEST"),
        ({"message": "a\0b"}, "INVALID_REQUEST"),
        ({"message": "\ud800"}, "INVALID_REQUEST"),
    ],
)
def test_it_refuses_bad_parameters_with_a_sentence(members: dict[str, Any], code: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        DIALECT.operation(ask(**members))
    reply = DIALECT.refuse(caught.value)
    assert reply.status == 400
    assert json.loads(reply.body) == {"success": False, "error": str(caught.value), "code": code}
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'"text"', b"[" * 100_000, b'{"a": NaN}'])
def test_it_refuses_a_body_that_is_no_object(body: bytes) -> None:
    with pytest.raises(errors.InvalidRequest):
        DIALECT.credential(post(body))


@pytest.mark.parametrize("key", [None, "", 5, [], {}])
def test_it_refuses_a_missing_key(key: object) -> None:
    with pytest.raises(errors.KeyRefused):
        DIALECT.credential(ask(api_key=key))


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", PATH, 405, "METHOD_NOT_ALLOWED"),
        ("PUT", PATH, 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/", 404, "NOT_FOUND"),
    ],
)
def test_it_refuses_other_methods_and_addresses(method: str, path: str, status: int, code: str) -> None:
    with pytest.raises(errors.NotFound) as caught:
        DIALECT.credential(Request(method, path))
    reply = DIALECT.refuse(caught.value)
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code)


class Carrier:
    """A service that takes everything it is given."""

    def __init__(self, refuse: bool = False) -> None:
        self.refuse = refuse
        self.seen: list[Operation] = []

    def handle(self, op: Operation) -> Result:
        assert isinstance(op, Send)
        self.seen.append(op)
        status, problem = (Status.FAILED, Problem("rejected", "No.")) if self.refuse else (Status.QUEUED, None)
        return SendResult(
            tuple(Outcome(status, number=m.number, provider_id="id", problem=problem) for m in op.messages)
        )

    def limits(self) -> RateState | None:
        return None


def test_it_refuses_only_the_malformed_number_of_a_batch() -> None:
    carrier = Carrier()
    reply = serve(DIALECT, ask(phone=["+12125551234", "abc", "+13235554567"]), lambda credential: carrier)
    body = json.loads(reply.body)
    assert (body["success"], body["total_numbers"], body["successful_sends"], body["failed_sends"]) == (True, 3, 2, 1)
    assert [(entry["phone"], entry["success"]) for entry in body["results"]] == [
        ("+12125551234", True), ("abc", False), ("+13235554567", True),
    ]  # fmt: skip
    assert body["results"][1]["code"] == "INVALID_PHONE_NUMBER"
    assert carrier.seen == [Send((Outgoing("+12125551234", "Hi"), Outgoing("+13235554567", "Hi")))]


def test_it_refuses_a_request_without_any_good_number() -> None:
    carrier = Carrier()
    with pytest.raises(errors.InvalidNumber):
        handle(carrier, DIALECT.operation(ask(phone="abc,12")))
    assert carrier.seen == []


def test_it_is_no_success_when_every_number_is_refused() -> None:
    reply = serve(DIALECT, ask(), lambda credential: Carrier(refuse=True))
    body = json.loads(reply.body)
    assert (body["success"], body["error"], body["code"]) == (False, "No.", "MESSAGE_REJECTED")
    outcome = cases.make_adapter(KIND).read(ONE, reply).outcomes[0]  # type: ignore[union-attr]
    assert (outcome.status, outcome.problem) == (Status.FAILED, Problem("MESSAGE_REJECTED", "No."))


@pytest.mark.parametrize("error", cases.refusal_params())
def test_it_reads_each_refusal_as_it_was_written(error: errors.ProviderError) -> None:
    cases.assert_error_round_trip(KIND, ONE, error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(errors.Unreachable(), errors.Unavailable), (errors.Unsupported(), errors.InvalidRequest),
     (errors.BadAnswer(), errors.Uncertain), (errors.WrongAddress(), errors.Uncertain)],
)  # fmt: skip
def test_it_has_a_word_for_every_error(error: errors.ProviderError, expected: type[errors.ProviderError]) -> None:
    with pytest.raises(expected):
        cases.make_adapter(KIND).read(ONE, DIALECT.refuse(error))


problems = st.builds(Problem, st.just("SPAM"), texts)


@st.composite
def sends(draw: st.DrawFn) -> tuple[Send, SendResult]:
    text, found = draw(texts), draw(st.lists(numbers, min_size=1, max_size=6))
    outcomes = [
        Outcome(Status.SENT, number=number, provider_id=draw(ids))
        if draw(st.booleans())
        else Outcome(Status.FAILED, number=number, problem=draw(problems))
        for number in found
    ]
    return Send(tuple(Outgoing(number, text) for number in found)), SendResult(tuple(outcomes), draw(balances))


@given(sends())
def test_it_reads_what_it_writes(pair: tuple[Send, SendResult]) -> None:
    cases.assert_round_trip(KIND, *pair)


@given(bodies("api_key", "phone", "message", "success", "results", "error", "code"))
def test_no_body_raises_anything_but_a_provider_error(body: bytes) -> None:
    for reader in (
        lambda: DIALECT.credential(post(body)),
        lambda: DIALECT.operation(post(body)),
        lambda: cases.make_adapter(KIND).read(TWO, cases.json_reply(body)),
    ):
        try:
            reader()
        except errors.ProviderError as error:
            assert str(error)
