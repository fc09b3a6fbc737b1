"""The smsgateway wire as it is served (seed 004): the seed's own programs, unchanged but for host and key."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from api import keys
from contacts.models import Contact, ContactList
from devices.models import Device
from messaging.models import Campaign, Message
from providers.models import ProviderAccount

from .gateway_clients import (
    SERVER,
    USE_ALL_DEVICES,
    USE_ALL_SIMS,
    USE_SPECIFIED,
    CSharp,
    Failed,
    Php,
    SeedClient,
    ask,
    session,
)
from .gateways import NUMBER, seeds_phones

pytestmark = pytest.mark.django_db
TEXT = "This is a test of single message."
LINKS = (
    "https://example.com/images/footer-logo.png",
    "https://example.com/downloads/sms-gateway/images/section/create-chat-bot.png",
)
TWELVE = [{"number": NUMBER, "message": f"This is a test #{i} of PHP version."} for i in range(1, 13)]
MMS = [{**item, "type": "mms", "attachments": ",".join(LINKS)} for item in TWELVE]


@pytest.fixture
def shelf() -> ProviderAccount:
    return seeds_phones()


@pytest.fixture
def key(shelf: ProviderAccount) -> str:
    return keys.create("Shop", shelf)[1]


@pytest.fixture(params=[Php, CSharp])
def client(request: pytest.FixtureRequest, key: str) -> SeedClient:
    kind: Callable[[str], SeedClient] = request.param
    return kind(key)


@pytest.fixture
def php(key: str) -> Php:
    return Php(key)


def stored() -> list[Message]:
    return list(Message.objects.order_by("pk"))


def places() -> list[tuple[str, int | None]]:
    return [(m.device, m.sim) for m in stored()]


# --- send.php: one message -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "column"),
    [
        ({}, {"device": "", "sim": None, "status": "queued"}),
        ({"device": 1}, {"device": "p1", "sim": None}),
        ({"device": 1, "prioritize": True}, {"device": "p1", "priority": 1}),
        ({"device": 1, "is_mms": True, "attachments": ",".join(LINKS)}, {"type": "mms", "attachments": list(LINKS)}),
        ({"device": "1|0"}, {"device": "p1", "sim": 0}),
        ({"device": "2|1"}, {"device": "p2", "sim": 1}),
        ({"device": None, "schedule": 1_900_000_000}, {"status": "scheduled", "device": ""}),
    ],
)
def test_a_single_message_is_taken_as_the_seed_sends_it(
    client: SeedClient, arguments: dict[str, Any], column: dict[str, Any]
) -> None:
    told = client.send_single_message(NUMBER, TEXT, **arguments)
    (row,) = stored()
    assert (row.number, row.text) == (NUMBER, TEXT)
    assert {name: getattr(row, name) for name in column} == column
    assert told["ID"] == str(row.pk)
    if "schedule" in arguments:
        assert row.due_at == datetime.fromtimestamp(arguments["schedule"], UTC)
        assert datetime.fromisoformat(told["schedule"]) == row.due_at


def test_every_value_has_the_type_that_the_seed_shows(php: Php) -> None:
    told = php.send_single_message(NUMBER, TEXT, "1|0")
    sent = told.pop("sentDate")
    assert abs(datetime.fromisoformat(sent) - timezone.now()) < timedelta(minutes=1)
    row, campaign = Message.objects.get(), Campaign.objects.get()
    shown = {
        "ID": str(row.pk),
        "number": NUMBER,
        "message": TEXT,
        "deviceID": "1",
        "simSlot": "0",
        "userID": "1",
        "status": "Pending",
        "type": "sms",
        "attachments": None,
        "deliveredDate": None,
        "groupID": campaign.token.hex,
        "errorCode": None,
        "resultCode": None,
        "schedule": None,
        "expiryDate": None,
    }
    assert {name: told[name] for name in shown} == shown


def test_the_primary_device_that_a_person_chose_is_told(php: Php) -> None:
    Device.objects.filter(pk=2).update(chosen=True, default_slot=1)
    told = php.send_single_message(NUMBER, TEXT)
    assert (told["deviceID"], told["simSlot"], *places()) == ("2", "1", ("p2", 1))


@pytest.mark.parametrize(
    ("devices", "where"),
    [
        ("0", [("", None)]),
        ("[]", [("", None)]),
        ("null", [("", None)]),
        ("", [("", None)]),
        ("1", [("p1", None)]),
        ("2|0", [("p2", 0)]),
        ('"2|0"', [("p2", 0)]),
        ('["8|1"]', [("p8", 1)]),
        ("[1]", [("p1", None)]),
        ('["1","2|0"]', [("p1", None), ("p2", 0)]),
        ("1,2|1", [("p1", None), ("p2", 1)]),
    ],
)
def test_devices_may_be_spelled_as_they_are(devices: str, where: list[Any], key: str) -> None:
    numbers = ",".join([NUMBER, "+12125551234"][: len(where)])
    assert ask("send", key, number=numbers, message="Hi", devices=devices)["success"]
    assert places() == where


def test_a_slot_may_stand_beside_the_device(key: str) -> None:
    assert ask("send", key, number=NUMBER, message="Hi", devices="2", simSlot="1")["success"]
    assert places() == [("p2", 1)]


@pytest.mark.parametrize("how", ["form", "multipart", "url", "get"])
def test_a_request_may_come_in_any_way(how: str, key: str) -> None:
    body = ask("send", key, how, number=NUMBER, message="Héllo & 100 % 👍", devices="1", prioritize="True")
    assert body["data"]["messages"][0]["message"] == "Héllo & 100 % 👍"
    assert [(m.number, m.text, m.device, m.priority) for m in stored()] == [(NUMBER, "Héllo & 100 % 👍", "p1", 1)]


@pytest.mark.parametrize("number", ["+11234567890", "11234567890", "+1 (123) 456-7890", "0011234567890"])
def test_a_raw_plus_in_a_url_is_a_number(number: str, key: str) -> None:
    """It arrives as a space."""
    reply = session().get(f"{SERVER}/services/send.php?key={key}&number={number.replace(' ', '%20')}&message=Hi+there")
    assert reply.json()["data"]["messages"][0]["number"] == NUMBER
    assert [(m.number, m.text) for m in stored()] == [(NUMBER, "Hi there")]


@pytest.mark.parametrize("number", ["+11234567890", "+1234567890", "+9876543210", "12812345678"])
def test_the_numbers_of_the_seeds_are_taken(number: str, key: str) -> None:
    assert ask("send", key, number=number, message="Hi")["success"]
    assert stored()[0].number == "+" + number.lstrip("+")


@pytest.mark.parametrize(
    ("spelled", "truth"),
    [("1", 1), ("True", 1), ("true", 1), ("0", 0), ("False", 0), ("false", 0), ("", 0), ("null", 0)],
)
def test_truth_may_be_spelled_as_it_is(spelled: str, truth: int, key: str) -> None:
    assert ask("send", key, number=NUMBER, message="Hi", prioritize=spelled)["success"]
    assert stored()[0].priority == truth


# --- send.php: several -----------------------------------------------------------------------------------


def test_numbers_joined_by_commas_are_a_message_each(key: str) -> None:
    told = ask("send", key, number="+11234567890, +12125551234,nobody", message="Hi")["data"]["messages"]
    assert [item["status"] for item in told] == ["Pending", "Pending", "Failed"]
    assert told[2]["errorCode"] and told[0]["errorCode"] is None
    assert [m.number for m in stored()] == [NUMBER, "+12125551234"]
    assert len({item["groupID"] for item in told[:2]}) == 1


@pytest.mark.parametrize(
    ("option", "devices", "shares"),
    [
        (USE_SPECIFIED, [1, "2|0", "2|1"], {("p1", None): 4, ("p2", 0): 4, ("p2", 1): 4}),
        (USE_ALL_DEVICES, [], {("p1", None): 4, ("p2", None): 4, ("p8", None): 4}),
        (USE_ALL_SIMS, [], {(name, slot): 2 for name in ("p1", "p2", "p8") for slot in (0, 1)}),
        (USE_SPECIFIED, [], {("", None): 12}),
    ],
)
def test_messages_are_split_evenly(client: SeedClient, option: int, devices: list[Any], shares: dict[Any, int]) -> None:
    told = client.send_messages(TWELVE, option, devices)
    assert Counter(places()) == shares
    assert [m.text for m in stored()] == [item["message"] for item in told] == [item["message"] for item in TWELVE]
    assert [item["ID"] for item in told] == [str(m.pk) for m in stored()]
    ids = {"p1": "1", "p2": "2", "p8": "8", "": None}
    assert [item["deviceID"] for item in told] == [ids[device] for device, _sim in places()]


def test_a_phone_at_random_sends_them_all(client: SeedClient) -> None:
    client.send_messages(TWELVE, USE_SPECIFIED, [1, "2|0", "2|1"], use_random_device=True)
    client.send_messages(TWELVE, USE_ALL_SIMS, use_random_device=True)
    first, second = stored()[:12], stored()[12:]
    assert len({(m.device, m.sim) for m in first}) == len({(m.device, m.sim) for m in second}) == 1


def test_twelve_messages_that_say_the_same_are_twelve(client: SeedClient) -> None:
    """The seed's program in C# forgets to number its texts."""
    text = "This is a test #{$i} of C# version. Testing bulk message functionality."
    told = client.send_messages([{"number": NUMBER, "message": text}] * 12, USE_SPECIFIED, ["1", "2|0", "2|1"])
    assert len({item["ID"] for item in told}) == 12
    assert Counter(places()) == {("p1", None): 4, ("p2", 0): 4, ("p2", 1): 4}


def test_messages_can_wait_for_their_time_and_carry_pictures(client: SeedClient) -> None:
    at = int(time.time()) + 120
    client.send_messages(TWELVE, None, None, at)
    told = client.send_messages(MMS, USE_ALL_SIMS)
    waiting, pictured = stored()[:12], stored()[12:]
    assert {(m.status, int(m.due_at.timestamp())) for m in waiting} == {("scheduled", at)}
    assert {(m.type, tuple(m.attachments)) for m in pictured} == {("mms", LINKS)}
    assert {(item["type"], item["attachments"]) for item in told} == {("mms", ",".join(LINKS))}


def test_a_list_gets_it_but_for_who_is_not_subscribed(client: SeedClient) -> None:
    to = ContactList.objects.create(pk=1, name="News")
    for n in range(4):
        client.add_contact(1, f"+1212555000{n}")
    client.unsubscribe_contact(1, "+12125550001")
    Contact.objects.filter(number="+12125550002").update(opted_out_at=timezone.now())
    told = client.send_message_to_contacts_list(1, "Test", USE_SPECIFIED, [1])
    assert [item["number"] for item in told] == [m.number for m in stored()] == ["+12125550000", "+12125550003"]
    assert {item["deviceID"] for item in told} == {"1"}
    client.send_message_to_contacts_list(1, "Test", None, None, int(time.time()) + 120)
    assert [m.status for m in stored()[2:]] == ["scheduled"] * 2
    assert to.pk == 1


def test_who_opted_out_gets_nothing_and_the_answer_says_so(key: str) -> None:
    Contact.objects.create(number=NUMBER, opted_out_at=timezone.now())
    told = ask("send", key, number=f"{NUMBER},+12125551234", message="Hi")["data"]["messages"]
    assert [item["status"] for item in told] == ["Failed", "Pending"]
    assert told[0]["errorCode"]
    assert [m.number for m in stored()] == ["+12125551234"]


# --- Errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"key": ""}, 401, "key"),
        ({"key": "wrong"}, 401, "API key"),
        ({"message": "Hi"}, 400, "number"),
        ({"number": NUMBER}, 400, "message"),
        ({"number": "nobody", "message": "Hi"}, 422, "nobody"),
        ({"messages": "nonsense"}, 400, "messages"),
        ({"messages": "[]"}, 400, "messages"),
        ({"messages": '[{"number": "+11234567890"}]'}, 400, "message"),
        ({"number": NUMBER, "message": "Hi", "devices": "77"}, 404, "77"),
        ({"number": NUMBER, "message": "Hi", "devices": "p1"}, 404, "p1"),
        ({"number": NUMBER, "message": "Hi", "devices": "1|9"}, 400, "slot 9"),
        ({"number": NUMBER, "message": "Hi", "option": "3"}, 400, "option"),
        ({"number": NUMBER, "message": "Hi", "schedule": "tomorrow"}, 400, "schedule"),
        ({"number": NUMBER, "message": "Hi", "type": "fax"}, 400, "type"),
        ({"listID": "99", "message": "Hi"}, 404, "99"),
    ],
)
def test_an_error_stands_in_the_answer(values: dict[str, str], code: int, words: str, key: str) -> None:
    body = ask("send", **({"key": key} | values))
    assert body["error"]["code"] == code and words in body["error"]["message"]
    assert type(body["error"]["code"]) is int
    assert not stored()


def test_the_seeds_programs_show_the_sentence(client: SeedClient) -> None:
    with pytest.raises(Failed, match="There is no device with the ID 77"):
        client.send_single_message(NUMBER, TEXT, 77)
    client.key = "wrong"
    with pytest.raises(Failed, match="API key"):
        client.get_balance()


def test_a_service_that_is_none_is_answered_in_the_same_shape(key: str) -> None:
    assert ask("delete-everything", key)["error"]["code"] == 404


# --- The balance -----------------------------------------------------------------------------------------


def test_the_balance_is_text_or_null(client: SeedClient, shelf: ProviderAccount) -> None:
    assert client.get_balance() == "Unlimited"
    client.key = keys.create("Poor", shelf, credits=3)[1]
    assert client.get_balance() == "3"
    client.send_single_message(NUMBER, TEXT)
    assert client.get_balance() == "2"
    with pytest.raises(Failed, match="credits"):
        client.send_messages(TWELVE)
    assert (client.get_balance(), Message.objects.count()) == ("2", 1)
