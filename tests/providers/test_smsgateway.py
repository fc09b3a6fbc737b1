"""The smsgateway wire, as we call it: the seed's own requests, upstreams of every taste, and broken answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from providers import errors
from providers.types import (
    AccountInfo,
    ContactInfo,
    Credits,
    DeviceInfo,
    Devices,
    Feature,
    GetAccount,
    ListDevices,
    MessageInfo,
    MessageType,
    Operation,
    Outcome,
    Outgoing,
    Problem,
    ReadMessages,
    ReadUssd,
    Resend,
    SaveContact,
    Send,
    SendResult,
    SendUssd,
    SentRef,
    SimInfo,
    Spread,
    Status,
    Target,
    Unsubscribe,
    UssdInfo,
)

from . import cases

KIND = "smsgateway"
NUMBER = "+11234567890"
GROUP = ")V5LxqyBMEbQrl9*J$5bb4c03e8a07b7.62193871"
LATER = datetime.fromtimestamp(1_900_000_000, UTC)
LINKS = (
    "https://example.com/images/footer-logo.png",
    "https://example.com/downloads/sms-gateway/images/section/create-chat-bot.png",
)
ONE = Send((Outgoing(NUMBER, "This is a test of single message.", "a"),))
TWELVE = tuple(
    Outgoing(NUMBER, f"This is a test #{i} of PHP version. Testing bulk message functionality.", str(i))
    for i in range(1, 13)
)
SPLIT = Devices(targets=(Target("1"), Target("2", 0), Target("2", 1)))
MMS = replace(ONE.messages[0], type=MessageType.MMS, attachments=LINKS)
LIST = Send((Outgoing("", "Test"),), devices=Devices(targets=(Target("1"),)), list_id="1")


def written(op: Operation) -> tuple[str, bytes]:
    request = cases.make_adapter(KIND, credentials={"api_key": "API_KEY"}).write(op)
    assert (request.method, request.headers) == ("POST", {"content-type": "application/x-www-form-urlencoded"})
    return request.path, request.body


def read(op: Operation, data: object) -> Any:
    body = {"success": True, "data": data, "error": None}
    return cases.make_adapter(KIND).read(op, cases.json_reply(json.dumps(body).encode()))


def message(**members: object) -> dict[str, Any]:
    """The documented message with other members."""
    found: dict[str, Any] = json.loads(cases.data(KIND, "answer.json"))["data"]["messages"][0]
    return {**found, **members}


# What it writes


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("single.form", ONE),
        ("single_device.form", replace(ONE, devices=Devices(targets=(Target("1"),)))),
        ("single_sim.form", replace(ONE, devices=Devices(targets=(Target("1", 0),)))),
        ("single_mms.form", Send((MMS,), devices=Devices(targets=(Target("1"),)))),
        ("single_urgent.form", replace(ONE, devices=Devices(targets=(Target("1"),)), priority=True)),
    ],
)
def test_it_writes_a_single_message_as_the_seeds_client_does(name: str, op: Send) -> None:
    assert written(op) == ("/services/send.php", cases.data(KIND, name))


def test_it_writes_several_messages_as_the_seeds_client_does() -> None:
    path, body = written(Send(TWELVE, devices=Devices(Spread.ALL_SIMS)))
    assert (path, body) == ("/services/send.php", cases.data(KIND, "bulk_all_sims.form"))
    split = cases.data(KIND, "bulk_split.form").replace(b"%5B1%2C", b"%5B%221%22%2C")
    assert written(Send(TWELVE, devices=SPLIT))[1] == split


def test_it_writes_type_and_attachments_into_the_entries_that_have_them() -> None:
    comma = replace(MMS, attachments=("https://example.com/a,b.png",))
    body = written(Send((TWELVE[0], comma), schedule=LATER, priority=True))[1].decode()
    assert "%22type%22%3A%22mms%22%2C%22attachments%22%3A%22https%3A%2F%2Fexample.com%2Fa%252Cb.png%22%7D%5D" in body
    assert body.count("type") == 1
    assert "&schedule=1900000000&" in body
    assert body.endswith("&prioritize=1")


def test_it_writes_a_message_to_a_list() -> None:
    expected = cases.data(KIND, "list.form").replace(b"devices=1", b"devices=%5B%221%22%5D")
    assert written(LIST) == ("/services/send.php", expected)


@pytest.mark.parametrize(
    ("op", "path", "body"),
    [
        (GetAccount(), "send", "key=API_KEY"),
        (ReadMessages(id="1"), "read-messages", "key=API_KEY&id=1"),
        (ReadMessages(group=")V5 &"), "read-messages", "key=API_KEY&groupId=%29V5+%26"),
        (
            ReadMessages(status=Status.RECEIVED, device="8", sim=0, start=LATER, end=LATER),
            "read-messages",
            "key=API_KEY&status=Received&deviceID=8&simSlot=0&startTimestamp=1900000000&endTimestamp=1900000000",
        ),
        (Resend(id="1"), "resend", "key=API_KEY&id=1"),
        (Resend(group="LV5", status=Status.FAILED), "resend", "key=API_KEY&groupId=LV5&status=Failed"),
        (
            SaveContact("1", NUMBER, "Test", resubscribe=True),
            "manage-contacts",
            "key=API_KEY&listID=1&number=%2B11234567890&name=Test&resubscribe=1",
        ),
        (Unsubscribe("1", NUMBER), "manage-contacts", "key=API_KEY&listID=1&number=%2B11234567890&unsubscribe=1"),
        (SendUssd("*150#", "1"), "send-ussd-request", "key=API_KEY&request=%2A150%23&device=1"),
        (SendUssd("*150#", "1", 1), "send-ussd-request", "key=API_KEY&request=%2A150%23&device=1&sim=1"),
        (ReadUssd(id="4"), "read-ussd-requests", "key=API_KEY&id=4"),
        (
            ReadUssd(code="*150#", device="1", sim=0, start=LATER),
            "read-ussd-requests",
            "key=API_KEY&request=%2A150%23&deviceID=1&simSlot=0&startTimestamp=1900000000",
        ),
        (ListDevices(), "get-devices", "key=API_KEY"),
    ],
)
def test_it_asks_as_the_seeds_client_does(op: Operation, path: str, body: str) -> None:
    assert written(op) == (f"/services/{path}.php", body.encode())


@pytest.mark.parametrize(
    ("op", "sentence"),
    [
        (replace(ONE, sender="Brand"), "sender_id"),
        (ReadMessages(status=Status.EXPIRED), "cannot be searched"),
        (Resend(), "Say which messages"),
        (Send(TWELVE * 9), "At most 100"),
    ],
)
def test_it_refuses_what_the_wire_cannot_say(op: Operation, sentence: str) -> None:
    with pytest.raises(errors.Unsupported, match=sentence):
        cases.make_adapter(KIND).write(op)


def test_it_declares_what_the_wire_can_do() -> None:
    adapter = cases.make_adapter(KIND)
    assert set(Feature) - adapter.supports == {Feature.SENDER_ID, Feature.REPORTS, Feature.WEBHOOKS}
    assert (adapter.poll_after, adapter.mixed_texts, adapter.max_batch) == (2.0, True, 100)


def test_it_polls_each_group_once_and_what_has_none_by_its_id() -> None:
    sent = [SentRef("1", "g"), SentRef("2", "h"), SentRef("3", "g"), SentRef("4"), SentRef("4"), SentRef("")]
    polls = cases.make_adapter(KIND).polls(sent)
    assert polls == (ReadMessages(group="g"), ReadMessages(group="h"), ReadMessages(id="4"))


# What it reads


def test_it_reads_the_documented_answer() -> None:
    result = cases.make_adapter(KIND).read(ONE, cases.json_reply(cases.data(KIND, "answer.json")))
    assert result == SendResult((Outcome(Status.QUEUED, "a", NUMBER, "1", GROUP, device="1", sim=0),))
    assert isinstance(result, SendResult) and result.outcomes[0].ref == "a"


def test_it_reads_the_documented_message() -> None:
    info = cases.make_adapter(KIND).read(ReadMessages(id="1"), cases.json_reply(cases.data(KIND, "answer.json")))
    moment = datetime(2018, 10, 20, tzinfo=timezone(timedelta(hours=2)))
    documented = MessageInfo("1", NUMBER, "This is a test message.", Status.QUEUED, device="1", sim=0, user="1")
    assert info == (replace(documented, group=GROUP, sent_at=moment),)


def test_it_tells_the_seeds_twelve_messages_to_one_number_apart_in_any_order() -> None:
    entries = [message(ID=m.ref, message=m.text) for m in reversed(TWELVE)]
    outcomes = read(Send(TWELVE), {"messages": entries}).outcomes
    assert [(o.ref, o.provider_id) for o in outcomes] == [(str(i), str(i)) for i in range(1, 13)]


def test_it_goes_by_the_order_where_the_gateway_rewrote_number_and_text() -> None:
    entries = [message(ID=str(i), number="(123) 456-7890", message="?") for i in range(1, 13)]
    outcomes = read(Send(TWELVE), {"messages": entries}).outcomes
    assert [o.provider_id for o in outcomes] == [str(i) for i in range(1, 13)]


def test_it_is_uncertain_about_what_the_answer_leaves_out() -> None:
    op = Send((Outgoing(NUMBER, "a"), Outgoing("+12812345678", "b")))
    first, second = read(op, {"messages": [message(ID="2", number="12812345678", message="b, rewritten")]}).outcomes
    assert (first.status, second.status, second.provider_id) == (Status.UNCERTAIN, Status.QUEUED, "2")


@pytest.mark.parametrize(
    ("members", "status", "problem"),
    [
        ({"status": "Sent"}, Status.SENT, None),
        ({"status": "sent", "resultCode": -1}, Status.SENT, None),
        ({"status": "DELIVERED"}, Status.DELIVERED, None),
        ({"status": "Queued"}, Status.SENDING, None),
        ({"status": "Scheduled"}, Status.SCHEDULED, None),
        ({"status": "Cancelled"}, Status.CANCELED, None),
        ({"status": "Lost"}, Status.UNKNOWN, None),
        ({"status": "Failed"}, Status.FAILED, None),
        ({"status": "Failed", "resultCode": 4}, Status.FAILED, Problem("4", "The phone has no service.")),
        ({"status": "Failed", "errorCode": "38"}, Status.FAILED, Problem("38")),
        ({"status": "Failed", "errorCode": "x", "errorText": "Why"}, Status.FAILED, Problem("x", "Why")),
    ],
)
def test_it_reads_a_status_and_its_reason(
    members: Mapping[str, object], status: Status, problem: Problem | None
) -> None:
    info = read(ReadMessages(id="1"), {"messages": [message(**members)]})[0]
    assert (info.status, info.problem) == (status, problem)
    outcome = read(ONE, {"messages": [message(**members)]}).outcomes[0]
    assert outcome.taken == (status is not Status.FAILED)
    assert (outcome.problem is None) == outcome.taken
    assert outcome.status is not Status.UNKNOWN


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2018-10-20T00:00:00+02:00", datetime(2018, 10, 19, 22, tzinfo=UTC)),
        ("2018-10-20T00:00:00+0600", datetime(2018, 10, 19, 18, tzinfo=UTC)),
        ("2018-10-20T00:00:00Z", datetime(2018, 10, 20, tzinfo=UTC)),
        (1900000000, LATER),
        (None, None),
        ("", None),
        ("0000-00-00 00:00:00", None),
    ],
)
def test_it_reads_dates_and_loses_no_message_over_a_strange_one(text: object, moment: datetime | None) -> None:
    assert read(ReadMessages(id="1"), {"messages": [message(sentDate=text)]})[0].sent_at == moment


def test_it_reads_ids_as_numbers_and_links_as_a_list() -> None:
    entry = {**message(deviceID=8, simSlot=1, userID=3, type="MMS", attachments=["https://a.example/1"]), "id": 5}
    del entry["ID"]
    info = read(ReadMessages(id="5"), {"messages": [entry]})[0]
    assert (info.id, info.device, info.sim, info.user) == ("5", "8", 1, "3")
    assert (info.type, info.attachments) == (MessageType.MMS, ("https://a.example/1",))


@pytest.mark.parametrize(
    ("left", "amount"),
    [
        (None, None),
        ("1250", Decimal(1250)),
        (0, Decimal(0)),
        ("1.5", Decimal("1.5")),
    ],
)
def test_it_reads_the_balance(left: object, amount: Decimal | None) -> None:
    assert read(GetAccount(), {"credits": left}) == AccountInfo(Credits(amount))


@pytest.mark.parametrize("data", [{}, {"credits": "many"}, {"credits": True}, None, []])
def test_a_balance_that_is_none_is_a_bad_answer(data: object) -> None:
    with pytest.raises(errors.BadAnswer):
        read(GetAccount(), data)


def test_it_reads_devices_of_every_taste() -> None:
    found = cases.make_adapter(KIND).read(ListDevices(), cases.json_reply(cases.data(KIND, "devices.json")))
    first = DeviceInfo("8", "Office", "Pixel 4a", sims=(SimInfo(0, "Carrier", "+15551234567"), SimInfo(1, "Other")))
    second = DeviceInfo("9", "", "A12", enabled=False, sims=(SimInfo(0, "Carrier", "+15551234568"),))
    assert found == (first, second)


@pytest.mark.parametrize(
    ("sims", "read_as"),
    [
        ({"1": "Carrier [eSIM]"}, (SimInfo(1, "Carrier [eSIM]"),)),
        ([{"slot": 1, "carrier": "x", "label": "Two", "number": "15551234567"}], (SimInfo(1, "Two", "+15551234567"),)),
        ({"0": None}, (SimInfo(0),)),
        ([], ()),
        ("none", ()),
        (None, ()),
    ],
)
def test_it_reads_sims_of_every_taste(sims: object, read_as: tuple[SimInfo, ...]) -> None:
    assert read(ListDevices(), {"devices": [{"id": 1, "sims": sims}]})[0].sims == read_as


def test_it_reads_a_contact_from_a_gateway_that_says_little() -> None:
    assert read(Unsubscribe("1", NUMBER), {"contact": {"id": 7}}) == ContactInfo("7", NUMBER, "", "1", False)
    assert read(SaveContact("1", NUMBER), {"contact": {"ID": "7"}}) == ContactInfo("7", NUMBER, "", "1", True)


def test_it_reads_a_ussd_request_that_has_no_answer_yet() -> None:
    raw = {"ID": 4, "request": "*150#", "deviceID": 1, "simSlot": None, "response": None}
    assert read(SendUssd("*150#", "1"), {"request": raw}) == UssdInfo("4", "*150#", "1")
    assert read(ReadUssd(), {"requests": [{**raw, "response": "Bye"}]}) == (UssdInfo("4", "*150#", "1", None, "Bye"),)


def test_a_list_is_one_outcome_that_is_found_again_by_its_group() -> None:
    entries = [message(ID="1", status="Failed"), message(ID="2"), message(ID="3")]
    assert read(LIST, {"messages": entries}).outcomes == (Outcome(Status.QUEUED, group=GROUP),)
    lone = Outcome(Status.QUEUED, provider_id="3", group=GROUP, device="1", sim=0)
    assert read(LIST, {"messages": entries[2:]}).outcomes == (lone,)
    assert read(LIST, {"messages": []}).outcomes[0].problem.code == "no_messages"


# Errors


@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        (json.loads(cases.data(KIND, "error.json")), errors.KeyRefused, "Invalid API key"),
        ({"success": False, "error": {"code": "402", "message": "Broke"}}, errors.NoCredits, "Broke"),
        ({"success": False, "error": {"message": "Odd"}}, errors.Rejected, "Odd"),
        ({"success": False, "error": "Odd"}, errors.Rejected, "Odd"),
        ({"success": 0, "message": "Odd"}, errors.Rejected, "Odd"),
        ({"success": False, "error": {"code": 500, "message": "Oops"}}, errors.Uncertain, "Oops"),
        ({"success": False}, errors.Rejected, "The provider refused the message."),
    ],
)
def test_it_reads_an_error_that_comes_with_http_200(body: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        cases.make_adapter(KIND).read(ONE, cases.json_reply(json.dumps(body).encode()))
    assert type(caught.value) is error


def test_a_text_instead_of_data_is_an_error_with_that_text() -> None:
    for body in (b"Database is <b>down</b>\n", b"<html><body><p>Database is down</p>"):
        with pytest.raises(errors.BadAnswer, match="“Database is down”"):
            cases.make_adapter(KIND).read(ONE, cases.json_reply(body))


@pytest.mark.parametrize("case", cases.error_cases())
def test_it_tells_what_a_broken_answer_means(case: cases.ErrorCase) -> None:
    cases.assert_error_case(KIND, ONE, case)


@pytest.mark.parametrize("op", [ReadMessages(id="1"), ListDevices(), SendUssd("*1#", "1"), Unsubscribe("1", NUMBER)])
@pytest.mark.parametrize("data", [None, {}, {"messages": 5, "devices": [5], "request": 5, "contact": None}])
def test_data_of_another_shape_is_a_bad_answer(op: Operation, data: object) -> None:
    with pytest.raises(errors.BadAnswer):
        read(op, data)


def test_no_secret_stands_in_a_trace() -> None:
    cases.assert_no_secret_in_trace(KIND, ONE, cases.json_reply(cases.data(KIND, "error.json")))
