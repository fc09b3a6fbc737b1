"""Replies posted to a voipcommunications account: fields that nobody documented, and what is no reply."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.types import Inbound, Report, Request, Status

from . import cases
from .test_voipcommunications import DIALECT, FORM, KIND, MOMENTS, NUMBERS, TEXTS


def heard(request: Request, zone: str = "UTC") -> tuple[Any, ...]:
    return cases.make_adapter(KIND, credentials={"zone": zone}).read_callback(request)


@pytest.mark.parametrize(
    "fields",
    [
        {"from": "12812345678", "to": "17134567890", "msg": "Yes", "smsid": "7"},
        {"sender": "+1 281 234 5678", "recipient": "+17134567890", "message": "Yes", "message_id": "7"},
        {"MSISDN": "0012812345678", "Destination": "17134567890", "Body": "Yes", "ID": "7"},
        {"source": "12812345678", "did": "17134567890", "text": "Yes", "messageId": "7"},
    ],
)
def test_it_hears_a_reply_under_any_likely_names(fields: dict[str, str]) -> None:
    reply = Inbound("7", "+12812345678", "Yes", to="+17134567890")
    form = "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in fields.items()).encode()
    raw = json.dumps(fields).encode()
    assert heard(Request("POST", "", headers=FORM, body=form)) == (reply,)
    assert heard(Request("POST", "", headers=cases.JSON, body=raw)) == (reply,)
    assert heard(Request("POST", "", headers=FORM, body=b"[" + raw + b"," + raw + b"]")) == (reply, reply)
    assert heard(Request("GET", "", tuple(fields.items()))) == (reply,)


def test_a_reply_without_an_id_gets_the_same_one_each_time_it_is_posted() -> None:
    first = heard(Request("GET", "", (("from", "12812345678"), ("msg", "Yes"), ("date", "2019-10-01 00:00"))))[0]
    again = heard(Request("POST", "", body=b"date=2019-10-01+00:00&msg=Yes&from=%2B12812345678"))[0]
    later = heard(Request("GET", "", (("from", "12812345678"), ("msg", "Yes"), ("date", "2019-10-01 00:01"))))[0]
    assert first.provider_id == again.provider_id != later.provider_id


@pytest.mark.parametrize("zone", ["America/Chicago", "Mars/Base"])
def test_a_reply_survives_a_strange_date_and_a_wrong_zone(zone: str) -> None:
    reply = heard(Request("GET", "", (("from", "Amazon"), ("msg", ""), ("date", "yesterday"))), zone)[0]
    assert (reply.number, reply.text, reply.received_at) == ("Amazon", "", None)


def test_a_replys_date_is_in_the_accounts_zone() -> None:
    fields = (("from", "12812345678"), ("msg", "Yes"), ("date", "2019-10-01 00:00:00"))
    reply = heard(Request("GET", "", fields), "America/Chicago")[0]
    assert reply.received_at == datetime(2019, 10, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("body", [b"", b"msg=Yes", b"from=12812345678", b"[1]", b"{", b'"x"', b"\xff=\xff", b"[{}]"])
def test_it_rejects_a_post_that_is_no_reply(body: bytes) -> None:
    with pytest.raises(errors.BadCallback):
        heard(Request("POST", "", headers=FORM, body=body))


@given(
    st.binary(max_size=60), st.sampled_from(["", *FORM.values(), "application/json", "multipart/form-data; boundary=b"])
)
def test_no_bytes_break_the_callback(body: bytes, content_type: str) -> None:
    try:
        events = heard(Request("POST", "", headers={"content-type": content_type}, body=body))
    except errors.BadCallback:
        return
    assert all(isinstance(event, Inbound) for event in events)


@given(
    st.builds(
        Inbound,
        provider_id=TEXTS,
        number=NUMBERS,
        text=st.text().filter(lambda text: "\x00" not in text),
        to=st.just("") | NUMBERS,
        received_at=st.none() | MOMENTS,
    )
)
def test_both_halves_agree_on_a_reply(event: Inbound) -> None:
    cases.assert_event_round_trip(KIND, event, "unused", {})


def test_reports_have_no_words_on_this_wire() -> None:
    assert DIALECT.write_event(Report("1", Status.DELIVERED), "unused") is None
