"""Delivery reports of the smsprovider wire: signed as its documentation checks them, and nothing else let in."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.types import Event, Inbound, Problem, Report, Request, Status

from . import cases
from .strategies import bodies, json_values, moments, numbers, texts

KIND = "smsprovider"
SECRET = "whsec_ö"
DIALECT = cases.make_dialect(KIND)
REPORT = Report(
    "msg_5f8d2b38c4a7f", Status.DELIVERED, "+1234567890", at=datetime(2023, 12, 1, 16, 3, 48, tzinfo=UTC)
)  # fmt: skip


def signature(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def receive(body: bytes, signed: str | None, secret: str = SECRET) -> tuple[Event, ...]:
    headers = dict(cases.JSON) if signed is None else {**cases.JSON, "x-smsprovider-signature": signed}
    adapter = cases.make_adapter(KIND, credentials={"webhook_secret": secret})
    return adapter.read_callback(Request("POST", "", headers=headers, body=body))


def receive_event(**members: Any) -> tuple[Event, ...]:
    body = json.dumps({**json.loads(cases.data(KIND, "event.json")), **members}).encode()
    return receive(body, signature(body))


def compact() -> bytes:
    return json.dumps(json.loads(cases.data(KIND, "event.json")), separators=(",", ":")).encode()


def test_it_reads_the_documented_event_signed_over_its_raw_bytes() -> None:
    body = cases.data(KIND, "event.json")
    assert receive(body, signature(body)) == (replace(REPORT, at=datetime.fromtimestamp(1701446628, UTC)),)


def test_it_reads_the_documented_event_signed_over_its_compact_form() -> None:
    assert receive(cases.data(KIND, "event.json"), signature(compact()))[0].provider_id == REPORT.provider_id


def test_it_verifies_what_the_documented_code_signs_whatever_was_escaped_on_the_way() -> None:
    payload = {
        "event": "message.failed",
        "message_id": "m/é",
        "to": "+1",
        "status": "failed",
        "error": {"message": "ключ"},
    }
    stringified = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    [report] = receive(json.dumps(payload, indent=1).encode(), signature(stringified))
    assert report == Report("m/é", Status.FAILED, "+1", problem=Problem("", "ключ"))


def test_what_it_signs_verifies_in_the_documented_code() -> None:
    failed = replace(REPORT, status=Status.FAILED, problem=Problem("x", "Ключ / </script>"))
    request = DIALECT.write_event(failed, SECRET)
    assert request is not None
    stringified = json.dumps(json.loads(request.body), ensure_ascii=False, separators=(",", ":")).encode()
    assert request.headers["x-smsprovider-signature"] == signature(stringified)
    assert request.body == stringified


def test_it_writes_the_documented_event() -> None:
    request = DIALECT.write_event(replace(REPORT, at=datetime.fromtimestamp(1701446628, UTC)), SECRET)
    assert request is not None
    expected = json.loads(cases.data(KIND, "event.json"))
    assert json.loads(request.body) == {**expected, "delivered_at": "2023-12-01T16:03:48Z"}
    assert list(json.loads(request.body)) == list(expected)


@pytest.mark.parametrize("signed", [
    None, "", "0", "0" * 64, "0" * 63, "0" * 10_000, "é" * 64, "\ud800", "\0", "sha256=", signature(b"other"),
    signature(compact(), "another secret"),
])  # fmt: skip
def test_it_refuses_any_other_signature(signed: str | None) -> None:
    with pytest.raises(errors.BadSignature):
        receive(compact(), signed)


def test_it_says_what_to_do_when_the_account_has_no_secret() -> None:
    with pytest.raises(errors.BadSignature, match="enter the secret"):
        receive(compact(), signature(compact(), ""), secret="")


@pytest.mark.parametrize(
    ("event", "status"),
    [("message.sent", Status.SENT), ("message.delivered", Status.DELIVERED),
     ("message.failed", Status.FAILED), ("message.expired", Status.EXPIRED)],
)  # fmt: skip
def test_it_knows_the_events(event: str, status: Status) -> None:
    [report] = receive_event(event=event, status="Whatever")
    assert isinstance(report, Report)
    assert (report.status, report.raw_status) == (status, "Whatever")


@pytest.mark.parametrize("event", ["message.read", "account.low_credits", "", None])
def test_it_leaves_out_events_that_it_does_not_know(event: str | None) -> None:
    assert receive_event(event=event) == ()


def test_it_reads_a_report_for_each_of_several_recipients() -> None:
    reports = receive_event(to=["+1234567890", "9876543210"])
    assert [report.number for report in reports] == ["+1234567890", "+9876543210"]  # type: ignore[union-attr]


def test_it_takes_the_delivery_time_where_there_is_no_timestamp() -> None:
    [report] = receive_event(timestamp=None)
    assert report == replace(REPORT, at=datetime(2023, 12, 1, 15, 23, 48, tzinfo=UTC))


@pytest.mark.parametrize("members", [
    {"event": 5}, {"message_id": {}}, {"timestamp": "now"}, {"timestamp": 1e300}, {"timestamp": []},
    {"timestamp": None, "delivered_at": "yesterday"}, {"message_id": "a\0"}, {"message_id": None}, {"to": "a\0"},
])  # fmt: skip
def test_it_refuses_a_signed_event_that_makes_no_sense(members: dict[str, Any]) -> None:
    with pytest.raises(errors.BadCallback) as caught:
        receive_event(**members)
    assert type(caught.value) is errors.BadCallback


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_it_refuses_a_signed_body_that_is_no_object(body: bytes) -> None:
    with pytest.raises(errors.BadCallback):
        receive(body, signature(body))


@pytest.mark.parametrize("event", [
    replace(REPORT, status=Status.QUEUED), replace(REPORT, status=Status.UNKNOWN), Inbound("1", "+1234567", "Hi"),
])  # fmt: skip
def test_it_has_no_post_for_other_events(event: Event) -> None:
    assert DIALECT.write_event(event, SECRET) is None


problems = st.builds(Problem, st.sampled_from(["invalid_phone_number", "spam"]), texts)
events = st.builds(
    Report,
    provider_id=texts,
    status=st.sampled_from([Status.SENT, Status.DELIVERED, Status.CANCELED]),
    number=numbers,
    at=moments,
) | st.builds(
    Report,
    provider_id=texts,
    status=st.sampled_from([Status.FAILED, Status.EXPIRED]),
    number=numbers,
    problem=st.none() | problems,
    at=moments,
)


@given(events, texts)
def test_it_reads_what_it_signs(event: Report, secret: str) -> None:
    cases.assert_event_round_trip(KIND, event, secret, {"webhook_secret": secret})


posts = bodies("event", "message_id", "to", "status", "delivered_at", "timestamp", "error") | st.fixed_dictionaries(
    {"event": st.just("message.failed"), "message_id": st.just("m1")},
    optional=dict.fromkeys(("to", "status", "delivered_at", "timestamp", "error"), json_values),
).map(lambda value: json.dumps(value).encode())


@given(posts, st.none() | st.text(max_size=80))
def test_no_post_raises_anything_but_a_refusal(body: bytes, signed: str | None) -> None:
    try:
        receive(body, signature(body) if signed is None else signed)
    except errors.BadCallback as error:
        assert str(error)
