"""The first sheet of an XLSX file, row after row, in little memory.

Values are what the sheet holds, not how it shows them: 13800138000 and not 1.38E+10, dates as 2026-01-31, formulas
as their last result. Shared texts wait in a file on disk, so that a million of them fit. No database.
"""

from __future__ import annotations

import mmap
import posixpath
import re
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import IO, Any, NamedTuple
from xml.parsers import expat

from django.utils.translation import gettext as _

MOST_UNPACKED = 4 * 1024**3  # bytes of one part of the file
MOST_TIMES = 200  # how many times as big as packed a part may be …
SMALL = 32 * 1024**2  # … once it has so many bytes
MOST_COLUMNS = 500
LAST_ROW = 1_048_576  # of any sheet
PORTION = 65_536  # bytes that are read at once


class SheetError(ValueError):
    """A file that cannot be read as a table. ``str()`` is a sentence for the person who chose it."""


class Mark(NamedTuple):
    """Where a row begins: ``offset`` counts bytes of the unpacked sheet, ``head`` those before the first of all rows,
    ``row`` the rows before it."""

    head: int = 0
    offset: int = 0
    row: int = 0


START = Mark()


class Portion(NamedTuple):
    """Some rows, maybe none, and where those after them begin."""

    rows: list[list[str]]
    next: Mark


def rows(file: IO[bytes]) -> Iterator[list[str]]:
    """Every row of the first sheet that is not hidden, blank ones too, as texts. Raises SheetError, also on the way."""
    for portion in Workbook(file).portions():
        yield from portion.rows


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong, as a SheetError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, KeyError, IndexError) as error:
        raise SheetError(_("The Excel file is damaged. Open it, save it again and choose it once more.")) from error
    except (RuntimeError, NotImplementedError) as error:
        raise SheetError(_("The Excel file is protected or packed in an unusual way. Save it again as CSV.")) from error


class Workbook:
    """``size``: the bytes of its first sheet, unpacked. Raises SheetError."""

    @_told()
    def __init__(self, file: IO[bytes]) -> None:
        self.archive = zipfile.ZipFile(file)
        self.names = set(self.archive.namelist())
        if "xl/workbook.xml" not in self.names:
            raise SheetError(self._what_else())
        self.since_1904 = False
        self.sheet = self._first_sheet()
        self.size = self.archive.getinfo(self.sheet).file_size

    def _what_else(self) -> str:
        if any(name.startswith("xl/") for name in self.names):
            return _("This is an Excel file of a binary kind. Save it as .xlsx or CSV.")
        if "mimetype" in self.names and "content.xml" in self.names:
            return _("This is an OpenDocument file. Save it as .xlsx or CSV.")
        return _("This is a ZIP archive. Unpack it and choose the table that is inside.")

    def portions(self, mark: Mark = START) -> Iterator[Portion]:
        """All rows from a mark on. Raises SheetError, also on the way."""
        with _told(), tempfile.TemporaryFile() as store:
            texts = _Texts(store, self._parse, _SHARED in self.names)
            if mark.offset:  # almost all of them are wanted soon
                yield from (Portion([], mark) for _portion in texts.rest)
            reader = _SheetReader(texts.get, self._date_styles(), self.since_1904, mark)
            for _portion in self._parse(self.sheet, reader.parser, mark):
                yield reader.take()
            for _portion in texts.rest:
                pass
            yield reader.take_last(self.size)

    def _parse(self, name: str, parser: expat.XMLParserType, mark: Mark = START) -> Iterator[None]:
        """Portion after portion, as long as it is not more than any honest file would hold. The parser sees nothing of
        what lies between the head and the mark's offset."""
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _no_doctype
        packed, unpacked = self.archive.getinfo(name).compress_size, 0
        with self.archive.open(name) as part:
            parser.Parse(part.read(mark.head), False)
            unpacked = mark.head
            while portion := part.read(min(PORTION, mark.offset - unpacked) if unpacked < mark.offset else PORTION):
                unpacked += len(portion)
                if unpacked > MOST_UNPACKED or unpacked > max(SMALL, packed * MOST_TIMES):
                    raise SheetError(_("The Excel file unpacks to far more than it seems to hold. Save it as CSV."))
                if unpacked > mark.offset:
                    parser.Parse(portion, False)
                yield
        parser.Parse(b"", True)
        yield

    def _elements(self, name: str) -> Iterator[tuple[str, Mapping[str, str]]]:
        """The elements of a small part, by their names without namespaces."""
        found: list[tuple[str, Mapping[str, str]]] = []
        parser = expat.ParserCreate()
        parser.StartElementHandler = lambda tag, attributes: found.append((tag.rpartition(":")[2], attributes))
        for _portion in self._parse(name, parser):
            yield from found
            found.clear()

    def _first_sheet(self) -> str:
        """The name of its part."""
        relation = ""
        for tag, values in self._elements("xl/workbook.xml"):
            if tag == "workbookPr":
                self.since_1904 = values.get("date1904") in ("1", "true")
            if tag == "sheet" and not relation and values.get("state", "visible") == "visible":
                relation = next((value for key, value in values.items() if key.endswith(":id")), "")
        for tag, values in self._elements("xl/_rels/workbook.xml.rels"):
            if tag == "Relationship" and values.get("Id") == relation:
                return posixpath.normpath(posixpath.join("/xl", values["Target"])).lstrip("/")
        raise SheetError(_("The Excel file has no sheet that can be seen."))

    def _date_styles(self) -> frozenset[int]:
        """The numbers of the cell styles that show a date or a time."""
        if "xl/styles.xml" not in self.names:
            return frozenset()
        formats, styles, inside = set(_DATE_FORMATS), [], False
        for tag, values in self._elements("xl/styles.xml"):
            if tag == "numFmt" and _SHOWS_DATE.search(_NOT_FORMAT.sub("", values.get("formatCode", ""))):
                formats.add(int(values["numFmtId"]))
            elif tag in ("cellXfs", "cellStyles", "cellStyleXfs", "dxfs"):
                inside = tag == "cellXfs"
            elif tag == "xf" and inside:
                styles.append(int(values.get("numFmtId", "0")))
        return frozenset(index for index, number in enumerate(styles) if number in formats)


# formats that every Excel knows by number
_DATE_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_SHARED = "xl/sharedStrings.xml"
_NOT_FORMAT = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h|m|s)[^\]]*\]', re.IGNORECASE)
_SHOWS_DATE = re.compile(r"[ymdhs]", re.IGNORECASE)
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _no_doctype(*_declared: Any) -> None:
    raise SheetError(_("The Excel file holds declarations that no spreadsheet writes. Save it as CSV."))


def _unescaped(text: str) -> str:
    """Excel writes a control character as ``_x000D_``."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


Parse = Callable[[str, expat.XMLParserType], Iterator[None]]


class _Texts:
    """The texts that cells share, one after the other in ``store``, as far as they were wanted; ``rest`` reads on."""

    def __init__(self, store: IO[bytes], parse: Parse, there: bool) -> None:
        self.store, self.ends = store, array("Q", [0])
        self.text: list[str] = []
        self.wanted = 0  # in <t>, and not in the <rPh> that says how to pronounce it
        self._mapped: mmap.mmap | None = None
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        self.rest = parse(_SHARED, parser) if there else iter(())

    def _start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        self.wanted += {"t": 1, "rPh": -10}.get(tag, 0)

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        self.wanted -= {"t": 1, "rPh": -10}.get(tag, 0)
        if tag == "si":
            data = _unescaped("".join(self.text)).encode("utf-8", "replace")
            self.store.write(data)
            self.ends.append(self.ends[-1] + len(data))
            self.text.clear()

    def _characters(self, text: str) -> None:
        if self.wanted == 1:
            self.text.append(text)

    def get(self, index: int) -> str:
        """Raises IndexError."""
        while index + 1 >= len(self.ends) and next(self.rest, self) is not self:
            pass
        if index < 0:
            raise IndexError(index)
        begin, end = self.ends[index], self.ends[index + 1]
        if begin == end:
            return ""
        if self._mapped is None or end > len(self._mapped):
            self.store.flush()
            self._mapped = mmap.mmap(self.store.fileno(), 0, access=mmap.ACCESS_READ)
        return self._mapped[begin:end].decode()


class _SheetReader:
    def __init__(self, text: Callable[[int], str], dates: frozenset[int], since_1904: bool, mark: Mark) -> None:
        self.text, self.dates = text, dates
        self.epoch = datetime(1904, 1, 1) if since_1904 else datetime(1899, 12, 30)
        self.rows: list[list[str]] = []
        self.cells: list[str] = []
        self.number, self.column = mark.row, 0
        self.type = self.style = ""
        self.value: list[str] = []
        self.wanted = False
        self.mark, self.whole = mark, 0  # where the latest row begins, and the rows before it that wait
        self.unseen = mark.offset - mark.head
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler, self.parser.EndElementHandler = self._start, self._end
        self.parser.CharacterDataHandler = self._characters

    def take(self) -> Portion:
        whole, self.rows = self.rows[: self.whole], self.rows[self.whole :]
        self.whole = 0
        return Portion(whole, self.mark)

    def take_last(self, size: int) -> Portion:
        return Portion(self.rows, Mark(self.mark.head, size, self.number))

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        if tag == "c":
            self._start_cell(attributes)
        elif tag in ("v", "t"):
            self.wanted = True
        elif tag == "row":
            self._start_row(attributes)

    def _start_row(self, attributes: Mapping[str, str]) -> None:
        number = int(attributes.get("r", self.number + 1))
        if not self.number < number <= LAST_ROW:
            raise IndexError(number)
        begins = self.parser.CurrentByteIndex + self.unseen
        self.mark, self.whole = Mark(self.mark.head or begins, begins, self.number), len(self.rows)
        self.rows.extend([] for _blank in range(number - self.number - 1))
        self.number, self.column, self.cells = number, 0, []

    def _start_cell(self, attributes: Mapping[str, str]) -> None:
        self.type, self.style = attributes.get("t", "n"), attributes.get("s", "0")
        self.value.clear()
        if place := attributes.get("r"):
            self.column = _column(place)

    def _characters(self, text: str) -> None:
        if self.wanted:
            self.value.append(text)

    def _end(self, tag: str) -> None:
        tag = tag.rpartition(":")[2]
        if tag in ("v", "t"):
            self.wanted = False
        elif tag == "c":
            self._end_cell()
        elif tag == "row":
            self.rows.append(self.cells)

    def _end_cell(self) -> None:
        if text := self._read("".join(self.value)):
            if self.column >= MOST_COLUMNS:
                raise SheetError(
                    _("The sheet has more than %d columns. Leave out those that you do not need.") % MOST_COLUMNS
                )
            self.cells.extend("" for _empty in range(self.column - len(self.cells)))
            self.cells.append(text)
        self.column += 1

    def _read(self, value: str) -> str:
        if not value:
            return ""
        match self.type:
            case "s":
                return self.text(int(value))
            case "b":
                return "TRUE" if value == "1" else "FALSE"
            case "n":
                return self._number(value)
            case _:
                return _unescaped(value)

    def _number(self, value: str) -> str:
        try:
            number = float(value)
            if int(self.style) in self.dates:
                return self._date(number)
            return str(int(number)) if number.is_integer() else repr(number)
        except (ValueError, OverflowError):
            return value

    def _date(self, number: float) -> str:
        moment = self.epoch + timedelta(seconds=round(number * 86_400))
        if 0 <= number < 1:
            return f"{moment:%H:%M:%S}"
        return f"{moment:%Y-%m-%d}" if number.is_integer() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _column(place: str) -> int:
    """``A1`` is 0, ``AB7`` is 27."""
    index = 0
    for letter in place:
        if not letter.isalpha():
            break
        index = index * 26 + ord(letter.upper()) - 64
    return index - 1
