"""Contacts as CSV, streamed: everybody, a list, or any filter. importing.py takes it back without loss.

The first columns are always ``COLUMNS``; free fields follow, each under its own name. Lists stand on lines of their
own within a cell. What a spreadsheet would run as a formula gets an apostrophe before it; numbers with + do not.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from django.db import connection
from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.text import slugify

from . import directory
from .bulk_sql import execute
from .directory import Filters
from .models import Contact, Subscription

COLUMNS = ("number", "name", "language", "zone", "opted_out", "lists", "unsubscribed")
SLICE = 2_000  # contacts that are in memory at once
_RUN = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_E164 = re.compile(r"\+[0-9]{7,15}")


def answer(filters: Filters) -> StreamingHttpResponse:
    """The download of a filter."""
    what = slugify(filters.list.name) if filters.list else ""
    return download(lines(filters), f"{what or 'contacts'}-{timezone.localdate():%Y-%m-%d}.csv")


def download(lines: Iterable[str], name: str) -> StreamingHttpResponse:
    """Lines of CSV as they come. The mark in front tells spreadsheets that it is UTF-8."""
    pieces = (line.encode() for line in lines)
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    response = StreamingHttpResponse(_marked(pieces), content_type="text/csv; charset=utf-8", headers=headers)
    response["x-accel-buffering"] = "no"
    return response


def _marked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield b"\xef\xbb\xbf"
    yield from pieces


def lines(filters: Filters) -> Iterator[str]:
    """Some lines at a time, newest contacts first."""
    keys = field_names()
    yield as_csv([[*COLUMNS, *map(guarded, keys)]])
    below: int | None = directory.top()
    while below is not None:
        ids, below = directory.ids(filters, below, SLICE)
        yield as_csv(_rows(ids, keys))


def field_names() -> list[str]:
    """The names of all free fields that any contact has."""
    source = _FIELD_NAMES[connection.vendor]
    return sorted(row[0] for row in execute(f"SELECT DISTINCT {source}", []))


_FIELD_NAMES = {
    "postgresql": "jsonb_object_keys(fields) FROM contacts_contact WHERE fields <> '{}'::jsonb",
    "sqlite": "key FROM contacts_contact, json_each(contacts_contact.fields) WHERE contacts_contact.fields <> '{}'",
}


def _rows(ids: Sequence[int], keys: Sequence[str]) -> Iterator[list[str]]:
    places: dict[tuple[int, bool], list[str]] = defaultdict(list)
    found = Subscription.objects.filter(contact__in=ids, list__deleted_at=None).order_by("list__name")
    for contact, subscribed, name in found.values_list("contact_id", "subscribed", "list__name"):
        places[contact, subscribed].append(name)
    people = Contact.objects.filter(pk__in=ids).order_by("-pk")
    for person in people.iterator():
        yield [
            person.number,
            guarded(person.name),
            person.language,
            person.zone,
            person.opted_out_at.isoformat() if person.opted_out_at else "",
            "\n".join(map(guarded, places[person.pk, True])),
            "\n".join(map(guarded, places[person.pk, False])),
            *(guarded(_as_text(person.fields.get(key, ""))) for key in keys),
        ]


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def as_csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def guarded(text: str) -> str:
    """With an apostrophe before what a spreadsheet would run. ``import_rows.unguarded`` takes it away again."""
    return f"'{text}" if _RUN.match(text) and not _E164.fullmatch(text) else text
