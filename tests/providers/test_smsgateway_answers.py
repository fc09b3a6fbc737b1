"""What the smsgateway wire answers: HTTP 200, numbers as text, nulls that stay null."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from providers import errors
from providers.serving import handle
from providers.types import (
    AccountInfo,
    ContactInfo,
    Credits,
    DeviceInfo,
    GetAccount,
    ListDevices,
    MessageInfo,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    ReadMessages,
    ReadUssd,
    Resend,
    Result,
    Send,
    SendResult,
    SendUssd,
    SimInfo,
    Status,
    Unsubscribe,
    UssdInfo,
)

from . import cases
from .test_smsgateway import GROUP, KIND, LATER, LIST, NUMBER, ONE

DIALECT = cases.make_dialect(KIND)


def data(op: Operation, result: Result) -> Any:
    reply = DIALECT.write(op, result)
    body = json.loads(reply.body)
    assert (reply.status, body["success"], body["error"]) == (200, True, None)
    return body["data"]


class Carrier:
    """Takes every message."""

    def handle(self, op: Operation) -> Result:
        assert isinstance(op, Send)
        taken = enumerate(op.messages, start=1)
        return SendResult(
            tuple(Outcome(Status.QUEUED, number=m.number, provider_id=str(i), group=GROUP) for i, m in taken)
        )

    def limits(self) -> None:
        return None


def test_it_answers_a_send_in_the_documented_shape() -> None:
    op = replace(ONE, messages=(Outgoing(NUMBER, "This is a test message."),))
    outcome = Outcome(Status.QUEUED, number=NUMBER, provider_id="1", group=GROUP, device="1", sim=0)
    answer = data(op, SendResult((outcome,)))["messages"][0]
    documented = json.loads(cases.data(KIND, "answer.json"))["data"]["messages"][0]
    assert list(answer)[: len(documented)] == list(documented)
    assert {**answer, "sentDate": documented["sentDate"]} == documented | {
        "schedule": None,
        "resultCode": None,
        "errorCode": None,
        "errorText": None,
        "retries": "0",
        "expiryDate": None,
    }
    assert answer["sentDate"].endswith("+00:00")


def test_a_malformed_number_is_refused_alone() -> None:
    op = Send((Outgoing(NUMBER, "Hi"), Outgoing("nobody", "Hi")))
    first, second = data(op, handle(Carrier(), op))["messages"]
    assert (first["status"], first["errorCode"]) == ("Pending", None)
    assert (second["number"], second["status"], second["errorCode"]) == ("nobody", "Failed", "invalid_number")


def test_a_list_is_answered_with_all_messages_that_were_made_of_it() -> None:
    outcomes = tuple(Outcome(Status.QUEUED, number=f"+1555000000{i}", provider_id=str(i)) for i in range(3))
    messages = data(LIST, SendResult(outcomes))["messages"]
    assert [(m["ID"], m["number"], m["message"]) for m in messages] == [
        (str(i), f"+1555000000{i}", "Test") for i in range(3)
    ]


def test_only_what_failed_has_an_error_and_only_what_arrived_a_delivery_date() -> None:
    infos = [
        MessageInfo("1", NUMBER, "Hi", status, delivered_at=LATER, problem=Problem("4", "No service"))
        for status in Status
    ]
    messages = data(ReadMessages(), tuple(infos))["messages"]
    assert {m["status"] for m in messages if m["errorCode"] or m["resultCode"]} == {"Failed"}
    assert {m["status"] for m in messages if m["deliveredDate"]} == {"Delivered", "Received"}
    assert all(m["errorCode"] for m in messages if m["status"] == "Failed")


def test_numbers_are_text_and_unlimited_is_null() -> None:
    assert data(GetAccount(), AccountInfo(Credits(None))) == {"credits": None}
    assert data(GetAccount(), AccountInfo()) == {"credits": None}
    assert data(GetAccount(), AccountInfo(Credits(Decimal("1E+3")))) == {"credits": "1000"}


def test_a_device_serves_old_and_new_programs() -> None:
    sims = (SimInfo(0, "Carrier", "+15551234567"), SimInfo(1, "Other"))
    device = data(ListDevices(), (DeviceInfo("8", "Office", "Pixel", "14", "9.1", last_seen=LATER, sims=sims),))
    assert device == {
        "devices": [
            {
                "id": 8,
                "ID": "8",
                "name": "Office",
                "model": "Pixel",
                "androidVersion": "14",
                "appVersion": "9.1",
                "enabled": True,
                "status": "online",
                "lastSeen": "2030-03-17T17:46:40+00:00",
                "primary": False,
                "sims": {"0": "Carrier [+15551234567]", "1": "Other"},
            }
        ]
    }


def test_it_answers_contacts_and_ussd() -> None:
    contact = data(Unsubscribe("1", NUMBER), ContactInfo("7", NUMBER, "", "1", False))["contact"]
    assert contact == {"ID": "7", "number": NUMBER, "name": None, "contactsListID": "1", "subscribed": False}
    ussd = data(SendUssd("*150#", "1", 0), UssdInfo("4", "*150#", "1", 0))["request"]
    assert (ussd["ID"], ussd["deviceID"], ussd["simSlot"], ussd["response"]) == ("4", "1", "0", None)


@pytest.mark.parametrize("op", [ReadMessages(id="1"), Resend(id="1"), ReadUssd(id="1")])
def test_an_id_that_is_nobodys_is_not_found(op: Operation) -> None:
    with pytest.raises(errors.NotFound):
        DIALECT.write(op, ())


def test_a_search_that_finds_nothing_is_an_empty_list() -> None:
    assert data(ReadMessages(group="x"), ()) == {"messages": []}
    assert data(ReadUssd(code="*1#"), ()) == {"requests": []}
