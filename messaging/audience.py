"""Whom numbers and lists reach together: counted without reading everybody, and known by a sample.

Each person gets a message once. Through a list goes who is subscribed to it; typed numbers go in any case, on whatever
lists they are unsubscribed. Who opted out gets nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from contacts.bulk_sql import execute, source
from contacts.import_rows import FIELD, LISTS
from contacts.models import Contact, ContactList, Import
from contacts.recipients import Recipients

from . import merging

SAMPLE = 1_000  # people by whom the others are judged
QUICK = 200_000  # places on several lists that are counted while a person waits; of more, a part
MOST = 3_000_000  # … that are counted at all
IMPORTS = 200  # the newest, whose columns tell which fields there are
_BUCKETS = 65_536
_BUCKET = "(contact_id * 40503) %% 65536"  # spreads ids, so that the first buckets are a fair part of a list


@dataclass(frozen=True, slots=True)
class Reach:
    """How many people get the message (``kept``), ``typed`` of them by their number; and how many do not, by reason.

    ``duplicates``: how often somebody was there once more. ``about``: several lists are too big to be counted out.
    """

    kept: int
    typed: int = 0
    opted_out: int = 0
    unsubscribed: int = 0
    duplicates: int = 0
    invalid: int = 0
    about: bool = False

    @property
    def dropped(self) -> int:
        return self.opted_out + self.unsubscribed + self.duplicates + self.invalid


class Person(NamedTuple):
    """``values``: see merging.py. ``known``: there is a contact."""

    number: str
    values: Mapping[str, Any]
    known: bool = True

    @property
    def name(self) -> str:
        return str(self.values["name"])


@dataclass(frozen=True, slots=True)
class Sample:
    """Some of those who are reached, ``typed`` and through lists. ``whole``: these are all."""

    typed: Sequence[Person] = ()
    listed: Sequence[Person] = ()
    whole: bool = True

    @property
    def people(self) -> Sequence[Person]:
        return [*self.typed, *self.listed]


def reach(lists: Sequence[ContactList], found: Recipients, *, quick: bool = False) -> Reach:
    """Exact, except over many big lists at once. ``quick``: for a page that somebody waits for."""
    typed, invalid = len(found.kept), sum(entry.times for entry in found.rejected)
    if not lists:
        return Reach(typed, typed, len(found.opted_out), 0, found.duplicates, invalid)
    on_lists = _People.on(lists, QUICK if quick else MOST)
    again = _places_of(lists, found.kept)
    out_again = _places_of(lists, [entry.text for entry in found.opted_out])
    subscribed = sum(again.values())
    return Reach(
        kept=typed + on_lists.subscribed - subscribed,
        typed=typed,
        opted_out=len(found.opted_out) + on_lists.opted_out - len(out_again),
        unsubscribed=on_lists.unsubscribed - (len(again) - subscribed),
        duplicates=found.duplicates + on_lists.repeated + len(again),
        invalid=invalid,
        about=on_lists.about,
    )


@dataclass(frozen=True, slots=True)
class _People:
    """Who is on some lists, each once, and how often somebody is on one more of them."""

    subscribed: int
    opted_out: int
    unsubscribed: int
    repeated: int
    about: bool

    @classmethod
    def on(cls, lists: Sequence[ContactList], most: int) -> _People:
        """Of one list the kept counts tell; of several, each place is looked at, up to ``most`` of them."""
        places, buckets = sum(one.members for one in lists), _BUCKETS
        if len(lists) == 1:
            people, subscribed = places, lists[0].subscribed
        else:
            buckets = min(_BUCKETS, max(1, _BUCKETS * most // max(places, 1)))
            people, subscribed = (n * _BUCKETS // buckets for n in _counted(lists, buckets))
        out, out_subscribed = _counted(lists, of_opted_out=True)
        return cls(
            subscribed=max(0, subscribed - out_subscribed),
            opted_out=out,
            unsubscribed=max(0, people - subscribed - (out - out_subscribed)),
            repeated=max(0, places - people),
            about=buckets < _BUCKETS,
        )


def _counted(lists: Sequence[ContactList], buckets: int = _BUCKETS, *, of_opted_out: bool = False) -> list[int]:
    """The people on the lists, and how many of them are subscribed to any. ``buckets``: in a part of all ids only."""
    join = "JOIN contacts_contact ON contacts_contact.id = contact_id AND opted_out_at IS NOT NULL"
    part = "" if buckets == _BUCKETS else f"AND {_BUCKET} < %s"
    ids = _ids(lists)  # one by one: of a list of values PostgreSQL would ask once more at each place
    (row,) = execute(
        "SELECT count(*), coalesce(sum(subscribed), 0) FROM ("
        "SELECT contact_id, max(CASE WHEN subscribed THEN 1 ELSE 0 END) AS subscribed "
        f"FROM contacts_subscription {join if of_opted_out else ''} "
        f"WHERE list_id IN ({', '.join(['%s'] * len(ids))}) {part} GROUP BY contact_id) AS people",
        [*ids, *([buckets] if part else [])],
    )
    return [int(n) for n in row]


def _places_of(lists: Sequence[ContactList], numbers: Sequence[str]) -> dict[str, bool]:
    """Those of the numbers that are on the lists, and whether they are subscribed to any."""
    if not numbers:
        return {}
    rows = execute(
        "SELECT number, max(CASE WHEN subscribed THEN 1 ELSE 0 END) FROM contacts_contact "
        "JOIN contacts_subscription ON contact_id = contacts_contact.id "
        f"WHERE number IN {source(1, 'text')} AND list_id IN {source(1)} GROUP BY number",
        [list(numbers), _ids(lists)],
    )
    return {number: bool(subscribed) for number, subscribed in rows}


def _ids(lists: Sequence[ContactList]) -> list[int]:
    return [one.pk for one in lists]


# --- Some of them ------------------------------------------------------------------------------------


def sample(lists: Sequence[ContactList], numbers: Sequence[str], size: int = SAMPLE) -> Sample:
    """A fair part of those who are reached, spread over the numbers and the lists; the same again next time."""
    some = numbers[:: max(1, len(numbers) // size)][:size]
    known = {person.number: person for person in _people({"number__in": some})} if some else {}
    typed = [known.get(number) or Person(number, merging.values_of(number), False) for number in some]
    ids = _spread(lists, size) if lists else []
    apart = set(numbers)
    listed = [person for person in _people({"pk__in": ids, "opted_out_at": None}) if person.number not in apart]
    whole = len(some) == len(numbers) and sum(one.subscribed for one in lists) <= size
    return Sample(typed, listed, whole)


def _spread(lists: Sequence[ContactList], size: int) -> list[int]:
    places = max(1, sum(one.subscribed for one in lists))
    buckets = min(_BUCKETS, 1 + _BUCKETS * size * 5 // (4 * places))
    rows = execute(
        f"SELECT DISTINCT {_BUCKET}, contact_id FROM contacts_subscription "
        f"WHERE list_id IN {source(1)} AND subscribed AND {_BUCKET} < %s ORDER BY 1, 2 LIMIT %s",
        [_ids(lists), buckets, size],
    )
    return [contact for _bucket, contact in rows]


def _people(which: Mapping[str, Any]) -> list[Person]:
    rows = Contact.objects.filter(**which).order_by("pk").values_list("number", "name", "language", "fields")
    return [Person(row[0], merging.values_of(*row)) for row in rows]


def known_fields(lists: Sequence[ContactList], some: Sample) -> list[str]:
    """The names that a text may use: what every contact has, then the free fields of the sample's people, and those
    that imports brought to these lists. A field that neither knows is so rare that it is taken for a slip."""
    found = {name for person in some.people for name in person.values}
    if lists:
        found |= _imported(set(_ids(lists)))
    return [*merging.ALWAYS, *sorted(found - set(merging.ALWAYS))]


def _imported(lists: set[int]) -> set[str]:
    """The free fields of the newest imports into these lists, or into lists that their files named."""
    S = Import.State
    done = Import.objects.exclude(state__in=(S.DRAFT, S.WAITING, S.FAILED, S.UNDONE)).order_by("-pk")
    found: set[str] = set()
    for columns, options in done.values_list("columns", "options")[:IMPORTS]:
        if LISTS in columns or not lists.isdisjoint(options.get("lists", ())):
            found.update(column.removeprefix(FIELD) for column in columns if column.startswith(FIELD))
    return found
