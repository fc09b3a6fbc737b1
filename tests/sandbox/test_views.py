from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import errors, registry, web
from providers.base import Adapter
from providers.types import (
    Feature,
    GetAccount,
    ListDevices,
    ReadMessages,
    ReadUssd,
    RegisterWebhook,
    Reply,
    Request,
    SendResult,
    SendUssd,
    Status,
)
from sandbox.models import Account, Message

from .base import KEY, account, adapter, to

pytestmark = pytest.mark.django_db
KINDS = sorted(registry.kinds())


def through_client(kind: str, key: str = KEY) -> Adapter:
    """A real adapter whose requests go to the sandbox's view without a server."""
    cls = registry.adapter_class(kind)
    made = adapter(kind, "http://testserver", key)

    def transport(request: Request) -> Reply:
        return reply_of(
            Client().generic(
                request.method,
                f"/sandbox/{kind}{cls.base_url_ends}{request.path}",
                request.body,
                content_type=request.headers.get("content-type", "text/plain"),
                query_params=dict(request.query),
                headers={name: value for name, value in request.headers.items() if name != "content-type"},
            )
        )

    made.transport = transport
    return made


def reply_of(response: Any) -> Reply:
    return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)


def can(kind: str, *features: Feature) -> bool:
    return set(features) <= registry.adapter_class(kind).supports


def those_that(*features: Feature) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", [kind for kind in KINDS if can(kind, *features)])


every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_every_kind_sends(kind: str) -> None:
    result = through_client(kind).call(to("+11234567890"))
    assert isinstance(result, SendResult)
    assert result.outcomes[0].status in (Status.QUEUED, Status.SENT)
    assert result.outcomes[0].provider_id == str(Message.objects.get().pk)
    assert Message.objects.get().text == "Hello"


@every_kind
def test_every_kind_sends_to_several(kind: str) -> None:
    op = to(*(f"+1555010{n:04d}" for n in range(registry.adapter_class(kind).max_batch)[:50]))
    result = through_client(kind).call(op)
    assert [o.provider_id for o in result.outcomes] == [
        str(pk) for pk in Message.objects.order_by("id").values_list("id", flat=True)
    ]


@every_kind
def test_every_kind_refuses_a_strange_key(kind: str) -> None:
    with pytest.raises(errors.KeyRefused):
        through_client(kind, "somebody-else").call(to("+11234567890"))
    assert not Account.objects.exists()


@every_kind
def test_every_kind_says_that_credits_are_gone(kind: str) -> None:
    account(kind, credits=0)
    with pytest.raises(errors.NoCredits):
        through_client(kind).call(to("+11234567890"))


@every_kind
def test_every_kind_says_that_it_is_limited(kind: str) -> None:
    account(kind, rates=["1/hour"])
    made = through_client(kind)
    made.call(to("+11234567890"))
    with pytest.raises(errors.RateLimited):
        made.call(to("+11234567890"))


@every_kind
def test_every_kind_refuses_a_bad_number_at_once(kind: str) -> None:
    try:
        (outcome,) = through_client(kind).call(to("+15550100908")).outcomes
    except errors.InvalidNumber:
        pass
    else:
        assert (outcome.status, outcome.problem is not None) == (Status.FAILED, True)
    assert not Message.objects.exists()


@every_kind
@pytest.mark.parametrize(("digits", "error"), [("910", errors.Unavailable), ("911", errors.RateLimited)])
def test_every_kind_may_be_tried_again(kind: str, digits: str, error: type[errors.ProviderError]) -> None:
    made = through_client(kind)
    with pytest.raises(error):
        made.call(to(f"+15550100{digits}"))
    assert made.call(to(f"+15550100{digits}")).outcomes[0].taken


@every_kind
@pytest.mark.parametrize("digits", ["909", "912"])
def test_a_spoilt_answer_leaves_every_kind_uncertain(kind: str, digits: str) -> None:
    with pytest.raises(errors.Uncertain):
        through_client(kind).call(to(f"+15550100{digits}"))
    assert Message.objects.count() == 1


@those_that(Feature.CREDITS)
def test_the_balance_is_told(kind: str) -> None:
    account(kind, credits=42)
    assert through_client(kind).call(GetAccount()).credits.amount == 42


@those_that(Feature.STATUS)
def test_a_status_is_told(kind: str) -> None:
    made = through_client(kind)
    sent = made.call(to("+11234567890")).outcomes[0]
    info = made.call(ReadMessages(id=sent.provider_id))[0]
    assert (info.id, info.number, info.text) == (sent.provider_id, "+11234567890", "Hello")


@those_that(Feature.WEBHOOKS)
def test_a_webhook_is_registered(kind: str) -> None:
    info = through_client(kind).call(RegisterWebhook("http://127.0.0.1:9/hook", ("message.delivered",)))
    assert info.secret == Account.objects.get().webhook_secret


@those_that(Feature.DEVICES, Feature.USSD)
def test_phones_are_listed_and_dial(kind: str) -> None:
    made = through_client(kind)
    assert [len(device.sims) for device in made.call(ListDevices())] == [2, 2, 1]
    asked = made.call(SendUssd("*100#", "1", 0))
    assert made.call(ReadUssd(id=asked.id))[0].code == "*100#"


def test_rate_headers_are_on_answers() -> None:
    response = Client().get("/sandbox/smsprovider/v1/account", headers={"authorization": f"Bearer {KEY}"})
    assert response["X-RateLimit-Limit"] == "10"


def test_an_unknown_kind_is_not_found() -> None:
    assert Client().get("/sandbox/carrier-pigeon/v1/account").status_code == 404


def test_a_body_over_8_mb_is_refused() -> None:
    response = Client().generic("POST", "/sandbox/smsprovider/v1/messages", b"x" * (web.BODY_LIMIT + 1))
    assert (response.status_code, response.content) == (400, b"The body is longer than 8 MB.")


# Whatever is thrown at the door.

AUTHORIZATION = {
    "customersms": "",
    "smsprovider": f"Bearer {KEY}",
    "voipcommunications": "Basic c2FuZGJveC10ZXN0OnNhbmRib3gtc2VjcmV0",
    "smsgateway": "",
}
PATHS = [
    "", "/", "/messages", "/messages/1", "/account", "/webhooks", "/sms/send", "/sms_system/api.php", "/api.php",
    "/services/send.php", "/services/read-messages.php", "/services/resend.php", "/services/get-devices.php",
    "/services/send-ussd-request.php", "/services/read-ussd-requests.php", "/services/manage-contacts.php", "/nothing",
]  # fmt: skip
NAMES = [
    "key", "api_key", "to", "phone", "number", "message", "msg", "messages", "devices", "device", "schedule", "option",
    "status", "id", "groupId", "listID", "scheduled_at", "delivery_date", "callback_url", "url", "events", "simSlot",
    "startTimestamp", "endTimestamp", "request", "type", "attachments", "unsubscribe", "resubscribe", "from",
]  # fmt: skip
NASTY = [
    None, True, -1, 0, 10**30, 1e300, "", "\x00", "²", "+11234567890", "+15550100908", "null", "[]", "{}", "[[1,2],{}]",
    '[{"number": 5}]', "1|0", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "99999999999999999", "-1",
    "http://[", "\ud800", [], {}, [[]], ["+11234567890", None], {"a": 1}, "Received", "x" * 2000, KEY,
]  # fmt: skip
values = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NASTY), max_size=6)
thrown = settings(max_examples=150)


def throw(kind: str, method: str, path: str, body: bytes, content_type: str, query: str = "") -> int:
    response = Client().generic(
        method,
        f"/sandbox/{kind}{registry.adapter_class(kind).base_url_ends}{path}",
        body,
        content_type=content_type,
        QUERY_STRING=query,
        headers={"authorization": AUTHORIZATION[kind]} if AUTHORIZATION.get(kind) else {},
    )
    assert response.status_code < 500, (method, path, body, query, response.content)
    return response.status_code


@every_kind
@thrown
@given(data=st.data())
def test_no_json_makes_it_fail(kind: str, data: st.DataObject) -> None:
    body = {"api_key": KEY, "key": KEY} | data.draw(values)
    throw(kind, "POST", data.draw(st.sampled_from(PATHS)), json.dumps(body).encode(), "application/json")


@every_kind
@thrown
@given(data=st.data())
def test_no_form_makes_it_fail(kind: str, data: st.DataObject) -> None:
    body = {"key": KEY} | data.draw(values)
    pairs = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in body.items()]
    form = "&".join(f"{name}={_quoted(value)}" for name, value in pairs)
    path = data.draw(st.sampled_from(PATHS))
    if data.draw(st.booleans()):
        throw(kind, "POST", path, form.encode(), "application/x-www-form-urlencoded")
    else:
        throw(kind, "GET", path, b"", "text/plain", form)


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode(errors="surrogatepass"))


@every_kind
@thrown
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "BREW"]),
    path=st.sampled_from(PATHS) | st.text(st.characters(codec="ascii", min_codepoint=33), max_size=20),
    body=st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b"{}", b"null", b"1e999", b"\xff\xfe", b"%zz=%"]),
    content_type=st.sampled_from(
        [
            "",
            "application/json",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "multipart/form-data; boundary=x",
        ]
    ),
)
def test_no_bytes_make_it_fail(kind: str, method: str, path: str, body: bytes, content_type: str) -> None:
    throw(kind, method, path.replace("?", "").replace("#", ""), body, content_type, query="a=%ff&&=b&key=" + KEY)


def test_too_many_parameters_are_refused() -> None:
    assert throw("smsprovider", "GET", "/account", b"", "text/plain", "&".join(["a=1"] * 2000)) == 400
