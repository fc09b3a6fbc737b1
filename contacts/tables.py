"""The rows of a CSV file as a stream: any delimiter, any line ends, any encoding, from any place on.

A row is what a spreadsheet would show as one. Its place in the file is known, so that whoever reads can stop after
any row and go on from there in another process. What cannot be read is a row with a fault, and the next row comes
all the same. No database.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, islice
from typing import AnyStr, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import encodings

DELIMITERS: Mapping[str, Promise] = {
    ",": _("Comma"),
    ";": _("Semicolon"),
    "\t": _("Tab"),
    "|": _("Vertical bar"),
    ":": _("Colon"),
    "^": _("Caret"),
    " ": _("Space"),
}
GUESSED = ",;\t|"
LONGEST_CELL = 65_536  # characters
LONGEST_LINE = 1_048_576  # bytes; what is longer is one row with a fault
MOST_LINES = 100  # of one row; a quotation mark that nobody closed would take in the rest of the file
BLOCK = 1_048_576  # bytes that are read at once
MOST_ROWS = 5_000  # that are read at once where the file has to be looked at line by line
SHOWN = 500  # characters of a row with a fault that are kept
PEEKED = 262_144  # bytes from which delimiter and header are guessed

csv.field_size_limit(LONGEST_CELL)


class Fault(StrEnum):
    """Why a row cannot be read."""

    BAD_BYTES = "bad_bytes"
    TOO_LONG = "too_long"
    NOT_CLOSED = "not_closed"


class Place(NamedTuple):
    """Where a row begins: bytes from the start of the file, and the rows before it, blank ones too."""

    offset: int = 0
    row: int = 0


START = Place()


class Row(NamedTuple):
    """``number`` counts from 1, as a spreadsheet does. With a ``fault``, ``cells`` holds its beginning as one text."""

    number: int
    cells: list[str]
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """How the bytes are to be read. ``delimiter`` is one character; ``width`` the number of columns, 0: not known."""

    encoding: str = encodings.UTF_8
    delimiter: str = ","
    width: int = 0


class Block(NamedTuple):
    """Some rows in a row, blank ones too; ``first`` is the number of the first. ``faults``: by index.

    ``next``: where the row after them begins; ``rows`` is empty when there is none.
    """

    first: int
    rows: list[list[str]]
    faults: Mapping[int, Fault]
    next: Place

    def __iter__(self) -> Iterator[Row]:  # type: ignore[override]
        """Those that are not blank."""
        for index, cells in enumerate(self.rows):
            if not is_blank(cells):
                yield Row(self.first + index, cells, self.faults.get(index))


def is_blank(cells: Sequence[str]) -> bool:
    return not any(cells) or all(not cell or cell.isspace() for cell in cells)


Source = Callable[[int], Iterable[bytes]]
"""The bytes of a file from an offset on, in portions of any size."""


def read(source: Source, layout: Layout, place: Place = START) -> Block:
    """About a megabyte of rows from a place on."""
    if place == START:
        place = Place(_mark(source, layout.encoding), 0)
    return _read_at_once(source, layout, place) or _read_line_by_line(source, layout, place)


def blocks(source: Source, layout: Layout, place: Place = START) -> Iterator[Block]:
    while (block := read(source, layout, place)).rows:
        yield block
        place = block.next


def _mark(source: Source, encoding: str) -> int:
    """The length of a byte order mark that this encoding has."""
    named, length = encodings.mark(next(iter(source(0)), b"")[:4])
    return length if named == encoding else 0


def _read_at_once(source: Source, layout: Layout, place: Place) -> Block | None:
    """None: there is something in it that has to be looked at line by line."""
    data, ended = _take(source(place.offset), BLOCK)
    try:
        text = _whole_lines(data, ended, layout.encoding)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=layout.delimiter))
    except (UnicodeDecodeError, csv.Error):
        return None
    if (not rows and data) or ('"' in text and (len(rows) != _count_lines(text) or _is_open(rows[-1]))):
        return None
    size = len(data) if ended else len(text.encode(layout.encoding))
    return Block(place.row + 1, rows, {}, Place(place.offset + size, place.row + len(rows)))


def _take(pieces: Iterable[bytes], size: int) -> tuple[bytes, bool]:
    """The first ``size`` bytes, and whether that is all."""
    found = b""
    for piece in pieces:
        found += piece
        if len(found) > size:
            return found[:size], False
    return found, True


def _whole_lines(data: bytes, ended: bool, encoding: str) -> str:
    """Raises UnicodeDecodeError."""
    if encoding in encodings.UTF_16 or ended:
        decoder = codecs.getincrementaldecoder(encoding)()
        text = decoder.decode(data, ended)
        return text if ended else text[: _last_end(text, "\n", "\r")]
    return data[: _last_end(data, b"\n", b"\r")].decode(encoding)


def _last_end(text: AnyStr, lf: AnyStr, cr: AnyStr) -> int:
    """The length of all whole lines. The last character may be half a line end."""
    return max(text.rfind(lf), 0) + 1 if lf in text else text.rfind(cr, 0, len(text) - 1) + 1


def _is_open(cells: Sequence[str]) -> bool:
    """Only a cell in quotation marks holds a line end; when it is the last of a text, it may go on."""
    return bool(cells) and cells[-1].endswith(("\n", "\r"))


def _count_lines(text: str) -> int:
    ends = text.count("\n") + text.count("\r") - text.count("\r\n")
    return ends + (not text.endswith(("\n", "\r")))


# --- Line by line ------------------------------------------------------------------------------------


def _read_line_by_line(source: Source, layout: Layout, place: Place) -> Block:
    lines = _Lines(source(place.offset), layout.encoding, place.offset)
    rows: list[list[str]] = []
    faults: dict[int, Fault] = {}
    while not lines.ended and len(rows) < MOST_ROWS and lines.begun - place.offset < BLOCK:
        try:
            for cells in csv.reader(lines, delimiter=layout.delimiter):
                if len(lines.row) > 1 and layout.width and len(cells) != layout.width:
                    raise _NotClosed
                if fault := lines.next_row():
                    faults[len(rows)], cells = fault, [layout.delimiter.join(cells)[:SHOWN]]
                rows.append(cells)
                if len(rows) >= MOST_ROWS:
                    break
        except (csv.Error, _NotClosed) as error:
            faults[len(rows)] = Fault.NOT_CLOSED if isinstance(error, _NotClosed) else Fault.TOO_LONG
            rows.append([lines.take_first()])
    return Block(place.row + 1, rows, faults, Place(lines.begun, place.row + len(rows)))


class _NotClosed(Exception):
    """A quotation mark opened a cell, and what follows cannot all be meant to stand in it."""


class _Line(NamedTuple):
    """``size``: its bytes in the file, of which ``raw`` may be the beginning only."""

    raw: bytes
    size: int


class _Lines:
    """The lines of the file as text, with their ends.

    ``begun``: the bytes before the row that is being read; ``row``: its lines so far, to be read once more when they
    turn out not to be one row; ``fault``: what is wrong with one of them.
    """

    def __init__(self, pieces: Iterable[bytes], encoding: str, offset: int) -> None:
        self.encoding, self.begun = encoding, offset
        self.row: list[_Line] = []
        self.fault: Fault | None = None
        self.ended = False
        self._source: Iterator[_Line] = _split(pieces, encoding)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.row) >= MOST_LINES:
            raise _NotClosed
        line = next(self._source, None)
        if line is None:
            if self.row:
                raise _NotClosed
            self.ended = True
            raise StopIteration
        self.row.append(line)
        if line.size > len(line.raw):
            self.fault = self.fault or Fault.TOO_LONG
            return line.raw[:LONGEST_CELL].decode(self.encoding, "replace").replace('"', "")
        try:
            return line.raw.decode(self.encoding)
        except UnicodeDecodeError:
            self.fault = self.fault or Fault.BAD_BYTES
            return line.raw.decode(self.encoding, "replace")

    def next_row(self) -> Fault | None:
        """The lines so far were a row. Returns what is wrong with it."""
        fault, self.fault = self.fault, None
        for line in self.row:
            self.begun += line.size
        self.row = []
        return fault

    def take_first(self) -> str:
        """The beginning of the first of the lines; the others are read again."""
        first, *others = self.row
        self._source = chain(others, self._source)
        self.row = [first]
        self.next_row()
        return first.raw[: 4 * SHOWN].decode(self.encoding, "replace").rstrip("\r\n")[:SHOWN]


def _split(pieces: Iterable[bytes], encoding: str) -> Iterator[_Line]:
    """Lines end in CR, LF or CR LF."""
    wide = encoding in encodings.UTF_16
    rest, dropped = b"", 0
    for piece in pieces:
        lines = _wide_lines(rest + piece, encoding) if wide else (rest + piece).splitlines(keepends=True)
        rest = lines.pop() if lines else b""  # it may go on, and a CR may be followed by a LF
        for raw in lines:
            yield _Line(raw[:LONGEST_LINE], dropped + len(raw))
            dropped = 0
        if len(rest) > LONGEST_LINE + 4:
            cut = len(rest) - len(rest) % 4
            dropped, rest = dropped + cut - LONGEST_LINE, rest[:LONGEST_LINE] + rest[cut:]
    if rest:
        yield _Line(rest[:LONGEST_LINE], dropped + len(rest))


def _wide_lines(data: bytes, encoding: str) -> list[bytes]:
    """Lines of UTF-16 as they stand in the file; half a character at its end belongs to the last."""
    whole = len(data) - len(data) % 2
    text = io.StringIO(data[:whole].decode(encoding, "surrogatepass"), newline="")
    lines = [line.encode(encoding, "surrogatepass") for line in text]
    if whole < len(data):
        lines[-1:] = [b"".join([*lines[-1:], data[whole:]])]
    return lines


# --- What a file seems to be -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peek:
    """The first rows that are not blank, as they read with ``delimiter``; ``width``: the cells of the widest."""

    delimiter: str
    rows: tuple[Row, ...]
    width: int


def peek(source: Source, encoding: str, delimiter: str = "", limit: int = 20) -> Peek:
    """The beginning of a file; without a delimiter, with the one that fits best."""
    beginning, _ended = _take(source(0), PEEKED)
    if not delimiter:
        delimiter = _delimiter(beginning, encoding)
    rows = _rows(beginning, Layout(encoding, delimiter), limit)
    return Peek(delimiter, rows, max((len(row.cells) for row in rows if not row.fault), default=0))


def _rows(beginning: bytes, layout: Layout, limit: int) -> tuple[Row, ...]:
    found = blocks(lambda offset: [beginning[offset:]], layout)
    return tuple(islice(chain.from_iterable(found), limit))


def _delimiter(beginning: bytes, encoding: str) -> str:
    """The one with which most rows have the same number of cells, and more than one; a comma if none has."""

    def fitness(delimiter: str) -> tuple[float, int]:
        rows = _rows(beginning, Layout(encoding, delimiter), 100)
        widths = Counter(len(row.cells) for row in rows if not row.fault)
        width, n = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(0, 0))
        return (n / widths.total(), width) if width > 1 else (0.0, 0)

    return max(GUESSED, key=fitness)


def has_header(rows: Sequence[Row]) -> bool:
    """Whether the first row names the columns: it holds no number long enough for a phone, and others do."""
    if not rows:
        return False
    first, *others = rows
    return not _with_phone(first) and (not others or any(map(_with_phone, others)))


def _with_phone(row: Row) -> bool:
    return any(len(re.sub(r"\D", "", cell)) >= 7 for cell in row.cells)
