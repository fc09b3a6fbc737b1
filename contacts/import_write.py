"""People of a slice into the database: contacts here, their opt-outs and lists by consent.py. Set-based.

Who is known already is asked first, so that the rest can be copied straight into the table. Should another import make
the same contact in that moment, the database refuses, and the slice is done once more (importing.py).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from . import consent
from .bulk_sql import execute
from .import_rows import Person, Reject
from .models import ContactList, How, Import

SKIP, UPDATE, FILL = "skip", "update", "fill"


@dataclass(slots=True)
class Written:
    """What became of the people of a slice; together they are its rows."""

    added: int = 0
    updated: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Targets:
    """Where people go. ``lists``: ids of those that everybody of the file is put on."""

    duplicates: str = SKIP
    lists: Sequence[int] = ()


class _Known(NamedTuple):
    """A contact that was there. ``mine``: this import made it."""

    id: int
    mine: bool
    values: Person


@dataclass(slots=True)
class _Slice:
    """``now``: by number, how each is to be in the end."""

    known: Mapping[str, _Known]
    now: dict[str, Person] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)  # how many rows changed a contact that was there


def write(run: Import, people: Sequence[Person], targets: Targets) -> Written:
    """In the caller's transaction. Raises IntegrityError; ContactList.DoesNotExist for a list that was deleted."""
    if not people:
        return Written()
    numbers = {person.number for person in people}
    part = _Slice(_known(run, list(numbers), targets.duplicates != SKIP))
    written = _settle(part, people, targets.duplicates)
    ids = _insert(run, [person for number, person in part.now.items() if number not in part.known])
    _update(run, part)
    ids.update((number, known.id) for number, known in part.known.items())
    _put_on_lists(run, people, ids, targets.lists)
    return written


def reject(run: Import, rejected: Sequence[Reject], texts: Iterable[str]) -> None:
    rows = [(run.pk, each.row, str(each.reason), text) for each, text in zip(rejected, texts, strict=True)]
    copy("contacts_importreject", ("import_run_id", '"row"', "reason", "text"), rows)


# --- Who is there already ----------------------------------------------------------------------------


def _known(run: Import, numbers: list[str], wholly: bool) -> dict[str, _Known]:
    """Those of the numbers that are contacts; ``wholly``: with their values, and locked."""
    values = ", name, language, zone, fields" if wholly else ""
    lock = " FOR NO KEY UPDATE" if wholly and connection.features.has_select_for_update else ""
    listed = "= ANY(%s)" if connection.vendor == "postgresql" else "IN (SELECT value FROM json_each(%s))"
    rows = execute(
        f"SELECT id, made_by_import_id, number{values} FROM contacts_contact WHERE number {listed} ORDER BY id{lock}",
        [numbers],
    )
    return {row[2]: _Known(row[0], row[1] == run.pk, _person(row[2], *row[3:])) for row in rows}


def _person(number: str, name: str = "", language: str = "", zone: str = "", fields: Any = None) -> Person:
    fields = json.loads(fields) if isinstance(fields, str) else fields or {}
    return Person(0, number, name, language, zone, fields)


# --- How everybody is to be --------------------------------------------------------------------------


def _settle(part: _Slice, people: Sequence[Person], duplicates: str) -> Written:
    """Row by row, as if each were written before the next is looked at."""
    written, now = Written(), part.now
    for person in people:
        known = part.known.get(person.number)
        before = now.get(person.number) or (known.values if known else None)
        if before is None:
            now[person.number] = person
            written.added += 1
        elif duplicates == SKIP or _same(merged := _merged(before, person, duplicates), before):
            written.skipped += 1
        else:
            now[person.number] = merged
            written.updated += 1
            part.changes[person.number] = part.changes.get(person.number, 0) + 1
    _take_back(part, written)
    return written


def _take_back(part: _Slice, written: Written) -> None:
    """Who ends up as they were has not been changed, however many rows there were about them."""
    for number, n in part.changes.items():
        known = part.known.get(number)
        if known and _same(part.now[number], known.values):
            del part.now[number]
            written.updated -= n
            written.skipped += n


def _merged(old: Person, new: Person, duplicates: str) -> Person:
    """An empty cell never takes anything away. ``fill``: what is there stays."""
    first, second = (old, new) if duplicates == FILL else (new, old)
    return old._replace(
        name=first.name or second.name,
        language=first.language or second.language,
        zone=first.zone or second.zone,
        fields={**second.fields, **first.fields},
    )


_VALUES = ("name", "language", "zone", "fields")


def _same(one: Person, other: Person) -> bool:
    return one[2:6] == other[2:6]


# --- Contacts ----------------------------------------------------------------------------------------

_COLUMNS = ("id", "number", "name", "language", "zone", "fields", "made_by_import_id", "created_at")


def _insert(run: Import, people: Sequence[Person]) -> dict[str, int]:
    """The ids of the new contacts, by number. In the order of their numbers, so that two imports never wait for each
    other in a circle."""
    people = sorted(people, key=lambda person: person.number)
    ids, pk, moment = _new_ids(len(people)), run.pk, _moment()
    rows = [
        (i, p.number, p.name, p.language, p.zone, json.dumps(p.fields) if p.fields else "{}", pk, moment)
        for i, p in zip(ids, people, strict=True)
    ]
    copy("contacts_contact", _COLUMNS, rows)
    return {person.number: i for i, person in zip(ids, people, strict=True)}


def _new_ids(n: int) -> Sequence[int]:
    if connection.vendor == "postgresql":
        sequence = "pg_get_serial_sequence('contacts_contact', 'id')"
        return [row[0] for row in execute(f"SELECT nextval({sequence}) FROM generate_series(1, %s)", [n])]
    rows = execute("SELECT seq FROM sqlite_sequence WHERE name = 'contacts_contact'", [])
    last = int(rows[0][0]) if rows else 0
    return range(last + 1, last + 1 + n)


def _update(run: Import, part: _Slice) -> None:
    changed = [(part.known[number], person) for number, person in part.now.items() if number in part.known]
    if not changed:
        return
    _remember(run, [(known, person) for known, person in changed if not known.mine])
    rows = [(p.name, p.language, p.zone, json.dumps(p.fields), known.id) for known, p in changed]
    if connection.vendor == "postgresql":
        execute(
            "UPDATE contacts_contact SET name = g.name, language = g.language, zone = g.zone, fields = g.fields::jsonb "
            "FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[]) "
            "AS g(name, language, zone, fields, id) WHERE contacts_contact.id = g.id",
            list(map(list, zip(*rows, strict=True))),
        )
        return
    with connection.cursor() as cursor:
        sql = "UPDATE contacts_contact SET name = %s, language = %s, zone = %s, fields = %s WHERE id = %s"
        cursor.executemany(sql, rows)


def _remember(run: Import, changed: Sequence[tuple[_Known, Person]]) -> None:
    """For the undo: of each value that changes, what it was before this import, and what it is after."""
    ids = [known.id for known, _person in changed]
    earlier = dict(run.changes.filter(contact__in=ids).values_list("contact_id", "before")) if ids else {}
    rows = []
    for known, person in changed:
        before = earlier.get(known.id, {})
        for name in _VALUES:
            was, becomes = getattr(known.values, name), getattr(person, name)
            if was != becomes:
                before[name] = [before.get(name, [was])[0], becomes]
        rows.append((run.pk, known.id, json.dumps(before)))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO contacts_importchange (import_run_id, contact_id, before) VALUES (%s, %s, %s) "
            "ON CONFLICT (import_run_id, contact_id) DO UPDATE SET before = excluded.before",
            rows,
        )


# --- Opt-outs and lists ------------------------------------------------------------------------------


def _put_on_lists(run: Import, people: Sequence[Person], ids: Mapping[str, int], everybody: Sequence[int]) -> None:
    """Opt-outs first, then whoever is unsubscribed, then the lists in the order of their ids: consent.py locks so."""
    by = said_by(run)
    if out := {ids[person.number] for person in people if person.opted_out}:
        consent.opt_out(sorted(out), How.IMPORT, by, _("Marked as opted out in “%s”.") % run.name)
    wanted: dict[tuple[int, bool], dict[int, None]] = defaultdict(dict)
    for person in people:
        for subscribed, names in ((False, person.unsubscribed), (True, person.lists)):
            for name in names:
                wanted[_list(name), subscribed][ids[person.number]] = None
    for pk in everybody:
        wanted[pk, True].update(dict.fromkeys(ids[person.number] for person in people))
    for (pk, subscribed), members in sorted(wanted.items(), key=lambda item: item[0]):
        to = ContactList.objects.get(pk=pk)
        if subscribed:
            consent.subscribe(to, members, How.IMPORT, by, made_by_import=run)
        else:
            consent.restore(to, members, False, How.IMPORT, by)


def said_by(run: Import) -> str:
    """What the history says of who it was."""
    return str(run.created_by or "")


def _list(name: str) -> int:
    return ContactList.objects.get_or_create(name=name)[0].pk


# --- The quickest way in -----------------------------------------------------------------------------


def _moment() -> Any:
    return connection.ops.adapt_datetimefield_value(timezone.now())


def copy(table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows of texts and numbers, straight into the table."""
    names = ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                copy.write("".join([_line(row) for row in rows]))
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)


_SPECIAL = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}


def _line(row: Sequence[Any]) -> str:
    text = "\t".join(map(str, row)) + "\n"
    if "\\" in text or text.count("\t") >= len(row) or text.count("\n") > 1 or "\r" in text:
        text = "\t".join([str(value).translate(_SPECIAL) for value in row]) + "\n"
    return text
