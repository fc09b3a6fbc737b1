"""The first sheet of an XLSX file, and what only looks like one."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from contacts import sheets
from contacts.sheets import SheetError

WORKBOOK = (
    '<workbook xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">{pr}<sheets>'
    '<sheet name="Hidden" sheetId="1" state="hidden" r:id="rId1"/><sheet name="People" sheetId="2" r:id="rId2"/>'
    "</sheets></workbook>"
)
RELATIONS = (
    '<Relationships><Relationship Id="rId1" Target="worksheets/sheet1.xml"/>'
    '<Relationship Id="rId2" Target="/xl/worksheets/sheet2.xml"/></Relationships>'
)
STYLES = (
    '<styleSheet><numFmts><numFmt numFmtId="164" formatCode="dd/mm/yyyy"/><numFmt numFmtId="165" '
    'formatCode="0.00 &quot;days&quot;"/></numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="22"/><xf numFmtId="165"/></cellXfs></styleSheet>'
)
TEXTS = (
    "<sst><si><t>Anna</t></si><si><r><t>Mül</t></r><r><t>ler</t></r></si>"
    "<si><t>東京</t><rPh><t>トウキョウ</t></rPh></si><si><t/></si></sst>"
)


def book(sheet: str, **parts: str) -> io.BytesIO:
    """An XLSX whose visible sheet has these rows."""
    file = io.BytesIO()
    names = {
        "xl/workbook.xml": WORKBOOK.format(pr=parts.pop("pr", "")),
        "xl/_rels/workbook.xml.rels": RELATIONS,
        "xl/styles.xml": STYLES,
        "xl/sharedStrings.xml": TEXTS,
        "xl/worksheets/sheet2.xml": f"{parts.pop('before', '')}<worksheet><sheetData>{sheet}</sheetData></worksheet>",
        **parts,
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in names.items():
            archive.writestr(name, text)
    file.seek(0)
    return file


def cell(**values: str) -> str:
    attributes = "".join(f' {name}="{value}"' for name, value in values.items() if name != "v")
    return f"<c{attributes}><v>{values['v']}</v></c>"


def value(**values: str) -> str:
    [row] = sheets.rows(book(f"<row>{cell(**values)}</row>"))
    return row[0] if row else ""


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"t": "s", "v": "0"}, "Anna"),
        ({"t": "s", "v": "1"}, "Müller"),
        ({"t": "s", "v": "2"}, "東京"),
        ({"t": "s", "v": "3"}, ""),
        ({"v": "13800138000"}, "13800138000"),
        ({"v": "1.3800138E10"}, "13800138000"),
        ({"v": "2.5"}, "2.5"),
        ({"t": "b", "v": "1"}, "TRUE"),
        ({"t": "str", "v": "result of a formula"}, "result of a formula"),
        ({"t": "str", "v": "a_x000A_b"}, "a\nb"),
        ({"s": "1", "v": "45000"}, "2023-03-15"),
        ({"s": "2", "v": "45000.5"}, "2023-03-15 12:00:00"),
        ({"s": "1", "v": "0.25"}, "06:00:00"),
        ({"s": "1", "v": "1E300"}, "1E300"),
        ({"s": "3", "v": "4"}, "4"),
    ],
)
def test_it_reads_what_the_cell_holds(values: dict[str, str], expected: str) -> None:
    assert value(**values) == expected


def test_rows_and_cells_that_are_left_out_are_empty() -> None:
    sheet = f'<row r="2">{cell(r="C2", v="1")}</row><row r="4"/><row>{cell(v="2")}{cell(r="AA5", v="3")}</row>'
    assert list(sheets.rows(book(sheet))) == [[], ["", "", "1"], [], [], ["2", *[""] * 25, "3"]]


def test_texts_may_stand_in_their_cells() -> None:
    sheet = '<row><c t="inlineStr"><is><t>An</t><t>na</t></is></c></row>'
    assert list(sheets.rows(book(sheet))) == [["Anna"]]


def test_years_may_begin_in_1904() -> None:
    file = book(f"<row>{cell(s='1', v='1')}</row>", pr='<workbookPr date1904="1"/>')
    assert list(sheets.rows(file)) == [["1904-01-02"]]


def packed(**files: Any) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (packed(people_csv="a,b"), "ZIP archive"),
        (packed(mimetype="application/vnd.oasis.opendocument.spreadsheet", content_xml="<x/>"), "OpenDocument"),
        (io.BytesIO(b"PK\x03\x04 and no more"), "damaged"),
        (book("<row><c"), "damaged"),
        (book(f"<row>{cell(t='s', v='99')}</row>"), "damaged"),
        (book(f"<row>{cell(t='s', v='-1')}</row>"), "damaged"),
        (book('<row r="99999999"/>'), "damaged"),
        (book('<row r="2"/><row r="1"/>'), "damaged"),
        (book(f"<row>{cell(r='ZZ1', v='1')}</row>"), "columns"),
        (book("<row/>", before='<!DOCTYPE x [<!ENTITY a "aaaa">]>'), "declarations"),
    ],
)
def test_what_cannot_be_read_is_told(file: io.BytesIO, sentence: str) -> None:
    file.seek(0)
    with pytest.raises(SheetError, match=sentence):
        list(sheets.rows(file))


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "SMALL", 1_000_000)
    with pytest.raises(SheetError, match="unpacks to far more"):
        list(sheets.rows(book("<row/>" * 1_000_000)))
