"""The smsgateway wire, as we are called: the seed's PHP and C# clients verbatim, and everybody else's spellings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import errors
from providers.types import (
    Credential,
    Devices,
    GetAccount,
    ListDevices,
    MessageType,
    Operation,
    Outgoing,
    ReadMessages,
    ReadUssd,
    Request,
    Resend,
    SaveContact,
    Send,
    SendUssd,
    Spread,
    Status,
    Target,
    Unsubscribe,
)

from . import cases
from .test_smsgateway import GROUP, KIND, LATER, LINKS, LIST, MMS, NUMBER, ONE, SPLIT, TWELVE

DIALECT = cases.make_dialect(KIND)
FORM = "application/x-www-form-urlencoded"
BODY_TYPES = (FORM, "application/json", "multipart/form-data; boundary=b", "")
FIRST = Devices(targets=(Target("1"),))
CSHARP = (Outgoing(NUMBER, "This is a test #{$i} of C# version. Testing bulk message functionality."),) * 12
MMS_TWELVE = tuple(
    replace(MMS, text=f"This is a test #{i} of PHP version. Testing bulk MMS message functionality.")
    for i in range(1, 13)
)


def post(body: bytes, path: str = "send", content_type: str = FORM) -> Request:
    return Request("POST", f"/services/{path}.php", headers={"content-type": content_type}, body=body)


def ask(path: str, **names: str) -> Operation:
    """As a GET with everything in the query."""
    return DIALECT.operation(Request("GET", f"/services/{path}.php", (("key", "K"), *names.items())))


def send(**names: str) -> Send:
    op = ask("send", **{"number": NUMBER, "message": "Hi", **names})
    assert isinstance(op, Send)
    return op


# The seed's clients


@pytest.mark.parametrize(
    ("name", "op"),
    [
        ("single.form", ONE),
        ("single_device.form", replace(ONE, devices=FIRST)),
        ("single_sim.form", replace(ONE, devices=Devices(targets=(Target("1", 0),)))),
        ("single_mms.form", Send((MMS,), devices=FIRST)),
        ("single_urgent.form", replace(ONE, devices=FIRST, priority=True)),
        ("single_later.form", Send((Outgoing(NUMBER, "This is a test of schedule feature."),), schedule=LATER)),
        ("bulk.form", Send(TWELVE)),
        ("bulk_all_devices.form", Send(TWELVE, devices=Devices(Spread.ALL_DEVICES))),
        ("bulk_all_sims.form", Send(TWELVE, devices=Devices(Spread.ALL_SIMS))),
        ("bulk_split.form", Send(TWELVE, devices=SPLIT)),
        ("bulk_later.form", Send(TWELVE, schedule=LATER)),
        ("bulk_mms.form", Send(MMS_TWELVE, devices=Devices(Spread.ALL_SIMS))),
        ("list.form", LIST),
        ("list_later.form", replace(LIST, devices=Devices(), schedule=LATER)),
        ("csharp_split.form", Send(CSHARP, devices=SPLIT)),
        ("csharp_all_sims.form", Send(CSHARP, devices=Devices(Spread.ALL_SIMS, random=True))),
    ],
)
def test_it_serves_the_seeds_examples(name: str, op: Send) -> None:
    request = post(cases.data(KIND, name))
    assert DIALECT.operation(request) == op
    assert DIALECT.credential(request) == Credential("API_KEY")


@pytest.mark.parametrize(
    ("path", "form", "op"),
    [
        ("send", "", GetAccount()),
        ("read-messages", "", ReadMessages()),
        ("read-messages", "&id=1", ReadMessages(id="1")),
        ("get-messages", "&id=1", ReadMessages(id="1")),
        ("get-msgs", "&id=1", ReadMessages(id="1")),
        (
            "read-messages",
            "&groupId=%29V5LxqyBMEbQrl9%2AJ%245bb4c03e8a07b7.62193871",
            ReadMessages(group=GROUP),
        ),
        ("read-messages", "&groupID=abc", ReadMessages(group="abc")),
        ("read-messages", "&status=rEcEived", ReadMessages(status=Status.RECEIVED)),
        (
            "read-messages",
            "&status=Received&deviceID=8&simSlot=0&startTimestamp=1900000000",
            ReadMessages(status=Status.RECEIVED, device="8", sim=0, start=LATER),
        ),
        ("resend", "&id=1", Resend(id="1")),
        ("resend", "&groupId=LV5&status=Failed", Resend(group="LV5", status=Status.FAILED)),
        ("resend", "&status=Pending&endTimestamp=1900000000", Resend(status=Status.QUEUED, end=LATER)),
        (
            "manage-contacts",
            "&listID=1&number=%2B11234567890&name=Test&resubscribe=1",
            SaveContact("1", NUMBER, "Test", True),
        ),
        ("manage-contacts", "&listID=1&number=12812345678&resubscribe=0", SaveContact("1", "+12812345678")),
        ("manage-contacts", "&listID=1&number=%2B11234567890&unsubscribe=1", Unsubscribe("1", NUMBER)),
        ("manage-contacts", "&listID=1&number=%2B11234567890&unsubscribe=false", SaveContact("1", NUMBER)),
        ("send-ussd-request", "&request=%2A150%23&device=1", SendUssd("*150#", "1")),
        ("send-ussd-request", "&request=%2A150%23&device=1&sim=1", SendUssd("*150#", "1", 1)),
        ("read-ussd-requests", "&id=4", ReadUssd(id="4")),
        ("read-ussd-requests", "&request=%2A150%23&deviceID=1&simSlot=0", ReadUssd(code="*150#", device="1", sim=0)),
        ("get-devices", "", ListDevices()),
    ],
)
def test_it_reads_what_is_asked(path: str, form: str, op: Operation) -> None:
    assert DIALECT.operation(post(f"key=API_KEY{form}".encode(), path)) == op


# Spellings


@pytest.mark.parametrize(
    ("devices", "targets"),
    [
        ("", ()),
        ("0", ()),
        ("[]", ()),
        ("[0]", ()),
        ("null", ()),
        ("NULL", ()),
        ("1", (Target("1"),)),
        ("1|0", (Target("1", 0),)),
        ('"1|0"', (Target("1", 0),)),
        ('["182|0"]', (Target("182", 0),)),
        ('[1,"2|0","2|1"]', SPLIT.targets),
        ('["1", "2|0", "2|1"]', SPLIT.targets),
        ("1,2|0,2|1", SPLIT.targets),
    ],
)
def test_it_reads_devices_in_every_spelling(devices: str, targets: tuple[Target, ...]) -> None:
    assert send(devices=devices).devices == Devices(targets=targets)


def test_a_slot_of_its_own_is_for_the_devices_that_name_none() -> None:
    assert send(devices='[1,"2|0"]', simSlot="1").devices.targets == (Target("1", 1), Target("2", 0))
    assert send(simSlot="1").devices == Devices()


@pytest.mark.parametrize("devices", ["|0", "1|x", "1|", "[1", '{"1": 2}', "1|0|1", "[[1]]", "1 2", "1|999"])
def test_it_refuses_devices_that_are_none(devices: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="devices|is no device"):
        send(devices=devices)


@pytest.mark.parametrize(
    ("spelled", "truth"),
    [("1", True), ("True", True), ("true", True), ("yes", True)]
    + [(no, False) for no in ("0", "False", "false", "", "null", "NULL")],
)
def test_it_reads_truth_in_every_spelling(spelled: str, truth: bool) -> None:
    op = send(prioritize=spelled, useRandomDevice=spelled)
    assert (op.priority, op.devices.random) == (truth, truth)


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (" 11234567890", [NUMBER]),
        ("11234567890", [NUMBER]),
        ("12812345678", ["+12812345678"]),
        ("+1 (123) 456-7890, 0012812345678", [NUMBER, "+12812345678"]),
        ("12345", ["12345"]),
        ("12345,nobody", ["12345", "nobody"]),
    ],
)
def test_it_reads_numbers_as_they_come(written: str, numbers: list[str]) -> None:
    assert [message.number for message in send(number=written).messages] == numbers
    bulk = json.dumps([{"number": number, "message": "Hi"} for number in written.split(",")])
    assert [message.number for message in send(messages=bulk).messages] == numbers


@pytest.mark.parametrize(
    "bulk",
    [
        '[{"number": 11234567890, "message": 5}]',
        '{"number": "+11234567890", "message": "5"}',
        '{"0": {"number": "+11234567890", "message": "5", "type": null, "attachments": null}}',
        '[{"number": " 11234567890", "message": "5", "type": "SMS", "attachments": "null"}]',
    ],
)
def test_it_reads_entries_of_every_taste(bulk: str) -> None:
    assert send(messages=bulk).messages == (Outgoing(NUMBER, "5"),)


def test_it_reads_links_as_text_or_as_an_array() -> None:
    assert send(type="MMS", attachments=f"{LINKS[0]}, {LINKS[1]}").messages[0].attachments == LINKS
    bulk = json.dumps([{"number": NUMBER, "message": "", "type": "mms", "attachments": LINKS}])
    assert send(messages=bulk).messages == (Outgoing(NUMBER, "", type=MessageType.MMS, attachments=LINKS),)


def test_nulls_in_words_are_none() -> None:
    op = send(schedule="null", option="null", type="null", attachments="null", simSlot="null", messages="null")
    assert op == Send((Outgoing(NUMBER, "Hi"),))
    assert send(schedule="0") == op
    assert send(message="null").messages[0].text == "null"


def test_it_serves_get_and_post_with_everything_in_the_url_and_multipart() -> None:
    pairs = (("key", "API_KEY"), ("number", " 11234567890"), ("message", "This is a test of single message."))
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in pairs)
    for request in (
        Request("GET", "/services/send.php", pairs),
        Request("POST", "/services/send.php", pairs),
        post(f"{parts}--b--\r\n".encode(), content_type="multipart/form-data; boundary=b"),
    ):
        assert DIALECT.operation(request) == ONE
        assert DIALECT.credential(request).key == "API_KEY"


# Refusals


@pytest.mark.parametrize(
    ("path", "names", "sentence"),
    [
        ("send", {"number": NUMBER}, "“message” is missing"),
        ("send", {"message": "Hi"}, "“number” is missing"),
        ("send", {"devices": "1"}, "“number” is missing"),
        ("send", {"listID": "1"}, "“message” is missing"),
        ("send", {"messages": "[]"}, "“messages” must be an array"),
        ("send", {"messages": "[1]"}, "“messages” must be an array"),
        ("send", {"messages": "5"}, "“messages” must be an array"),
        ("send", {"messages": "[{"}, "“messages” is not valid JSON"),
        ("send", {"messages": "[" * 9999}, "“messages” is not valid JSON"),
        ("send", {"messages": '[{"message": "Hi"}]'}, "“number” is missing"),
        ("send", {"messages": '[{"number": {}, "message": "Hi"}]'}, "“number” must be"),
        ("send", {"messages": '[{"number": "123", "message": []}]'}, "“message” must be"),
        ("send", {"number": NUMBER, "message": "Hi", "type": "fax"}, "“type” must be sms or mms"),
        ("send", {"number": NUMBER, "message": "Hi", "option": "3"}, "“option” must be 0"),
        ("send", {"number": NUMBER, "message": "Hi", "schedule": "soon"}, "“schedule” must be Unix seconds"),
        ("send", {"number": NUMBER, "message": "Hi", "schedule": "1900000000000"}, "“schedule” must be Unix seconds"),
        ("send", {"number": NUMBER, "message": "Hi", "simSlot": "-1"}, "“simSlot” must be a slot"),
        ("send", {"number": NUMBER, "message": "H\x00"}, "NUL"),
        ("send", {"number": ",".join(["12345"] * 5001), "message": "Hi"}, "At most 5,000"),
        ("send", {"messages": json.dumps([{"number": "12345,12346", "message": "H"}] * 2501)}, "At most 5,000"),
        ("send", {"messages": json.dumps([{"number": "12345", "message": "H"}] * 5001)}, "At most 5,000"),
        ("read-messages", {"status": "Lost"}, "is no status. Give one of Scheduled, Pending"),
        ("resend", {}, "Say which messages to send again"),
        ("manage-contacts", {"number": NUMBER}, "“listID” is missing"),
        ("manage-contacts", {"listID": "1"}, "“number” is missing"),
        ("send-ussd-request", {"device": "1"}, "“request” is missing"),
        ("send-ussd-request", {"request": "*1#"}, "“device” is missing"),
    ],
)
def test_it_refuses_a_request_with_a_sentence(path: str, names: dict[str, str], sentence: str) -> None:
    with pytest.raises(errors.Rejected, match=sentence) as caught:
        ask(path, **names)
    body = json.loads(DIALECT.refuse(caught.value).body)
    assert (body["success"], body["data"], body["error"]["message"]) == (False, None, str(caught.value))


def test_a_contact_with_a_malformed_number_is_refused() -> None:
    with pytest.raises(errors.InvalidNumber, match="is not a phone number"):
        ask("manage-contacts", listID="1", number="nobody")


def test_it_knows_no_other_service() -> None:
    with pytest.raises(errors.NotFound):
        ask("login")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT"])
def test_only_who_posts_or_gets_has_anything_done(method: str) -> None:
    pairs = (("key", "K"), ("number", "+11234567890"), ("message", "Hello"))
    with pytest.raises(errors.InvalidRequest, match="POST and GET"):
        DIALECT.operation(Request(method, "/services/send.php", pairs))


@pytest.mark.parametrize("body", [b"", b"key=", b"number=1"])
def test_it_asks_for_the_key(body: bytes) -> None:
    with pytest.raises(errors.KeyRefused, match="“key”"):
        DIALECT.credential(post(body))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.KeyRefused, 401),
        (errors.NoCredits, 402),
        (errors.NotFound, 404),
        (errors.InvalidRequest, 400),
        (errors.Unsupported, 400),
        (errors.RateLimited, 429),
        (errors.Unavailable, 503),
        (errors.Unreachable, 503),
        (errors.BadAnswer, 500),
    ],
)
def test_an_error_is_http_200_with_a_code_inside(error: Callable[[str], errors.ProviderError], code: int) -> None:
    reply = DIALECT.refuse(error("Why"))
    assert reply.status == 200
    assert json.loads(reply.body) == {"success": False, "data": None, "error": {"code": code, "message": "Why"}}


@given(st.binary(max_size=60), st.sampled_from(BODY_TYPES), st.sampled_from(["send", "read-messages", "resend"]))
def test_no_bytes_break_the_dialect(body: bytes, content_type: str, path: str) -> None:
    for verb in (DIALECT.operation, DIALECT.credential):
        try:
            verb(post(body, path, content_type))
        except errors.ProviderError as error:
            assert json.loads(DIALECT.refuse(error).body)["success"] is False


@given(
    st.dictionaries(
        st.sampled_from(["messages", "devices", "number", "message", "option", "schedule", "simSlot", "attachments"]),
        st.text(max_size=12) | st.text('[]{}",:|0123+.e ', max_size=12) | st.just("[1e999]"),
    )
)
def test_no_words_break_the_dialect(names: dict[str, str]) -> None:
    try:
        op = ask("send", **names)
    except errors.ProviderError:
        return
    assert isinstance(op, Send | GetAccount)
