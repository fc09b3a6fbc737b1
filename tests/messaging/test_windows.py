from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from messaging import windows
from messaging.campaigns import Draft
from messaging.models import Campaign
from providers.models import ProviderAccount

pytestmark = pytest.mark.once

ESTONIA, JAPAN, PORTUGAL, RUSSIA, SHORT = "+37255512345", "+819012345678", "+351912345678", "+79161234567", "5551"
MONDAY = datetime(2027, 1, 18, tzinfo=UTC)
DAY = "08:00-20:00"


def account(hours: str = "", zone: str = "Europe/Tallinn") -> ProviderAccount:
    return ProviderAccount(name="Main", kind="smsprovider", hours=hours, zone=zone)


def campaign(hours: str = "", **values: Any) -> Campaign:
    return Campaign(text="x", hours=hours, **values)


def by_recipient(hours: str = DAY, **values: Any) -> Campaign:
    return campaign(hours, by_recipient=True, **values)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def first(own: ProviderAccount, its: Campaign | None, number: str = ESTONIA, moment: datetime = MONDAY) -> datetime:
    return windows.earliest(own, its, [number], moment)[0]


# --- The account's and the campaign's hours ----------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "its", "opens"),
    [
        (account(), None, MONDAY),
        (account(DAY), None, at("2027-01-18 06:00")),
        (account(DAY, ""), None, at("2027-01-18 08:00")),  # the server's clock: UTC
        (account(DAY), campaign(), at("2027-01-18 06:00")),
        (account(), campaign(DAY), at("2027-01-18 06:00")),
        (account(), campaign(DAY, zone="America/New_York"), MONDAY),  # Sunday 19:00 there
        (account(), campaign(DAY, zone="America/Halifax"), at("2027-01-18 12:00")),
        (account(DAY), campaign("10:00-22:00"), at("2027-01-18 08:00")),
        (account(DAY), campaign("Tue 19:00-23:00"), at("2027-01-19 17:00")),
        (account(DAY), campaign(DAY, zone="America/New_York"), at("2027-01-18 13:00")),
        (account("Mon-Fri 08:00-20:00"), campaign("Sat-Mon 18:00-02:00"), at("2027-01-18 16:00")),
        # never both: the account's hours are obeyed
        (account("Mon-Fri 08:00-20:00"), campaign("Sat 08:00-20:00"), at("2027-01-18 06:00")),
        # urgent: the account's alone
        (account(DAY), campaign("Sat 08:00-20:00", priority=1), at("2027-01-18 06:00")),
        (account(), campaign("Sat 08:00-20:00", priority=1), MONDAY),
    ],
)
def test_both_hours_are_open(own: ProviderAccount, its: Campaign | None, opens: datetime) -> None:
    assert first(own, its) == opens


def test_the_servers_clock_is_that_of_its_settings(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    assert first(account(DAY, ""), None, moment=at("2027-01-18 12:00")) == at("2027-01-18 23:00")
    assert first(account("", ""), campaign(DAY), moment=at("2027-01-18 12:00")) == at("2027-01-18 23:00")


def test_both_hours_are_open_through_a_change_of_the_clock() -> None:
    own, its = account("Sun 03:00-05:00"), campaign("Sun 03:30-04:30")
    assert first(own, its, moment=at("2027-03-28 00:10")) == at("2027-03-28 01:00")
    assert first(own, its, moment=at("2027-10-31 00:10")) == at("2027-10-31 00:30")
    assert first(own, campaign("Sun 03:30-03:40"), moment=at("2027-10-31 00:50")) == at("2027-10-31 01:30")


# --- By the recipients' clocks -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "its", "number", "moment", "opens"),
    [
        (account(), by_recipient(), ESTONIA, "2027-01-18 12:00", "2027-01-18 12:00"),
        (account(), by_recipient(), JAPAN, "2027-01-18 12:00", "2027-01-18 23:00"),
        (account(DAY), by_recipient(), JAPAN, "2027-01-18 12:00", "2027-01-19 06:00"),
        (account(), by_recipient(), PORTUGAL, "2027-01-18 08:30", "2027-01-18 09:00"),  # 08:00 in the Azores
        (account(), by_recipient(), RUSSIA, "2027-01-18 12:00", "2027-01-19 06:00"),  # 18:00 in Kamchatka
        # nobody in Russia is awake when the others are: the account's clock
        (account(), by_recipient("10:00-18:00"), RUSSIA, "2027-01-18 12:00", "2027-01-18 12:00"),
        (account(), by_recipient("10:00-18:00"), RUSSIA, "2027-01-18 16:00", "2027-01-19 08:00"),
        # a country that is not known: the account's clock, whatever the campaign's
        (account(), by_recipient(zone="Asia/Tokyo"), SHORT, "2027-01-18 05:00", "2027-01-18 06:00"),
        # only the account's hours are obeyed where the recipient's never meet them
        (account("08:00-12:00"), by_recipient("20:00-22:00"), JAPAN, "2027-01-18 12:00", "2027-01-19 06:00"),
        (account("08:00-12:00"), by_recipient("10:00-14:00"), JAPAN, "2027-01-18 06:00", "2027-01-18 08:00"),
        (account(), by_recipient(priority=1), JAPAN, "2027-01-18 12:00", "2027-01-18 12:00"),
    ],
)
def test_hours_by_the_recipients_clock(
    own: ProviderAccount, its: Campaign, number: str, moment: str, opens: str
) -> None:
    assert first(own, its, number, at(moment)) == at(opens)


def test_each_number_has_its_own_moment() -> None:
    moments = windows.earliest(account(), by_recipient(), [JAPAN, ESTONIA, JAPAN, SHORT], at("2027-01-18 12:00"))
    assert moments == [at("2027-01-18 23:00"), at("2027-01-18 12:00"), at("2027-01-18 23:00"), at("2027-01-18 12:00")]


@pytest.mark.django_db
def test_it_is_quick_for_many_numbers_and_asks_no_database(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    numbers = [f"+3725{n:07d}" for n in range(40_000)] + [f"+1212555{n % 10_000:04d}" for n in range(10_000)]
    start = time.process_time()
    with django_assert_num_queries(0):
        assert len(windows.earliest(account(DAY), by_recipient(), numbers, MONDAY)) == len(numbers)
    assert time.process_time() - start < 5  # 0.1 s on an idle core


# --- Closed, and never open --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "until"), [("", None), ("02:00-08:00", None), (DAY, at("2027-01-18 06:00")), ("03:00-02:00", "01:00")]
)
def test_an_account_is_closed_until_its_hours_begin(hours: str, until: Any) -> None:
    until = at(f"2027-01-18 {until}") if isinstance(until, str) else until
    assert windows.closed_until(account(hours), MONDAY) == until


@pytest.mark.parametrize(
    ("own", "its", "numbers", "words"),
    [
        (account(DAY), campaign(DAY), [], ""),
        (account(DAY), campaign(), [], ""),
        (
            account("Mon-Fri 08:00-20:00"),
            campaign("Sat 08:00-20:00"),
            [],
            "are never Sat 08:00-20:00 in Europe/Tallinn",
        ),
        (account("08:00-12:00"), campaign("08:00-12:00", zone="Asia/Tokyo"), [], "in Asia/Tokyo"),
        (account("Mon-Fri 08:00-20:00"), campaign("Sat 08:00-20:00", priority=1), [], ""),
        (account("08:00-12:00"), by_recipient("20:00-22:00"), [ESTONIA, JAPAN], "20:00-22:00 in"),
        (account("08:00-12:00"), by_recipient("14:00-18:00"), [JAPAN], ""),
        (account("08:00-12:00"), by_recipient("10:00-14:00"), [JAPAN, ESTONIA], "10:00-14:00 in Asia/Tokyo"),
        (account(DAY), by_recipient("10:00-18:00"), [RUSSIA, SHORT], ""),
        (account("20:00-24:00"), by_recipient("10:00-18:00"), [RUSSIA], "in Europe/Tallinn"),
    ],
)
def test_hours_that_never_meet_get_a_sentence(
    own: ProviderAccount, its: Campaign, numbers: list[str], words: str
) -> None:
    sentence = windows.never_open(own, its, numbers, MONDAY)
    assert words in sentence and bool(words) == bool(sentence)


def test_it_judges_a_draft_too() -> None:
    draft = Draft(account=account("Mon 08:00-20:00"), numbers=[ESTONIA], text="x", hours="Sat 08:00-20:00")
    assert windows.never_open(draft.account, draft, draft.numbers, MONDAY).startswith("The account Main sends at Mon")
