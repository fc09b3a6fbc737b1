"""Whatever is posted to a callback, signed or not: it is taken or refused, and never our failure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging import posted
from messaging.models import Posted
from providers.models import ProviderAccount
from tests.base import account

from .conversations import phones

pytestmark = pytest.mark.django_db

SECRET = "secret-1234"
REFUSED = {400, 401, 404, 405, 413}
KINDS = ("application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "")

many = settings(max_examples=120)
header = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\x00"), max_size=80)
leaf = (
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=12)
    | st.sampled_from(["+11234567890", "2024-01-01T00:00:00Z", "Delivered", "Received", "9" * 400, "1e999", "\x00"])
)  # fmt: skip
names = st.sampled_from(
    ["event", "message_id", "to", "from", "msg", "text", "status", "timestamp", "error", "ID", "number", "message",
     "deviceID", "simSlot", "sentDate", "deliveredDate", "attachments", "type", "request", "response", "errorCode",
     "date", "smsid", "messages", "ussdRequest"]
)  # fmt: skip
value = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=8), max_leaves=20
)
spoilt = st.dictionaries(names, leaf | value, max_size=2)  # put over something good
REPORT = {"event": "message.delivered", "message_id": "m1", "to": "+11234567890", "status": "delivered", "timestamp": 1}
MESSAGE = {"ID": "1", "number": "+11234567890", "message": "x", "deviceID": "1", "simSlot": "0", "status": "Received"}
ANSWER = {"ID": "1", "request": "*100#", "response": "12", "deviceID": "1", "simSlot": "0"}
REPLY = {"from": "11234567890", "to": "17134567890", "msg": "Yes", "date": "2024-01-01 10:00"}


def over(good: dict[str, str | int]) -> st.SearchStrategy[Any]:
    return spoilt.map(lambda bad: good | bad)


@pytest.fixture
def accounts() -> dict[str, ProviderAccount]:
    return {"smsprovider": account(), "smsgateway": phones(), "voipcommunications": account("V", "voipcommunications")}


def post(
    to: ProviderAccount, body: bytes, method: str = "POST", query: str = "", kind: str = "", **headers: str
) -> int:
    url = f"/callbacks/{to.callback_token}/"
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Client(raise_request_exception=False).generic(method, url, body, kind, headers=given, QUERY_STRING=query)
    assert reply.status_code == 200 or (reply.status_code in REFUSED and reply.json()["error"]), reply.content[:500]
    return reply.status_code


def work_off() -> None:
    """All that was taken can be worked on."""
    while posted.work():
        pass
    assert list(Posted.objects.values_list("error", flat=True)) == []


@many
@given(
    name=st.sampled_from(["smsprovider", "smsgateway", "voipcommunications"]),
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT"]),
    body=st.binary(max_size=300) | value.map(lambda v: json.dumps(v).encode()),
    query=st.text(st.characters(max_codepoint=127, exclude_characters="\r\n"), max_size=60),
    kind=st.sampled_from(KINDS) | header,
    signature=header,
)
def test_any_bytes_are_taken_or_refused(
    name: str, method: str, body: bytes, query: str, kind: str, signature: str, accounts: dict[str, ProviderAccount]
) -> None:
    signatures = {"x_smsprovider_signature": signature, "x_sg_signature": signature}
    post(accounts[name], body, method, query, kind, **signatures)
    work_off()


@many
@given(said=over(REPORT) | value)
def test_signed_nonsense_of_a_report_is_taken_or_refused(said: Any, accounts: dict[str, ProviderAccount]) -> None:
    body = json.dumps(said).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert post(accounts["smsprovider"], body, x_smsprovider_signature=signature) in (200, 400)
    work_off()


@many
@given(
    said=st.lists(over(MESSAGE), max_size=3) | over(ANSWER) | value,
    field=st.sampled_from(["messages", "ussdRequest", ""]),
)
def test_signed_nonsense_of_a_phone_is_taken_or_refused(
    said: Any, field: str, accounts: dict[str, ProviderAccount]
) -> None:
    text = json.dumps(said)
    signature = base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest()).decode()
    body, kind = (urlencode({field: text}).encode(), KINDS[1]) if field else (text.encode(), KINDS[0])
    assert post(accounts["smsgateway"], body, kind=kind, x_sg_signature=signature) in (200, 400)
    work_off()


@many
@given(said=over(REPLY) | value, form=st.booleans())
def test_nonsense_of_a_reply_is_taken_or_refused(said: Any, form: bool, accounts: dict[str, ProviderAccount]) -> None:
    fields = {name: str(word) for name, word in said.items()} if isinstance(said, dict) else {}
    body = urlencode(fields).encode() if form else json.dumps(said).encode()
    assert post(accounts["voipcommunications"], body, kind=KINDS[form]) in (200, 400)
    work_off()
