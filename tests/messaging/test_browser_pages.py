"""Compose, log and message page in Chromium: what only a browser can show."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from contacts.models import Contact
from messaging import ledger
from messaging.ledger import Change
from messaging.models import Campaign, Message, Worker
from providers import traces
from providers.models import Exchange, ProviderAccount
from providers.types import Status, Trace
from tests.base import account
from tests.looks import fits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
A, OUT = "+37255512345", "+37255512399"
Open = Callable[[str], Page]


@pytest.fixture
def main() -> ProviderAccount:
    return account(sender="Shop")


@pytest.fixture
def visit(admin_page: Page, live_server: LiveServer) -> Open:
    def go(path: str) -> Page:
        admin_page.goto(live_server.url + path)
        return admin_page

    return go


def message(main: ProviderAccount, **values: object) -> Message:
    fields = {"number": A, "text": "Hello", "status": "queued", **values}
    return ledger.insert([Message(account=main, **fields)])[0]


def exchange(main: ProviderAccount, **values: Any) -> Exchange:
    usual = {"verb": "send", "method": "POST", "at": timezone.now(), "seconds": 0.1}
    trace = Trace(**{**usual, "request_headers": {}, "request_body": "", **values})
    row = traces.complete(Exchange(account=main), trace)
    row.save()
    return row


# --- Compose -----------------------------------------------------------------------------------------


def test_it_says_who_gets_the_message_while_one_types(visit: Open, main: ProviderAccount) -> None:
    Contact.objects.create(number=OUT, opted_out_at=timezone.now())
    page = visit("/compose/")
    page.get_by_label("Recipients").fill(f"{A}\n{A}\n{OUT}\nbanana")
    found = page.locator("#found")
    for words in ("1 recipient", "1 duplicate", "1 opted out", "1 not a number", "Line 4"):
        expect(found).to_contain_text(words)
    page.get_by_label("Recipients").fill(A)
    expect(found).not_to_contain_text("banana")


def test_refused_numbers_are_left_out_with_one_click_and_ctrl_enter_sends(visit: Open, main: ProviderAccount) -> None:
    page = visit("/compose/")
    page.get_by_label("Recipients").fill(f"{A}\nbanana")
    page.get_by_label("leave these out").check()
    page.get_by_label("Message").fill("Hello")
    page.get_by_label("Message").press("Control+Enter")
    expect(page).to_have_url(re.compile(r"/messages/\?campaign=\d+$"))
    expect(page.get_by_text("1 message is on its way.")).to_be_visible()
    assert Campaign.objects.get().recipients == [A]


def test_a_double_click_sends_once(visit: Open, main: ProviderAccount) -> None:
    page = visit("/compose/")
    page.get_by_label("Recipients").fill(A)
    page.get_by_label("Message").fill("Hello")
    page.get_by_role("button", name="Send message").dblclick()
    expect(page).to_have_url(re.compile(r"/messages/\?campaign=\d+$"))
    assert Message.objects.count() == 1


def test_the_form_follows_the_account(visit: Open, main: ProviderAccount) -> None:
    account("Plain", kind="customersms", paused_reason="No credits.", paused_at=timezone.now())
    account("Phones", kind="smsgateway")
    page = visit("/compose/")
    sender, links = page.get_by_label("Sender ID"), page.get_by_label("Attachments")
    expect(sender).to_be_enabled()
    expect(links).to_be_hidden()
    page.get_by_label("Send through").select_option(label="Plain (paused)")
    expect(sender).to_be_disabled()
    expect(page.get_by_text("a sender ID cannot be chosen")).to_be_visible()
    expect(page.get_by_text("No credits.")).to_be_visible()
    page.get_by_label("Send through").select_option(label="Phones")
    expect(links).to_be_visible()
    expect(page.get_by_text("No credits.")).to_be_hidden()


def test_the_preview_shows_the_text_as_text(visit: Open, main: ProviderAccount) -> None:
    page = visit("/compose/")
    page.get_by_label("Message").fill("<b>Hello</b>\nthere")
    expect(page.locator("#preview")).to_have_text("<b>Hello</b>\nthere", use_inner_text=True)
    expect(page.get_by_text("From Shop")).to_be_visible()
    page.get_by_label("Send later").fill("2099-01-01T10:00")
    expect(page.get_by_role("button", name="Schedule message")).to_be_visible()


# --- Log ---------------------------------------------------------------------------------------------


def test_new_rows_and_new_statuses_come_by_themselves(visit: Open, main: ProviderAccount) -> None:
    row = message(main)
    page = visit("/messages/")
    page.evaluate("window.sameVisit = true")
    ledger.apply([Change(row.pk, Status.SENDING)])
    other = message(main, text="Newer")
    expect(page.locator(f"#m{row.pk}")).to_contain_text("Sending")
    expect(page.locator(f"#m{other.pk}")).to_have_class("fresh")
    expect(page.locator(f"#m{row.pk}")).not_to_have_class("fresh")
    assert page.evaluate("window.sameVisit")


def test_the_dot_says_when_the_connection_is_lost(visit: Open, main: ProviderAccount, page_problems: list[str]) -> None:
    page = visit("/messages/")
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("Paused: no connection")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_text("Live", exact=True)).to_be_visible()
    page.goto("about:blank")  # by now its console has been heard to the end
    page_problems.clear()


def test_typing_in_the_search_filters_in_place_and_keeps_the_place(visit: Open, main: ProviderAccount) -> None:
    message(main, text="Apple pie")
    message(main, text="Cake")
    page = visit("/messages/")
    page.keyboard.press("/")
    page.keyboard.type("pie")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/messages/\?q=pie$"))
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.get_by_label("Period").select_option("week")
    expect(page).to_have_url(re.compile("q=pie&period=week$"))
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("pie")


def test_nothing_is_asked_for_while_a_row_is_selected(visit: Open, admin_page: Page, main: ProviderAccount) -> None:
    row, polls = message(main), []
    admin_page.on("request", lambda request: "v=" in request.url and polls.append(request.url))
    admin_page.clock.install()
    page = visit("/messages/")
    page.locator(f"#c{row.pk}").check()
    message(main, text="Newer")
    page.clock.run_for(10_000)
    expect(page.locator("tbody tr")).to_have_count(1)
    assert polls == []
    page.locator(f"#c{row.pk}").uncheck()
    page.clock.run_for(3_500)
    expect(page.locator("tbody tr")).to_have_count(2)


# --- Message -----------------------------------------------------------------------------------------


def test_the_message_page_follows_until_the_end(visit: Open, main: ProviderAccount) -> None:
    Worker.objects.create(name="here", progress_at=timezone.now())
    row = message(main)
    page = visit(f"/messages/{row.pk}/")
    expect(page.get_by_text("It is next in line")).to_be_visible()
    ledger.apply([Change(row.pk, Status.SENDING)])
    ledger.apply([Change(row.pk, Status.DELIVERED, {"done_at": timezone.now()})])
    expect(page.get_by_text("It reached the phone.")).to_be_visible()
    assert page.locator("main [hx-trigger]").count() == 0


def test_the_request_can_be_copied_as_a_command(visit: Open, main: ProviderAccount) -> None:
    trace = exchange(main, url="http://x.example/")
    page = visit(f"/messages/{message(main, status='failed', exchange=trace.pk).pk}/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as curl").click()
    page.wait_for_function("async () => (await navigator.clipboard.readText()).startsWith('curl -X POST')")


# --- All of them -------------------------------------------------------------------------------------


def test_the_pages_are_accessible_and_fit(visit: Open, main: ProviderAccount) -> None:
    trace = exchange(main, url="http://x.example/" + "x" * 200, request_body="y" * 500, status=200)
    pks = {
        status: message(
            main, status=status, exchange=trace.pk, text="W" * 300, error_text="Z" * 300, provider_id="i" * 100
        ).pk
        for status in ("failed", "queued", "scheduled", "received", "uncertain")
    }
    page = visit("/compose/")
    page.get_by_label("Recipients").fill(f"{A}\n" + "banana" * 40)
    page.get_by_label("Message").fill("It’s “ready” " + "W" * 200)
    expect(page.locator(".refused")).to_be_visible()
    fits(page)
    for path in ("/messages/", "/messages/?q=nothing", f"/messages/{pks['failed']}/", f"/messages/{pks['queued']}/"):
        fits(visit(path))
