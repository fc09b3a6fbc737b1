from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from providers import hours
from providers.hours import Hours, parse

TALLINN = ZoneInfo("Europe/Tallinn")  # +2, in summer +3
SHOP = "Mon-Fri 08:00-20:00, Sat 10:00-18:00"


def at(text: str) -> datetime:
    """``2027-03-28 00:30`` in UTC, as all moments here."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# --- Reading and writing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("", ""),
        (" , ", ""),
        ("00:00-24:00", ""),
        (SHOP, SHOP),
        ("08:00-20:00", "08:00-20:00"),
        ("8-20", "08:00-20:00"),
        ("8.30 – 12", "08:30-12:00"),
        ("monday-FRIDAY 8:00-20:00; Sa 10:00-18:00\n", SHOP),
        ("Mon,Tue, Wed 8-20 thu 8-20 fri 8-20, sat 10-18", SHOP),
        ("Mon, Wed-Fri 8-12, 13-17", "Mon,Wed-Fri 08:00-12:00 13:00-17:00"),
        ("Sat-Mon 9-11", "Mon,Sat-Sun 09:00-11:00"),
        ("Sat 8-12, Sat 11-14, Sat 14-15", "Sat 08:00-15:00"),
        ("20:00-02:00", "20:00-02:00"),
        ("20:00-00:00", "20:00-24:00"),
        ("Sun 20:00-02:00", "Sun 20:00-02:00"),
        ("Mon-Sat 00:00-24:00", "Mon-Sat 00:00-24:00"),
        ("Mon 22:00-24:00, Tue 00:00-06:00", "Mon 22:00-06:00"),
        ("00:00-12:00, 13:00-24:00", "00:00-12:00 13:00-24:00"),
    ],
)
def test_it_reads_what_people_write_and_writes_it_one_way(typed: str, written: str) -> None:
    assert str(parse(typed)) == written
    assert parse(written) == parse(typed)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("lunes 8-9", "“lunes” is neither days nor hours"),
        ("S 8-9", "neither days nor hours"),
        ("Mon-Blue 8-9", "“Mon-Blue” is neither"),
        ("-8", "neither days nor hours"),
        ("always", "Mon-Fri 08:00-20:00, Sat 10:00-18:00"),
        ("8", "“8” is not from one time to another"),
        ("8am-8pm", "Write it as 08:00-20:00"),
        ("8-9-10", "not from one time to another"),
        ("٨-٩", "not from one time to another"),
        ("08:60-20:00", "a time that no clock shows"),
        ("24:00-25:00", "a time that no clock shows"),
        ("8:00-24:01", "a time that no clock shows"),
        ("08:00-08:00", "For the whole day write 00:00-24:00"),
        ("Mon", "The hours of the last days are missing"),
        ("Mon 8-9, Tue", "The hours of the last days are missing"),
        ("8-20, Sat 10-12", "The days of the first hours are missing"),
        (", ".join(f"{h}:{m:02d}-{h}:{m + 9}" for h in range(24) for m in (1, 21, 41)), "more than 200 characters"),
    ],
)
def test_what_it_cannot_read_gets_a_sentence(typed: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(typed)
    assert sentence in str(refused.value) and str(refused.value).endswith(".")


# --- Opening -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment", "opens"),
    [
        ("", "2027-01-15 12:34:56", "2027-01-15 12:34:56"),
        (SHOP, "2027-01-15 06:00", "2027-01-15 06:00"),  # Friday, 08:00 in Tallinn
        (SHOP, "2027-01-15 17:59:59", "2027-01-15 17:59:59"),
        (SHOP, "2027-01-15 05:59:59.5", "2027-01-15 06:00"),
        (SHOP, "2027-01-15 18:00", "2027-01-16 08:00"),
        (SHOP, "2027-01-16 16:00", "2027-01-18 06:00"),
        (SHOP, "2026-12-31 18:30", "2027-01-01 06:00"),
        ("20:00-02:00", "2026-12-31 23:59", "2026-12-31 23:59"),
        ("20:00-02:00", "2027-01-01 00:00", "2027-01-01 18:00"),
        ("Sun 20:00-02:00", "2027-01-17 23:59", "2027-01-17 23:59"),  # Monday 01:59 there
        ("Sun 20:00-02:00", "2027-01-18 00:00", "2027-01-24 18:00"),
        # the clock goes from 03:00 to 04:00 on 28 March 2027, at 01:00 UTC
        ("08:00-20:00", "2027-03-27 20:00", "2027-03-28 05:00"),
        ("03:15-05:00", "2027-03-28 00:30", "2027-03-28 01:00"),
        ("03:15-03:45", "2027-03-28 00:30", "2027-03-29 00:15"),
        ("Sun 03:15-03:45", "2027-03-28 00:30", "2027-04-04 00:15"),
        ("02:30-03:30", "2027-03-28 00:59:59", "2027-03-28 00:59:59"),
        # and from 04:00 back to 03:00 on 31 October 2027, at 01:00 UTC
        ("08:00-20:00", "2027-10-30 20:00", "2027-10-31 06:00"),
        ("03:15-03:30", "2027-10-31 00:20", "2027-10-31 00:20"),
        ("03:15-03:30", "2027-10-31 00:30", "2027-10-31 01:15"),
        ("03:00-03:30", "2027-10-31 00:45", "2027-10-31 01:00"),
        ("02:30-03:30", "2027-10-31 00:45", "2027-10-31 01:00"),
    ],
)
def test_it_opens_by_the_clock_on_the_wall(text: str, moment: str, opens: str) -> None:
    assert parse(text).opening(at(moment), TALLINN) == at(opens)


def test_a_day_that_a_country_leaves_out_opens_nothing() -> None:
    """Samoa went from 29 to 31 December 2011 over the date line: there was no Friday."""
    apia = ZoneInfo("Pacific/Apia")
    assert parse("Fri 08:00-20:00").opening(at("2011-12-30 09:00"), apia) == at("2012-01-05 18:00")
    assert parse("Sat 00:00-20:00").opening(at("2011-12-30 09:00"), apia) == at("2011-12-30 10:00")


def test_the_clock_may_be_given_in_any_zone() -> None:
    moment = datetime(2027, 1, 15, 4, 30, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert parse(SHOP).opening(moment, TALLINN) == at("2027-01-15 06:00")


@pytest.mark.parametrize(
    ("text", "moment", "closes"),
    [
        ("", "2027-01-15 12:00", None),
        (SHOP, "2027-01-15 12:00", "2027-01-15 18:00"),
        (SHOP, "2027-01-15 23:00", "2027-01-15 23:00"),
        ("Mon-Sat 00:00-24:00", "2027-01-15 12:00", "2027-01-16 22:00"),
        ("20:00-03:30", "2027-03-27 20:00", "2027-03-28 01:00"),
        ("20:00-03:30", "2027-10-30 20:00", "2027-10-31 00:30"),
    ],
)
def test_it_closes_by_the_clock_on_the_wall(text: str, moment: str, closes: str | None) -> None:
    assert parse(text).closing(at(moment), TALLINN) == (closes and at(closes))


# --- For every clock ---------------------------------------------------------------------------------

STRETCHES = st.tuples(st.integers(0, hours.WEEK - 1), st.integers(1, 3000))
ZONES = st.sampled_from(
    ["UTC", "Europe/Tallinn", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]
).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))
CHANGES = ["2027-03-28 01:00", "2027-10-31 01:00", "2027-04-03 15:00", "2027-10-02 15:30", "2027-11-07 06:00"]
NEAR_CHANGES = st.builds(
    lambda change, minutes: at(change) + timedelta(minutes=minutes),
    st.sampled_from(CHANGES),
    st.integers(-2000, 200),
)


def some_hours(stretches: list[tuple[int, int]]) -> Hours:
    week = bytearray(hours.WEEK)
    for start, length in stretches:
        for minute in range(start, start + length):
            week[minute % hours.WEEK] = 1
    return Hours(bytes(week))


HOURS = st.lists(STRETCHES, min_size=1, max_size=8).map(some_hours)


def is_open(these: Hours, moment: datetime, zone: ZoneInfo) -> bool:
    shown = moment.astimezone(zone)
    now = shown.weekday() * 1440 + shown.hour * 60 + shown.minute
    return these.week[now] == 1


@given(HOURS)
@example(Hours())
def test_what_is_written_reads_as_the_same_hours(these: Hours) -> None:
    assume(len(str(these)) <= hours.LONGEST)
    assert parse(str(these)) == these


@given(HOURS, MOMENTS | NEAR_CHANGES, ZONES)
def test_it_opens_at_the_first_open_moment(these: Hours, moment: datetime, zone: ZoneInfo) -> None:
    opens = these.opening(moment, zone)
    assert opens >= moment
    assert is_open(these, opens, zone)
    assert these.opening(opens, zone) == opens
    between = range(1, min(3000, int((opens - moment).total_seconds() // 60)))
    assert not any(is_open(these, moment + timedelta(minutes=n), zone) for n in between)
    if opens > moment:
        assert not is_open(these, moment, zone) and not is_open(these, opens - timedelta(microseconds=1), zone)


@given(HOURS, MOMENTS | NEAR_CHANGES, ZONES)
def test_it_stays_open_until_it_closes(these: Hours, moment: datetime, zone: ZoneInfo) -> None:
    opens = these.opening(moment, zone)
    closes = these.closing(opens, zone)
    if closes is None:
        assert these.always
        return
    assert closes > opens and not is_open(these, closes, zone)
    assert is_open(these, closes - timedelta(microseconds=1), zone)


def test_the_zones_to_choose_from_are_places() -> None:
    names = hours.zones()
    assert names[0] == "UTC" and "Europe/Tallinn" in names and "Asia/Kolkata" in names
    assert not [name for name in names[1:] if "/" not in name or name.startswith("Etc/")]
