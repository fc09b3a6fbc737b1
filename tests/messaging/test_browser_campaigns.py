"""The pages of campaigns in Chromium: live, with and without JavaScript, accessible."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from messaging import expanding, ledger
from messaging.models import Campaign, Message
from providers.models import ProviderAccount
from providers.types import Status
from tests.looks import fits

from .campaign_rows import URL, at, campaign

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Open = Callable[[str], Page]


@pytest.fixture
def visit(admin_page: Page, live_server: LiveServer) -> Open:
    def go(path: str) -> Page:
        admin_page.goto(live_server.url + path)
        return admin_page

    return go


def becomes(of: Campaign, old: str, new: Status) -> None:
    ids = Message.objects.filter(campaign=of, status=old).values_list("pk", flat=True)
    ledger.apply([ledger.Change(pk, new) for pk in ids])


def test_the_page_follows_a_campaign_to_its_end(visit: Open, main: ProviderAccount) -> None:
    one = campaign(main, {"queued": 3, "failed": 1})
    page = visit(at(one))
    expect(page.get_by_text("It is being sent.")).to_be_visible()
    becomes(one, "queued", Status.SENT)
    expect(page.get_by_text("It is over: 3 of 4 recipients were written to.")).to_be_visible()
    expect(page.locator(".live")).to_be_visible()
    becomes(one, "sent", Status.DELIVERED)
    expect(page.locator(".live")).to_have_count(0)
    expect(page.locator("#detail[hx-trigger]")).to_have_count(0)
    expect(page.get_by_role("link", name="Delivered: 3")).to_have_attribute(
        "href", f"/messages/?campaign={one.pk}&status=delivered"
    )


def test_an_answer_that_was_on_its_way_takes_no_question_away(visit: Open, main: ProviderAccount) -> None:
    one, held = campaign(main, {"queued": 3, "sent": 1}), []
    page = visit(at(one))
    page.route(lambda url: "v=" in url, lambda route: held.append(route))
    with page.expect_request(lambda request: "v=" in request.url):
        pass
    page.get_by_role("button", name="Cancel campaign").click()
    question = page.get_by_text("recipients still wait and get nothing then.")
    expect(question).to_be_visible()
    becomes(one, "sent", Status.DELIVERED)
    with page.expect_response(lambda response: "v=" in response.url):
        held.pop().continue_()
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(question).to_be_visible()
    page.get_by_role("button", name="Keep it").click()
    expect(question).to_be_hidden()
    one.refresh_from_db()
    assert one.state == "sending"


def test_everything_works_without_javascript(
    browser: Browser, live_server: LiveServer, admin_client: Client, main: ProviderAccount
) -> None:
    campaign(main, {"queued": 3})
    context = browser.new_context(java_script_enabled=False)
    session = admin_client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}{URL}")
    page.get_by_role("searchbox").fill("sale")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Sale").click()
    page.get_by_role("button", name="Pause").click()
    page.get_by_label("Reason").fill("Wrong link")
    page.get_by_role("button", name="Pause campaign").click()
    expect(page.get_by_text("Wrong link")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Name").fill("Summer")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Summer")).to_be_visible()
    page.get_by_role("button", name="Cancel campaign").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_text("Canceled by admin.")).to_be_visible()
    context.close()


def test_the_pages_are_accessible_and_fit(visit: Open, main: ProviderAccount) -> None:
    every = {"delivered": 9, "sent": 2, "failed": 3, "expired": 1, "uncertain": 2, "queued": 5, "canceled": 1}
    skipped = {"opted_out": 2}
    due = timezone.now() + timedelta(seconds=25)
    shown = [
        campaign(main, every, skipped=skipped, name="A long name " * 8),
        campaign(main, every, state="paused", state_by="bob", state_reason="Wrong link", name=""),
        campaign(main, {}, name="Asking", state="approval", total=9, complete=False),
        campaign(main, {}, name="Held", total=9, complete=False, due_at=due, cursor=expanding.FIRST),
    ]
    Message.objects.filter(status="failed").update(error_code="blocked_by_the_network", error_text="Refused. " * 20)
    page = visit(URL)
    fits(page)
    for one in shown:
        visit(at(one))
        expect(page.locator("#detail")).to_be_visible()
        fits(page)
    page.get_by_role("button", name="Pause").click()
    fits(page)
    visit("/")
    expect(page.get_by_role("heading", name="Campaigns under way")).to_be_visible()
    fits(page)
