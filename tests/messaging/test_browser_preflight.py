"""A campaign to lists in Chromium: written, looked over, back and forth, sent, and taken back."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from contacts.models import Contact
from messaging.models import Campaign, Template
from tests.base import account
from tests.contacts.base import a_list, people
from tests.looks import fits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def compose(admin_page: Page, live_server: LiveServer) -> Page:
    account("Main")
    a_list("Guests", people(9))
    a_list("Staff", people(2, first=20))
    Contact.objects.update(fields={"city": "Tartu"})
    Template.objects.create(name="Sale", text="Dear {name|friend}, 20 % off in {city}")
    admin_page.goto(f"{live_server.url}/compose/")
    return admin_page


def written(page: Page) -> None:
    with page.expect_response("**/compose/check/"):
        page.get_by_label("Guests").check()
    expect(page.get_by_text("9 people")).to_be_visible()
    with page.expect_response("**/compose/check/"):
        page.locator("#template").select_option(label="Sale")
    page.wait_for_load_state("networkidle")


def looked_over(page: Page) -> None:
    written(page)
    page.get_by_role("button", name="Look it over").click()
    expect(page.get_by_role("heading", name="Look it over")).to_be_visible()


def test_the_form_says_how_many_people_and_which_fields(compose: Page) -> None:
    written(compose)
    expect(compose.get_by_text("merge fields can change it")).to_be_visible()
    compose.get_by_role("button", name="number", exact=True).click()
    expect(compose.get_by_label("Message")).to_have_value("Dear {name|friend}, 20 % off in {city}{number}")
    with compose.expect_response("**/compose/check/"):
        compose.get_by_label("Message").fill("Dear {nmae}")
    expect(compose.get_by_text("Did you mean {name}?")).to_be_visible()
    with compose.expect_response("**/compose/check/"):
        compose.get_by_label("Recipients").fill("+37255512345")
    expect(compose.get_by_text("10 people")).to_be_visible()
    expect(compose.get_by_text("None of the typed numbers is a contact")).to_be_visible()
    with compose.expect_response("**/compose/check/"):
        compose.get_by_label("Message").fill("Hello")
    expect(compose.get_by_role("button", name="Look it over")).to_be_visible()
    with compose.expect_response("**/compose/check/"):
        compose.get_by_label("Guests").uncheck()
    expect(compose.get_by_role("button", name="Send message")).to_be_visible()


def test_it_goes_back_and_forth_and_is_sent_once(compose: Page) -> None:
    looked_over(compose)
    expect(compose.get_by_text("Dear Person 0, 20 % off in Tartu")).to_be_visible()
    compose.get_by_role("button", name="Next").click()
    expect(compose.get_by_text("Dear Person 3, 20 % off in Tartu")).to_be_visible()
    compose.get_by_role("button", name="Back to edit").click()
    expect(compose.get_by_label("Guests")).to_be_checked()
    compose.wait_for_load_state("networkidle")
    compose.get_by_role("button", name="Look it over").click()
    compose.get_by_role("button", name="Send to 9 people").dblclick()
    expect(compose.get_by_text("The message to 9 people leaves in 30 seconds.")).to_be_visible()
    campaign = Campaign.objects.get()
    notice = compose.get_by_role("status").filter(has_text="leaves in 30 seconds")
    notice.get_by_role("button", name="Undo").click()
    expect(compose.get_by_text("Taken back. Nothing was sent.")).to_be_visible()
    campaign.refresh_from_db()
    assert campaign.state == "canceled"


def test_the_browsers_own_way_back_loses_nothing(compose: Page) -> None:
    looked_over(compose)
    compose.go_back()
    expect(compose.get_by_label("Guests")).to_be_checked()
    expect(compose.get_by_label("Message")).to_have_value("Dear {name|friend}, 20 % off in {city}")
    expect(compose.get_by_role("button", name="Look it over")).to_be_visible()
    compose.wait_for_load_state("networkidle")


def test_the_pages_are_accessible_and_fit(compose: Page, live_server: LiveServer) -> None:
    written(compose)
    fits(compose)
    compose.get_by_role("button", name="Look it over").click()
    expect(compose.get_by_role("heading", name="Look it over")).to_be_visible()
    fits(compose)
    for path in ("/templates/", "/templates/add/", f"/templates/{Template.objects.get().pk}/"):
        compose.goto(live_server.url + path)
        fits(compose)
