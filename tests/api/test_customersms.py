"""customersms (seeds 000 and 001), served."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from messaging.models import Campaign

from .wires import FORM, caller, ids, opted_out, post, stored

pytestmark = pytest.mark.django_db

PATH = "/sms_system/api.php"
ONE, TWO = "+12125551234", "+13235554567"
TEXT = "Hello from customersms.pro!"
OUT = "This person opted out. Nobody writes to them until they opt in again."


def test_the_answer_is_the_seeds_to_the_byte() -> None:
    reply = post(PATH, {"api_key": caller(credits=100).key, "phone": [ONE, TWO], "message": TEXT})
    first, second = ids()
    assert reply.content.decode() == (
        '{"success":true,"message":"SMS sending completed","total_numbers":2,"successful_sends":2,"failed_sends":0,'
        f'"remaining_credits":98,"results":[{{"phone":"{ONE}","success":true,"message_id":"{first}"}},'
        f'{{"phone":"{TWO}","success":true,"message_id":"{second}"}}]}}'
    )
    assert (reply.status_code, reply["content-type"]) == (200, "application/json")
    assert stored() == [(ONE, TEXT), (TWO, TEXT)]


@pytest.mark.parametrize("path", [PATH, "/api.php"])
@pytest.mark.parametrize(
    ("phone", "numbers"),
    [
        (ONE, [ONE]),
        (f"{ONE},{TWO}", [ONE, TWO]),
        (f" {ONE} , {TWO} ,", [ONE, TWO]),
        ([ONE, TWO], [ONE, TWO]),
        ([f"{ONE},{TWO}"], [ONE, TWO]),
        ("0012125551234", [ONE]),
        ("(212) 555-1234", ["+2125551234"]),
        ("+11234567890", ["+11234567890"]),
        ("12812345678", ["+12812345678"]),
    ],
)
def test_phone_is_a_number_several_or_an_array(path: str, phone: Any, numbers: list[str]) -> None:
    reply = post(path, {"api_key": caller().key, "phone": phone, "message": TEXT})
    assert [entry["phone"] for entry in reply.json()["results"]] == numbers
    assert stored() == [(number, TEXT) for number in numbers]


@pytest.mark.parametrize("content_type", ["application/json", FORM, "text/plain", ""])
def test_json_is_read_whatever_it_is_called(content_type: str) -> None:
    """curl -d without a header calls it a form."""
    body = {"api_key": caller().key, "phone": ONE, "message": TEXT}
    assert post(PATH, body, content_type).json()["success"] is True


def test_credits_are_null_when_there_is_no_budget() -> None:
    reply = post(PATH, {"api_key": caller().key, "phone": ONE, "message": TEXT}).json()
    assert "remaining_credits" in reply and reply["remaining_credits"] is None


def test_a_number_that_is_none_and_who_opted_out_are_refused_alone() -> None:
    opted_out(TWO)
    reply = post(PATH, {"api_key": caller(credits=5).key, "phone": [ONE, TWO, "12"], "message": TEXT}).json()
    assert [reply[name] for name in ("success", "successful_sends", "failed_sends", "remaining_credits")] == [
        True, 1, 2, 4,
    ]  # fmt: skip
    assert reply["results"][1:] == [
        {"phone": TWO, "success": False, "error": OUT, "code": "OPTED_OUT"},
        {
            "phone": "12",
            "success": False,
            "error": "“12” is not a phone number: write + and 7 to 15 digits.",
            "code": "INVALID_PHONE_NUMBER",
        },
    ]
    assert stored() == [(ONE, TEXT)]
    assert Campaign.objects.get().skipped == {"opted_out": 1}


def test_nothing_is_stored_when_all_opted_out() -> None:
    opted_out(ONE)
    reply = post(PATH, {"api_key": caller(credits=5).key, "phone": ONE, "message": TEXT}).json()
    assert [reply[name] for name in ("success", "code", "error", "remaining_credits")] == [False, "OPTED_OUT", OUT, 5]
    assert stored() == [] and not Campaign.objects.exists()


@pytest.mark.parametrize("path", ["/api.php/", f"{PATH}/"])
def test_a_slash_at_the_end_changes_nothing(path: str) -> None:
    assert post(path, {"api_key": caller().key, "phone": ONE, "message": TEXT}).json()["success"]


KEY = "KEY"  # stands for the key of the test


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"api_key": "nobody's", "phone": ONE, "message": "x"}, 401, "INVALID_API_KEY", "Invalid or inactive API key"),
        ({"phone": ONE, "message": "x"}, 401, "INVALID_API_KEY", "The API key is missing"),
        ({"api_key": 7, "phone": ONE, "message": "x"}, 401, "INVALID_API_KEY", "The API key is missing"),
        ({"api_key": KEY, "message": "x"}, 400, "MISSING_PARAMETER", "“phone” is missing"),
        ({"api_key": KEY, "phone": [], "message": "x"}, 400, "MISSING_PARAMETER", "“phone” is missing"),
        ({"api_key": KEY, "phone": ONE}, 400, "MISSING_PARAMETER", "“message” is missing"),
        ({"api_key": KEY, "phone": ONE, "message": ["x"]}, 400, "INVALID_REQUEST", "“message” must be a string"),
        ({"api_key": KEY, "phone": {"a": 1}, "message": "x"}, 400, "INVALID_REQUEST", "“phone” must be a string"),
        ({"api_key": KEY, "phone": ONE, "message": "a\0b"}, 400, "INVALID_REQUEST", "holds a NUL"),
        ({"api_key": KEY, "phone": "12", "message": "x"}, 400, "INVALID_PHONE_NUMBER", "“12” is not a phone number"),
        ({"api_key": KEY, "phone": "54321", "message": "x"}, 400, "INVALID_PHONE_NUMBER", "short code"),
        ({"api_key": KEY, "phone": [ONE] * 5_001, "message": "x"}, 400, "INVALID_REQUEST", "At most 5,000"),
        ({"api_key": KEY, "phone": ONE, "message": "x" * 1_601}, 400, "MESSAGE_TOO_LONG", "1,601 characters"),
        ([1], 400, "INVALID_REQUEST", "must be a JSON object"),
        (b'{"api_key": ', 400, "INVALID_REQUEST", "not valid JSON"),
        (b"\xff\xfe", 400, "INVALID_REQUEST", "not valid JSON"),
        (b"", 400, "INVALID_REQUEST", "not valid JSON"),
        (b"x" * (8 * 1024 * 1024 + 1), 400, "INVALID_REQUEST", "longer than 8 MB"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_has_the_seeds_shape(body: Any, status: int, code: str, words: str) -> None:
    key = caller().key
    if isinstance(body, dict) and body.get("api_key") == KEY:
        body = body | {"api_key": key}
    reply = post(PATH, body)
    told = json.loads(reply.content)
    assert list(told) == ["success", "error", "code"]
    assert (reply.status_code, told["success"], told["code"]) == (status, False, code)
    assert words in told["error"]
    assert stored() == []


def test_a_budget_that_is_too_small_takes_nothing() -> None:
    who = caller(credits=1)
    reply = post(PATH, {"api_key": who.key, "phone": [ONE, TWO], "message": TEXT})
    assert (reply.status_code, reply.json()["code"]) == (402, "INSUFFICIENT_CREDITS")
    who.row.refresh_from_db()
    assert (who.row.credits, stored(), Campaign.objects.count()) == (1, [], 0)


def test_a_credit_pays_for_a_part() -> None:
    reply = post(PATH, {"api_key": caller(credits=10).key, "phone": [ONE, TWO], "message": "x" * 161})
    assert reply.json()["remaining_credits"] == 6


def test_a_key_that_asks_too_often_is_told_when_to_come_back() -> None:
    body = {"api_key": caller(rates=["1/hour"]).key, "phone": ONE, "message": TEXT}
    assert post(PATH, body).status_code == 200
    reply = post(PATH, body)
    assert (reply.status_code, reply.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    assert 3_590 <= int(reply["retry-after"]) <= 3_600
    assert len(stored()) == 1


def test_only_post_is_taken() -> None:
    reply = Client().get(PATH)
    assert (reply.status_code, reply.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
