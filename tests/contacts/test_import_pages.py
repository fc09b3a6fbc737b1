"""The pages of imports, and the command: what is chosen, shown, refused and downloaded."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from contacts import import_files, importing
from contacts.import_forms import Reading
from contacts.models import Contact, ContactList, Import, ImportChunk
from tests.base import person, signed_in
from tests.contacts.imports import A, B, counts, draft, imported, people
from tests.contacts.test_sheets import book, cell, packed
from tests.forms import Forms

pytestmark = pytest.mark.django_db


def upload(client: Client, data: bytes, name: str = "people.csv", token: Any = None) -> Any:
    fields = {"token": token or uuid.uuid4(), "file": SimpleUploadedFile(name, data)}
    return client.post("/imports/", fields, follow=True)


def text_of(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.fixture
def client() -> Client:
    return signed_in()


# --- Choosing a file ---------------------------------------------------------------------------------


def test_a_file_becomes_a_draft_that_is_read_by_guess(client: Client) -> None:
    page = text_of(upload(client, "Телефон;Имя;Город\n+37255500001;Анна;Тарту\n".encode("cp1251")))
    assert "The encoding is a guess" in page
    assert "Анна" in page and "Город: Тарту" in page
    assert Contact.objects.count() == 0


def test_a_double_click_uploads_once(client: Client) -> None:
    token = uuid.uuid4()
    for _click in range(2):
        upload(client, b"+37255500001\n", token=token)
    assert Import.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty."),
        (b"\xef\xbb\xbf \r\n", "The file is empty."),
        (packed(people_csv="a").read(), "This is a ZIP archive."),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel file of the old kind"),
        (b"\x89PNG\r\n\x1a\n", "This is a picture."),
        (b"%PDF-1.7", "This is a document."),
        (b"\x1f\x8b\x08\x00", "This file is packed."),
        (b"<!DOCTYPE html>", "This is a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "This is a web page or XML"),
        (b"BEGIN:VCARD\r\nTEL:+37255500001", "These are address cards (vCard)."),
        (b'[{"phone": "+37255500001"}]', "This is JSON."),
        (bytes(range(256)) * 20, "This is a program or a database."),
        (book('<row r="99999999"/>').read(), "The Excel file is damaged."),
    ],
)
def test_what_is_no_table_is_refused_and_nothing_is_kept(client: Client, data: bytes, sentence: str) -> None:
    assert sentence in text_of(upload(client, data))
    assert not Import.objects.exists() and not ImportChunk.objects.exists()


def test_a_sheet_is_read_like_a_table(client: Client) -> None:
    sheet = f"<row>{cell(v='37255500001')}{cell(t='s', v='1')}</row>"
    page = text_of(upload(client, book(sheet).read(), "people.xlsx"))
    assert "+37255500001" in page and "Müller" in page and "is a guess" not in page


def test_a_file_lies_in_chunks_and_is_read_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_files, "CHUNK", 10)
    run = draft(b"0123456789" * 3 + b"abc")
    assert [len(chunk.data) for chunk in run.chunks.order_by("n")] == [10, 10, 10, 3]
    read = import_files.source(run)
    assert [b"".join(read(offset)) for offset in (0, 29, 30, 33)] == [
        b"0123456789" * 3 + b"abc",
        b"9abc",
        b"abc",
        b"",
    ]


# --- How it reads ------------------------------------------------------------------------------------


def begin(client: Client, run: Import, **changes: Any) -> Any:
    """Send the draft's form with some changes."""
    path = f"/imports/{run.pk}/begin/"
    filled = Forms(client.get(f"/imports/{run.pk}/").content.decode()).with_field("encoding")
    filled = {name: value for name, value in (filled | changes).items() if value is not None}
    return client.post(path, filled, follow=True)


def test_another_encoding_is_shown_before_anything_is_imported(client: Client) -> None:
    run = draft("Phone;Name;Ort\n+37255500001;Müller;Köln\n".encode("cp1252"))
    page = text_of(begin(client, run, encoding="cp1251"))
    assert "Mьller" in page and "Kцln" in page
    assert "Müller" in text_of(begin(client, run, encoding="cp1252"))
    assert not Contact.objects.exists()


def test_columns_are_guessed_anew_when_the_table_reads_otherwise(client: Client) -> None:
    run = draft("Имя;Номер\nАнна;+37255500001\n".encode("cp1251"))
    assert Reading(run).columns == ["name", "number"]
    page = text_of(begin(client, run, encoding="cp1252", **{"column-0": "", "column-1": "number"}))
    assert "Àííà" in page


def test_it_starts_as_it_was_said(client: Client) -> None:
    old = ContactList.objects.create(name="Old")
    run = draft(f"a;b;c\n{A};Anna;Tartu\n")
    said = {"column-0": "number", "column-1": "name", "column-2": "field:", "field-2": "city", "lists": [old.pk]}
    response = begin(client, run, start="1", new_list=" New  list ", header="on", **said)
    assert "It begins as soon as a worker is free" in text_of(response)
    run.refresh_from_db()
    assert (run.state, run.columns, run.options["heading"]) == (
        "waiting",
        ["number", "name", "field:city"],
        ["a", "b", "c"],
    )
    list(importing.run_here(run))
    assert people("name", "fields") == [(A, "Anna", {"city": "Tartu"})]
    assert [(each.name, each.subscribed) for each in ContactList.objects.all()] == [("New list", 1), ("Old", 1)]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"column-0": ""}, "Say which column holds the phone numbers."),
        ({"column-1": "number"}, "Two columns are for the same."),
        ({"column-1": "field:", "field-1": "number"}, "Every contact has “number” anyway."),
        ({"delimiter": "other", "other": "x"}, "Write one character that separates cells"),
        ({"new_list": "Old"}, "There is a list of that name."),
        ({"region": "XX"}, "XX is not one of the available choices"),
    ],
)
def test_what_is_missing_is_told_and_nothing_starts(client: Client, changes: dict[str, str], sentence: str) -> None:
    ContactList.objects.create(name="Old")
    run = draft(f"number;name\n{A};Anna\n")
    assert sentence in text_of(begin(client, run, start="1", **changes))
    run.refresh_from_db()
    assert run.state == "draft"


def test_a_draft_is_discarded_with_its_file(client: Client) -> None:
    run = draft(f"{A}\n")
    assert "The file is discarded." in text_of(
        client.post(f"/imports/{run.pk}/act/", {"action": "discard"}, follow=True)
    )
    assert not Import.objects.exists() and not ImportChunk.objects.exists()


# --- On its way, and over ----------------------------------------------------------------------------


def test_the_page_polls_while_it_goes_on_and_then_no_more(client: Client) -> None:
    run = draft(f"{A},Anna\nnobody,Bob\n")
    begin(client, run, start="1")
    url = f"/imports/{run.pk}/"
    assert "every 1s" in text_of(client.get(url, headers={"HX-Request": "true"}))
    list(importing.run_here(run))
    page = text_of(client.get(url, headers={"HX-Request": "true"}))
    assert "every 1s" not in page and "There is no phone number in it." in page and "<main" not in page
    for action, word in (("undo", "Being undone"), ("stop", "That cannot be done")):
        assert word in text_of(client.post(f"{url}act/", {"action": action}, follow=True))


def test_the_rejected_rows_come_with_reason_and_number(client: Client) -> None:
    run = imported(f'=cmd,"x\ny"\n{A},Anna\n')
    response = client.get(f"/imports/{run.pk}/rejected.csv")
    body = b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]
    assert body == 'row,reason\r\n1,There is no phone number in it.,\'=cmd,"x\ny"\r\n'


@pytest.mark.parametrize(
    ("permissions", "path", "data", "status"),
    [
        (["view_import"], "/imports/", None, 200),
        ([], "/imports/", None, 403),
        (["view_import"], "/imports/", {}, 403),
        (["view_import"], "/imports/{}/begin/", {}, 403),
        (["view_import"], "/imports/{}/act/", {"action": "discard"}, 403),
        (["view_import"], "/imports/{}/act/", {"action": "undo"}, 403),
        ([], "/imports/{}/rejected.csv", None, 403),
    ],
)
def test_each_page_takes_its_right(permissions: list[str], path: str, data: Any, status: int) -> None:
    run = draft(f"{A}\n")
    client = signed_in(person("alice", *(f"contacts.{name}" for name in permissions)))
    path = path.format(run.pk)
    assert (client.get(path) if data is None else client.post(path, data)).status_code == status


def test_the_list_takes_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    for _n in range(3):
        draft(f"{A}\n")
    with django_assert_max_num_queries(6):
        assert text_of(client.get("/imports/")).count("people.csv") == 3


# --- The command -------------------------------------------------------------------------------------


def test_the_command_imports_and_writes_what_was_rejected(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(f"Phone;Name\n{A};Müller\nnobody;Bob\n{A};Anna\n{B};\n".encode("cp1252"))
    call_command("import_contacts", str(path), list="News", create_list=True)
    said = capsys.readouterr()
    assert said.out.split() == ["added:", "2", "updated:", "0", "skipped:", "1", "rejected:", "1"]
    assert "100%" in said.err
    rejected = (tmp_path / "people.rejected.csv").read_text("utf-8-sig")
    assert rejected.splitlines() == ["row,reason,Phone,Name", "3,There is no phone number in it.,nobody,Bob"]
    assert people() == [(A, "Müller"), (B, "")]
    assert ContactList.objects.get().subscribed == 2
    assert counts(Import.objects.get()) == (4, 2, 0, 1, 1)


def test_the_command_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("a,b\nc,d\n")
    with pytest.raises(CommandError, match="There is no list “News”. Lists: none yet."):
        call_command("import_contacts", str(path), list="News")
    with pytest.raises(CommandError, match="No column looks like phone numbers"):
        call_command("import_contacts", str(path), list="News", create_list=True)
    path.write_bytes(b"")
    with pytest.raises(CommandError, match="The file is empty"):
        call_command("import_contacts", str(path), list="News", create_list=True)
    assert not Import.objects.exists() and not ContactList.objects.exists()
