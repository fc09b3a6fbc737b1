"""Phones and the USSD console in Chromium: in light and dark, on a phone, by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from devices import tasks, ussd
from devices.models import Device, SavedCode, Sim, UssdRequest
from providers.models import ProviderAccount
from smsdash import demo_phones
from tests.devices.base import let_the_network_answer, shelf_at
from tests.looks import fits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Open = Callable[[str], Page]


@pytest.fixture
def shelf(live_server: LiveServer) -> ProviderAccount:
    row = shelf_at(live_server.url)
    demo_phones.load(row)
    Device.objects.filter(device_id="2").update(last_seen=timezone.now() - timedelta(hours=3))
    return row


@pytest.fixture
def visit(admin_page: Page, live_server: LiveServer) -> Open:
    def go(path: str) -> Page:
        admin_page.goto(live_server.url + path)
        return admin_page

    return go


def test_every_page_is_accessible_and_fits(visit: Open, shelf: ProviderAccount) -> None:
    UssdRequest.objects.create(account=shelf, device_id="1", sim=0, code="*1#", state="asked")
    phone, code = Device.objects.get(device_id="2").pk, SavedCode.objects.get(code="*100#").pk
    for path in (
        "/devices/", f"/devices/{phone}/", f"/messages/move/{phone}/", "/ussd/", "/ussd/history/",
        "/ussd/history/?q=nothing", "/ussd/codes/", f"/ussd/codes/{code}/", "/ussd/schedules/add/",
    ):  # fmt: skip
        page = visit(path)
        for summary in page.locator("main summary").all():
            summary.click()
        fits(page)


def test_a_balance_is_asked_and_answered_live(visit: Open, shelf: ProviderAccount) -> None:
    page = visit("/ussd/")
    page.get_by_role("link", name="Red Wireless").click()
    page.evaluate("window.notReloaded = true")
    page.get_by_role("button", name="Balance").click()
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    page.evaluate("window.notReloaded = true")
    ussd.work(UssdRequest.objects.latest("pk").pk)
    expect(page.get_by_text("Waiting for the network to answer")).to_be_visible()
    let_the_network_answer()
    expect(page.get_by_text("Your balance is 12.50 EUR.")).to_be_visible()
    expect(page.locator("#thread").get_by_text("12.50 EUR", exact=True)).to_be_visible()
    assert page.evaluate("window.notReloaded") is True
    assert Sim.objects.get(device__device_id="2", slot=1).balances.get().value == 12.5


def test_a_divert_is_dialled_after_a_question(visit: Open, shelf: ProviderAccount) -> None:
    page = visit("/ussd/")
    page.get_by_label("Code", exact=True).fill("**21*+15550100001#")
    page.keyboard.press("Enter")
    expect(page.get_by_text("It changes where calls to this SIM are diverted.")).to_be_visible()
    page.get_by_role("link", name="Do not dial it").click()
    expect(page.get_by_text("**21*")).to_be_hidden()
    page.get_by_label("Code", exact=True).fill("**21*+15550100001#")
    page.get_by_role("button", name="Dial", exact=True).click()
    page.get_by_role("button", name="Dial it").click()
    expect(page.locator("#thread").get_by_text("**21*+15550100001#")).to_be_visible()


def test_a_listing_is_seen_to_go(visit: Open, shelf: ProviderAccount) -> None:
    page = visit("/devices/")
    expect(page.get_by_text("It went silent.")).to_be_visible()
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    tasks.sync_now(shelf.pk)
    expect(page.get_by_text("The provider lists 3 phones with 5 SIMs.")).to_be_visible()
    expect(page.get_by_text("It went silent.")).to_be_hidden()


def test_a_pattern_is_tried_in_the_form(visit: Open, shelf: ProviderAccount) -> None:
    page = visit(f"/ussd/codes/{SavedCode.objects.get(code='*100#').pk}/")
    page.get_by_role("button", name="Try the pattern").click()
    expect(page.get_by_text("It finds 12.50 EUR")).to_be_visible()
    page.get_by_label("Pattern").fill("balance is [0-9]")
    page.get_by_role("button", name="Try the pattern").click()
    expect(page.get_by_text("Put the number in brackets")).to_be_visible()
