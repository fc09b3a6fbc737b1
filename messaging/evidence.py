"""What the list that a provider keeps of its messages says of those that are uncertain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils import timezone

from providers.types import MessageInfo, Status

from . import reports
from .models import Message
from .wire_ids import wire_id

SURE_AFTER = timedelta(minutes=3)  # from the hand-over until a provider that does not know a message never will
MARGIN = timedelta(minutes=5)  # by which a provider's clock may differ from ours
PAGE = 25  # a multiple of this many entries may be a list that was cut


@dataclass(frozen=True, slots=True)
class Case:
    """An uncertain message. ``at``: when it was handed over; None: that is not known any more."""

    message: Message
    at: datetime | None

    @property
    def began(self) -> datetime:
        """It was not handed over before."""
        return self.at or self.message.created_at

    @property
    def age(self) -> timedelta:
        return timezone.now() - self.began


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a provider's list says. ``ours``: the messages whose entries are known, by the provider's ids; ``handed``:
    when the requests with them left, by exchange, as far as that is kept.

    ``dated``: no earlier message of ours could be in it, so the entries' own times must do. ``doubtful``: of ours those
    that could be another one as well, which says the same to the same person much later.
    """

    entries: tuple[MessageInfo, ...]
    ours: Mapping[str, Message]
    dated: bool
    doubtful: tuple[MessageInfo, ...] = ()
    handed: Mapping[int, datetime] = field(default_factory=dict)

    def covers(self, case: Case) -> bool:
        """Would the message surely be in it, had the provider taken it?

        What is known to have been handed over before shows that the list reaches back so far. One that may have been
        cut is a run of the provider's ids: some minutes before and some minutes after must be in it.
        """
        known = self.ours.values()
        if len(self.entries) % PAGE == 0:
            around = any(_is_before(m, case, SURE_AFTER) for m in known) and any(self._is_after(m, case) for m in known)
            return around and self._is_by_id()
        if self.dated and case.at:
            return any(entry.sent_at and entry.sent_at < case.at - MARGIN for entry in self.entries)
        return any(_is_before(m, case) for m in known)

    def _is_after(self, m: Message, case: Case) -> bool:
        """Surely handed over later, and once only, by so much that the provider has the other one for long."""
        at = self.handed.get(m.exchange or 0)
        if not at or not case.at or not case.message.exchange or m.attempts > 1:
            return False
        return at > case.at + SURE_AFTER and _in_order(case.message, m)

    def _is_by_id(self) -> bool:
        """Are the entries in the order of their ids, or in the opposite one?"""
        if not all(entry.id.isascii() and entry.id.isdigit() for entry in self.entries):
            return False
        steps = [int(later.id) - int(entry.id) for entry, later in pairwise(self.entries)]
        return all(step > 0 for step in steps) or all(step < 0 for step in steps)

    def free(self) -> list[MessageInfo]:
        """The entries that no message of ours has, in the order of their times."""
        found = [e for e in self.entries if e.status is not Status.RECEIVED and wire_id(e.id) not in self.ours]
        return sorted((e for e in found if wire_id(e.id)), key=lambda e: e.sent_at or timezone.now())


def _is_before(m: Message, case: Case, by: timedelta = timedelta()) -> bool:
    """Surely handed over earlier, by more than ``by``: by our clock, which may be set anew, and by the exchanges.

    What was received has its time from the provider's clock."""
    if m.status == Status.RECEIVED or not m.sent_at or not case.at:
        return False
    return m.sent_at + by < case.at and _in_order(m, case.message)


def _in_order(first: Message, second: Message) -> bool:
    """Their exchanges say nothing else. They are numbered as they leave."""
    return first.exchange is None or second.exchange is None or first.exchange < second.exchange


# --- Which entry is which message ------------------------------------------------------------------------

Pair = tuple[Case, MessageInfo]


def beside(found: Sequence[Pair], missing: Sequence[Case], free: Sequence[MessageInfo]) -> list[Pair]:
    """What is known by its neighbours: the provider names the messages of a request by one group, so an entry of the
    group with the number of one of the others is that one, whatever became of its text. Only where no other could be.
    """
    groups: dict[int, set[str]] = defaultdict(set)
    for case, entry in found:
        if case.message.exchange and entry.group:
            groups[case.message.exchange].add(entry.group)
    pairs: list[Pair] = []
    for case in missing:
        group = groups.get(case.message.exchange or 0, set())
        entries = [entry for entry in free if entry.group in group and could_be(case, entry)]
        rivals = [other for other in missing if alike(other.message.number, case.message.number)]
        if len(group) == len(entries) == len(rivals) == 1 and _same_number(case, entries[0]):
            pairs.append((case, entries[0]))
    return pairs


def is_it(case: Case, entry: MessageInfo) -> bool:
    return (
        _same_number(case, entry)
        and plain(entry.text) == plain(case.message.text)
        and (entry.sent_at is None or entry.sent_at >= case.began - MARGIN)
    )


def _same_number(case: Case, entry: MessageInfo) -> bool:
    return reports.digits(entry.number) == reports.digits(case.message.number)


def could_be(case: Case, entry: MessageInfo) -> bool:
    """The same number in another spelling, with another text or with a strange time."""
    return alike(entry.number, case.message.number)


def alike(number: str, other: str) -> bool:
    return reports.digits(number)[-7:] == reports.digits(other)[-7:]


def plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()
