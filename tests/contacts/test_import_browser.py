"""A big import in Chromium, from a wrong guess to its undo."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from contacts import importing
from contacts.models import Contact, ContactList, Import
from tests.looks import serious

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ROWS = 100_000


@pytest.fixture
def big_table(tmp_path: Path) -> Path:
    """People by their initials, which read no worse in a wrong encoding. Every hundredth row has no number."""
    path = tmp_path / "people.csv"
    with path.open("w", encoding="cp1251") as file:
        file.write("Phone;Name\n")
        for n in range(ROWS):
            file.write(f"{'none' if n % 100 == 50 else f'+1555{n:07d}'};Ђ. Џ.\n")
    return path


def accessible(page: Page) -> bool:
    assert serious(page) == [] and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return True


def test_a_wrong_guess_is_corrected_and_a_big_file_comes_in_and_out_again(
    admin_page: Page, live_server: LiveServer, big_table: Path
) -> None:
    page = admin_page
    page.goto(f"{live_server.url}/imports/")
    page.locator("#id_file").set_input_files(big_table)
    page.get_by_role("button", name="Upload and look at it").click()
    expect(page.get_by_text("The encoding is a guess.")).to_be_visible()
    assert "Ђ. Џ." not in page.locator("#reading").inner_text()
    page.get_by_label("Encoding").select_option("cp1251")
    expect(page.get_by_role("cell", name="Ђ. Џ.", exact=True).first).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 800})
    assert accessible(page)
    page.get_by_label("Put everybody on a new list").fill("All")
    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()

    run = Import.objects.get()
    importing.work(run.pk, "one", seconds=0)
    expect(page.get_by_text("rows a second")).to_be_visible()
    expect(page.get_by_text("Running", exact=True)).to_be_visible()
    importing.work(run.pk, "one", seconds=600)
    expect(page.get_by_text("Done", exact=True)).to_be_visible()
    expect(page.get_by_text("99,000")).to_be_visible()
    assert ContactList.objects.get().subscribed == 99_000
    assert accessible(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Rejected rows as CSV").click()
    lines = download.value.path().read_text("utf-8-sig").splitlines()
    assert (len(lines), lines[1]) == (1_001, "52,There is no phone number in it.,none,Ђ. Џ.")

    page.emulate_media(color_scheme="dark")
    page.get_by_role("button", name="Undo the import").click()
    assert accessible(page)
    page.get_by_role("dialog").get_by_role("button", name="Undo the import").click()
    expect(page.get_by_text("Being undone", exact=True)).to_be_visible()
    importing.work(run.pk, "two", seconds=600)
    expect(page.get_by_text("Undone", exact=True)).to_be_visible()
    assert not Contact.objects.exists() and not ContactList.objects.exists()  # the import had made it
