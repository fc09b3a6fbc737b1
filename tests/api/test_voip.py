"""voipcommunications (seed 003), served."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client

from messaging.models import Message
from tests.base import account

from .wires import FORM, Caller, caller, ids, opted_out, post, stored

pytestmark = pytest.mark.django_db

PATH = "/api-v2/index.php/sms/send"
TEXT = "It is a SMS message"
BOUNDARY = "xxBOUNDARYxx"


def send(who: Caller, **fields: str) -> Any:
    return post(PATH, urlencode(fields).encode(), FORM, who.basic)


def multipart(fields: dict[str, str]) -> bytes:
    parts = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items())
    return ("".join(parts) + f"--{BOUNDARY}--\r\n").encode()


def test_the_answer_is_the_seeds_to_the_byte() -> None:
    reply = send(
        caller(account(zone="UTC")),
        to="12812345678",
        msg=TEXT,
        delivery_date="2031-10-01 00:00",
        **{"from": "17134567890"},
    )
    assert reply.content.decode() == (
        '{"send_log":[{"code":200,"code_desc":"","from":"17134567890","to":"12812345678","country":"US",'
        f'"msg":"{TEXT}","delivery_date":"2031-10-01 00:00:00","sale":null,"type":"2WAYSMS","status":"SCHEDULED",'
        f'"smsid":"{ids()[0]}"}}]}}'
    )
    assert (reply.status_code, stored()) == (200, [("+12812345678", TEXT)])


def test_without_a_sender_it_is_bulk() -> None:
    (entry,) = send(caller(), to="12812345678", msg=TEXT).json()["send_log"]
    assert (entry["type"], entry["from"], entry["status"]) == ("BULKSMS", "", "QUEUED")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, urlencode({"to": "12812345678,17135550100", "msg": TEXT}).encode()),
        (f"multipart/form-data; boundary={BOUNDARY}", multipart({"to": "12812345678,17135550100", "msg": TEXT})),
        (FORM + "; charset=UTF-8", urlencode({"to": "+12812345678, +17135550100", "msg": TEXT}).encode()),
    ],
)
def test_a_form_may_be_urlencoded_or_multipart(content_type: str, body: bytes) -> None:
    reply = post(PATH, body, content_type, caller().basic)
    assert [entry["to"] for entry in reply.json()["send_log"]] == ["12812345678", "17135550100"]
    assert stored() == [("+12812345678", TEXT), ("+17135550100", TEXT)]


def test_parameters_may_stand_in_the_url() -> None:
    post(f"{PATH}?{urlencode({'to': '12812345678', 'msg': TEXT})}", b"", FORM, caller().basic)
    assert stored() == [("+12812345678", TEXT)]


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("2031-01-01 13:15", (2031, 1, 1, 19, 15)),
        ("2031-07-01 13:15:30", (2031, 7, 1, 18, 15, 30)),
        ("07/01/2031 01:15 PM", (2031, 7, 1, 18, 15)),
        ("2031-07-01T13:15:00Z", (2031, 7, 1, 13, 15)),
    ],
)
def test_a_date_is_by_the_accounts_clock(written: str, utc: tuple[int, ...]) -> None:
    reply = send(caller(account(zone="America/Chicago")), to="12812345678", msg=TEXT, delivery_date=written)
    assert Message.objects.get().due_at == datetime(*utc, tzinfo=UTC)
    assert reply.json()["send_log"][0]["delivery_date"].startswith("2031-0")


def test_what_cannot_be_sent_has_a_code_of_its_own_in_the_log() -> None:
    opted_out("+17135550100")
    reply = send(caller(), to="12812345678,17135550100,12", msg=TEXT)
    log = reply.json()["send_log"]
    assert [(entry["code"], entry["status"], bool(entry["smsid"])) for entry in log] == [
        (200, "QUEUED", True), (406, "FAILED", False), (422, "FAILED", False),
    ]  # fmt: skip
    assert "opted out" in log[1]["code_desc"] and "12" in log[2]["code_desc"]
    assert (reply.status_code, len(stored())) == (200, 1)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"msg": TEXT}, 200, 400),
        ({"to": "12812345678"}, 200, 400),
        ({"to": "12812345678", "msg": TEXT, "delivery_date": "next week"}, 200, 400),
        ({"to": "nobody", "msg": TEXT}, 200, 422),
        ({"to": "12812345678", "msg": "x" * 1_601}, 200, 413),
        ({"to": "12812345678", "msg": "a\0b"}, 200, 400),
    ],
)
def test_an_error_has_the_shape_of_real_ones(fields: dict[str, str], status: int, code: int) -> None:
    reply = send(caller(), **fields)
    told = reply.json()
    assert (reply.status_code, told["error"], told["code"]) == (status, True, code)
    assert list(told) == ["error", "error_message", "code"] and told["error_message"]
    assert stored() == []


@pytest.mark.parametrize("header", ["", "Basic", "Basic !!!", "Basic bm9ib2R5OnNlY3JldA==", "Bearer x"])
def test_wrong_credentials_are_401(header: str) -> None:
    reply = post(PATH, b"to=12812345678&msg=x", FORM, {"authorization": header} if header else None)
    assert (reply.status_code, reply.json()["error"]) == (401, True)


def test_a_key_with_a_wrong_password_is_refused() -> None:
    who = caller()
    wrong = Caller(who.row, who.key, "wrong", who.account)
    assert send(wrong, to="12812345678", msg=TEXT).status_code == 401
    assert send(who, to="12812345678", msg=TEXT).status_code == 200  # and found once more, from memory
    assert send(wrong, to="12812345678", msg=TEXT).status_code == 401


@pytest.mark.parametrize(("method", "path"), [("GET", PATH), ("POST", "/api-v2/index.php/sms/summary")])
def test_what_is_not_there_is_answered_in_the_same_shape(method: str, path: str) -> None:
    reply = Client().generic(method, path, b"", content_type=FORM, headers=caller().basic)
    assert (reply.status_code, reply.json()["code"]) == (200, 404)
