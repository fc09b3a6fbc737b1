"""The choices of the compose page in Chromium: they follow the account, and what is hidden is not sent."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from messaging.models import Campaign, Route, RouteMember
from providers.models import ProviderAccount
from tests.base import account
from tests.devices.base import phone
from tests.looks import fits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
A = "+37255512345"


@pytest.fixture
def shelf() -> ProviderAccount:
    row = account("Shelf", kind="smsgateway")
    phone(row, "1", 0, 1, name="Counter")
    return row


@pytest.fixture
def compose(admin_page: Page, live_server: LiveServer, shelf: ProviderAccount) -> Page:
    main = account("Main")
    phone(account("Attic", kind="smsgateway"), "9", 0, name="Box")
    RouteMember.objects.create(route=Route.objects.create(name="Cheapest"), account=main)
    admin_page.goto(f"{live_server.url}/compose/?account={main.pk}")
    return admin_page


def test_phones_and_the_end_of_a_route_are_there_where_they_can_be_used(compose: Page) -> None:
    through, which = compose.get_by_label("Send through"), compose.locator("#id_phones")
    compose.get_by_text("More choices").click()
    finish = compose.get_by_label("Finish by")
    expect(which).to_be_hidden()
    expect(finish).to_be_hidden()
    through.select_option(label="Cheapest")
    expect(which).to_be_hidden()
    expect(finish).to_be_visible()
    through.select_option(label="Shelf")
    expect(which).to_be_visible()
    expect(compose.get_by_label("at random")).to_be_hidden()
    which.select_option("some")
    expect(compose.get_by_label("Counter: SIM 2")).to_be_visible()
    expect(compose.get_by_label("Box: SIM 1")).to_be_hidden()
    expect(compose.get_by_label("at random")).to_be_visible()


def test_what_was_chosen_before_another_choice_is_not_sent(compose: Page) -> None:
    compose.get_by_label("Send through").select_option(label="Shelf")
    compose.locator("#id_phones").select_option("some")
    compose.get_by_label("Counter: SIM 2").check()
    compose.get_by_label("at random").check()
    compose.locator("#id_phones").select_option("")
    compose.get_by_label("Recipients").fill(A)
    compose.get_by_label("Message").fill("Hello")
    compose.get_by_label("Message").press("Control+Enter")
    expect(compose.get_by_text("1 message is on its way.")).to_be_visible()
    assert Campaign.objects.get().devices == {}


def test_the_keyboard_reaches_the_phones_and_an_error_keeps_them(compose: Page) -> None:
    compose.get_by_label("Send through").select_option(label="Shelf")
    compose.locator("#id_phones").select_option("some")
    compose.locator("#id_phones").press("Tab")
    for key in ("Tab", "Space", "Control+Enter"):
        compose.keyboard.press(key)
    expect(compose.get_by_text("There is nobody to send to.")).to_be_visible()
    expect(compose.get_by_label("Counter: SIM 1")).to_be_checked()
    expect(compose.get_by_label("Counter: its default SIM")).not_to_be_checked()


def test_all_choices_are_accessible_and_fit(compose: Page) -> None:
    compose.get_by_label("Send through").select_option(label="Shelf")
    compose.locator("#id_phones").select_option("some")
    compose.get_by_text("More choices").click()
    fits(compose)
