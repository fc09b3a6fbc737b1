"""The main job in a real browser, against real processes: compose, and see the log turn to Delivered by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from smsdash import demo
from tests.looks import fits
from tests.server import PASSWORD, Server, until

pytestmark = [pytest.mark.server, pytest.mark.browser]

NUMBERS = ["+15557100001", "+15557100002", "+15557100003"]
PERSON = "+15557100009"
PAGES = ["/", "/messages/", "/accounts/"]


@pytest.fixture(scope="module")
def server(new_installation: Callable[[], dict[str, str]]) -> Iterator[Server]:
    with Server(new_installation(), SMSDASH_WORKERS="2") as server:
        server.log_in()
        yield server


@pytest.fixture
def signed_in(page: Page, server: Server) -> Page:
    """Signed in by the session of ``server``; `test_a_person_logs_in` shows the login itself."""
    cookies = [{"name": c.name, "value": c.value, "url": server.url} for c in server.session.cookies]
    page.context.add_cookies(cookies)  # type: ignore[arg-type]
    return page


def test_a_person_logs_in(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/messages/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Message log")).to_be_visible()


def test_a_message_is_written_and_arrives_before_ones_eyes(signed_in: Page, server: Server) -> None:
    page = signed_in
    page.goto(f"{server.url}/compose/")
    page.get_by_label("Send through").select_option(label="Phones on the shelf (sandbox)")
    page.get_by_label("Recipients").fill(", ".join(NUMBERS))
    page.get_by_label("Message").fill("Hello from smsdash")
    page.get_by_role("button", name="Send").click()
    expect(page).to_have_url(re.compile(r"/messages/\?campaign="))
    page.evaluate("window.notReloaded = true")
    for number in NUMBERS:
        row = page.locator("tr", has_text=number)
        expect(row.get_by_text("Delivered")).to_be_visible(timeout=60_000)
    assert page.evaluate("window.notReloaded") is True


def test_a_balance_is_asked_and_answered_before_ones_eyes(signed_in: Page, server: Server) -> None:
    count = "SELECT count(*) FROM devices_balance"
    until("the demo's phones to be listed", lambda: server.query(count)[0][0])
    page = signed_in
    page.goto(f"{server.url}/ussd/")
    page.get_by_role("link", name="Green Telecom").first.click()
    page.get_by_role("button", name="Balance").click()
    answer = page.locator("#thread").get_by_text("Your balance is 12.50 EUR.")
    expect(answer).to_be_visible(timeout=60_000)


def test_stop_is_typed_and_a_campaign_skips_whoever_typed_it(signed_in: Page, server: Server) -> None:
    (phones,) = server.query("SELECT id FROM providers_provideraccount WHERE kind = 'smsgateway'")[0]
    due = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    numbers = f"{PERSON}, {NUMBERS[0]}"
    server.submit("/compose/", numbers=numbers, text="Our sale begins.", account=phones, due=due)
    person_writes(server, "Hello, it is me")
    page = signed_in
    page.goto(f"{server.url}/inbox/")
    page.get_by_role("link", name=PERSON).click()
    expect(page.locator("#thread")).to_contain_text("Our sale begins.")
    page.evaluate("window.notReloaded = true")
    person_writes(server, " stop\n")
    expect(page.get_by_text("nobody can write to them")).to_be_visible(timeout=60_000)
    expect(page.get_by_label("Reply")).to_be_hidden()
    assert page.evaluate("window.notReloaded") is True
    (campaign,) = server.query("SELECT max(id) FROM messaging_campaign WHERE text = 'Our sale begins.'")[0]
    page.goto(f"{server.url}/campaigns/{campaign}/")
    expect(page.get_by_role("row", name="They opted out. 1")).to_be_visible()


def person_writes(server: Server, text: str) -> None:
    """Somebody of the sandbox, to a phone of the demo."""
    body = {"kind": "smsgateway", "number": PERSON, "text": text, "device": "1", "sim": 0}
    key = {"Authorization": f"Bearer {demo.KEY}"}
    server.session.post(f"{server.url}/sandbox/control/inbound/", json=body, headers=key).raise_for_status()


def test_the_counter_names_what_forces_unicode(signed_in: Page, server: Server) -> None:
    page = signed_in
    page.goto(f"{server.url}/compose/")
    page.get_by_label("Message").fill("It’s “ready”")
    expect(page.get_by_text("UCS-2")).to_be_visible()


def test_a_bad_number_is_named_and_what_was_typed_stays(signed_in: Page, server: Server) -> None:
    page = signed_in
    page.goto(f"{server.url}/compose/")
    page.get_by_label("Recipients").fill(f"{NUMBERS[0]}\nbanana")
    page.get_by_label("Message").fill("Hello again")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("banana").first).to_be_visible()
    expect(page.get_by_label("Message")).to_have_value("Hello again")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_full_of_data_is_accessible_and_fits(path: str, signed_in: Page, server: Server) -> None:
    signed_in.goto(server.url + path)
    fits(signed_in)
