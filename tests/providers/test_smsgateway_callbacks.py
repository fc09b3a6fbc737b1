"""What a gateway posts to our webhook, and what we post to others': signed as the seed's PHP checks it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.types import Inbound, MessageType, Problem, Report, Request, Status, UssdReply

from . import cases
from .test_smsgateway import GROUP, KIND, LATER, LINKS, NUMBER, message
from .test_smsgateway_dialect import BODY_TYPES, DIALECT, FORM

KEY = "the account's key"
MOMENT = datetime(2018, 10, 20, tzinfo=timezone(timedelta(hours=2)))
RECEIVED = cases.data(KIND, "received.json").strip()
INBOUND = Inbound("1", NUMBER, "This is a test message.", device="1", sim=0, received_at=MOMENT, stored_at=MOMENT)
RADIO_OFF = Problem("2", "The phone's radio is off (flight mode?).")
USSD = {"deviceID": "1", "simSlot": "0", "request": "*150#", "response": "Balance: 5 €"}


def signature(value: bytes, key: str = KEY) -> str:
    return base64.b64encode(hmac.new(key.encode(), value, hashlib.sha256).digest()).decode()


def posted(body: bytes, signed: str, content_type: str = FORM) -> tuple[Any, ...]:
    headers = {"content-type": content_type, "x-sg-signature": signed}
    return cases.make_adapter(KIND, credentials={"api_key": KEY}).read_callback(Request("POST", "", (), headers, body))


def form(value: object, name: str = "messages") -> tuple[Any, ...]:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return posted(urlencode({name: raw}).encode(), signature(raw))


def test_it_hears_the_documented_webhook() -> None:
    assert form(RECEIVED) == (INBOUND,)


def test_it_hears_a_ussd_answer() -> None:
    assert form(USSD, "ussdRequest") == (UssdReply("*150#", "Balance: 5 €", "1", 0),)
    assert form({**USSD, "ID": 4, "response": None}, "ussdRequest") == (UssdReply("*150#", "", "1", 0, "4"),)


def test_it_hears_a_form_in_multipart() -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="messages"\r\n\r\n' + RECEIVED + b"\r\n--b--\r\n"
    assert posted(part, signature(RECEIVED), "multipart/form-data; boundary=b") == (INBOUND,)


@pytest.mark.parametrize(
    "body",
    [
        RECEIVED,
        RECEIVED[1:-1],
        b'{"messages": ' + RECEIVED + b"}",
        json.dumps({"messages": RECEIVED.decode()}).encode(),
    ],
)
def test_it_hears_the_json_of_rebrands(body: bytes) -> None:
    for content_type in BODY_TYPES:
        assert posted(body, signature(body), content_type) == (INBOUND,)


def test_it_hears_a_ussd_answer_in_the_json_of_rebrands() -> None:
    for body in (json.dumps(USSD).encode(), json.dumps({"ussdRequest": USSD}).encode()):
        assert posted(body, signature(body), "application/json") == (UssdReply("*150#", "Balance: 5 €", "1", 0),)


@pytest.mark.parametrize(
    ("members", "report"),
    [
        ({"status": "Sent"}, Report("1", Status.SENT, NUMBER, at=MOMENT)),
        ({"status": "Delivered", "deliveredDate": 1900000000}, Report("1", Status.DELIVERED, NUMBER, at=LATER)),
        (
            {"status": "failed", "resultCode": "2"},
            Report("1", Status.FAILED, NUMBER, problem=RADIO_OFF, at=MOMENT),
        ),
        ({"status": "Lost"}, Report("1", Status.UNKNOWN, NUMBER, at=MOMENT)),
    ],
)
def test_a_message_that_was_not_received_is_a_report(members: dict[str, object], report: Report) -> None:
    event = form([message(**members)])[0]
    assert event == report
    assert event.raw_status == members["status"]


def test_it_hears_pictures_names_and_messages_without_an_id() -> None:
    raw = {"number": "Amazon", "message": "Hi", "type": "mms", "attachments": ",".join(LINKS)}
    event = form([raw])[0]
    assert (event.number, event.type, event.attachments) == ("Amazon", MessageType.MMS, LINKS)
    assert event.provider_id == form([raw])[0].provider_id != form([{**raw, "message": "Ho"}])[0].provider_id


@pytest.mark.parametrize(
    "signed",
    ["", "x", "é" * 44, "=" * 44, signature(RECEIVED, "another key"), signature(RECEIVED)[:-1], "\ud800", "\x00"],
)
def test_it_rejects_a_bad_signature(signed: str) -> None:
    for body in (urlencode({"messages": RECEIVED}).encode(), RECEIVED, b"\xff", b""):
        with pytest.raises(errors.BadSignature):
            posted(body, signed)


def test_it_rejects_a_post_without_a_signature() -> None:
    with pytest.raises(errors.BadSignature):
        cases.make_adapter(KIND).read_callback(Request("POST", "", body=urlencode({"messages": RECEIVED}).encode()))


@pytest.mark.parametrize("before", [True, False])
def test_only_what_is_signed_is_kept(before: bool) -> None:
    """Whoever once saw a signed post cannot add to it: it is read again without its signature."""
    genuine = urlencode({"ussdRequest": json.dumps(USSD)}).encode()
    forged = urlencode({"messages": RECEIVED}).encode()
    body = b"&".join([forged, genuine] if before else [genuine, forged])
    headers = {"content-type": FORM, "x-sg-signature": signature(json.dumps(USSD).encode())}
    adapter = cases.make_adapter(KIND, credentials={"api_key": KEY})
    kept = adapter.check_post(Request("POST", "", (("messages", RECEIVED.decode()),), headers, body))
    assert adapter.read_post(kept) == (UssdReply("*150#", "Balance: 5 €", "1", 0),)
    assert b"messages" not in kept.body and not kept.query


def test_it_rejects_a_field_that_was_changed_after_signing() -> None:
    body = urlencode({"messages": RECEIVED.replace(b"test", b"best")}).encode()
    with pytest.raises(errors.BadSignature):
        posted(body, signature(RECEIVED))


@pytest.mark.parametrize(
    "value",
    [b"", b"[", b"5", b'["x"]', b"[[]]", b"[" * 9999, [{"status": "Sent"}], [{"message": "from nobody"}]],
)
def test_it_rejects_signed_nonsense(value: object) -> None:
    with pytest.raises(errors.BadCallback) as caught:
        form(value)
    assert type(caught.value) is errors.BadCallback


@given(st.binary(max_size=60), st.sampled_from(BODY_TYPES), st.text())
def test_no_bytes_break_the_callback(body: bytes, content_type: str, garbage: str) -> None:
    with pytest.raises(errors.BadSignature):
        posted(body, garbage, content_type)
    try:
        events = posted(body, signature(body), content_type)
    except errors.BadCallback:
        return
    assert all(isinstance(event, Inbound | Report | UssdReply) for event in events)


JSONS = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["ID", "number", "status", "simSlot", "sentDate", "request", "x"]), inner)
    ),
    max_leaves=8,
)


@given(JSONS, st.sampled_from(["messages", "ussdRequest"]))
def test_no_json_breaks_the_callback(value: object, name: str) -> None:
    try:
        events = form(value, name)
    except errors.BadCallback:
        return
    assert isinstance(events, tuple)


# What we post


def php(request: Request, name: str, key: str) -> Any:
    """As the seed's webhook script reads it: the decoded field, its signature, the JSON."""
    field = parse_qs(request.body.decode(), keep_blank_values=True, strict_parsing=True)[name][0]
    assert request.headers["x-sg-signature"] == signature(field.encode(), key)
    return json.loads(field)


def test_the_seeds_script_verifies_what_we_post() -> None:
    request = DIALECT.write_event(INBOUND, KEY)
    assert request is not None
    assert (request.method, request.path, request.headers["content-type"]) == ("POST", "", FORM)
    told = php(request, "messages", KEY)[0]
    documented = json.loads(RECEIVED)[0]
    assert {name: told[name] for name in documented} == documented
    ussd = DIALECT.write_event(UssdReply("*150#", "Balance: 5 €", "1", 0), KEY)
    assert ussd is not None
    assert {name: php(ussd, "ussdRequest", KEY)[name] for name in USSD} == USSD


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.UNCERTAIN])
def test_it_has_no_word_for_what_nobody_knows(status: Status) -> None:
    assert DIALECT.write_event(Report("1", status), KEY) is None


TEXTS = st.text().filter(lambda text: "\x00" not in text)
IDS = st.from_regex(r"[0-9A-Za-z]{1,12}", fullmatch=True)
NUMBERS = st.from_regex(r"\+[1-9][0-9]{6,14}|[1-9][0-9]{2,5}", fullmatch=True)
MOMENTS = st.datetimes(datetime(1980, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
SLOTS = st.none() | st.integers(0, 9)
LINK = st.from_regex(r"https://[a-z]{1,8}\.example/[!#-+\--~]{0,12}", fullmatch=True)
PROBLEMS = st.builds(Problem, IDS, TEXTS.filter(bool)).filter(lambda problem: problem.code != "expired")
STATUSES = (Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.SENT, Status.DELIVERED, Status.CANCELED)
REPORTS = (
    st.builds(Report, IDS, st.sampled_from((*STATUSES, Status.EXPIRED)), number=NUMBERS, at=st.none() | MOMENTS)
    | st.builds(Report, IDS, st.just(Status.FAILED), number=NUMBERS, problem=st.none() | PROBLEMS)
)  # fmt: skip
INBOUNDS = st.builds(
    Inbound,
    IDS,
    NUMBERS,
    TEXTS,
    type=st.sampled_from(MessageType),
    attachments=st.lists(LINK, max_size=3).map(tuple),
    device=st.just("") | IDS,
    sim=SLOTS,
    received_at=st.none() | MOMENTS,
    stored_at=st.none() | MOMENTS,
)
USSDS = st.builds(UssdReply, TEXTS, TEXTS, st.just("") | IDS, SLOTS, st.just("") | IDS, at=st.none() | MOMENTS)


@given(REPORTS | INBOUNDS | USSDS, TEXTS.filter(bool))
def test_both_halves_agree_on_an_event(event: Inbound | Report | UssdReply, key: str) -> None:
    cases.assert_event_round_trip(KIND, event, key, {"api_key": key})


def test_a_group_is_no_part_of_an_event() -> None:
    assert form([message(status="Received", groupID=GROUP)])[0].provider_id == "1"
