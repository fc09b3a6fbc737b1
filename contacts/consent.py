"""The only writer of subscriptions, opt-outs, the counts of lists, and the history of all that: in one transaction.

Everything is set-based, in slices. Locks are taken in one order, contacts (by id) and then their list, so that imports,
bulk changes and STOP words never wait for each other in a circle; a list's counts change under its lock.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from django.db import connection, transaction
from django.utils import timezone

from providers import outbox

from . import mirroring
from .bulk_sql import execute, source
from .models import ConsentEvent as Event
from .models import Contact, ContactList, Import, Mirror, Subscription

SLICE = 10_000  # contacts of one transaction

T = TypeVar("T")


@dataclass(slots=True)
class Subscribed:
    """What became of those who were to be subscribed.

    ``added`` are new on the list, ``resubscribed`` are back. The others were left as they are: ``existing`` of them,
    ``unsubscribed`` of which are not subscribed. ``opted_out``: how many of all get nothing, whatever the list says.
    """

    added: int = 0
    resubscribed: int = 0
    existing: int = 0
    unsubscribed: int = 0
    opted_out: int = 0

    def __iadd__(self, other: Subscribed) -> Subscribed:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        return self


@dataclass(frozen=True, slots=True)
class Note:
    """How it came about: what each event of a call says. ``change``: the id of the BulkChange that it is part of."""

    how: str
    by: str = ""
    reason: str = ""
    proof: Mapping[str, Any] = field(default_factory=dict)
    change: int | None = None
    at: datetime = field(default_factory=timezone.now)


class Ended(NamedTuple):
    """A subscription that ended at ``until``, with when, how and by whom it had begun."""

    at: datetime
    how: str
    by: str
    until: datetime


def subscribe(
    to: ContactList,
    contact_ids: Iterable[int],
    how: str,
    by: str,
    resubscribe: bool = False,
    *,
    reason: str = "",
    made_by_import: Import | None = None,
    change: int | None = None,
) -> Subscribed:
    """Put people on a list. Who is on it stays as they are, unless ``resubscribe`` brings them back.

    An opt-out is never undone, and who opted out is not brought back. Raises ContactList.DoesNotExist for a list that
    was deleted.
    """
    done, note = Subscribed(), Note(how, by, reason, change=change)
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            done += _subscribe(to, ids, note, resubscribe, made_by_import)
    return done


def unsubscribe(
    of: ContactList,
    contact_ids: Iterable[int],
    how: str,
    by: str,
    reason: str = "",
    *,
    change: int | None = None,
    mirrored: bool = True,
) -> int:
    """Members who were subscribed and no longer are. ``mirrored``: the list's provider has to be told."""
    n, note = 0, Note(how, by, reason, change=change)
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            _lock_people(ids, "KEY SHARE")
            _lock_list(of)
            n += len(_end(of, ids, note, mirrored))
    return n


def put_unsubscribed(
    on: ContactList, contact_ids: Iterable[int], how: str, by: str, *, made_by_import: Import | None = None
) -> dict[int, Ended]:
    """Members are unsubscribed, and who is not on the list is put there, unsubscribed. Returns the subscriptions that
    ended, by contact; ``give_back`` takes them. Raises ContactList.DoesNotExist for a list that was deleted."""
    found, note = {}, Note(how, by)
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            people = list(_lock_people(ids, "KEY SHARE"))
            _lock_list(on)
            members = Subscription.objects.filter(list=on, subscribed=True, contact__in=people)
            was = {pk: Ended(*rest, note.at) for pk, *rest in members.values_list("contact", "at", "how", "by")}
            _end(on, list(was), note, True)
            _add(on, people, False, note, made_by_import)
        found |= was
    return found


def give_back(to: ContactList, ended: Mapping[int, Ended], how: str, by: str, reason: str = "") -> int:
    """Subscriptions that ended are as they were, where nobody changed them since."""
    n, note = 0, Note(how, by, reason)
    for ids in sliced(ended):
        with transaction.atomic(savepoint=False):
            _lock_people(ids, "KEY SHARE")
            _lock_list(to)
            places = Subscription.objects.filter(list=to, subscribed=False, contact__in=ids)
            back = [place for place in places if place.at == ended[place.contact_id].until]
            for place in back:
                place.at, place.how, place.by, _until = ended[place.contact_id]
                place.subscribed = True
            Subscription.objects.bulk_update(back, ["subscribed", "at", "how", "by"], batch_size=500)
            contacts = [place.contact_id for place in back]
            _happened(contacts, Event.What.SUBSCRIBED, note, to)
            _count(to.pk, 0, len(back))
            mirroring.put(to, contacts, Mirror.Action.RESUBSCRIBE)
        n += len(back)
    return n


def remove(
    of: ContactList, contact_ids: Iterable[int], how: str, by: str, reason: str = "", *, change: int | None = None
) -> int:
    """Take people off a list. ``restore`` brings them back as they were."""
    n, note = 0, Note(how, by, reason, change=change)
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            _lock_people(ids, "KEY SHARE")
            _lock_list(of, deleted_too=True)
            rows = execute(
                f"DELETE FROM contacts_subscription WHERE list_id = %s AND contact_id IN {source(1)} "
                "RETURNING contact_id, subscribed",
                [of.pk, ids],
            )
            for was in (True, False):
                those = [pk for pk, subscribed in rows if bool(subscribed) is was]
                proof = {"subscribed": was}
                _happened(those, Event.What.REMOVED, Note(how, by, reason, proof, change, note.at), of)
                if was:
                    _count(of.pk, -len(rows), -len(those))
                    mirroring.put(of, those, Mirror.Action.UNSUBSCRIBE)
        n += len(rows)
    return n


def restore(to: ContactList, contact_ids: Iterable[int], subscribed: bool, how: str, by: str, reason: str = "") -> int:
    """Put back who was removed, subscribed or not; who is on the list by now stays as they are."""
    n, note = 0, Note(how, by, reason)
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            people = _lock_people(ids, "KEY SHARE")
            _lock_list(to)
            n += len(_add(to, list(people), subscribed, note, None))
    return n


def opt_out(
    contact_ids: Iterable[int],
    how: str,
    by: str,
    reason: str = "",
    *,
    proof: Mapping[str, Any] | None = None,
    change: int | None = None,
) -> int:
    """Nobody writes to these people any more, whatever any list says. Who opted out before stays as they are, and the
    undo of an import does not lift it any more."""
    n, note = 0, Note(how, by, reason, proof or {}, change)
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            _lock_people(ids, "NO KEY UPDATE")
            out = _column(
                f"UPDATE contacts_contact SET opted_out_at = %s WHERE id IN {source(1)} AND opted_out_at IS NULL "
                "RETURNING id",
                [note.at, ids],
            )
            if len(out) < len(ids):
                _confirm(set(ids) - set(out))
            _happened(out, Event.What.OPTED_OUT, note)
            outbox.put({"contact.opted_out": out})
            mirroring.put_everywhere(out, Mirror.Action.UNSUBSCRIBE)
        n += len(out)
    return n


def opt_out_numbers(
    numbers: Iterable[str], how: str, by: str, reason: str = "", *, proof: Mapping[str, Any] | None = None
) -> int:
    """The same by number; a number that nobody knows becomes a contact, so that the opt-out is kept."""
    n = 0
    for some in sliced(numbers):
        with transaction.atomic(savepoint=False):
            Contact.objects.bulk_create([Contact(number=number) for number in sorted(some)], ignore_conflicts=True)
            ids = _column(f"SELECT id FROM contacts_contact WHERE number IN {source(1, 'text')}", [some])
            n += opt_out(ids, how, by, reason, proof=proof)
    return n


def opt_in(
    contact_ids: Iterable[int], how: str, by: str, reason: str = "", *, proof: Mapping[str, Any] | None = None
) -> int:
    """These people may be written to again, through the lists they are subscribed to."""
    n, note = 0, Note(how, by, reason, proof or {})
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            _lock_people(ids, "NO KEY UPDATE")
            back = _column(
                f"UPDATE contacts_contact SET opted_out_at = NULL WHERE id IN {source(1)} "
                "AND opted_out_at IS NOT NULL RETURNING id",
                [ids],
            )
            _happened(back, Event.What.OPTED_IN, note)
            outbox.put({"contact.opted_in": back})
            mirroring.put_everywhere(back, Mirror.Action.RESUBSCRIBE)
        n += len(back)
    return n


def forget(contact_ids: Iterable[int]) -> tuple[int, int]:
    """Delete people, their history and their places on lists; the counts follow. Returns how many are gone, and how
    many stayed without name and fields: who opted out is kept by number, so that nobody writes to them again."""
    gone = kept = 0
    for ids in sliced(contact_ids):
        with transaction.atomic(savepoint=False):
            people = _lock_people(ids, "UPDATE")
            rows = execute(
                f"DELETE FROM contacts_subscription WHERE contact_id IN {source(1)} RETURNING list_id, subscribed",
                [list(people)],
            )
            members, subscribed = Counter(row[0] for row in rows), Counter(row[0] for row in rows if row[1])
            for pk in sorted(members):
                _count(pk, -members[pk], -subscribed[pk])
            out = [pk for pk, opted_out in people.items() if opted_out]
            Contact.objects.filter(pk__in=out).update(name="", fields={}, language="", zone="")
            _delete(sorted(people.keys() - set(out)))
        gone, kept = gone + len(people) - len(out), kept + len(out)
    return gone, kept


def _delete(ids: list[int]) -> None:
    """Contacts with all rows that are theirs alone; set-based, for there may be a million of them."""
    for relation in Contact._meta.related_objects:
        if relation.one_to_many:
            theirs = relation.field
            execute(f"DELETE FROM {theirs.model._meta.db_table} WHERE {theirs.column} IN {source(1)}", [ids])
    execute(f"DELETE FROM contacts_contact WHERE id IN {source(1)}", [ids])


def sliced(items: Iterable[T]) -> Iterator[list[T]]:
    """Lists of at most ``SLICE``; what is given twice comes once within each."""
    rest = iter(items)
    while some := list(islice(rest, SLICE)):
        yield list(dict.fromkeys(some))


# --- One slice, in the caller's transaction ------------------------------------------------------------


def _subscribe(
    to: ContactList, ids: Sequence[int], note: Note, resubscribe: bool, made_by_import: Import | None
) -> Subscribed:
    people = _lock_people(ids, "KEY SHARE")
    _lock_list(to)
    added = set(_add(to, list(people), True, note, made_by_import))
    others = [pk for pk in people if pk not in added]
    back = _set_subscribed(to, [pk for pk in others if not people[pk]], True, note) if resubscribe and others else []
    _happened(back, Event.What.SUBSCRIBED, note, to)
    _count(to.pk, 0, len(back))
    mirroring.put(to, back, Mirror.Action.RESUBSCRIBE)
    existing = len(others) - len(back)
    return Subscribed(
        added=len(added),
        resubscribed=len(back),
        existing=existing,
        unsubscribed=_unsubscribed(to, others) if existing else 0,
        opted_out=sum(people.values()),
    )


def _add(to: ContactList, ids: Sequence[int], subscribed: bool, note: Note, made_by_import: Import | None) -> list[int]:
    """The ids of those who were not on the list, and are now."""
    added = _column(
        'INSERT INTO contacts_subscription (contact_id, list_id, subscribed, at, how, "by", made_by_import_id) '
        f"SELECT id, %s, %s, %s, %s, %s, %s FROM {source(2)} WHERE TRUE "
        "ON CONFLICT (contact_id, list_id) DO NOTHING RETURNING contact_id",
        [to.pk, subscribed, note.at, note.how, note.by[:150], made_by_import.pk if made_by_import else None, ids],
    )
    _happened(added, Event.What.SUBSCRIBED if subscribed else Event.What.UNSUBSCRIBED, note, to)
    _count(to.pk, len(added), len(added) if subscribed else 0)
    mirroring.put(to, added, Mirror.Action.SUBSCRIBE if subscribed else Mirror.Action.UNSUBSCRIBE)
    return added


def _end(of: ContactList, ids: Sequence[int], note: Note, mirrored: bool) -> list[int]:
    """The ids of the members who are no longer subscribed."""
    gone = _set_subscribed(of, ids, False, note)
    _happened(gone, Event.What.UNSUBSCRIBED, note, of)
    _count(of.pk, 0, -len(gone))
    if mirrored:
        mirroring.put(of, gone, Mirror.Action.UNSUBSCRIBE)
    return gone


def _set_subscribed(of: ContactList, ids: Sequence[int], to: bool, note: Note) -> list[int]:
    """The ids of the members who change."""
    return _column(
        'UPDATE contacts_subscription SET subscribed = %s, at = %s, how = %s, "by" = %s '
        f"WHERE list_id = %s AND subscribed = %s AND contact_id IN {source(1)} RETURNING contact_id",
        [to, note.at, note.how, note.by[:150], of.pk, not to, ids],
    )


def _unsubscribed(of: ContactList, ids: Sequence[int]) -> int:
    rows = execute(
        "SELECT count(*) FROM contacts_subscription WHERE list_id = %s AND subscribed = %s "
        f"AND contact_id IN {source(1)}",
        [of.pk, False, ids],
    )
    return int(rows[0][0])


def _happened(ids: Sequence[int], what: str, note: Note, of: ContactList | None = None) -> None:
    """An event in the history of each."""
    if ids:
        values = [of.pk if of else None, what, note.how, note.by[:150], note.reason[:200], note.at]
        execute(
            'INSERT INTO contacts_consentevent (contact_id, list_id, what, how, "by", reason, at, proof, change_id) '
            f"SELECT id, %s, %s, %s, %s, %s, %s, %s, %s FROM {source(2)} WHERE TRUE",
            [*values, json.dumps(dict(note.proof)), note.change, ids],
        )


def _confirm(ids: Iterable[int]) -> None:
    """That they opted out is no longer the word of an import alone."""
    without = {"postgresql": "before - 'opted_out'", "sqlite": "json_remove(before, '$.opted_out')"}
    execute(
        f"UPDATE contacts_importchange SET before = {without[connection.vendor]} WHERE contact_id IN {source(1)}",
        [list(ids)],
    )


def _count(list_id: int, members: int, subscribed: int) -> None:
    if members or subscribed:
        execute(
            "UPDATE contacts_contactlist SET members = members + %s, subscribed = subscribed + %s WHERE id = %s",
            [members, subscribed, list_id],
        )


def _lock_people(ids: Sequence[int], strength: str) -> dict[int, bool]:
    """Those who are there, by id, and whether each opted out."""
    lock = f" FOR {strength}" if connection.features.has_select_for_update else ""
    rows = execute(
        f"SELECT id, opted_out_at IS NOT NULL FROM contacts_contact WHERE id IN {source(1)} ORDER BY id{lock}", [ids]
    )
    return {pk: bool(out) for pk, out in rows}


def _lock_list(which: ContactList, deleted_too: bool = False) -> None:
    lists = ContactList.with_deleted if deleted_too else ContactList.objects
    lists.select_for_update().only("pk").get(pk=which.pk)


def _column(sql: str, values: Sequence[Any]) -> list[Any]:
    return [row[0] for row in execute(sql, values)]
