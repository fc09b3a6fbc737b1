"""The file of an import: taken in, kept in chunks of a megabyte, read again from anywhere.

Workers may run on other machines, so the chunks are in the database. An XLSX is kept as it came, and its first rows as
CSV beside it; workers make CSV of the rest before anything is imported (import_sheets.py).
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from . import import_sheets, sheets, tables
from .encodings import UTF_8, Detector, mark
from .import_sheets import CHUNK
from .models import Import, ImportChunk

_OLD_EXCEL = _("This is an Excel file of the old kind, or one with a password. Save it as .xlsx or CSV.")
_PICTURE = _("This is a picture. Choose a table: CSV or Excel (.xlsx).")
_DOCUMENT = _("This is a document. Choose a table: CSV or Excel (.xlsx).")
_WEB_PAGE = _("This is a web page or XML. Open it in a spreadsheet and save it as .xlsx or CSV.")
_PACKED = _("This file is packed. Unpack it and choose the table that is inside.")
_CARDS = _("These are address cards (vCard). Export the contacts as CSV and choose that.")
_JSON = _("This is JSON. Save it as a table: CSV or Excel (.xlsx).")
_PROGRAM = _("This is a program or a database. Choose a table: CSV or Excel (.xlsx).")
OTHER_KINDS: Mapping[bytes, Promise] = {
    b"\xd0\xcf\x11\xe0": _OLD_EXCEL,
    b"\x89PNG": _PICTURE,
    b"\xff\xd8\xff": _PICTURE,
    b"GIF8": _PICTURE,
    b"%PDF": _DOCUMENT,
    b"{\\rtf": _DOCUMENT,
    b"<!DOCTYPE": _WEB_PAGE,
    b"<html": _WEB_PAGE,
    b"<?xml": _WEB_PAGE,
    b"BEGIN:VCARD": _CARDS,
    **dict.fromkeys((b"[{", b'{"', b"[\n", b"[\r\n", b"{\n", b"{\r\n"), _JSON),
    b"\x1f\x8b": _PACKED,
    b"BZh": _PACKED,
    b"\xfd7zXZ": _PACKED,
    b"7z\xbc\xaf": _PACKED,
    b"Rar!": _PACKED,
    b"\x7fELF": _PROGRAM,
    b"MZ\x90": _PROGRAM,
    b"SQLite format 3": _PROGRAM,
}
"""How files begin that are often chosen by mistake."""


class FileError(ValueError):
    """A file that is no table. ``str()`` is a sentence for the person who chose it."""


def receive(name: str, file: IO[bytes], user: Any = None, token: Any = None) -> Import:
    """Take a file in as a draft. The same ``token`` twice is the same import. Raises FileError and keeps nothing."""
    if known := Import.objects.filter(token=token).first() if token else None:
        if known.size:
            return known
        token = None  # the first click's file is still on its way
    beginning = file.read(CHUNK)
    file.seek(0)
    refuse(beginning)
    first_rows = _first_rows(file) if is_zip(beginning) else None
    file.seek(0)
    run = Import(name=name[-200:], created_by=user, **({"token": token} if token else {}))
    run.save()
    detector = Detector()
    try:
        _keep(run, file, detector)
        if first_rows is not None:
            import_sheets.begin(run, first_rows)
    except BaseException:
        discard(run)
        raise
    if first_rows is None:
        guess, run.total_bytes = detector.guess(), run.size
        run.options = {"guess": guess.encoding, "sure": guess.sure}
    else:
        run.options = {"guess": UTF_8, "sure": True, "sheet": True}
    run.save(update_fields=["size", "total_bytes", "options"])
    return run


def _first_rows(file: IO[bytes]) -> bytes:
    """As CSV. Raises FileError."""
    try:
        found = import_sheets.first_rows(file)
    except sheets.SheetError as error:
        raise FileError(str(error)) from error
    if not found.strip(b",\n"):
        raise FileError(str(_("The file is empty.")))
    return found


def refuse(beginning: bytes) -> None:
    """Raises FileError for what is certainly not a table."""
    for magic, sentence in OTHER_KINDS.items():
        if beginning.removeprefix(BOM_UTF8).startswith(magic):
            raise FileError(str(sentence))
    if is_zip(beginning):
        return
    if not beginning.strip(b"\x00\t\r\n \xef\xbb\xbf\xff\xfe"):
        raise FileError(str(_("The file is empty.")))
    guess = mark(beginning)[0] or Detector.of(beginning).guess().encoding
    if "utf-16" not in guess and beginning.count(0) > 8 + len(beginning) // 1_000:
        raise FileError(str(_PROGRAM))


def is_zip(beginning: bytes) -> bool:
    return beginning.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def discard(run: Import) -> None:
    """Away with the import and its file; nothing must have been taken from it."""
    with transaction.atomic():
        forget_file(run)
        run.delete()


def forget_file(run: Import) -> None:
    ImportChunk.objects.filter(import_run=run).delete()


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(CHUNK):
        yield piece


def _keep(run: Import, file: IO[bytes], detector: Detector) -> None:
    """Store the file as chunks."""
    for n, chunk in enumerate(_in_chunks(_pieces(file))):
        detector.feed(chunk)
        ImportChunk.objects.create(import_run=run, n=n, data=chunk)
        run.size += len(chunk)


def _in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Each but the last has exactly the length of a chunk, so that an offset tells in which it lies."""
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) >= CHUNK:
            yield rest[:CHUNK]
            rest = rest[CHUNK:]
    if rest:
        yield rest


def source(run: Import) -> tables.Source:
    """The bytes of the table from any offset on. The chunk that was read last is remembered."""
    last: dict[int, bytes] = {}
    base = import_sheets.BASE if "sheet" in run.options else 0

    def read(offset: int) -> Iterator[bytes]:
        n, begin = divmod(offset, CHUNK)
        while (chunk := last.get(n) or _chunk(run, base + n)) is not None:
            last.clear()
            last[n] = chunk
            yield chunk[begin:] if begin else chunk
            n, begin = n + 1, 0

    return read


def _chunk(run: Import, n: int) -> bytes | None:
    found = ImportChunk.objects.filter(import_run=run, n=n).values_list("data", flat=True).first()
    return None if found is None else bytes(found)
