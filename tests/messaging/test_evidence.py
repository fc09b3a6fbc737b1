"""What may be concluded from a provider's list, against lists of which the truth is known."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from messaging.evidence import PAGE, SURE_AFTER, Case, Evidence, beside
from messaging.models import Message
from providers.types import MessageInfo, Status

pytestmark = pytest.mark.once

START = datetime.fromisoformat("2026-03-28T12:00:00+00:00")
MINUTE = timedelta(minutes=1)
TRAFFIC = 60  # messages, of which the list holds 25
RUN = range(TRAFFIC - PAGE + 1)


def entry(number: str, text: str = "Hello", pk: str = "1", group: str = "") -> MessageInfo:
    return MessageInfo(pk, number, text, Status.SENT, group=group)


def sent(exchange: int, at: datetime, attempts: int = 1) -> Message:
    return Message(status="sent", exchange=exchange, sent_at=at, attempts=attempts)


# --- A list that was cut ---------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    gaps=st.lists(st.integers(0, 90), min_size=TRAFFIC, max_size=TRAFFIC),  # seconds between two hand-overs
    ways=st.lists(st.integers(0, 170), min_size=TRAFFIC, max_size=TRAFFIC),  # and on the way
    strangers=st.sets(st.integers(0, TRAFFIC - 1), max_size=20),
    first=st.sampled_from(RUN),
    off=st.integers(-4, 4),  # how far the message is from an end of the list
    at_its_end=st.booleans(),
)
@example([60] * TRAFFIC, [0] * TRAFFIC, set(), 20, 10, False)
def test_what_it_covers_would_be_in_it(
    gaps: list[int], ways: list[int], strangers: set[int], first: int, off: int, at_its_end: bool
) -> None:
    """A provider numbers messages as they arrive, in whatever order they left, and lists any 25 in a row."""
    left = [START + timedelta(seconds=sum(gaps[: n + 1])) for n in range(TRAFFIC)]
    arrived = sorted(range(TRAFFIC), key=lambda n: left[n] + timedelta(seconds=ways[n]))
    listed = arrived[first : first + PAGE]
    place = min(max(0, first + (PAGE if at_its_end else 0) + off), TRAFFIC - 1)
    ours = {f"{arrived.index(n)}": sent(n + 1, left[n]) for n in listed if n not in {place, *strangers}}
    entries = tuple(entry("+1", pk=f"{arrived.index(n)}") for n in listed)
    handed = {n + 1: left[n] for n in range(TRAFFIC)}
    found = Evidence(entries[::-1], ours, False, handed=handed)
    case = Case(Message(status="uncertain", exchange=place + 1), left[place])
    if found.covers(case):
        assert place in listed


MIDDLE = START + 30 * MINUTE
BEFORE, AFTER = sent(1, MIDDLE - 4 * MINUTE), sent(3, MIDDLE + 4 * MINUTE)
ORDERED = [f"{n}" for n in range(PAGE)]


@pytest.mark.parametrize(
    ("ids", "before", "after", "covers"),
    [
        (ORDERED, BEFORE, AFTER, True),
        (ORDERED[::-1], AFTER, BEFORE, True),
        (["7", *ORDERED[1:]], BEFORE, AFTER, False),
        (["a", *ORDERED[1:]], BEFORE, AFTER, False),
        (ORDERED, BEFORE, BEFORE, False),
        (ORDERED, AFTER, AFTER, False),
        (ORDERED, sent(1, MIDDLE - 2 * MINUTE), AFTER, False),
        (ORDERED, BEFORE, sent(3, MIDDLE + 2 * MINUTE), False),
        (ORDERED, BEFORE, sent(3, MIDDLE + 4 * MINUTE, attempts=2), False),
        (ORDERED, sent(4, MIDDLE - 4 * MINUTE), AFTER, False),
        (ORDERED, BEFORE, sent(0, MIDDLE + 4 * MINUTE), False),
    ],
)
def test_a_cut_list_needs_known_ones_well_before_and_after(
    ids: list[str], before: Message, after: Message, covers: bool
) -> None:
    entries = tuple(entry("+1", pk=pk) for pk in ids)
    handed = {m.exchange: m.sent_at for m in (before, after)}
    found = Evidence(entries, {"1": before, "9": after}, False, handed=handed)  # type: ignore[arg-type]
    assert found.covers(Case(Message(exchange=2), MIDDLE)) is covers
    assert SURE_AFTER == 3 * MINUTE


# --- Neighbours in a request -----------------------------------------------------------------------------


def case(number: str, exchange: int | None = 5) -> Case:
    return Case(Message(number=number, text="Hello", exchange=exchange), START)


A, B = "+15550100001", "+15550100002"
FOUND = (case(A), entry(A, group="g"))


@pytest.mark.parametrize(
    ("missing", "free", "n"),
    [
        ([case(B)], [entry(B, "Helo", group="g")], 1),
        ([case(B)], [entry(B, "Helo", group="other")], 0),
        ([case(B)], [entry(B, "Helo")], 0),
        ([case(B)], [entry("05550100002", "Helo", group="g")], 0),
        ([case(B)], [entry("+15550100003", "Helo", group="g")], 0),
        ([case(B, exchange=6)], [entry(B, "Helo", group="g")], 0),
        ([case(B, exchange=None)], [entry(B, "Helo", group="g")], 0),
        ([case(B)], [entry(B, "Helo", "1", "g"), entry(B, "Hallo", "2", "g")], 0),
        ([case(B), case(B)], [entry(B, "Helo", group="g")], 0),
        ([case(B), case(B, exchange=6)], [entry(B, "Helo", group="g")], 0),
    ],
)
def test_a_neighbour_is_known_where_no_other_could_be(missing: list[Case], free: list[MessageInfo], n: int) -> None:
    assert beside([FOUND], missing, free) == list(zip(missing, free, strict=False))[:n]


def test_without_a_group_nobody_has_neighbours() -> None:
    assert beside([(case(A), entry(A))], [case(B)], [entry(B, "Helo")]) == []
    two = [FOUND, (case(A), entry(A, group="h"))]
    assert beside(two, [case(B)], [entry(B, "Helo", group="g")]) == []
