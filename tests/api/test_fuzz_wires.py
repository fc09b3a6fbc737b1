"""Whatever is thrown at the wires that stand behind no framework: an error in their shape, and all or nothing."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from django.test import Client
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messaging.models import Campaign, Message

from .wires import FORM, Caller, caller

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NAMES = (
    "key", "number", "message", "messages", "devices", "option", "schedule", "type", "attachments", "prioritize",
    "listID", "useRandomDevice", "simSlot", "id", "groupId", "status", "deviceID", "startTimestamp", "endTimestamp",
    "request", "device", "sim", "name", "resubscribe", "unsubscribe", "to", "msg", "from", "delivery_date",
)  # fmt: skip
SERVICES = (
    "send", "read-messages", "get-msgs", "resend", "manage-contacts", "send-ussd-request", "read-ussd-requests",
    "get-devices", "nothing",
)  # fmt: skip
PATHS = (
    "/sms_system/api.php", "/api.php", "/api-v2/index.php/sms/send", "/api-v2/index.php/",
    *(f"/services/{name}.php" for name in SERVICES),
)  # fmt: skip
KINDS = (
    "application/json", FORM, "multipart/form-data; boundary=x", "multipart/form-data", "text/plain; charset=utf-16",
    "",
)  # fmt: skip
ODD = (
    "+12125551234", "12812345678", "[]", "null", "0", "-1", "1|0", '["1|0"]', "9" * 30, "1e400", "\0", "%", "\ud800",
    '[{"number":"+12125551234","message":"x"}]',
)  # fmt: skip
texts = st.one_of(st.sampled_from(ODD), st.text(max_size=20))
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
forms = st.lists(st.tuples(st.sampled_from(NAMES), texts), max_size=6)


def urlencoded(pairs: list[tuple[str, str]]) -> bytes:
    return urlencode([(name, value.encode(errors="surrogatepass")) for name, value in pairs]).encode()


def parts(pairs: list[tuple[str, str]]) -> bytes:
    return (
        b"".join(
            b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (k.encode(), v.encode(errors="surrogatepass"))
            for k, v in pairs
        )
        + b"--x--\r\n"
    )


bodies = st.one_of(
    st.binary(max_size=40),
    forms.map(urlencoded),
    forms.map(parts),
    st.dictionaries(st.sampled_from(["api_key", "phone", "message"]), values, max_size=3).map(
        lambda body: json.dumps(body).encode(errors="surrogatepass")
    ),
)


@pytest.fixture
def program() -> Caller:
    return caller()


def in_shape(path: str, status: int, body: Any) -> bool:
    if path.startswith("/services/"):
        return (
            status == 200 and set(body) == {"success", "data", "error"} and (body["error"] is None) is body["success"]
        )
    if path.startswith("/api-v2/"):
        return status in (200, 401) and ("send_log" in body or {"error", "error_message", "code"} == set(body))
    return (status == 200 and "results" in body) or (status < 500 and {"success", "error", "code"} == set(body))


@settings(max_examples=150)
@given(
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS"]),
    path=st.sampled_from(PATHS),
    kind=st.sampled_from(KINDS),
    query=st.one_of(st.just(""), st.text(max_size=20).map(quote_plus), forms.map(lambda f: urlencoded(f).decode())),
    body=bodies,
    with_key=st.booleans(),
)
@example("POST", "/services/send.php", FORM, "", b"number=%2B12125551234&message=x&schedule=99999999999", True)
@example("POST", "/services/send.php", FORM, "", b"number=%2B12125551234&message=x&listID=99999999999999999999", True)
@example("POST", "/services/read-messages.php", FORM, "", b"startTimestamp=99999999999&endTimestamp=99999999999", True)
@example(
    "POST", "/services/read-messages.php", FORM, "", b"id=99999999999999999999&deviceID=99999999999999999999", True
)
@example("POST", "/services/manage-contacts.php", FORM, "", b"listID=1&number=%2B12125551234&name=" + b"x" * 300, True)
def test_no_garbage_is_a_failure_of_ours(
    program: Caller, method: str, path: str, kind: str, query: str, body: bytes, with_key: bool
) -> None:
    if with_key and method == "POST" and kind == FORM and path.startswith("/services/"):
        body = b"key=" + program.key.encode() + b"&" + body
    elif with_key and kind == "application/json" and body.startswith(b"{"):
        body = b'{"api_key": "' + program.key.encode() + b'", ' + body[1:] if len(body) > 2 else body
    headers = program.basic if with_key else {"authorization": "Basic " + base64.b64encode(b"a:b").decode()}
    before = Message.objects.count()
    reply = Client().generic(method, path, body, content_type=kind, headers=headers, QUERY_STRING=query)
    assert in_shape(path, reply.status_code, json.loads(reply.content)), (reply.status_code, reply.content)
    assert Message.objects.count() - before == sum(Campaign.objects.values_list("total", flat=True)) - before


def test_too_many_parameters_are_refused() -> None:
    who = caller()
    body = b"&".join(b"a%d=1" % n for n in range(1_001))
    for reply in (
        Client().post("/services/send.php", body, content_type=FORM),
        Client().get("/services/send.php", QUERY_STRING=body.decode()),
        Client().post("/api-v2/index.php/sms/send", body, content_type=FORM, headers=who.basic),
    ):
        assert reply.status_code == 200 and (reply.json().get("code") or reply.json()["error"]["code"]) == 400
