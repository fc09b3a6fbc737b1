"""Rows out of bytes: any encoding, separator, line ends; from any place on; and never an end before the end."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts import tables
from contacts.tables import Fault, Layout, Place


def source(data: bytes, size: int = 7) -> tables.Source:
    def read(offset: int) -> Iterable[bytes]:
        return (data[at : at + size] for at in range(offset, len(data), size))

    return read


def rows(data: bytes, layout: Layout | None = None) -> list[tuple[int, list[str], Fault | None]]:
    found = [tuple(row) for block in tables.blocks(source(data), layout or Layout()) for row in block]
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5hkscs", "cp932"])
def test_line_ends_of_any_kind(end: str, last: str, encoding: str) -> None:
    text = end.join(["a,b", "", '王,"x' + end + 'y"', "1,2"]) + (end if last else "")
    assert rows(text.encode(encoding), Layout(encoding)) == [
        (1, ["a", "b"], None),
        (3, ["王", f"x{end}y"], None),
        (4, ["1", "2"], None),
    ]


def test_a_mark_is_no_part_of_the_first_cell() -> None:
    assert rows(b"\xef\xbb\xbfa,b") == [(1, ["a", "b"], None)]
    assert rows("\ufeffa,b".encode("utf-16-le"), Layout("utf-16-le")) == [(1, ["a", "b"], None)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'1,"2\n3,4\n', [(1, ['1,"2'], Fault.NOT_CLOSED), (2, ["3", "4"], None)]),
        (b"1,\xff\n3,4\n", [(1, ["1,\ufffd"], Fault.BAD_BYTES), (2, ["3", "4"], None)]),
        (b'1,"a"b,"c\n3,4', [(1, ['1,"a"b,"c'], Fault.NOT_CLOSED), (2, ["3", "4"], None)]),
    ],
)
def test_a_row_that_cannot_be_read_takes_no_other_with_it(data: bytes, expected: object) -> None:
    assert rows(data) == expected


def test_a_quotation_mark_that_nobody_closed_does_not_reach_the_next_one() -> None:
    found = rows(b'1,"Anna\n2,Bob\n3,"Carl"\n', Layout(width=3))
    assert [(number, fault) for number, _cells, fault in found] == [(1, Fault.NOT_CLOSED), (2, None), (3, None)]


def test_a_cell_of_ten_megabytes_is_one_bad_row() -> None:
    data = b"a\n" + b"x" * 10_000_000 + b'\n"' + b"y" * 100_000 + b'"\nb'
    found = [row for block in tables.blocks(source(data, 100_000), Layout()) for row in block]
    assert [(row.number, row.fault) for row in found] == [
        (1, None),
        (2, Fault.TOO_LONG),
        (3, Fault.TOO_LONG),
        (4, None),
    ]
    assert max(len(cell) for row in found for cell in row.cells) == tables.SHOWN


def in_small_blocks(monkeypatch: pytest.MonkeyPatch, size: int = 64) -> None:
    monkeypatch.setattr(tables, "BLOCK", size)
    monkeypatch.setattr(tables, "MOST_ROWS", 3)


def test_it_goes_on_from_any_place(monkeypatch: pytest.MonkeyPatch) -> None:
    in_small_blocks(monkeypatch)
    text = "".join(f'{n},"Müller\n{n}"\n{n},{"x" * (n % 50)}\n' for n in range(200))
    read = source(text.encode())
    place, found = tables.START, []
    while (block := tables.read(read, Layout(), place)).rows:
        found += list(block)
        place = block.next
    assert [row.cells for row in found] == list(csv.reader(io.StringIO(text, newline="")))
    assert [row.number for row in found] == list(range(1, 401))
    assert place == Place(len(text.encode()), 400)


@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4)),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "gb18030"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_spreadsheet_writes_is_read_as_it_was(
    table: list[list[str]], delimiter: str, encoding: str, end: str
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(table)
    found = rows(text.getvalue().encode(encoding), Layout(encoding, delimiter))
    assert [cells for _number, cells, _fault in found] == [row for row in table if not tables.is_blank(row)]


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16-le", "gb18030", "cp1252", "big5hkscs"]))
def test_any_bytes_are_read_to_their_end(data: bytes, encoding: str) -> None:
    place, read = tables.START, source(data, 5)
    while (block := tables.read(read, Layout(encoding, width=2), place)).rows:
        assert block.next.offset > place.offset and block.next.row == place.row + len(block.rows)
        place = block.next
    assert block.next.offset == len(data)


def peek(text: str, **values: str) -> tables.Peek:
    return tables.peek(source(text.encode()), "utf-8", **values)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("number,name\n+4912345678,A\n", ","),
        ("number;name\n+4912345678;A, B\n+4912345679;C, D\n", ";"),
        ("number\tname\n+4912345678\tA; B\n", "\t"),
        ("number|name\n+4912345678|A\n", "|"),
        ("+4912345678\n+4912345679\n", ","),
    ],
)
def test_it_guesses_the_separator(text: str, delimiter: str) -> None:
    assert peek(text).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "has"),
    [("number,name\n+4912345678,A\n", True), ("+4912345678,A\n+4912345679,B\n", False), ("number,name\n", True)],
)
def test_it_guesses_whether_there_is_a_header(text: str, has: bool) -> None:
    assert tables.has_header(peek(text).rows) is has


def test_it_peeks_at_a_few_rows_only() -> None:
    found = peek("a,b,c\n" * 1_000)
    assert (len(found.rows), found.width) == (20, 3)
