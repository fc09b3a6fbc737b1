"""Lists and people in Chromium: by hand, in light and dark, on a phone, without scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from contacts import changes, consent
from contacts.models import BulkChange, ContactList, How, Mirror
from tests.base import account, administrator
from tests.looks import fits

from .base import a_list, counts, people

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Open = Callable[[str], Page]


@pytest.fixture
def visit(admin_page: Page, live_server: LiveServer) -> Open:
    def go(path: str) -> Page:
        admin_page.goto(live_server.url + path)
        return admin_page

    return go


def eventful() -> tuple[ContactList, list[int]]:
    """A list on which there is everything to see."""
    ids = people(60, fields={"city": "Tartu"}, language="et")
    guests = a_list("Guests", ids, description="Of the inn", account=account(kind="smsgateway"), remote_id="17")
    consent.unsubscribe(guests, ids[55:57], How.OPERATOR, "admin", "Asked on the phone")
    consent.opt_out(ids[57:59], How.STOP, "message 7", proof={"text": "STOP"})
    consent.remove(guests, ids[58:59], How.OPERATOR, "admin")
    Mirror.objects.filter(contact=ids[0]).update(error="The provider could not be reached.", tries=2)
    BulkChange.objects.create(
        action="unsubscribe", list=guests, below=9, done=40, values=changes._begun({"reason": ""}, 60)
    )
    return guests, ids


def test_every_page_is_accessible_and_fits(visit: Open) -> None:
    guests, ids = eventful()
    for path in (
        "/lists/", f"/lists/{guests.pk}/", f"/lists/{guests.pk}/edit/", f"/lists/{guests.pk}/add/", "/lists/add/",
        "/contacts/", "/contacts/?q=zzz", f"/contacts/{ids[58]}/", f"/contacts/{ids[58]}/edit/",
    ):  # fmt: skip
        page = visit(path)
        if page.locator("tbody .select input").count():
            page.locator("tbody .select input").first.check()
        fits(page)


def test_the_selected_are_taken_off_and_put_back(visit: Open) -> None:
    guests = a_list(members=people(3))
    page = visit(f"/lists/{guests.pk}/")
    take_off = page.get_by_role("button", name="Take off the list")
    expect(take_off).to_be_hidden()
    page.get_by_label("Select all on this page").check()
    expect(page.get_by_text("Selected: 3")).to_be_visible()
    take_off.click()
    expect(page.get_by_text("3 people are off the list.")).to_be_visible()
    expect(page.get_by_text("Nobody is on this list yet.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("3 people are on the list again.")).to_be_visible()
    assert counts(guests) == (3, 3)


def test_a_search_narrows_as_one_types_and_can_be_acted_on(visit: Open) -> None:
    guests = a_list(members=people(60))
    page = visit(f"/lists/{guests.pk}/?status=subscribed")
    page.locator("#search").press_sequentially("Person 1")
    expect(page.get_by_role("link", name="+37255500059")).to_be_hidden()
    expect(page).to_have_url(f"{page.url.split('?')[0]}?status=subscribed&q=Person+1")
    page.get_by_label("Select +37255500019").check()
    page.get_by_role("button", name="Unsubscribe", exact=True).click()
    page.get_by_label("Reason").fill("Asked")
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_text("1 person is unsubscribed.")).to_be_visible()
    assert counts(guests) == (60, 59)


def test_what_runs_in_the_background_is_seen_to_end(visit: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "AT_ONCE", 10)
    guests = a_list(members=people(60))
    page = visit(f"/lists/{guests.pk}/")
    page.get_by_label("Select all on this page").check()
    page.get_by_label("All 60 of this filter").check()
    page.get_by_role("button", name="Unsubscribe", exact=True).click()
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_text("In the works: 10 of 60.")).to_be_visible()
    changes.work(BulkChange.objects.get().pk)
    expect(page.get_by_text("60 people are unsubscribed.")).to_be_visible()
    expect(page.get_by_text("In the works")).to_be_hidden()


def test_a_list_is_deleted_after_a_question(visit: Open) -> None:
    guests = a_list(members=people(3))
    page = visit(f"/lists/{guests.pk}/edit/")
    page.get_by_role("button", name="Delete the list").click()
    expect(page.get_by_text("3 people are taken off it.")).to_be_visible()
    page.get_by_role("button", name="Keep it").click()
    assert ContactList.objects.exists()
    page.get_by_role("button", name="Delete the list").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the list").click()
    expect(page.get_by_text("There is no list yet.")).to_be_visible()


def test_it_works_without_scripts(browser: Browser, live_server: LiveServer) -> None:
    guests = a_list(members=people(3))
    client = Client()
    client.force_login(administrator())
    context = browser.new_context(java_script_enabled=False, locale="en")
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page = context.new_page()
    page.goto(f"{live_server.url}/lists/{guests.pk}/")
    page.locator("#search").fill("Person 2")
    page.get_by_role("button", name="Show").click()
    page.get_by_label("Select +37255500002").check()
    page.get_by_role("button", name="Opt out").click()
    page.get_by_role("button", name="Opt out").click()
    expect(page.get_by_text("1 person is opted out.")).to_be_visible()
    context.close()
