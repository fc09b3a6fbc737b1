"""The voipcommunications wire: its documented bodies, both halves against each other, and what nobody should send."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.base import basic_auth
from providers.serving import handle
from providers.types import (
    Credential,
    Feature,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    Request,
    Result,
    Send,
    SendResult,
    Status,
)

from . import cases

KIND = "voipcommunications"
PATH = "/sms/send"
FORM = {"content-type": "application/x-www-form-urlencoded"}
BODY_TYPES = (*FORM.values(), "application/json", "multipart/form-data; boundary=b", "")
SMSID = "2017559ea27008c6b7122900621"
MIDNIGHT = datetime(2019, 10, 1, tzinfo=UTC)
ONE = Send((Outgoing("+12812345678", "It is a SMS message", "a"),), sender="+17134567890", schedule=MIDNIGHT)
TWO = Send(tuple(Outgoing(number, "It is a SMS message", number) for number in ("+12812345678", "+11234567890")))
DIALECT = cases.make_dialect(KIND)


def read(op: Operation, body: object, status: int = 200) -> Any:
    return cases.make_adapter(KIND).read(op, cases.json_reply(json.dumps(body).encode(), status))


def log(*entries: Mapping[str, object]) -> dict[str, object]:
    good = json.loads(cases.data(KIND, "answer.json"))["send_log"][0]
    return {"send_log": [{**good, **entry} for entry in entries]}


def post(body: bytes, headers: Mapping[str, str] = FORM) -> Request:
    return Request("POST", PATH, headers=headers, body=body)


def asked(**form: str) -> Send:
    op = DIALECT.operation(Request("POST", PATH, tuple({"to": "12812345678", "msg": "Hi", **form}.items())))
    assert isinstance(op, Send)
    return op


# The adapter


def test_it_writes_the_documented_form_with_basic_auth() -> None:
    request = cases.make_adapter(KIND, credentials={"api_key": "K", "api_password": "P"}).write(ONE)
    assert (request.method, request.path, request.query) == ("POST", PATH, ())
    assert request.headers == {**FORM, "authorization": "Basic SzpQ"}
    assert request.body == (b"from=17134567890&to=12812345678&msg=It+is+a+SMS+message&delivery_date=2019-10-01+00%3A00")


def test_it_joins_numbers_by_commas_without_plus_and_leaves_out_what_is_not_set() -> None:
    op = Send((*TWO.messages, Outgoing("12345", "It is a SMS message")))
    body = cases.make_adapter(KIND).write(op).body
    assert body == b"to=12812345678%2C11234567890%2C12345&msg=It+is+a+SMS+message"


@pytest.mark.parametrize(
    ("sender", "written"),
    [("+1 (713) 456-7890", b"from=17134567890&"), ("12345", b"from=12345&"), ("ACME", b"from=ACME&"), ("", b"to=")],
)
def test_it_writes_a_sender_as_digits_or_as_its_name(sender: str, written: bytes) -> None:
    assert cases.make_adapter(KIND).write(replace(TWO, sender=sender)).body.startswith(written)


def test_it_takes_the_accounts_sender_when_a_message_names_none() -> None:
    assert cases.make_adapter(KIND, sender="+17134567890").write(TWO).body.startswith(b"from=17134567890&")


@pytest.mark.parametrize(
    ("zone", "moment", "written"),
    [
        ("", "2019-10-01T05:00:00+00:00", b"2019-10-01+05%3A00"),
        ("UTC", "2019-10-01T05:00:30+00:00", b"2019-10-01+05%3A00%3A30"),
        ("America/Chicago", "2019-10-01T05:00:00+00:00", b"2019-10-01+00%3A00"),
        ("America/Chicago", "2019-11-03T06:30:00+00:00", b"2019-11-03+01%3A30-05%3A00"),
        ("America/Chicago", "2019-11-03T07:30:00+00:00", b"2019-11-03+01%3A30-06%3A00"),
    ],
)
def test_it_writes_a_delivery_date_in_the_accounts_zone(zone: str, moment: str, written: bytes) -> None:
    op = replace(TWO, schedule=datetime.fromisoformat(moment))
    body = cases.make_adapter(KIND, credentials={"zone": zone}).write(op).body
    assert body.endswith(b"&delivery_date=" + written)


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc", "America", "\x00"])
def test_it_refuses_to_schedule_in_a_zone_that_is_none(zone: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="is not a time zone"):
        cases.make_adapter(KIND, credentials={"zone": zone}).write(ONE)


def test_it_reads_the_documented_answer() -> None:
    result = cases.make_adapter(KIND).read(ONE, cases.json_reply(cases.data(KIND, "answer.json")))
    taken = Outcome(Status.SCHEDULED, "a", "+12812345678", SMSID, cost=Decimal("0.01"))
    assert result == SendResult((taken,))
    assert isinstance(result, SendResult) and result.outcomes[0].ref == "a"


def test_it_reads_one_refused_number_from_its_own_code() -> None:
    refused = {"to": "11234567890", "code": 422, "code_desc": "Not a mobile", "status": "ERROR", "sale": 0}
    first, second = read(TWO, log({}, refused)).outcomes
    assert (first.status, first.problem) == (Status.SCHEDULED, None)
    assert (second.status, second.problem) == (Status.FAILED, Problem("422", "Not a mobile"))
    assert second.number == "+11234567890"


def test_it_matches_entries_that_come_in_another_order_by_number() -> None:
    outcomes = read(TWO, log({"to": "11234567890", "smsid": "2"}, {"to": "+1 281 234 5678", "smsid": "1"})).outcomes
    assert [(o.ref, o.provider_id) for o in outcomes] == [("+12812345678", "1"), ("+11234567890", "2")]


def test_it_matches_rewritten_numbers_by_order() -> None:
    outcomes = read(TWO, log({"to": "2812345678", "smsid": "1"}, {"to": "1234567890", "smsid": "2"})).outcomes
    assert [(o.number, o.provider_id) for o in outcomes] == [("+12812345678", "1"), ("+11234567890", "2")]


def test_it_is_uncertain_about_a_number_that_the_answer_leaves_out() -> None:
    first, second = read(TWO, log({"to": "11234567890"})).outcomes
    assert (first.status, first.ref) == (Status.UNCERTAIN, "+12812345678")
    assert first.problem and "does not mention this number" in first.problem.text
    assert second.status is Status.SCHEDULED


@pytest.mark.parametrize(
    ("entry", "status"),
    [
        ({"status": "SENT"}, Status.SENT),
        ({"status": "queued"}, Status.QUEUED),
        ({"status": "FAILED"}, Status.FAILED),
        ({"status": "ERROR"}, Status.FAILED),
        ({"status": "TELEPORTED"}, Status.SENT),
        ({"status": None}, Status.SENT),
        ({"status": "SENT", "code": "200"}, Status.SENT),
        ({"status": "SENT", "code": 400}, Status.FAILED),
        ({"status": "SENT", "code": None}, Status.FAILED),
    ],
)
def test_it_reads_an_entrys_code_and_word(entry: dict[str, object], status: Status) -> None:
    outcome = read(ONE, log(entry)).outcomes[0]
    assert outcome.status is status
    assert (outcome.problem is not None) == (status is Status.FAILED)


@pytest.mark.parametrize("sale", ["free", None, [], True, {}])
def test_a_strange_price_costs_no_outcome(sale: object) -> None:
    assert read(ONE, log({"sale": sale})).outcomes[0].cost is None


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (json.loads(cases.data(KIND, "error.json")), errors.Rejected, "The sender is not one of your numbers"),
        ({"error": "No credit", "code": 402}, errors.NoCredits, "No credit"),
        ({"error": 1, "error_message": "Busy", "code": "429"}, errors.RateLimited, "Busy"),
        ({"error": True}, errors.Rejected, "The provider refused the message."),
        (log({"code": 402, "code_desc": "No credit"}, {"code": 402, "code_desc": "No credit"}), errors.NoCredits, "No"),
    ],
)
def test_it_reads_an_error_that_comes_with_http_200(body: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        read(TWO, body)
    assert type(caught.value) is error


def test_a_number_that_the_credits_did_not_reach_is_refused_alone() -> None:
    first, second = read(TWO, log({"code": 402, "code_desc": "No credit"}, {"to": "11234567890"})).outcomes
    assert (first.problem, second.status) == (Problem("402", "No credit"), Status.SCHEDULED)


def test_a_refused_key_keeps_the_providers_sentence() -> None:
    with pytest.raises(errors.KeyRefused, match="Invalid api credentials"):
        read(ONE, {"error": True, "error_message": "Invalid api credentials"}, status=401)


def test_an_error_word_that_is_false_is_none() -> None:
    assert read(ONE, {"error": False, **log({})}).outcomes[0].taken


@pytest.mark.parametrize("case", cases.error_cases())
def test_it_tells_what_a_broken_answer_means(case: cases.ErrorCase) -> None:
    cases.assert_error_case(KIND, ONE, case)


@pytest.mark.parametrize("body", [{"send_log": None}, {"send_log": 5}, {"send_log": ["x"]}, {"send_log": [{}]}])
def test_a_log_that_is_none_is_a_bad_answer(body: object) -> None:
    with pytest.raises(errors.BadAnswer):
        read(ONE, body)


def test_no_secret_stands_in_a_trace() -> None:
    cases.assert_no_secret_in_trace(KIND, TWO, cases.json_reply(cases.data(KIND, "error.json")))


def test_it_refuses_what_the_wire_cannot_say() -> None:
    adapter = cases.make_adapter(KIND)
    assert adapter.supports == {Feature.SEND, Feature.SENDER_ID, Feature.SCHEDULE, Feature.INBOUND}
    with pytest.raises(errors.Unsupported, match="same text"):
        adapter.write(Send((Outgoing("+11234567890", "a"), Outgoing("+12812345678", "b"))))


# The dialect


def test_it_serves_the_documented_examples() -> None:
    curl = cases.data(KIND, "curl.form").replace(b"TO_NUMBER", b"12812345678")
    assert DIALECT.operation(post(curl)) == Send((Outgoing("+12812345678", "TEXT_MESSAGE"),))
    php = cases.data(KIND, "php.form").replace(b"TO_NUMBER", b"12812345678,+11234567890")
    php = php.replace(b"FROM_NUMBER", b"17134567890")
    numbers = ("+12812345678", "+11234567890")
    assert DIALECT.operation(post(php)) == Send(
        tuple(Outgoing(number, "TEXT_MESSAGE") for number in numbers),
        sender="+17134567890",
        schedule=datetime(2010, 1, 1, 13, 15, tzinfo=UTC),
    )


def test_it_serves_multipart() -> None:
    parts = {"to": "12812345678", "msg": "Zwei\r\nZeilen, é", "from": ""}
    body = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in parts.items())
    request = post(f"{body}--b--\r\n".encode(), {"content-type": "multipart/form-data; boundary=b"})
    assert DIALECT.operation(request) == Send((Outgoing("+12812345678", "Zwei\r\nZeilen, é"),))


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=c", "multipart/form-data\\;b*"])
def test_it_refuses_multipart_that_is_none(kind: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="multipart"):
        DIALECT.operation(post(b"; name*0=a;;Content-Type: multipart/mixed; boundary=c", {"content-type": kind}))


def test_it_answers_in_the_documented_shape() -> None:
    outcome = Outcome(Status.SCHEDULED, number="+12812345678", provider_id=SMSID, cost=Decimal("0.01"))
    documented = json.loads(cases.data(KIND, "answer.json"))["send_log"][0]
    entry = json.loads(DIALECT.write(ONE, SendResult((outcome,))).body)["send_log"][0]
    assert entry == {**documented, "type": "2WAYSMS"}
    assert list(entry) == list(documented)


@pytest.mark.parametrize(
    "date",
    [
        "2010-01-01 13:15",
        "2010-01-01 13:15:00",
        "2010-01-01T13:15:00Z",
        "2010-01-01T14:15:00+0100",
        "2010/01/01 13:15",
        "01/01/2010 13:15",
        "01/01/2010 1:15 PM",
        "01.01.2010 13:15",
        "1 January 2010 13:15",
        "Jan 1, 2010 1:15pm",
        "Fri, 01 Jan 2010 13:15:00 +0000",
        "1262351700",
        "@1262351700",
    ],
)
def test_it_reads_any_sensible_date(date: str) -> None:
    assert asked(delivery_date=date).schedule == datetime(2010, 1, 1, 13, 15, tzinfo=UTC)


@pytest.mark.parametrize("date", ["soon", "2010-13-01 00:00", "99999999999999999999", "1", "2010-01-01 25:00"])
def test_it_refuses_a_date_that_is_none(date: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="YYYY-MM-DD HH:MM|Unix time"):
        asked(delivery_date=date)


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"msg": ""}, "“msg” is missing"),
        ({"to": ""}, "“to” is missing"),
        ({"to": " , "}, "“to” is missing"),
        ({"to": ",".join(["12812345678"] * 5_001)}, "At most 5,000"),
        ({"msg": "a\x00b"}, "NUL"),
    ],
)
def test_it_refuses_a_request_with_a_sentence(form: dict[str, str], sentence: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=sentence):
        asked(**form)


def test_a_malformed_number_is_refused_alone() -> None:
    class Everyone:
        def handle(self, op: Operation) -> Result:
            assert isinstance(op, Send)
            return SendResult(tuple(Outcome(Status.QUEUED, number=m.number, provider_id="1") for m in op.messages))

        def limits(self) -> None:
            return None

    op = asked(to="12812345678,nobody")
    entries = json.loads(DIALECT.write(op, handle(Everyone(), op)).body)["send_log"]
    assert [(e["to"], e["code"], e["status"]) for e in entries] == [
        ("12812345678", 200, "QUEUED"),
        ("nobody", 422, "FAILED"),
    ]


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("POST", "/sms/summary"), ("POST", "/")])
def test_it_knows_one_address_only(method: str, path: str) -> None:
    with pytest.raises(errors.NotFound):
        DIALECT.operation(Request(method, path, body=b"to=12812345678&msg=Hi"))


def test_it_reads_key_and_password() -> None:
    request = Request("POST", PATH, headers={"authorization": basic_auth("key", "pass:é")})
    assert DIALECT.credential(request) == Credential("key", "pass:é")


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic a2V5", "Bearer a2V5OnBhc3M=", "Basic Onh4", "Basic é"]
)
def test_it_refuses_credentials_that_are_none(header: str) -> None:
    with pytest.raises(errors.KeyRefused):
        DIALECT.credential(Request("POST", PATH, headers={"authorization": header}))


@given(st.binary(max_size=60), st.sampled_from(BODY_TYPES), st.text())
def test_no_bytes_break_the_dialect(body: bytes, content_type: str, auth: str) -> None:
    request = Request("POST", PATH, headers={"content-type": content_type, "authorization": auth}, body=body)
    for verb in (DIALECT.operation, DIALECT.credential):
        try:
            verb(request)
        except errors.ProviderError as error:
            assert json.loads(DIALECT.refuse(error).body)["error"] is True


# Both halves

NUMBERS = st.from_regex(r"\+[1-9][0-9]{6,14}|[1-9][0-9]{2,5}", fullmatch=True)
TEXTS = st.text(min_size=1).filter(lambda text: "\x00" not in text)
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
REFUSED = Problem("422", "Not a number that can get messages")


@st.composite
def sends(draw: st.DrawFn) -> tuple[Send, SendResult]:
    text = draw(TEXTS)
    op = Send(
        tuple(Outgoing(number, text) for number in draw(st.lists(NUMBERS, min_size=1, max_size=4))),
        sender=draw(st.just("") | NUMBERS | st.just("ACME")),
        schedule=draw(st.none() | MOMENTS),
    )
    words = (Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.SENT, Status.DELIVERED, Status.CANCELED)
    outcomes = []
    for message in op.messages:
        status = draw(st.sampled_from((*words, Status.FAILED)))
        outcomes.append(
            Outcome(
                status,
                number=message.number,
                provider_id=draw(st.just(SMSID) | st.uuids().map(str)),
                problem=REFUSED if status is Status.FAILED else None,
                cost=draw(st.none() | st.decimals(0, 1000, places=4)),
            )
        )
    return op, SendResult(tuple(outcomes))


@given(sends())
def test_both_halves_agree_on_a_send(pair: tuple[Send, SendResult]) -> None:
    cases.assert_round_trip(KIND, *pair)


@pytest.mark.parametrize("error", cases.refusal_params())
def test_both_halves_agree_on_an_error(error: errors.ProviderError) -> None:
    cases.assert_error_round_trip(KIND, ONE, error)


def test_only_a_refused_key_is_told_by_http() -> None:
    assert DIALECT.refuse(errors.KeyRefused()).status == 401
    assert {DIALECT.refuse(error).status for error in cases.refusals() if type(error) is not errors.KeyRefused} == {200}


def test_a_schedule_in_any_zone_arrives_as_the_same_moment() -> None:
    for zone in (timezone(timedelta(hours=5, minutes=30)), ZoneInfo("America/Chicago")):
        op = replace(ONE, schedule=datetime(2030, 5, 1, 9, 30, tzinfo=zone))
        assert DIALECT.operation(cases.make_adapter(KIND).write(op)) == op
