"""The last look before a campaign is sent: who gets it and who does not, what it takes, and how it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user_model

from contacts.plans import is_likely
from contacts.recipients import Recipients

from . import campaigns, forecast, merging
from .audience import Person, Reach, Sample
from .campaigns import Draft
from .conduct import APPROVE
from .forecast import Course, Parts, Price
from .segments import measure

AT_ONCE = 3  # people whose texts are shown together
NAMED = 3  # people who may approve that are named


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as one person will read it, and its parts."""

    person: Person
    text: str
    parts: int


@dataclass(frozen=True, slots=True)
class Approval:
    """``above``: so many recipients go without. ``by``: the names of some who may approve."""

    above: int
    by: Sequence[str]


@dataclass(frozen=True, slots=True)
class Preflight:
    """``unlikely``: numbers that no numbering plan has, judged by the sample where ``about``. ``strangers``: typed
    numbers of which nothing but the number is known. ``approval`` None: it needs none."""

    draft: Draft
    reach: Reach
    parts: Parts
    price: Price
    course: Course
    unlikely: int
    about: bool
    strangers: int
    approval: Approval | None
    undo: timedelta


def look(draft: Draft, found: Recipients, reach: Reach, some: Sample) -> Preflight:
    """Reads kept counts, the places on the lists, and what is known of the accounts; sends and keeps nothing."""
    undo = timedelta(seconds=settings.SMSDASH_UNDO_SECONDS)
    parts = forecast.parts(draft, reach, some)
    doubtful = sum(not is_likely(person.number) for person in some.listed)
    listed = reach.kept - reach.typed
    return Preflight(
        draft=draft,
        reach=reach,
        parts=parts,
        price=forecast.price(draft, parts.total),
        course=forecast.course(draft, reach.kept, some, undo),
        unlikely=len(found.unlikely) + (round(doubtful * listed / len(some.listed)) if doubtful else 0),
        about=bool(doubtful) and not some.whole,
        strangers=_share(some.typed, reach.typed) if draft.merges else 0,
        approval=_approval(draft),
        undo=undo,
    )


def _share(typed: Sequence[Person], n: int) -> int:
    unknown = sum(not person.known for person in typed)
    return round(unknown * n / len(typed)) if unknown else 0


def readings(draft: Draft, some: Sample, start: int = 0) -> list[Reading]:
    """What the next three of the sample read, round and round. The longest and the most patchy text come early."""
    people = [*some.listed, *some.typed]
    if not people:
        return []
    text = merging.Text(draft.text) if draft.merges else None

    def of(person: Person) -> Reading:
        written = text.render(person.values) if text else draft.text
        return Reading(person, written, measure(written).parts)

    if text and len(people) > AT_ONCE:
        longest = max(people, key=lambda person: (of(person).parts, len(of(person).text)))
        patchy = max(people, key=lambda person: len(text.gaps(person.values)))
        people = list({person.number: person for person in (people[0], longest, patchy, *people)}.values())
    start %= len(people)
    return [of(person) for person in (people[start:] + people[:start])[:AT_ONCE]]


def _approval(draft: Draft) -> Approval | None:
    if not campaigns.needs_approval(draft):
        return None
    people = get_user_model().objects.with_perm(APPROVE, backend="django.contrib.auth.backends.ModelBackend")
    others = people.exclude(pk=draft.user.pk if draft.user else None).order_by("username")
    names = list(others.values_list("username", flat=True)[:NAMED])
    return Approval(settings.SMSDASH_APPROVAL_ABOVE, names)
