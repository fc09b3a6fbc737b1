"""The rows of a campaign, made slice by slice: one message for each person, however often they were named.

Typed numbers come first, then the members of the lists in the order of their ids. Through a list goes who is
subscribed to one of them at that moment; who opted out gets nothing. Everybody else is counted as skipped, by reason,
so that the recipients always add up. Where all messages are alike the database makes the rows by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from django.utils import timezone

from contacts.bulk_sql import execute, source
from contacts.models import Contact
from contacts.recipients import DUPLICATE, OPTED_OUT, opted_out
from providers.models import ProviderAccount
from providers.types import Status

from . import inserting, merging, parking, placing, wakeup
from .models import Campaign, Message
from .placing import Placed
from .segments import measure

SLICE = 10_000  # people of one transaction
SMALLEST = 1_000  # people of each list in it, however many lists there are
FEW = 2_000  # typed numbers that the database is told with each slice
FIRST, END = 1, 2**63 - 1  # what a cursor is before the lists and after them
UNSUBSCRIBED, EMPTY, TOO_LONG = "unsubscribed", "empty", "too_long"


class Person(NamedTuple):
    """``values``: see merging.py; none where the text has no fields."""

    number: str
    values: Mapping[str, Any] = {}


def more(campaign: Campaign) -> bool:
    """Whether rows are missing."""
    return campaign.cursor < END if campaign.cursor else campaign.expanded < campaign.total


def make(campaign: Campaign, typed: Sequence[str]) -> None:
    """The next rows, in the caller's transaction, which has locked the campaign. ``typed``: its ``recipients``.

    Raises NoMember.
    """
    if campaign.expanded < len(typed):
        _make_typed(campaign, typed[campaign.expanded : campaign.expanded + SLICE])
    else:
        _make_listed(campaign, typed)
    campaign.save(update_fields=["expanded", "cursor", "total", "skipped"])


def _make_typed(campaign: Campaign, numbers: Sequence[str]) -> None:
    kept: Iterable[str] = numbers
    if campaign.cursor or campaign.merges:
        out = opted_out(numbers)
        kept = [number for number in numbers if number not in out]
        _skip(campaign, {OPTED_OUT: len(out)})
    people = _known(list(kept)) if campaign.merges else [Person(number) for number in kept]
    _write(campaign, people, campaign.expanded)
    campaign.expanded += len(numbers)


def _known(numbers: Sequence[str]) -> list[Person]:
    rows = Contact.objects.filter(number__in=numbers).values_list("number", "name", "language", "fields")
    known = {row[0]: merging.values_of(*row) for row in rows}
    return [Person(number, known.get(number) or merging.values_of(number)) for number in numbers]


def _make_listed(campaign: Campaign, typed: Sequence[str]) -> None:
    lists = list(campaign.lists.order_by("pk").values_list("pk", flat=True))
    last = _last(lists, campaign.cursor)
    if lists:
        if _is_plain(campaign) and len(typed) <= FEW:
            found = _in_the_database(campaign, lists, typed, last)
        else:
            found = _one_by_one(campaign, lists, set(typed), last)
        persons, places = sum(row[1] for row in found), sum(row[2] for row in found)
        campaign.total += places
        _skip(campaign, {reason: n for reason, n, _places in found if reason})
        _skip(campaign, {DUPLICATE: places - persons})
    campaign.cursor = END if last == END else last + 1


def _is_plain(campaign: Campaign) -> bool:
    """Whether everybody's message is the same, but for the number."""
    by_person = campaign.hours and campaign.by_recipient and not campaign.priority
    return not (campaign.route_id or campaign.merges or campaign.devices or by_person)


# --- Who is on the lists ---------------------------------------------------------------------------------


def _last(lists: Sequence[int], first: int) -> int:
    """The id of the contact with which the slice from ``first`` on ends."""
    if not lists:
        return END
    size = max(SMALLEST, SLICE // len(lists)) - 1
    each = (
        "SELECT contact_id FROM (SELECT contact_id FROM contacts_subscription WHERE list_id = %s AND subscribed = %s "
        "AND contact_id >= %s ORDER BY contact_id LIMIT 1 OFFSET %s) AS place"
    )
    branches = [(pk, subscribed, first, size) for pk in lists for subscribed in (True, False)]
    rows = execute(
        f"SELECT MIN(contact_id) FROM ({' UNION ALL '.join([each] * len(branches))}) AS places",
        [value for branch in branches for value in branch],
    )
    return rows[0][0] or END


def _people(
    lists: Sequence[int], first: int, last: int, typed: Sequence[str], columns: str = ""
) -> tuple[str, list[Any]]:
    """A query for the people of a slice and its values: id, number, how many of the lists they are on (``n``), and
    the ``reason`` why they get nothing, if there is one."""
    each = (
        "SELECT contact_id, 1 AS n, %s AS subscribed FROM contacts_subscription "
        "WHERE list_id = %s AND subscribed = %s AND contact_id >= %s AND contact_id <= %s"
    )
    branches = [(int(subscribed), pk, subscribed, first, last) for pk in lists for subscribed in (True, False)]
    places = " UNION ALL ".join([each] * len(branches))
    if len(lists) > 1:
        once = "SELECT contact_id, COUNT(*) AS n, MAX(subscribed) AS subscribed"
        places = f"{once} FROM ({places}) AS places GROUP BY contact_id"
    again = f"WHEN c.number IN {source(1, 'text')} THEN '{DUPLICATE}' " if typed else ""
    sql = (
        f"SELECT c.id, c.number, m.n, CASE {again}WHEN c.opted_out_at IS NOT NULL THEN '{OPTED_OUT}' "
        f"WHEN m.subscribed = 0 THEN '{UNSUBSCRIBED}' ELSE '' END AS reason{columns} "
        f"FROM ({places}) AS m "
        "JOIN contacts_contact AS c ON c.id = m.contact_id WHERE c.id >= %s AND c.id <= %s"
    )
    numbers = [list(typed)] if typed else []
    return sql, [*numbers, *(value for branch in branches for value in branch), first, last]


Found = list[tuple[str, int, int]]  # reason, people, places on lists


def _in_the_database(campaign: Campaign, lists: Sequence[int], typed: Sequence[str], last: int) -> Found:
    (placed,) = placing.place(campaign, [""], 0)
    sample = _sample(campaign, placed, campaign.text)
    people, values = _people(lists, campaign.cursor, last, typed)
    found = inserting.add_from(sample, people, values)
    if sample.status == Status.QUEUED and any(not reason for reason, _people, _places in found):
        wakeup.drain(sample.account_id)
    return found


def _one_by_one(campaign: Campaign, lists: Sequence[int], typed: set[str], last: int) -> Found:
    columns = ", c.name, c.language, c.fields" if campaign.merges else ""
    people, values = _people(lists, campaign.cursor, last, (), columns)
    kept: list[tuple[Any, ...]] = []
    n: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for row in execute(f"{people} ORDER BY c.id", values):
        reason = DUPLICATE if row[1] in typed else row[3]
        n[reason] += 1
        places[reason] += row[2]
        if not reason:
            kept.append(row)
    _write(campaign, _with_values(kept) if campaign.merges else [Person(row[1]) for row in kept], campaign.total)
    return [(reason, n[reason], places[reason]) for reason in n]


def _with_values(rows: Sequence[tuple[Any, ...]]) -> list[Person]:
    """Their fields are read as one text: that is much quicker."""
    every = [row[6] for row in rows]
    if every and isinstance(every[0], str):
        every = json.loads(f"[{','.join(every)}]")
    return [
        Person(row[1], merging.values_of(row[1], row[4], row[5], fields))
        for row, fields in zip(rows, every, strict=True)
    ]


# --- Their messages --------------------------------------------------------------------------------------


def _write(campaign: Campaign, people: Sequence[Person], offset: int) -> None:
    """``offset``: how many were placed before."""
    texts = _texts(campaign, people)
    if campaign.merges and not campaign.attachments:
        full = [place for place, text in enumerate(texts) if text.strip()]
        _skip(campaign, {EMPTY: len(people) - len(full)})
        people, texts = [people[place] for place in full], [texts[place] for place in full]
    placed = placing.place(campaign, [person.number for person in people], offset, list(map(len, texts)))
    if campaign.merges and (limits := _limits(placed)):
        fit = [n for n, place in enumerate(placed) if len(texts[n]) <= limits.get(place.account_id, len(texts[n]))]
        _skip(campaign, {TOO_LONG: len(people) - len(fit)})
        people, texts, placed = [people[n] for n in fit], [texts[n] for n in fit], [placed[n] for n in fit]
    if people:
        _insert(campaign, people, texts, placed)


def _texts(campaign: Campaign, people: Sequence[Person]) -> list[str]:
    if not campaign.merges:
        return [campaign.text] * len(people)
    render = merging.compiled(campaign.text).render
    return [render(person.values) for person in people]


def _limits(placed: Iterable[Placed]) -> dict[int, int]:
    """The longest text that each of the accounts takes, if there is such."""
    accounts = ProviderAccount.objects.in_bulk({place.account_id for place in placed})
    return {pk: kind.max_text for pk, each in accounts.items() if (kind := each.kind_class).max_text is not None}


def _insert(campaign: Campaign, people: Sequence[Person], texts: Sequence[str], placed: Sequence[Placed]) -> None:
    columns: dict[str, Sequence[Any]] = {"number": [person.number for person in people]}
    if campaign.merges:
        columns |= {"text": texts, "segments": [measure(text).parts for text in texts]}
    if any(place != placed[0] for place in placed):
        alike = {place: _sample(campaign, place, "") for place in set(placed)}
        samples = [alike[place] for place in placed]
        for name in ("account_id", "device", "sim", "due_at", "status"):
            columns[name] = [getattr(sample, name) for sample in samples]
    sample = _sample(campaign, placed[0], "" if campaign.merges else campaign.text)
    inserting.add(sample, columns)
    now = timezone.now()
    for account in sorted({place.account_id for place in placed if place.due_at <= now}):
        wakeup.drain(account)


def _sample(campaign: Campaign, placed: Placed, text: str) -> Message:
    """What the messages to all who are placed there have in common."""
    status = Status.SCHEDULED if placed.due_at > timezone.now() else Status.QUEUED
    parked = {}
    if parking.parks(campaign.state):
        status, placed, parked = Status.SCHEDULED, placed._replace(due_at=placed.due_at + parking.FAR), parking.values()
    return Message(
        account_id=placed.account_id,
        campaign=campaign,
        text=text,
        sender=campaign.sender,
        type=campaign.type,
        attachments=campaign.attachments,
        segments=measure(text).parts,
        priority=campaign.priority,
        device=placed.device,
        sim=placed.sim,
        route_id=campaign.route_id,
        expires_at=campaign.expires_at,
        due_at=placed.due_at,
        status=status.value,
        client=campaign.client,
        **parked,
    )


def _skip(campaign: Campaign, reasons: Mapping[str, int]) -> None:
    campaign.skipped = dict(Counter(campaign.skipped) + Counter(reasons))
