"""The main job in a real browser, against real processes: compose, and see the log turn to Delivered by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.server import PASSWORD, Server, until

pytestmark = [pytest.mark.server, pytest.mark.browser]

NUMBERS = ["+15557100001", "+15557100002", "+15557100003"]
PAGES = ["/", "/compose/", "/messages/", "/accounts/", "/accounts/add/", "/accounts/add/?kind=smsgateway"]
LOOKS = {"light": (1360, "light"), "dark": (1360, "dark"), "phone": (390, "light")}


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
        expect(row.get_by_text("Delivered")).to_be_visible(timeout=20_000)
    assert page.evaluate("window.notReloaded") is True


def test_a_balance_is_asked_and_answered_before_ones_eyes(signed_in: Page, server: Server) -> None:
    count = "SELECT count(*) FROM devices_balance"
    until("the demo's phones to be listed", lambda: server.query(count)[0][0])
    page = signed_in
    page.goto(f"{server.url}/ussd/")
    page.get_by_role("link", name="Green Telecom").first.click()
    page.get_by_role("button", name="Balance").click()
    answer = page.locator("#thread").get_by_text("Your balance is 12.50 EUR.")
    expect(answer).to_be_visible(timeout=20_000)


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


@pytest.mark.parametrize("look", list(LOOKS))
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_accessible_and_fits(path: str, look: str, signed_in: Page, server: Server) -> None:
    page, (width, scheme) = signed_in, LOOKS[look]
    page.set_viewport_size({"width": width, "height": 850})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(server.url + path)
    serious = [v["id"] for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
