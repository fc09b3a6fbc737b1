"""The shell, the overview and the account pages in a real browser, as people with and without a mouse use them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from messaging import ledger
from messaging.ledger import Change
from messaging.models import Message
from providers import tasks
from providers.models import ProviderAccount
from providers.types import Status
from tests.base import PASSWORD, account, person
from tests.looks import PHONE, fits, serious

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def filled() -> ProviderAccount:
    """An account with a message in every status, and one that is paused."""
    row = account(sender="Clinic")
    account("Overseas", "customersms", paused_reason="The provider refused the key. Check the account's credentials.")
    ledger.insert(
        [
            Message(account=row, number="+11234567890", text="x", status=status, error_text="Refused")
            for status in Status
            if status is not Status.UNKNOWN
        ]
    )
    return row


def test_pages_are_fit_for_everybody(admin_page: Page, live_server: LiveServer) -> None:
    row = filled()
    for path in ("/", "/accounts/", "/accounts/add/", "/accounts/add/?kind=smsprovider", f"/accounts/{row.pk}/"):
        admin_page.goto(live_server.url + path)
        fits(admin_page)


def test_logging_in_and_out(page: Page, live_server: LiveServer) -> None:
    person("alice", "messaging.view_message")
    page.goto(live_server.url)
    assert serious(page) == []
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("alice")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    assert serious(page) == []
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_the_first_tab_skips_to_the_content(admin_page: Page, live_server: LiveServer) -> None:
    admin_page.goto(live_server.url)
    admin_page.keyboard.press("Tab")
    expect(admin_page.get_by_text("Skip to the content")).to_be_focused()
    admin_page.keyboard.press("Enter")
    expect(admin_page.locator("main")).to_be_focused()


def test_colours_are_chosen_once_for_all_pages_and_the_admin(admin_page: Page, live_server: LiveServer) -> None:
    admin_page.emulate_media(color_scheme="light")
    admin_page.goto(live_server.url)
    light = background(admin_page)
    admin_page.get_by_role("button", name="Dark").click()
    dark = background(admin_page)
    assert dark != light
    admin_page.goto(f"{live_server.url}/accounts/")
    assert background(admin_page) == dark
    expect(admin_page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    admin_page.goto(f"{live_server.url}/admin/")
    expect(admin_page.locator("html")).to_have_attribute("data-theme", "dark")
    admin_page.goto(live_server.url)
    admin_page.get_by_role("button", name="As the system").click()
    assert background(admin_page) == light


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_on_a_phone_the_navigation_opens_and_closes_by_keyboard(admin_page: Page, live_server: LiveServer) -> None:
    admin_page.set_viewport_size(PHONE)
    admin_page.goto(live_server.url)
    navigation = admin_page.get_by_role("navigation", name="Main")
    expect(navigation).to_be_hidden()
    admin_page.get_by_role("button", name="Menu").press("Enter")
    expect(navigation).to_be_visible()
    assert serious(admin_page) == []
    admin_page.keyboard.press("Escape")
    expect(navigation).to_be_hidden()


def test_the_overview_follows_what_happens(admin_page: Page, live_server: LiveServer) -> None:
    rows = ledger.insert([Message(account=account(), number="+11234567890", text="x")])
    admin_page.goto(live_server.url)
    expect(admin_page.get_by_text("1 still waiting")).to_be_visible()
    ledger.apply([Change(rows[0].pk, Status.SENDING)])
    ledger.apply([Change(rows[0].pk, Status.DELIVERED)])
    expect(admin_page.get_by_text("1 confirmed delivered")).to_be_visible()


def test_a_poll_waits_while_a_dialog_is_open(admin_page: Page, live_server: LiveServer) -> None:
    row = account()
    tasks.start(tasks.check, row.pk)
    polls: list[str] = []
    admin_page.on("request", lambda request: request.url.endswith("/test/") and polls.append(request.url))
    admin_page.goto(f"{live_server.url}/accounts/{row.pk}/")
    with admin_page.expect_request(re.compile("/test/$")):
        pass
    admin_page.get_by_role("button", name="Delete …").click()
    assert serious(admin_page) == []
    before = len(polls)
    admin_page.wait_for_timeout(1_500)  # longer than the time between two polls
    assert len(polls) == before
    with admin_page.expect_request(re.compile("/test/$")):
        admin_page.get_by_role("button", name="Keep it").click()


def test_a_poller_that_was_logged_out_says_so(
    admin_page: Page, live_server: LiveServer, page_problems: list[str]
) -> None:
    row = account()
    tasks.start(tasks.check, row.pk)
    admin_page.goto(f"{live_server.url}/accounts/{row.pk}/")
    admin_page.context.clear_cookies()
    expect(admin_page.get_by_role("link", name="Log in again")).to_be_visible()
    admin_page.goto("about:blank")  # by now its console has been heard to the end
    page_problems.clear()  # the refused request


def test_a_test_of_the_connection_fills_in(admin_page: Page, live_server: LiveServer) -> None:
    row = account()
    admin_page.goto(f"{live_server.url}/accounts/{row.pk}/")
    admin_page.get_by_role("button", name="Test connection").click()
    expect(admin_page.get_by_text("Asking the provider")).to_be_visible()
    tasks.check(row.pk)
    expect(admin_page.locator("#check .notice")).to_contain_text("could not be reached")
    expect(admin_page.locator("#check")).not_to_have_attribute("hx-trigger", re.compile("."))


def test_the_callback_url_is_copied(admin_page: Page, live_server: LiveServer) -> None:
    row = account()
    admin_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    admin_page.goto(f"{live_server.url}/accounts/")
    admin_page.get_by_role("button", name="Copy the callback URL of Main").click()
    expect(admin_page.locator("#said")).to_have_text("Copied")
    assert admin_page.evaluate("navigator.clipboard.readText()") == row.callback_url


def test_adding_and_deleting_work_without_javascript(admin_page: Page, live_server: LiveServer) -> None:
    context = admin_page.context.browser.new_context(java_script_enabled=False)
    context.add_cookies(admin_page.context.cookies())
    page = context.new_page()
    page.goto(f"{live_server.url}/accounts/add/?kind=customersms")
    page.get_by_label("Name").fill("Care")
    page.get_by_label("Base URL").fill("https://customersms.pro")
    page.get_by_label("API key").fill("cspro_12345678")
    page.get_by_role("button", name="Add account").click()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    assert page.get_by_text("Care is deleted.").is_visible()
    context.close()
