"""The inventory against the sandbox and against the shapes that other servers answer with."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer
from pytest_httpserver import HTTPServer

from devices import inventory, tasks
from devices.models import Balance, Device, Inventory, SavedCode, Sim
from providers.errors import KeyRefused
from providers.models import Pace, ProviderAccount
from providers.pacing import Log
from tests.base import account
from tests.devices.base import phone, shelf_at, sim_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(httpserver: HTTPServer) -> ProviderAccount:
    return account(kind="smsgateway", base_url=httpserver.url_for("").rstrip("/"))


def lists(httpserver: HTTPServer, *devices: dict[str, Any], **error: Any) -> None:
    """What the provider answers from now on."""
    httpserver.clear()
    body = {"success": not error, "data": {"devices": devices}, "error": error or None}
    httpserver.expect_request("/services/get-devices.php").respond_with_data(json.dumps(body))


SHAPES: dict[str, tuple[Any, list[tuple[int, str, str]]]] = {
    "an object": (
        {"0": "Carrier [+15551234567]", "1": "Other"},
        [(0, "Carrier", "+15551234567"), (1, "Other", "")],
    ),
    "a list of labels": (["Carrier [5551234567]"], [(0, "Carrier", "+5551234567")]),
    "a list of objects": (
        [{"slot": 1, "name": "Carrier", "number": "+15551234567"}],
        [(1, "Carrier", "+15551234567")],
    ),
    "an empty list": ([], []),
    "nothing": (None, []),
    "a slot twice": ({"0": "First", "00": "Second"}, [(0, "Second", "")]),
    "a label that is no number": ({"0": "Carrier [home]"}, [(0, "Carrier [home]", "")]),
    "a long label": ({"0": "x" * 300}, [(0, "x" * 100, "")]),
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_sims_come_in_every_shape(shape: str, shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    given, expected = SHAPES[shape]
    lists(httpserver, {"id": 7, "name": "Desk", "sims": given})
    inventory.sync(shelf)
    assert list(Sim.objects.order_by("slot").values_list("slot", "label", "number")) == expected


@pytest.mark.parametrize("given", [{"id": 7}, {"ID": "7"}, {"id": "7", "ID": 7}])
def test_ids_come_as_numbers_and_as_text(given: dict[str, Any], shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    lists(httpserver, given, given)
    inventory.sync(shelf)
    assert Device.objects.get().device_id == "7"


def test_what_the_provider_knows_is_kept(live_server: LiveServer, transactional_db: None) -> None:
    shelf = shelf_at(live_server.url)
    desk = shelf.devices.get(device_id="1")
    assert (desk.name, desk.model, desk.android, desk.app) == ("Front desk", "Pixel 8", "15", "9.4.1")
    assert (desk.enabled, desk.online, desk.primary, desk.silent) == (True, True, True, False)
    assert (sim_of(shelf).label, sim_of(shelf).number, sim_of(shelf).carrier) == (
        "Blue Mobile",
        "+15550100101",
        "Blue Mobile",
    )
    assert not shelf.devices.get(device_id="3").enabled


def test_a_phone_is_silent_that_was_not_seen_for_a_while(
    shelf: ProviderAccount, httpserver: HTTPServer, settings: Any
) -> None:
    settings.SMSDASH_SILENT_AFTER = 10
    ago = {str(minutes): timezone.now() - timedelta(minutes=minutes) for minutes in (9, 11)}
    lists(httpserver, *({"id": name, "lastSeen": at.isoformat()} for name, at in ago.items()), {"id": "never"})
    inventory.sync(shelf)
    assert {row.device_id: row.silent for row in Device.objects.all()} == {"9": False, "11": True, "never": False}


def test_what_we_noted_outlives_a_listing(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    desk = phone(shelf, "7", 0, alias="Ada", chosen=True, default_slot=0, paused_at=timezone.now(), paused_by="bob")
    desk.sims.update(alias="Mine", operator="Blue", per_day=5, paused_at=timezone.now())
    lists(httpserver, {"id": 7, "name": "New name", "sims": {"0": "Carrier"}})
    inventory.sync(shelf)
    found, sim = Device.objects.get(), Sim.objects.get()
    assert (str(found), found.name, found.chosen, found.default_slot, found.paused_by) == (
        "Ada",
        "New name",
        True,
        0,
        "bob",
    )
    assert (sim.alias, sim.label, sim.carrier, sim.per_day, bool(sim.paused_at)) == ("Mine", "Carrier", "Blue", 5, True)


def test_what_vanished_is_kept_as_gone_and_may_come_back(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    lists(httpserver, {"id": 1, "primary": True, "sims": {"0": "A", "1": "B"}}, {"id": 2})
    assert inventory.sync(shelf) == inventory.Synced(phones=2, sims=2, new=2, gone=0)
    lists(httpserver, {"id": 2, "sims": {"1": "C"}})
    assert inventory.sync(shelf) == inventory.Synced(phones=1, sims=1, new=0, gone=1)
    gone = Device.objects.get(device_id="1")
    assert (bool(gone.gone_at), gone.enabled, gone.primary, gone.sims.count()) == (True, False, False, 2)
    first = gone.gone_at
    inventory.sync(shelf)
    assert Device.objects.get(device_id="1").gone_at == first
    lists(httpserver, {"id": 1, "sims": {"1": "B"}}, {"id": 2})
    inventory.sync(shelf)
    back = Device.objects.get(device_id="1")
    assert (back.gone_at, back.enabled) == (None, True)
    assert [bool(sim.gone_at) for sim in back.sims.order_by("slot")] == [True, False]


@pytest.mark.parametrize(("number", "kept"), [("+15551234567", 1), ("5551234567", 1), ("", 1), ("+15557654321", 0)])
def test_another_sim_in_the_slot_has_no_balance_yet(
    number: str, kept: int, shelf: ProviderAccount, httpserver: HTTPServer
) -> None:
    sim = phone(shelf, "7", 0).sims.get()
    Sim.objects.update(number="+15551234567")
    saved = SavedCode.objects.create(name="Balance", code="*100#")
    Balance.objects.create(sim=sim, saved=saved, value=Decimal(3))
    lists(httpserver, {"id": 7, "sims": {"0": f"Carrier [{number}]" if number else "Carrier"}})
    inventory.sync(shelf)
    assert Balance.objects.count() == kept


def test_phones_of_other_accounts_stay_as_they_are(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    phone(account("Other", kind="smsgateway"), "7")
    lists(httpserver, {"id": 7, "name": "Desk"})
    inventory.sync(shelf)
    assert sorted(Device.objects.values_list("name", "gone_at")) == [("", None), ("Desk", None)]


# --- When --------------------------------------------------------------------------------------------


def test_phones_are_listed_every_quarter_of_an_hour(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    account("No phones")
    lists(httpserver, {"id": 7})
    assert inventory.due() == [shelf.pk]
    tasks.sync(shelf.pk)
    assert (inventory.due(), len(httpserver.log)) == ([], 1)
    tasks.sync(shelf.pk)  # twice does no harm
    assert len(httpserver.log) == 1
    Inventory.objects.update(next_at=timezone.now())
    assert inventory.due() == [shelf.pk]


@pytest.mark.django_db(transaction=True)
def test_of_workers_who_list_at_once_one_asks(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    lists(httpserver, {"id": 7})
    together = threading.Barrier(4)

    def work() -> None:
        assert inventory.due() == [shelf.pk]
        together.wait()
        tasks.sync(shelf.pk)
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (len(httpserver.log), Device.objects.count()) == (1, 1)


@pytest.mark.parametrize("change", [{"enabled": False}, {"paused_reason": "No", "paused_code": "key_refused"}])
def test_accounts_out_of_use_are_left_alone(change: dict[str, Any], shelf: ProviderAccount) -> None:
    ProviderAccount.objects.update(**change)
    assert inventory.due() == []


def test_what_went_wrong_is_kept_and_tried_again_later(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    phone(shelf, "7")
    lists(httpserver, code=401, message="Invalid key.")
    tasks.sync(shelf.pk)
    row = Inventory.objects.get()
    assert (row.error, row.synced_at) == ("Invalid key.", None)
    assert (inventory.due(), Device.objects.get().gone_at) == ([], None)
    with pytest.raises(KeyRefused):
        inventory.sync(shelf)
    lists(httpserver, {"id": 7})
    inventory.sync(shelf)
    assert Inventory.objects.get().error == ""


def test_it_waits_for_room_in_the_rate_limit(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    ProviderAccount.objects.update(rates=["1/hour"])
    full = Log(ProviderAccount.objects.get().windows)
    full.add(timezone.now().timestamp())
    Pace.objects.create(account=shelf, log=full.text())
    lists(httpserver, {"id": 7})
    tasks.sync(shelf.pk)
    row = Inventory.objects.get()
    assert (len(httpserver.log), row.error) == (0, "")
    assert row.next_at > timezone.now() + timedelta(minutes=50)


def test_a_person_sees_how_their_listing_goes(shelf: ProviderAccount, httpserver: HTTPServer) -> None:
    lists(httpserver, {"id": 7, "sims": {"0": "A"}}, {"id": 8})
    tasks.start_sync(shelf.pk)
    assert tasks.last([shelf.pk])[shelf.pk].waiting
    tasks.sync_now(shelf.pk)
    done = tasks.last([shelf.pk])[shelf.pk]
    assert (done.state, done.text) == ("ok", "The provider lists 2 phones with 1 SIM. 2 are new.")
    lists(httpserver, code=500, message="Out of order.")
    tasks.sync_now(shelf.pk)
    assert tasks.last([shelf.pk])[shelf.pk].text == "Out of order."
