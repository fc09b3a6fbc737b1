"""The times that are typed into forms, read by a clock that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from messaging import forms

pytestmark = pytest.mark.once

ZONES = ["UTC", "Europe/Tallinn", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]
CHANGES = ["2027-03-28T01:00", "2027-10-31T01:00", "2027-03-14T07:00", "2027-11-07T06:00", "2027-10-02T15:30"]
MOMENTS = st.builds(
    lambda change, minutes: datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(minutes=minutes),
    st.sampled_from(CHANGES),
    st.integers(-300, 300),
)


@given(MOMENTS, st.sampled_from(ZONES).map(ZoneInfo))
def test_a_time_that_a_clock_shows_once_is_that_moment_and_no_other_is_taken(moment: datetime, zone: ZoneInfo) -> None:
    shown = moment.astimezone(zone).replace(tzinfo=None)
    hours = [moment + timedelta(minutes=minutes) for minutes in (-60, -30, 30, 60)]
    twice = any(other.astimezone(zone).replace(tzinfo=None) == shown for other in hours)
    if twice:
        with pytest.raises(ValueError, match="twice"):
            forms.on_the_clock(shown.isoformat(), zone)
    else:
        assert forms.on_the_clock(shown.isoformat(), zone) == moment


@pytest.mark.parametrize(
    ("shown", "zone", "instead"),
    [
        ("2027-10-03T02:15", "Australia/Lord_Howe", "02:45"),
        ("2027-03-28T01:30", "Europe/London", "02:30"),
    ],
)
def test_a_time_that_is_left_out_is_refused(shown: str, zone: str, instead: str) -> None:
    with pytest.raises(ValueError, match=f"There is no .* {instead} is the same moment"):
        forms.on_the_clock(shown, ZoneInfo(zone))


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [("2027-03-28T04:05", None), ("2027-03-28T02:50", "is over"), ("2028-03-29T12:00", "more than a year ahead")],
)
def test_what_is_over_is_judged_by_moments_not_by_clocks(shown: str, sentence: str | None) -> None:
    """At 02:56 the next minutes lead to 04:05: nine minutes from now."""
    with time_machine.travel(datetime(2027, 3, 28, 0, 56, tzinfo=UTC)):
        if sentence:
            with pytest.raises(ValueError, match=sentence):
                forms.local_time(shown, ZoneInfo("Europe/Tallinn"))
        else:
            assert forms.local_time(shown, ZoneInfo("Europe/Tallinn")) == datetime(2027, 3, 28, 1, 5, tzinfo=UTC)
