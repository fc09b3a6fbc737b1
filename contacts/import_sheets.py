"""Sheets on their way to be imported: the first rows at once, all of them as CSV in the background.

The XLSX lies in chunks from 0 on, the CSV in chunks from ``BASE`` on: first what a person looks at, then the whole,
part after part. Each part is written with the place where it ended, so that whoever is killed goes on from there.
Nothing is imported before the whole sheet has been read, and so found to be sound.
"""

from __future__ import annotations

import csv
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from django.utils.translation import gettext as _

from . import sheets
from .models import Import, ImportChunk
from .sheets import Mark, SheetError, Workbook

CHUNK = 1_048_576  # bytes
BASE = 1_000_000  # the number of the first chunk of CSV
PART = 524_288  # characters of CSV that are written at once …
PATIENCE = 1.0  # … or what there is after so many seconds
MOST_TEXT = 2 * 1024**3  # bytes that a sheet may become
FIRST_ROWS, FIRST_TEXT = 500, 65_536  # rows, or characters, that are looked at before


class Part(NamedTuple):
    """CSV, maybe none yet, and where it ends in the sheet, which has ``size`` bytes."""

    data: bytes
    next: Mark
    size: int


class _Place(NamedTuple):
    """How far it is, as the import keeps it: a Mark, ``size``, and the bytes of CSV so far."""

    head: int = 0
    offset: int = 0
    row: int = 0
    size: int = 0
    written: int = 0


def first_rows(file: IO[bytes]) -> bytes:
    """As CSV. Raises SheetError."""
    text = _Text()
    for row, cells in enumerate(sheets.rows(file)):
        text.write([cells])
        if row >= FIRST_ROWS or text.length > FIRST_TEXT:
            break
    return text.take()


def begin(run: Import, first: bytes) -> None:
    """Keep the first rows, to be looked at."""
    ImportChunk.objects.create(import_run=run, n=BASE, data=first[:CHUNK])


def waits(run: Import) -> bool:
    """Whether there is a sheet that is not wholly CSV yet."""
    return bool(run.options.get("sheet"))


def share(run: Import) -> float:
    """How much of the sheet has been read."""
    place = _place(run)
    return place.offset / place.size if place.size else 0.0


def parts(run: Import) -> Iterator[Part]:
    """The CSV that is still to be made. Raises SheetError, also on the way."""
    with tempfile.TemporaryFile() as file:
        chunks = ImportChunk.objects.filter(import_run=run).values_list("data", flat=True)
        for n in range(-(-run.size // CHUNK)):
            file.write(chunks.get(n=n))
        text, workbook, since = _Text(), Workbook(file), time.monotonic()
        for portion in workbook.portions(Mark(*_place(run)[:3])):
            text.write(portion.rows)
            if text.length > PART or time.monotonic() - since > PATIENCE or portion.next.offset == workbook.size:
                yield Part(text.take(), portion.next, workbook.size)
                since = time.monotonic()


def keep(run: Import, part: Part) -> None:
    """Write the part; ``run`` keeps the place and has to be saved. Raises SheetError."""
    written = _place(run).written
    n, begin = divmod(written, CHUNK)
    chunks = ImportChunk.objects.filter(import_run=run)
    data = (bytes(chunks.get(n=BASE + n).data)[:begin] if begin else b"") + part.data
    for at in range(0, len(data), CHUNK):
        place, values = BASE + n + at // CHUNK, {"data": data[at : at + CHUNK]}
        ImportChunk.objects.update_or_create(import_run=run, n=place, defaults=values)
    written += len(part.data)
    if written > MOST_TEXT:
        raise SheetError(_("The sheet holds more text than any list of contacts. Save it as CSV."))
    run.cursor = {**run.cursor, "sheet": [*part.next, part.size, written]}
    if part.next.offset == part.size:
        chunks.filter(n__lt=BASE).delete()
        run.options, run.total_bytes = {**run.options, "sheet": False}, written


def _place(run: Import) -> _Place:
    return _Place(*run.cursor.get("sheet", ()))


class _Text:
    """Rows as CSV."""

    def __init__(self) -> None:
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")

    def write(self, rows: Sequence[Sequence[str]]) -> None:
        self._writer.writerows(rows)

    @property
    def length(self) -> int:
        return self._text.tell()

    def take(self) -> bytes:
        data = self._text.getvalue().encode("utf-8", "replace")
        self._text.seek(0)
        self._text.truncate()
        return data
