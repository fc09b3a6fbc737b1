"""The smsgateway wire as it is served (seed 004), but for sending: what its programs read, ask again for and change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime

import pytest
from django.utils import timezone

from api import keys
from api.models import ApiKey
from contacts.models import Contact, ContactList
from devices.models import Device, UssdRequest
from messaging import ledger
from messaging.ledger import Change
from messaging.models import Message
from providers.models import ProviderAccount
from providers.types import Status

from .gateway_clients import USE_SPECIFIED, CSharp, Failed, Php, SeedClient, ask
from .gateways import NUMBER, message, seeds_phones

pytestmark = pytest.mark.django_db
TEXT = "This is a test of single message."
TWELVE = [{"number": NUMBER, "message": f"This is a test #{i} of PHP version."} for i in range(1, 13)]


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


# --- read-messages.php -----------------------------------------------------------------------------------


def test_messages_are_read_as_the_seed_does(client: SeedClient, shelf: ProviderAccount) -> None:
    sent = client.send_messages(TWELVE, USE_SPECIFIED, [1, "2|0", "2|1"])
    heard = message(shelf, status="received", device="p8", sim=0, sent_at=timezone.now(), done_at=timezone.now())
    day_ago = int(time.time()) - 86_400
    one = client.get_message_by_id(sent[4]["ID"])
    assert {name: one[name] for name in one if name != "sentDate"} == {
        name: value for name, value in sent[4].items() if name != "sentDate"
    }
    group = client.get_messages_by_group_id(sent[0]["groupID"])
    assert [item["ID"] for item in group] == [item["ID"] for item in reversed(sent)]
    assert [item["ID"] for item in client.get_messages_by_status("Received", None, None, day_ago)] == [str(heard.pk)]
    (found,) = client.get_messages_by_status("Received", 8, 0, day_ago)
    assert (found["deviceID"], found["simSlot"], found["status"]) == ("8", "0", "Received")
    assert found["sentDate"] and found["deliveredDate"] and found["groupID"] is None
    assert client.get_messages_by_status("Received", 8, 1, day_ago) == []
    assert client.get_messages_by_status("Received", None, None, None, day_ago) == []
    assert client.get_messages_by_group_id(")V5LxqyBMEbQrl9*J$5bb4c03e8a07b7.62193871") == []
    with pytest.raises(Failed, match="no message"):
        client.get_message_by_id(999_999)


@pytest.mark.parametrize("service", ["read-messages", "get-messages", "get-msgs"])
@pytest.mark.parametrize("how", ["form", "get"])
def test_messages_are_read_under_every_name(service: str, how: str, key: str, php: Php) -> None:
    group = php.send_messages(TWELVE)[0]["groupID"]
    for values, n in (
        ({}, 12),
        ({"groupID": group}, 12),
        ({"groupId": group, "status": "pEnDiNg"}, 12),
        ({"status": "RECEIVED"}, 0),
        ({"groupId": group, "status": "delivered"}, 0),
    ):
        assert len(ask(service, key, how, **values)["data"]["messages"]) == n


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("scheduled", "Scheduled"),
        ("queued", "Pending"),
        ("sending", "Queued"),
        ("uncertain", "Queued"),
        ("sent", "Sent"),
        ("delivered", "Delivered"),
        ("failed", "Failed"),
        ("expired", "Failed"),
        ("canceled", "Canceled"),
    ],
)
def test_each_status_has_its_word_and_is_found_by_it(status: str, word: str, shelf: ProviderAccount, php: Php) -> None:
    values = {"error_code": "5"} if word == "Failed" else {}
    row = message(shelf, ApiKey.objects.get(), status=status, done_at=timezone.now(), **values)
    told = php.get_message_by_id(row.pk)
    assert (told["status"], told["errorCode"] is None) == (word, word != "Failed")
    assert (told["deliveredDate"] is None) is (status != "delivered")
    assert str(row.pk) in [item["ID"] for item in php.get_messages_by_status(word.lower())]


# --- resend.php ------------------------------------------------------------------------------------------


def test_messages_are_sent_again_as_the_seed_does(client: SeedClient, shelf: ProviderAccount) -> None:
    made = client.send_messages(TWELVE[:3])
    ledger.apply(Change(int(item["ID"]), Status.FAILED) for item in made[1:])
    group = client.resend_messages_by_group_id(made[0]["groupID"], "Failed")
    assert [item["status"] for item in group] == ["Pending", "Pending"]
    assert [m.resend_of_id for m in Message.objects.order_by("pk")[3:]] == [int(item["ID"]) for item in made[1:]]
    ledger.apply(Change(int(item["ID"]), Status.FAILED) for item in group)
    day_ago = int(time.time()) - 86_400
    assert len(client.resend_messages_by_status("Failed", None, None, day_ago)) == 2
    waiting = client.resend_messages_by_status("Pending", None, None, day_ago)
    assert waiting and Message.objects.count() == 7  # they go out by themselves, and once
    assert [item["ID"] for item in waiting] == [str(m.pk) for m in Message.objects.filter(status="queued")]
    assert client.resend_messages_by_status("Received", 8, 0, day_ago) == []
    with pytest.raises(Failed, match="no message"):
        client.resend_message_by_id(999_999)


# --- Devices, codes, contacts ----------------------------------------------------------------------------


def test_devices_are_listed_with_numbers_as_ids_and_sims_by_slot(client: SeedClient) -> None:
    Device.objects.filter(pk=8).update(enabled=False)
    Device.objects.filter(pk=2).update(model="Pixel 8", android="15", app="9.4.1", last_seen=timezone.now())
    first, second = client.get_devices()
    assert json.dumps([first["id"], second["id"]]) == "[1, 2]"
    assert (first["ID"], first["primary"], second["primary"]) == ("1", True, False)
    assert second["sims"] == {"0": "Blue Mobile [+15550100201]", "1": "SIM 2"}
    told = {name: second[name] for name in ("name", "model", "androidVersion", "appVersion", "enabled", "status")}
    assert told == {
        "name": "Phone 2",
        "model": "Pixel 8",
        "androidVersion": "15",
        "appVersion": "9.4.1",
        "enabled": True,
        "status": "online",
    }
    assert datetime.fromisoformat(second["lastSeen"]).tzinfo
    assert client.send_single_message(NUMBER, TEXT, second["id"])["deviceID"] == "2"


def test_a_code_is_dialled_and_its_answer_read(client: SeedClient) -> None:
    asked = client.send_ussd_request("*150#", 1, 0)
    row = UssdRequest.objects.get()
    assert (row.device_id, row.sim, row.code) == ("p1", 0, "*150#")
    assert {name: asked[name] for name in asked if name != "sentDate"} == {
        "ID": str(row.pk),
        "userID": "1",
        "deviceID": "1",
        "simSlot": "0",
        "request": "*150#",
        "response": None,
        "responseDate": None,
    }
    UssdRequest.objects.update(state="answered", response="12.50 EUR", answered_at=timezone.now())
    assert client.get_ussd_request_by_id(asked["ID"])["response"] == "12.50 EUR"
    day_ago = int(time.time()) - 86_400
    assert [one["ID"] for one in client.get_ussd_requests("*150#", 1, 0, day_ago)] == [asked["ID"]]
    assert client.get_ussd_requests("*150#", 2) == client.get_ussd_requests("*100#") == []
    for code, words in (("**21*+15550100#", "“admin”"), ("hello", "digits")):
        with pytest.raises(Failed, match=words):
            client.send_ussd_request(code, 1, 1)
    with pytest.raises(Failed, match="no USSD request"):
        client.get_ussd_request_by_id(999_999)


def test_a_contact_is_added_unsubscribed_and_brought_back(client: SeedClient) -> None:
    ContactList.objects.create(pk=1, name="News")
    added = client.add_contact(1, NUMBER, "Test", True)
    row = Contact.objects.get()
    shown = {"ID": str(row.pk), "number": NUMBER, "name": "Test", "contactsListID": "1", "subscribed": True}
    assert added == shown
    assert client.unsubscribe_contact(1, NUMBER) == {**shown, "subscribed": False}
    assert [client.add_contact(1, NUMBER)["subscribed"] for _ in range(2)] == [False, False]
    assert client.add_contact(1, NUMBER, None, True) == shown
    Contact.objects.update(opted_out_at=timezone.now())
    assert client.add_contact(1, NUMBER, None, True)["subscribed"] is False
    with pytest.raises(Failed, match="no contact list with the ID 7"):
        client.add_contact(7, NUMBER)
