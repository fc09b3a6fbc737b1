"""Which entry of an answer belongs to which message of the request. Providers reorder, rewrite, drop and repeat."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import TypeVar

from . import wire
from .types import Outcome, Outgoing, Problem, Status

Entry = TypeVar("Entry")

NO_RESULT = Problem("no_result", "The answer says nothing about this number; it may have been sent.")


def match(messages: Sequence[Outgoing], entries: Sequence[tuple[str, Entry]]) -> list[Entry | None]:
    """For each message its entry, or None. ``entries`` are pairs of the answer's number and anything.

    By number in any spelling, each entry once. When the counts agree, an entry whose number is none of those
    asked for was rewritten by the provider, and stands for the message left in its order.
    """
    waiting: defaultdict[str, deque[Entry]] = defaultdict(deque)
    asked = {_key(message.number) for message in messages}
    rewritten = deque(entry for number, entry in entries if _key(number) not in asked)
    for number, entry in entries:
        waiting[_key(number)].append(entry)
    found = [_next(waiting[_key(message.number)]) for message in messages]
    if len(entries) == len(messages):
        found = [_next(rewritten) if entry is None else entry for entry in found]
    return found


def missing(message: Outgoing) -> Outcome:
    """The outcome of a message that an otherwise fine answer does not name: nobody can tell."""
    return Outcome(Status.UNCERTAIN, ref=message.ref, number=message.number, problem=NO_RESULT)


def _next(entries: deque[Entry]) -> Entry | None:
    return entries.popleft() if entries else None


def _key(number: str) -> str:
    try:
        return wire.clean_number(number)
    except ValueError:
        return number.strip()
