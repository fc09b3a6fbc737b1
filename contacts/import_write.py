"""People of a slice into the database: contacts here, their opt-outs and lists by consent.py. Set-based.

Who is known already is asked first, so that the rest can be copied straight into the table. Should another import make
the same contact in that moment, the database refuses, and the slice is done once more (importing.py).
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _

from . import consent, import_memory
from .bulk_sql import execute, source
from .import_rows import People, Person, Reject
from .models import Contact, ContactList, How, Import

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
    """``new``: contacts to be made, each number once. ``changed``: what contacts that are there become, by number."""

    new: People
    changed: Mapping[str, Person] = field(default_factory=dict)


def write(run: Import, people: People, targets: Targets) -> Written:
    """In the caller's transaction. Raises IntegrityError; ContactList.DoesNotExist for a list that was deleted."""
    if not people:
        return Written()
    known = _known(run, list(set(people.number)), targets.duplicates != SKIP)
    if targets.duplicates == SKIP or (not known and len(set(people.number)) == len(people)):
        part, written = _at_once(people, known)
    else:
        part, written = _row_by_row(people, known, targets.duplicates)
    wanted = bool(targets.lists) or any(map(any, (people.opted_out, people.lists, people.unsubscribed)))
    ids = _insert(run, part.new, wanted)
    _update(run, known, part.changed)
    if wanted:
        ids.update((number, each.id) for number, each in known.items())
        _put_on_lists(run, people, ids, targets.lists)
    return written


def reject(run: Import, rejected: Sequence[Reject], texts: Iterable[str]) -> None:
    columns = {
        '"row"': [str(each.row) for each in rejected],
        "reason": [str(each.reason) for each in rejected],
        "text": list(texts),
    }
    if rejected:
        copy("contacts_importreject", columns, {"import_run_id": str(run.pk)})


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
    return Person(number, name, language, zone, fields)


# --- How everybody is to be --------------------------------------------------------------------------


def _at_once(people: People, known: Mapping[str, _Known]) -> tuple[_Slice, Written]:
    """Of each number that is not known, the first row counts."""
    last = len(people) - 1
    first = dict(zip(reversed(people.number), range(last, -1, -1), strict=True))
    places = [first[number] for number in sorted(first.keys() - known.keys())]
    return _Slice(_these(people, places)), Written(added=len(places), skipped=len(people) - len(places))


def _these(people: People, places: Sequence[int]) -> People:
    columns = (getattr(people, name) for name in Person._fields)
    return People(*([column[at] for at in places] if column else () for column in columns))


def _row_by_row(people: People, known: Mapping[str, _Known], duplicates: str) -> tuple[_Slice, Written]:
    """As if each row were written before the next is looked at."""
    written = Written()
    now: dict[str, Person] = {number: each.values for number, each in known.items()}
    changes: Counter[str] = Counter()
    for person in people:
        before = now.get(person.number)
        if before is None:
            now[person.number] = person
            written.added += 1
        elif _same(merged := _merged(before, person, duplicates), before):
            written.skipped += 1
        else:
            now[person.number] = merged
            changes[person.number] += 1
            written.updated += 1
    for number, each in known.items():  # who ends up as they were has not been changed, by however many rows
        if _same(now[number], each.values):
            written.updated -= changes[number]
            written.skipped += changes.pop(number, 0)
    new = sorted(now.keys() - known.keys())
    changed = {number: now[number] for number in changes if number in known}
    return _Slice(_columns([now[number] for number in new]), changed), written


def _columns(people: Sequence[Person]) -> People:
    return People(*zip(*people, strict=True)) if people else People()


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
    return one[1:5] == other[1:5]


# --- Contacts ----------------------------------------------------------------------------------------


def _insert(run: Import, new: People, wanted: bool) -> dict[str, int]:
    """The ids of the new contacts by number, if they are wanted. They are in the order of their numbers, so that two
    imports never wait for each other in a circle."""
    n = len(new)
    if not n:
        return {}
    columns: dict[str, Sequence[str]] = {"number": new.number}
    constants = {
        "made_by_import_id": str(run.pk),
        "created_at": str(connection.ops.adapt_datetimefield_value(timezone.now())),
    }
    texts = {"name": new.name, "language": new.language, "zone": new.zone, "fields": _as_json(new.fields)}
    for name, column in texts.items():
        if column:
            columns[name] = column
        else:
            constants[name] = "{}" if name == "fields" else ""
    ids = _new_ids(n) if wanted else ()
    copy("contacts_contact", {"id": list(map(str, ids)), **columns} if wanted else columns, constants)
    return dict(zip(new.number, ids, strict=True)) if wanted else {}


def _as_json(column: Sequence[Mapping[str, str]]) -> Sequence[str]:
    return [json.dumps(values) if values else "{}" for values in column]


def _new_ids(n: int) -> Sequence[int]:
    if connection.vendor == "postgresql":
        sequence = "pg_get_serial_sequence('contacts_contact', 'id')"
        return [row[0] for row in execute(f"SELECT nextval({sequence}) FROM generate_series(1, %s)", [n])]
    rows = execute("SELECT seq FROM sqlite_sequence WHERE name = 'contacts_contact'", [])
    last = int(rows[0][0]) if rows else 0
    return range(last + 1, last + 1 + n)


def _update(run: Import, known: Mapping[str, _Known], becomes: Mapping[str, Person]) -> None:
    if not becomes:
        return
    changed = [(known[number], person) for number, person in becomes.items()]
    import_memory.values(run, {each.id: _differences(each.values, p) for each, p in changed if not each.mine})
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


def _differences(old: Person, new: Person) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in _VALUES}
    return {name: (was, becomes) for name, (was, becomes) in pairs.items() if was != becomes}


# --- Opt-outs and lists ------------------------------------------------------------------------------


def _put_on_lists(run: Import, people: People, ids: Mapping[str, int], everybody: Sequence[int]) -> None:
    """Opt-outs first, then whoever is unsubscribed, then the lists in the order of their ids: consent.py locks so."""
    by, who = said_by(run), [ids[number] for number in people.number]
    if out := {pk for pk, opted_out in zip(who, people.opted_out, strict=False) if opted_out}:
        _opt_out(run, sorted(out - import_memory.opted_out_by(run, list(out))))
    wanted: dict[tuple[int, bool], dict[int, None]] = defaultdict(dict)
    find = cache(partial(_list, run))
    for subscribed, column in ((False, people.unsubscribed), (True, people.lists)):
        for pk, names in zip(who, column, strict=False):
            for name in names:
                wanted[find(name), subscribed][pk] = None
    for to_all in everybody:
        wanted[to_all, True].update(dict.fromkeys(who))
    for (pk, subscribed), members in sorted(wanted.items(), key=lambda item: item[0]):
        to = ContactList.objects.get(pk=pk)
        if subscribed:
            consent.subscribe(to, members, How.IMPORT, by, made_by_import=run)
        else:
            ended = consent.put_unsubscribed(to, members, How.IMPORT, by, made_by_import=run)
            import_memory.ended(run, pk, ended)


def _opt_out(run: Import, ids: Sequence[int]) -> None:
    """Also who opted out before is given to consent.py: it is more than one that says so."""
    here = f"SELECT id FROM contacts_contact WHERE id IN {source(1)} AND opted_out_at IS NULL ORDER BY id"
    lock = " FOR NO KEY UPDATE" if connection.features.has_select_for_update else ""
    new = [pk for (pk,) in execute(here + lock, [list(ids)])]
    consent.opt_out(ids, How.IMPORT, said_by(run), _("Marked as opted out in “%s”.") % run.name)
    if new:
        times = Contact.objects.filter(pk__in=new).values_list("pk", "opted_out_at")
        import_memory.opt_outs(run, dict(times))


def said_by(run: Import) -> str:
    """What the history says of who it was."""
    return str(run.created_by or "")


def _list(run: Import, name: str) -> int:
    """The id of the list of that name, which is made if there is none."""
    found, made = ContactList.objects.get_or_create(name=name)
    if made:
        made_list(run, found)
    return found.pk


def made_list(run: Import, new: ContactList) -> None:
    """``run``, which has to be saved, made this list: the undo takes it away if it is empty then."""
    run.options = {**run.options, "made_lists": [*run.options.get("made_lists", ()), new.pk]}


# --- The quickest way in -----------------------------------------------------------------------------


def copy(table: str, columns: Mapping[str, Sequence[str]], constants: Mapping[str, str]) -> None:
    """Columns of texts, straight into the table. ``constants`` are the same in every row; our own, never a file's."""
    names = ", ".join([*columns, *constants])
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = map("\t".join, zip(*map(_escaped, columns.values()), strict=True))
            end = "".join(f"\t{value}" for value in constants.values()) + "\n"
            copied = cursor.copy(f"COPY {table} ({names}) FROM STDIN")
            with connection.wrap_database_errors, copied as copying:
                copying.write(end.join(rows) + end)
        else:
            marks = ", ".join(["%s"] * len(columns) + [f"'{value}'" for value in constants.values()])
            sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"
            cursor.executemany(sql, zip(*columns.values(), strict=True))


_SPECIAL = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escaped(column: Sequence[str]) -> Sequence[str]:
    """As COPY wants to read it."""
    together = "".join(column)
    if not any(sign in together for sign in "\\\t\n\r"):
        return column
    return [text.translate(_SPECIAL) for text in column]
