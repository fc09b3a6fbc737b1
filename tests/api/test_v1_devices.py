"""Devices, USSD codes, accounts, templates, conversations and webhooks of /v1."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.models import Delivery, Webhook
from devices import wakeup as calls
from devices.models import Device, Sim, UssdRequest
from messaging import inbound
from providers.models import AllowedHost, ProviderAccount
from providers.types import Inbound
from tests.api.calls import NUMBER, Program
from tests.api.gateways import phones, shelf
from tests.base import account

pytestmark = pytest.mark.django_db


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the workers were asked for."""
    found: list[Any] = []
    monkeypatch.setattr(calls, "async_task", lambda *arguments: found.append(arguments))
    return found


@pytest.fixture
def rack() -> ProviderAccount:
    return shelf()


# --- Devices -----------------------------------------------------------------------------------------


def test_devices_are_those_of_the_accounts_of_a_key(rack: ProviderAccount) -> None:
    shelf("Other")
    first, second = phones(rack)
    Sim.objects.filter(device=second, slot=0).update(per_day=100)
    program = Program(rack, accounts=[rack])
    assert program.ids("devices") == [str(second.pk), str(first.pk)]
    assert len(Program(rack).ids("devices")) == 4
    status, told = program.get(f"devices/{second.pk}")
    assert (told["name"], told["model"], told["online"], told["paused"]) == ("Warehouse", "Pixel 8", True, False)
    assert told["sims"][0] == {
        "slot": 0,
        "name": "Blue Mobile",
        "number": "+15550100201",
        "operator": "Blue Mobile",
        "paused": False,
        "gone": False,
        "today": {"used": 0, "limit": 100},
        "hour": None,
        "balances": [],
    }
    hidden = Device.objects.exclude(account=rack).first()
    assert hidden and program.get(f"devices/{hidden.pk}")[0] == 404


def test_phones_and_sims_are_paused_and_resumed(rack: ProviderAccount) -> None:
    program, phone = Program(rack, scopes=["admin"]), phones(rack)[0]
    assert program.post(f"devices/{phone.pk}/pause")[1]["paused"] is True
    assert program.post(f"devices/{phone.pk}/sims/1/pause")[1]["sims"][1]["paused"] is True
    phone.refresh_from_db()
    assert phone.paused_by == "API key Shop"
    assert program.post(f"devices/{phone.pk}/resume")[1]["paused"] is False
    assert [program.post(f"devices/{phone.pk}/sims/{slot}/pause")[0] for slot in ("7", "x", "١")] == [404] * 3


def test_a_provider_is_asked_for_its_devices_in_the_background(
    rack: ProviderAccount, asked: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    program = Program(rack)
    with django_capture_on_commit_callbacks(execute=True):
        assert program.post("devices/sync", {"account_id": str(rack.pk)}) == (202, {"success": True})
    assert asked == [("devices.tasks.sync_now", rack.pk)]
    assert program.post("devices/sync", {"account_id": str(account().pk)})[0] == 409
    assert program.post("devices/sync", {"account_id": "999999999999"})[0] == 404


# --- USSD --------------------------------------------------------------------------------------------


def test_a_code_is_dialled_and_its_answer_read(rack: ProviderAccount, asked: list[Any]) -> None:
    program, phone = Program(rack, scopes=["ussd"]), phones(rack)[0]
    status, told = program.post("ussd", {"device_id": str(phone.pk), "code": "*100#", "sim": 1})
    assert (status, told["state"], told["device_id"], told["sim"]) == (201, "queued", str(phone.pk), 1)
    busy = program.post("ussd", {"device_id": str(phone.pk), "code": "*100#", "sim": 1})
    assert busy[0] == 422 and "still waits for the answer" in busy[1]["error"]["message"]
    UssdRequest.objects.update(state="answered", response="Balance: 3 EUR")
    told = program.get(f"ussd/{told['ussd_id']}")[1]
    assert (told["state"], told["response"]) == ("answered", "Balance: 3 EUR")
    assert program.ids("ussd", text="balance", device_id=phone.pk) == [told["ussd_id"]]
    assert program.ids("ussd", code="*1#") == program.ids("ussd", sim=0) == []
    assert program.ids("ussd", device_id="999999999999") == []


def test_a_code_that_diverts_calls_needs_more(rack: ProviderAccount, asked: list[Any]) -> None:
    body = {"device_id": str(phones(rack)[0].pk), "code": f"**21*{NUMBER}#"}
    assert Program(rack, scopes=["ussd"]).post("ussd", body)[0] == 403
    assert Program(rack, scopes=["ussd", "admin"]).post("ussd", body)[0] == 201


def test_codes_of_other_accounts_are_not_there(rack: ProviderAccount) -> None:
    other = UssdRequest.objects.create(account=shelf("Other"), device_id="Other-a", code="*100#")
    program = Program(rack, scopes=["ussd"], accounts=[rack])
    assert program.ids("ussd") == [] and program.get(f"ussd/{other.pk}")[0] == 404


# --- Accounts ----------------------------------------------------------------------------------------


def test_accounts_tell_how_they_are_and_no_secret() -> None:
    main, other = account(rates=["10/second"], paused_reason="Paused by alice."), account("Other")
    program = Program(main, accounts=[main])
    assert program.ids("accounts") == [str(main.pk)] and program.get(f"accounts/{other.pk}")[0] == 404
    told = program.get(f"accounts/{main.pk}")[1]
    assert (told["health"]["ok"], told["health"]["state"], told["health"]["reason"]) == (
        False,
        "Paused",
        "Paused by alice.",
    )
    assert (told["limits"], told["waiting"], told["credits_known"]) == ([{"rate": "10/second", "used": 0}], 0, False)
    assert "secret-1234" not in json.dumps(told) and main.callback_token not in json.dumps(told)


# --- Templates and conversations ---------------------------------------------------------------------


def test_templates_are_kept() -> None:
    program = Program(account())
    status, told = program.post("templates", {"name": "Hello", "text": "Hello {name}"})
    assert (status, told["fields"]) == (201, ["name"])
    pk = told["template_id"]
    assert program.post("templates", {"name": "Hello", "text": "x"})[0] == 409
    wrong = program.post(f"templates/{pk}", {"name": "Hello", "text": "Hello {name"}, "PUT")
    assert wrong[0] == 422 and wrong[1]["error"]["message"].startswith("“text”: “{name” has no closing brace")
    assert program.post(f"templates/{pk}", {"name": "Hi", "text": "Hi"}, "PUT")[1]["name"] == "Hi"
    assert program.ids("templates") == [pk]
    assert program.post(f"templates/{pk}", method="DELETE")[0] == 200 and program.ids("templates") == []


def test_conversations_are_those_of_people_who_wrote_to_its_accounts(rack: ProviderAccount) -> None:
    other = shelf("Other")
    for n, where in enumerate((rack, other)):
        inbound.receive(where, Inbound(f"m{n}", f"+1555010000{n}", f"Hello {n}"))
    program = Program(rack, accounts=[rack])
    (pk,) = program.ids("conversations")
    told = program.get(f"conversations/{pk}")[1]
    assert (told["number"], told["last_text"], told["last_direction"]) == ("+15550100000", "Hello 0", "in")
    assert program.post(f"conversations/{pk}/close")[1]["state"] == "closed"
    assert program.ids("conversations", state="open") == []
    assert program.post(f"conversations/{pk}/reopen")[1]["state"] == "open"
    assert len(Program(rack).ids("conversations", limit=1)) == 2


# --- Webhooks ----------------------------------------------------------------------------------------


def test_a_webhook_is_registered_tried_looked_at_and_deleted() -> None:
    AllowedHost.objects.create(name="127.0.0.1")
    program, stranger = Program(account()), Program(account("Other"))
    body = {"url": "http://127.0.0.1:9/hook", "events": ["message.delivered"]}
    status, told = program.post("webhooks/as/standard", body)
    assert (status, told["format"], told["events"]) == (201, "standard", ["message.delivered"])
    path = f"webhooks/{told['webhook_id']}"
    assert told["secret"].startswith("whsec_") and "secret" not in program.get(path)[1]
    assert program.post(f"{path}/rotate")[1]["secret"] not in ("", told["secret"])
    assert program.post(f"{path}/pause")[1]["paused_reason"] == "Paused by the API key “Shop”."
    assert program.post(f"{path}/resume")[1]["paused"] is False
    delivery = program.post(f"{path}/test")[1]["delivery_id"]
    assert program.ids(f"{path}/deliveries") == [delivery]
    assert program.post(f"{path}/deliveries/{delivery}/replay")[0] == 409
    Delivery.objects.update(state="failed")
    assert program.post(f"{path}/deliveries/{delivery}/replay") == (202, {"success": True, "deliveries": 1})
    assert json.loads(program.get(f"{path}/deliveries/{delivery}")[1]["body"])["type"] == "webhook.test"
    assert stranger.get(path)[0] == stranger.post(path, method="DELETE")[0] == 404
    assert program.post(path, method="DELETE")[0] == 200 and not Webhook.objects.exists()


@pytest.mark.parametrize(
    "body", [{"url": "http://10.0.0.1/"}, {"url": "ftp://x"}, {"url": "http://127.0.0.1/", "events": ["x"]}, {}]
)
def test_no_webhook_goes_where_none_may(body: dict[str, Any]) -> None:
    AllowedHost.objects.create(name="127.0.0.1")
    assert Program(account()).post("webhooks/as/standard", body)[0] == 422
    assert not Webhook.objects.exists()
