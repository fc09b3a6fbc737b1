"""Acting on many messages of the log, in Chromium."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from messaging import bulk, ledger
from messaging.models import BulkAction, Message
from providers.models import ProviderAccount
from tests.looks import fits

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Open = Callable[[str], Page]


@pytest.fixture
def visit(admin_page: Page, live_server: LiveServer) -> Open:
    def go(path: str) -> Page:
        admin_page.goto(live_server.url + path)
        return admin_page

    return go


def messages(main: ProviderAccount, *statuses: str) -> list[Message]:
    return ledger.insert(
        [Message(account=main, number=f"+3725550{n:04d}", text="Hello", status=s) for n, s in enumerate(statuses)]
    )


def test_selected_messages_are_canceled_after_a_question(visit: Open, main: ProviderAccount) -> None:
    rows = messages(main, "queued", "scheduled", "sent")
    page = visit("/messages/")
    cancel = page.get_by_role("button", name="Cancel messages")
    expect(cancel).to_be_hidden()
    for row in rows[:2]:
        page.locator(f"#c{row.pk}").check()
    expect(page.get_by_text("Selected: 2")).to_be_visible()
    cancel.click()
    page.get_by_role("link", name="Leave them as they are").click()
    assert Message.objects.filter(status="canceled").count() == 0
    page.get_by_label("Select all on this page").check()
    cancel.click()
    expect(page.get_by_text("2 messages.")).to_be_visible()
    cancel.click()
    expect(page.get_by_text("2 messages are canceled.")).to_be_visible()
    assert [Message.objects.get(pk=row.pk).status for row in rows] == ["canceled", "canceled", "sent"]


def test_what_can_be_done_follows_the_selection(visit: Open, main: ProviderAccount) -> None:
    waiting, uncertain, failed = messages(main, "queued", "uncertain", "failed")
    page = visit("/messages/")
    offered = page.locator(".bulk button:visible")
    page.locator(f"#c{failed.pk}").check()
    expect(offered).to_have_text(["Send once more"])
    page.locator(f"#c{waiting.pk}").check()
    expect(offered).to_have_text(["Send once more", "Reschedule", "Cancel messages"])
    page.locator(f"#c{failed.pk}").uncheck()
    page.locator(f"#c{waiting.pk}").uncheck()
    page.locator(f"#c{uncertain.pk}").check()
    expect(offered).to_have_text(["Count as sent", "Send again"])


def test_a_whole_filter_is_worked_off_before_ones_eyes(visit: Open, main: ProviderAccount) -> None:
    messages(main, *["failed"] * 600)
    page = visit("/messages/?status=failed")
    page.get_by_label("Select all on this page").check()
    page.get_by_label("All 600 of this filter").check()
    page.get_by_role("button", name="Send once more").click()
    expect(page.get_by_text("600 messages.")).to_be_visible()
    page.get_by_role("button", name="Send once more").dblclick()
    expect(page.get_by_text("In the works: 500 of 600.")).to_be_visible()
    bulk.work(BulkAction.objects.get().pk, "")
    expect(page.get_by_text("600 messages are queued once more.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert Message.objects.exclude(resend_of=None).count() == 600


def test_an_answer_that_was_on_its_way_takes_no_selection_away(visit: Open, main: ProviderAccount) -> None:
    (row,) = messages(main, "queued")
    page, held = visit("/messages/"), []
    page.route(lambda url: "v=" in url, lambda route: held.append(route))
    with page.expect_request(lambda request: "v=" in request.url):
        pass
    box = page.locator(f"#c{row.pk}")
    box.check()
    messages(main, "failed")
    with page.expect_response(lambda response: "v=" in response.url):
        held.pop().continue_()
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(box).to_be_checked()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_the_pages_are_accessible_and_fit(visit: Open, main: ProviderAccount) -> None:
    messages(main, "uncertain", *["queued"] * 700, *["failed"] * 20)
    page = visit("/messages/")
    page.locator("tbody [data-can=waiting]").first.check()
    page.get_by_label("of this filter").check()
    page.get_by_role("button", name="Send once more").click()
    expect(page.get_by_role("button", name="Send once more")).to_be_visible()
    fits(page)
    page.get_by_role("link", name="Leave them as they are").click()
    page.locator("tbody [data-can=waiting]").first.check()
    page.get_by_label("of this filter").check()
    page.get_by_role("button", name="Cancel messages").click()
    page.get_by_role("button", name="Cancel messages").click()
    expect(page.get_by_text("In the works: 500 of 700.")).to_be_visible()
    page.locator("tbody [data-can=over]").first.check()
    fits(page)
