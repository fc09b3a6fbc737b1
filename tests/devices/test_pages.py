"""The pages of phones and SIMs, and what they ask the database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from devices.cards import attention
from devices.models import Balance, Device, Inventory, Reading, SavedCode, Sim
from devices.targets import Choice, places
from providers.models import ProviderAccount
from tests.base import account, dated, person, signed_in
from tests.devices.base import phone

pytestmark = pytest.mark.django_db
FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def shelf() -> ProviderAccount:
    return account("Shelf", "smsgateway")


def text(client: Client, url: str = "/devices/", **headers: Any) -> str:
    response = client.get(url, **headers)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def with_balance(sim: Sim, value: str, **values: Any) -> Balance:
    saved = SavedCode.objects.create(name="Balance", code="*100#", unit="EUR", **values)
    balance = Balance.objects.create(sim=sim, saved=saved, value=Decimal(value))
    moments = [timezone.now() - timedelta(days=day) for day in (2, 1, 0)]
    Reading.objects.bulk_create(
        Reading(balance=balance, value=Decimal(value) + n, at=at) for n, at in enumerate(moments)
    )
    return balance


# --- The list ----------------------------------------------------------------------------------------


def test_it_shows_each_phone_with_its_sims(shelf: ProviderAccount) -> None:
    desk = phone(shelf, "7", 0, 1, name="Desk", model="Pixel 8", primary=True, last_seen=timezone.now())
    desk.sims.filter(slot=0).update(label="Blue", number="+15550100101", per_day=200, per_hour=20)
    with_balance(desk.sims.get(slot=0), "3.1", warn_below=5)
    page = text(signed_in())
    for words in ("Desk", "Pixel 8 · primary", "Online", "Blue", "+15550100101", "3.10 EUR", "0 of 200 today"):
        assert words in page
    assert "0 of 20 in 1 h" in page and "SIM 2" in page and "<span>0 today</span>" in page


STANDINGS: dict[str, tuple[dict[str, Any], str]] = {
    "silent": ({"last_seen": -timedelta(hours=2)}, "It went silent"),
    "offline": ({"online": False}, "It is offline"),
    "switched off": ({"enabled": False}, "switched off in its app"),
    "paused": ({"paused_at": timedelta(), "paused_by": "bob"}, "bob paused it"),
    "gone": ({"gone_at": timedelta(), "enabled": False}, "no longer lists it"),
}


@pytest.mark.parametrize("case", list(STANDINGS))
def test_a_phone_out_of_order_says_so_in_a_sentence(case: str, shelf: ProviderAccount) -> None:
    values, words = STANDINGS[case]
    row = phone(shelf, "7", 0, **dated(values))
    assert words in text(signed_in())
    assert words in text(signed_in(person("bob", "devices.view_device")), f"/devices/{row.pk}/")


def test_an_alias_takes_the_place_of_the_name(shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0, name="SM-A546B", alias="Ada’s phone")
    client = signed_in()
    assert "Ada’s phone" in text(client) and "SM-A546B" not in text(client)
    assert "SM-A546B" in text(client, f"/devices/{row.pk}/")


def test_names_from_a_provider_are_escaped(shelf: ProviderAccount) -> None:
    phone(shelf, "7", 0, name="<script>alert(1)</script>")
    assert "<script>alert(1)" not in text(signed_in())


def test_without_accounts_with_phones_it_says_how_to_get_one() -> None:
    account("No phones")
    assert "No account sends through phones yet" in text(signed_in())


def test_an_account_without_phones_says_how_to_list_them(shelf: ProviderAccount) -> None:
    assert "List them with “Sync now”" in text(signed_in())


def test_a_listing_that_failed_says_that_what_is_shown_may_be_old(shelf: ProviderAccount) -> None:
    Inventory.objects.create(account=shelf, error="The key was refused.")
    page = text(signed_in())
    assert "could not be listed" in page and "The key was refused." in page


@pytest.mark.parametrize("n", [1, 6])
def test_any_number_of_phones_takes_the_same_queries(
    n: int, shelf: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(n):
        row = phone(shelf, str(number), 0, 1, limits={"per_day": 9})
        for sim in row.sims.all():
            with_balance(sim, "3")
    client = signed_in()
    with django_assert_num_queries(7):  # session, person, accounts, listings, phones, SIMs, balances
        client.get("/devices/")


def test_a_poll_without_news_has_no_body(shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0)
    client = signed_in()
    version = client.get("/devices/").context["version"]
    assert client.get(f"/devices/?v={version}", headers=FRAGMENT).status_code == 204
    Device.objects.filter(pk=row.pk).update(online=False)
    found = client.get(f"/devices/?v={version}", headers=FRAGMENT)
    assert found.content.decode().lstrip().startswith('<div id="shelves"') and b"Offline" in found.content


def test_a_person_asks_for_a_listing(shelf: ProviderAccount) -> None:
    client = signed_in()
    assert client.post(f"/devices/sync/{shelf.pk}/")["Location"] == "/devices/"
    page = text(client)
    assert "Waiting for a worker" in page and 'hx-trigger="every 1s"' in page and "disabled" in page
    assert client.post(f"/devices/sync/{account('Other').pk}/").status_code == 404


# --- One phone ---------------------------------------------------------------------------------------


def test_a_balance_is_drawn_with_its_history(shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0)
    with_balance(row.sims.get(), "3", warn_below=5)
    page = text(signed_in(), f"/devices/{row.pk}/")
    assert '<polyline points="0,100.0 1,50.0 2,0.0"/>' in page and 'class="limit" d="M0 0.0H2"' in page
    assert "below 5 EUR" in page and page.count('<tr><th scope="row">') == 3


def test_an_operator_names_a_phone_and_chooses_its_sim(shelf: ProviderAccount) -> None:
    old = phone(shelf, "6", chosen=True)
    row = phone(shelf, "7", 0, 1)
    client = signed_in()
    answer = client.post(f"/devices/{row.pk}/", {"alias": "Ada", "default_slot": "1", "chosen": "on"})
    assert answer["Location"] == f"/devices/{row.pk}/"
    row.refresh_from_db()
    old.refresh_from_db()
    assert (row.alias, row.default_slot, row.chosen, old.chosen) == ("Ada", 1, True, False)
    assert places(shelf.pk, Choice()) == [("7", 1)]
    page = client.post(f"/devices/{row.pk}/", {"alias": "x" * 61, "default_slot": "5"})
    assert page.status_code == 200 and b"is-wrong" in page.content


def test_an_operator_names_a_sim_and_limits_it(shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0)
    sim = row.sims.get()
    client, url = signed_in(), f"/devices/sims/{sim.pk}/"
    values = {
        f"sim{sim.pk}-{name}": value for name, value in {"alias": "Blue", "operator": "B", "per_day": "9"}.items()
    }
    assert client.post(url, values).status_code == 302
    sim.refresh_from_db()
    assert (sim.alias, sim.carrier, sim.per_day, sim.per_hour) == ("Blue", "B", 9, None)
    page = client.post(url, {f"sim{sim.pk}-per_day": "many"})
    assert page.status_code == 200 and b"Enter a whole number" in page.content


@pytest.mark.parametrize("what", ["", "sims/"])
def test_a_phone_and_a_sim_are_paused_and_resumed(what: str, shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0)
    client, pk = signed_in(), row.sims.get().pk if what else row.pk
    client.post(f"/devices/{what}{pk}/pause/")
    page = text(client, f"/devices/{row.pk}/")
    found: Any = Sim.objects.get() if what else Device.objects.get()
    assert (bool(found.paused_at), found.paused_by) == (True, "admin")
    assert "is paused within seconds" in page and f"/devices/{what}{pk}/resume/" in page
    client.post(f"/devices/{what}{pk}/resume/")
    found.refresh_from_db()
    assert (found.paused_at, found.paused_by) == (None, "")


def test_one_phone_takes_few_queries(shelf: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    row = phone(shelf, "7", 0, 1)
    with_balance(row.sims.first(), "3")
    client = signed_in()
    # session, person, phone, its SIMs, their balances, the readings of one, the last code
    with django_assert_num_queries(7):
        client.get(f"/devices/{row.pk}/")


# --- Who may -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "permission"),
    [
        ("/devices/sync/{account}/", "devices.change_device"),
        ("/devices/{phone}/", "devices.change_device"),
        ("/devices/{phone}/pause/", "devices.change_device"),
        ("/devices/{phone}/resume/", "devices.change_device"),
        ("/devices/sims/{sim}/", "devices.change_sim"),
        ("/devices/sims/{sim}/pause/", "devices.change_sim"),
        ("/devices/sims/{sim}/resume/", "devices.change_sim"),
        ("/messages/move/{phone}/", "messaging.change_message"),
    ],
)
def test_every_change_needs_its_permission(url: str, permission: str, shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0)
    url = url.format(account=shelf.pk, phone=row.pk, sim=row.sims.get().pk)
    assert signed_in(person("bob", "devices.view_device")).post(url).status_code == 403
    assert signed_in(person("carol", "devices.view_device", permission)).post(url).status_code in (200, 302)


def test_who_only_looks_is_offered_nothing_to_change(shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0)
    client = signed_in(person("bob", "devices.view_device"))
    for url in ("/devices/", f"/devices/{row.pk}/"):
        page = text(client, url)
        assert 'method="post"' not in page.replace('<form method="post" action="/logout/"', "")


# --- The overview ------------------------------------------------------------------------------------


def test_the_overview_warns_of_low_balances_and_silent_phones(shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0, name="Desk")
    row.sims.update(label="Blue")
    silent = phone(shelf, "8", name="Shed", last_seen=timezone.now() - timedelta(hours=2))
    with_balance(row.sims.get(), "3.1", warn_below=5)
    page = text(signed_in(), "/")
    assert "Desk · Blue: Balance is 3.10 EUR, below 5 EUR. Top it up." in page
    assert "The phone Shed went silent" in page
    Balance.objects.update(value=5)
    Device.objects.filter(pk=silent.pk).update(enabled=False)
    assert not attention()
    assert "Top it up" not in text(signed_in(person("bob", "messaging.view_message")), "/")


def test_a_new_balance_is_news_for_the_overview(shelf: ProviderAccount) -> None:
    row = phone(shelf, "7", 0)
    client = signed_in()
    version = client.get("/").context["version"]
    assert client.get(f"/?v={version}", headers=FRAGMENT).status_code == 204
    with_balance(row.sims.get(), "3.1", warn_below=5)
    assert b"Top it up" in client.get(f"/?v={version}", headers=FRAGMENT).content
