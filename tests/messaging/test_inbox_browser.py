"""The inbox in Chromium: what comes in appears, STOP blocks the reply, and the keys."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from contacts.models import Contact
from messaging import ledger
from messaging.ledger import Change
from messaging.models import AutoReply
from providers.models import ProviderAccount
from providers.types import Status
from tests.looks import fits

from .conversations import ADA, BO, conversation, phones, sent, write

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
Open = Callable[[str], Page]


@pytest.fixture
def main() -> ProviderAccount:
    return phones()


@pytest.fixture
def visit(admin_page: Page, live_server: LiveServer) -> Open:
    def go(path: str) -> Page:
        admin_page.goto(live_server.url + path)
        return admin_page

    return go


def test_ten_messages_both_ways_and_then_stop(visit: Open, main: ProviderAccount) -> None:
    write(main, "Hello 1")
    page = visit("/inbox/")
    page.get_by_role("link", name=f"{ADA} unread").click()
    for k in range(1, 6):
        page.keyboard.press("r")
        page.get_by_label("Reply").fill(f"Answer {k}")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#thread")).to_contain_text(f"Answer {k}")
        write(main, f"Hello {k + 1}")
        expect(page.locator("#thread")).to_contain_text(f"Hello {k + 1}")
    assert [message.text for message in sent()] == [f"Answer {k}" for k in range(1, 6)]
    ledger.apply([Change(sent()[0].pk, Status.SENT, {})])
    ledger.apply([Change(sent()[0].pk, Status.DELIVERED, {})])
    expect(page.locator("#thread")).to_contain_text("Delivered")
    page.get_by_label("Reply").fill("Half a")
    write(main, "STOP")
    expect(page.get_by_text("nobody can write to them")).to_be_visible()
    expect(page.get_by_label("Reply")).to_be_hidden()


def test_a_message_appears_in_the_list_and_in_the_navigation(visit: Open, main: ProviderAccount) -> None:
    page = visit("/inbox/")
    expect(page.get_by_text("Nothing to answer")).to_be_visible()
    write(main, "Anybody there?")
    expect(page.get_by_role("cell", name="Anybody there?")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name=re.compile("Inbox 1"))).to_be_visible()


def test_keys_go_down_and_up_the_conversations(visit: Open, main: ProviderAccount) -> None:
    write(main)
    write(main, number=BO)
    page = visit("/inbox/")
    for key, number in (("j", BO), ("j", ADA), ("j", ADA), ("k", BO)):
        page.keyboard.press(key)
        expect(page.locator(":focus")).to_contain_text(number)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/inbox/{conversation(BO).pk}/$"))


def test_the_search_finds_as_one_types(visit: Open, main: ProviderAccount) -> None:
    write(main, "the blue one")
    write(main, "the red one", number=BO)
    page = visit("/inbox/")
    page.keyboard.press("/")
    page.keyboard.type("blue")
    expect(page.get_by_text("the red one")).to_be_hidden()
    expect(page.get_by_text("the blue one")).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?q=blue$"))


def test_the_pages_have_no_serious_violation_and_fit(visit: Open, main: ProviderAccount) -> None:
    Contact.objects.create(number=ADA, name="Ada Lovelace")
    AutoReply.objects.create(name="Closed", match="contains", words="open", hours="09:00-17:00", text="At nine.")
    write(main, "stop please, " + "long-word" * 30, attachments=("https://pictures.example/" + "a" * 200,))
    write(main, number=BO)
    write(main, "stop", number=BO)
    rule = AutoReply.objects.get().pk
    threads = [f"/inbox/{conversation(number).pk}/" for number in (ADA, BO)]
    for path in ("/inbox/", *threads, "/inbox/replies/", f"/inbox/replies/{rule}/"):
        fits(visit(path))
