"""A sheet is looked at by its first rows, read in the background, and imported only when all of it was read."""

from __future__ import annotations

import io
import uuid

import pytest
from django.test import Client

from contacts import import_files, import_sheets, importing, sheets
from contacts.models import Contact, Import, ImportChunk
from contacts.sheets import Workbook
from tests.base import signed_in
from tests.contacts.imports import counts, people, plan
from tests.contacts.test_sheets import book, cell

pytestmark = pytest.mark.django_db

ROWS = 60
DAMAGED = cell(t="s", v="99")


def sheet(last: str = "") -> str:
    """Rows with gaps between them, some in the texts that cells share."""
    rows = (f'<row r="{3 * n}">{cell(v=f"372555{n:05d}")}{cell(t="s", v=str(n % 3))}</row>' for n in range(1, ROWS + 1))
    return "".join(rows) + (f"<row>{last}</row>" if last else "")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in small pieces."""
    monkeypatch.setattr(sheets, "PORTION", 300)
    monkeypatch.setattr(import_sheets, "PART", 150)
    monkeypatch.setattr(import_sheets, "CHUNK", 400)
    monkeypatch.setattr(import_files, "CHUNK", 400)
    monkeypatch.setattr(import_sheets, "FIRST_ROWS", 10)


def draft(file: io.BytesIO) -> Import:
    return import_files.receive("people.xlsx", file)


def begun(file: io.BytesIO) -> Import:
    run = draft(file)
    assert importing.begin(run, plan())
    return run


@pytest.mark.usefixtures("tiny")
def test_it_is_read_on_from_any_mark() -> None:
    file = book(sheet())
    whole = list(sheets.rows(file))
    assert len(whole) == 3 * ROWS
    marks = [portion.next for portion in Workbook(file).portions()]
    assert len({mark.offset for mark in marks}) > 10
    for mark in marks[:-1]:
        rest = [row for portion in Workbook(file).portions(mark) for row in portion.rows]
        assert rest == whole[mark.row :]


@pytest.mark.usefixtures("tiny")
def test_it_goes_on_from_each_place_at_which_a_worker_may_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "IDLE", -1.0)
    run, steps = begun(book(sheet())), 0
    while importing.work(run.pk, uuid.uuid4().hex, seconds=-1):
        steps += 1
        run.refresh_from_db()
        assert not import_sheets.waits(run) or (run.rows == 0 and importing.share(run) > 0)
    run.refresh_from_db()
    assert steps > 5
    assert (run.state, counts(run)) == ("done", (ROWS, ROWS, 0, 0, 0))
    names = ["Anna", "Müller", "東京"]
    assert people() == [(f"+372555{n:05d}", names[n % 3]) for n in range(1, ROWS + 1)]
    assert not ImportChunk.objects.exists()


@pytest.mark.usefixtures("tiny")
def test_two_at_once_write_no_part_twice() -> None:
    run = begun(book(sheet()))
    assert importing.work(run.pk, "one", seconds=-1)
    first, second = importing._claim(run.pk, "one"), importing._claim(run.pk, "one")
    assert first and second
    assert importing._reading(first)("one") and not importing._reading(second)("one")


@pytest.mark.usefixtures("tiny")
def test_only_the_first_rows_are_read_before_it_begins() -> None:
    run = draft(book(sheet(DAMAGED)))
    assert run.chunks.get(n=import_sheets.BASE).data.count(b"\n") < ROWS
    assert run.options["sure"]


@pytest.mark.usefixtures("tiny")
def test_nothing_is_imported_of_a_sheet_that_is_damaged_further_on() -> None:
    run = begun(book(sheet(DAMAGED)))
    run = list(importing.run_here(run))[-1]
    assert (run.state, run.error) == (
        "failed",
        "The Excel file is damaged. Open it, save it again and choose it once more.",
    )
    assert not Contact.objects.exists() and not ImportChunk.objects.exists()
    client: Client = signed_in()
    page = client.get(f"/imports/{run.pk}/").content.decode()
    assert "The Excel file is damaged." in page and "Nothing was imported." in page
    assert 'value="continue"' not in page
    assert not importing.resume(run)


@pytest.mark.usefixtures("tiny")
def test_its_page_says_how_far_it_is_read() -> None:
    run = begun(book(sheet()))
    for _step in range(2):
        assert importing.work(run.pk, "one", seconds=-1)
    page = signed_in().get(f"/imports/{run.pk}/").content.decode()
    run.refresh_from_db()
    assert f"The sheet is being read, {int(100 * importing.share(run))} % so far." in page


def test_a_sheet_without_rows_is_empty() -> None:
    with pytest.raises(import_files.FileError, match="The file is empty."):
        draft(book("<row/>"))
    assert not Import.objects.exists()
