from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from messaging import ledger, log
from messaging import pages as pages_of
from messaging.ledger import Change
from messaging.log import Filters
from messaging.models import Campaign, Message
from providers.models import ProviderAccount
from providers.types import Status
from tests.base import account, signed_in

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
URL = "/messages/"


def messages(sender: ProviderAccount, count: int = 1, **values: Any) -> list[Message]:
    start = values.pop("first", 0)
    defaults: dict[str, Any] = {"text": "Hello", "status": "delivered"}
    return ledger.insert(
        [Message(account=sender, **{"number": f"+3725550{start + n:04d}", **defaults, **values}) for n in range(count)]
    )


def shown(query: str) -> list[int]:
    return [row.pk for row in pages_of.page(Filters.from_query(QueryDict(query))).rows]


def pages(query: str, direction: str = "older") -> Iterator[pages_of.Page]:
    page = pages_of.page(Filters.from_query(QueryDict(query)))
    yield page
    while following := getattr(page, direction):
        page = pages_of.page(Filters.from_query(QueryDict(following)))
        yield page


def ids(found: list[Message]) -> list[int]:
    return [row.pk for row in reversed(found)]


# --- Pages by id -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 131])
def test_going_back_shows_every_row_once(main: ProviderAccount, count: int) -> None:
    made = messages(main, count)
    seen = [row.pk for page in pages("") for row in page.rows]
    assert seen == ids(made)


@pytest.mark.parametrize("query", ["status=failed", "number=%2B3725550", "q=Hello", "period=today"])
def test_going_back_through_a_filter_shows_every_row_once(main: ProviderAccount, query: str) -> None:
    made = messages(main, 130, status="failed")
    messages(main, 60, number="+4915112345678", text="Other", status="sent", created_at=days_ago(40))
    assert [row.pk for page in pages(query) for row in page.rows] == ids(made)


def test_going_forward_again_shows_every_row_once(main: ProviderAccount) -> None:
    made = messages(main, 160)
    last = list(pages(""))[-1]
    seen = [page.rows for page in pages(last.newer, "newer")]
    assert [row.pk for rows in seen[::-1] for row in rows][: len(made) - 10] == ids(made)[: len(made) - 10]
    assert len(seen[-1]) == pages_of.PAGE


def test_a_message_that_comes_while_reading_moves_no_row(main: ProviderAccount) -> None:
    made = messages(main, 100)
    first = pages_of.page(Filters())
    messages(main, 5, first=200)
    second = pages_of.page(Filters.from_query(QueryDict(first.older)))
    assert [row.pk for row in [*first.rows, *second.rows]] == ids(made)


def test_it_never_counts_or_skips_rows(main: ProviderAccount) -> None:
    messages(main, 120)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for query in ("", "status=failed&account=1", "before=60", "q=Hello", "number=372", "period=week"):
            list(pages(query))
    said = " ".join(query["sql"] for query in queries)
    assert "OFFSET" not in said
    assert "COUNT(*)" not in said


# --- Filters -----------------------------------------------------------------------------------------


def days_ago(days: float) -> datetime:
    return timezone.now() - timedelta(days=days)


def test_filters_work_together(main: ProviderAccount) -> None:
    other = account("Other")
    campaign = Campaign.objects.create(account=main, text="x")
    (wanted,) = messages(main, status="failed", campaign=campaign)
    for values in (
        {"status": "sent", "campaign": campaign},
        {"status": "failed"},
        {"number": "+1212", "status": "failed"},
    ):
        messages(main, **values)
    messages(other, status="failed")
    assert shown(f"status=failed&account={main.pk}&campaign={campaign.pk}&number=372") == [wanted.pk]


@pytest.mark.parametrize(
    "typed", ["+37255512345", "372 555", "00372 555-123", "+372 (555)", "3725551", "+372.555.12345", " 37255512345 "]
)
def test_a_number_is_found_by_its_beginning_in_any_spelling(main: ProviderAccount, typed: str) -> None:
    (wanted,) = messages(main, number="+37255512345")
    messages(main, number="+37355512345")
    query = QueryDict(mutable=True)
    query["q"] = typed
    assert shown(query.urlencode()) == [wanted.pk]


def test_a_number_is_found_as_it_is_dialled_inside_the_country(main: ProviderAccount, settings: Settings) -> None:
    settings.SMSDASH_DEFAULT_REGION = "EE"
    (wanted,) = messages(main, number="+37255512345")
    assert shown("q=55512345") == [wanted.pk]


def test_short_codes_and_named_senders_are_found(main: ProviderAccount) -> None:
    (code,) = messages(main, number="5551", status="received")
    (name,) = messages(main, number="Amazon", status="received")
    assert shown("number=5551") == [code.pk]
    assert shown("number=Ama") == [name.pk]


def test_a_prefix_of_many_numbers_is_found_by_walking(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_of, "FEW", 10)
    made = messages(main, 30)
    messages(main, 5, number="+1212")
    assert shown("number=%2B372") == ids(made)


@pytest.mark.once
def test_a_rare_number_is_found_by_the_index(main: ProviderAccount) -> None:
    with CaptureQueriesContext(connection) as queries:
        shown("number=%2B37255512345")
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + queries[0]["sql"].replace("%", "%%"))
        plan = str(cursor.fetchall())
    assert "message_by_number (number>? AND number<?)" in plan


@pytest.mark.parametrize(("query", "found"), [("q=pie", True), ("q=PIE", True), ("q=%2216%22", True), ("q=16", False)])
def test_texts_are_searched_and_digits_only_in_quotes(main: ProviderAccount, query: str, found: bool) -> None:
    (wanted,) = messages(main, text="Apple pie at 16:30")
    messages(main, text="Cake")
    assert shown(query) == ([wanted.pk] if found else [])


@pytest.mark.parametrize("text", ["100%", "a_b", "\\", "'", '"'])
def test_wildcards_in_a_search_stand_for_themselves(main: ProviderAccount, text: str) -> None:
    (wanted,) = messages(main, text=f"x{text}y")
    messages(main, text="100 acb")
    query = QueryDict(mutable=True)
    query["q"] = text
    assert shown(query.urlencode()) == [wanted.pk]


def test_a_search_looks_at_so_many_rows_at_once_and_goes_on(
    main: ProviderAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_of, "SCAN", 20)
    (wanted,) = messages(main, text="needle")
    messages(main, 50, text="hay")
    found = list(pages("q=needle"))
    assert [len(page.rows) for page in found] == [0, 0, 1]
    assert [page.cut for page in found] == [True, True, False]
    assert found[-1].rows == [wanted]


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("period=hour", [0]),
        ("period=week", [0, 2, 5]),
        ("period=month", [0, 2, 5, 20]),
        ("from={1}", [0]),
        ("from={6}&to={1}", [2, 5]),
        ("to={6}", [20, 100]),
        ("from={300}&to={200}", []),
    ],
)
def test_a_period_shows_what_was_created_in_it(main: ProviderAccount, query: str, days: list[int]) -> None:
    ages = [100, 20, 5, 2, 0]
    made = {age: messages(main, created_at=days_ago(age))[0].pk for age in ages}
    moments = {str(age): f"{timezone.localtime(days_ago(age)):%Y-%m-%dT%H:%M}" for age in (1, 6, 200, 300)}
    query = re.sub(r"\{(\d+)\}", lambda match: moments[match[1]], query)
    assert shown(query) == [made[age] for age in days]


def test_times_in_a_url_are_local(main: ProviderAccount) -> None:
    (row,) = messages(main, created_at=datetime(2026, 1, 5, 10, 30, tzinfo=UTC))
    with timezone.override("Europe/Tallinn"):
        assert shown("from=2026-01-05T12:00&to=2026-01-05T13:00") == [row.pk]
        assert shown("from=2026-01-05T10:00&to=2026-01-05T11:00") == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17, 64])
def test_a_time_becomes_the_first_id(main: ProviderAccount, count: int) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = ledger.insert(
        [Message(account=main, number="+1", text="x", created_at=start + timedelta(hours=n)) for n in range(count)]
    )
    Message.objects.filter(pk__in=[row.pk for row in made[5:9]]).delete()  # gaps do no harm
    left = list(Message.objects.order_by("pk"))
    for moment in (start - timedelta(1), *(row.created_at for row in left), start + timedelta(minutes=90)):
        found = log.first_id(moment)
        assert [row for row in left if row.pk >= found] == [row for row in left if row.created_at >= moment]


@pytest.mark.parametrize(
    "query",
    [
        "account=abc", "account=-1", "account=0", "account=99999999999999999999", "account=%00", "account=٣",
        "campaign=x", "campaign=1.5", "before=x", "before=-5", "before=", "after=%00", "after=1e3",
        "status=nonsense", "status=unknown", "status=%00", "period=century", "from=yesterday", "from=0001-01-01",
        "to=9999-12-31T23:59", "from=2026-13-45", "number=%00", "q=%00", "v=%00", "page=3",
    ],
)  # fmt: skip
def test_values_that_mean_nothing_are_left_out(main: ProviderAccount, query: str) -> None:
    (row,) = messages(main)
    reply = signed_in().get(f"{URL}?{query}")
    assert reply.status_code == 200
    assert f'id="m{row.pk}"' in reply.text


@pytest.mark.parametrize(
    "query",
    ["account=999999999999", "campaign=999999999999", "account=9223372036854775807", "before=1",
     "number=nobody%F0%9F%8E%89", "number=%F4%8F%BF%BF", "q=nowhere", "q=%FF%FE",
     "number=" + "9" * 300, "q=" + "x" * 5000, "from=2999-01-01", "before=1&q=x"],
)  # fmt: skip
def test_filters_that_match_nothing_show_the_empty_state(main: ProviderAccount, query: str) -> None:
    messages(main)
    assert "No message matches these filters." in signed_in().get(f"{URL}?{query}").text


def test_after_the_newest_row_there_is_the_first_page(main: ProviderAccount) -> None:
    made = messages(main, 60)
    assert shown("after=9223372036854775807") == ids(made)[:50]


def test_the_filters_write_themselves_as_they_were_read() -> None:
    query = "status=failed&account=3&campaign=4&number=%2B372&q=%2212%22&period=week&from=2026-01-05T12%3A00&before=9"
    filters = Filters.from_query(QueryDict(query))
    assert Filters.from_query(QueryDict(filters.query(before=filters.before))) == filters


# --- Tabs and version --------------------------------------------------------------------------------


def tabs(query: str) -> dict[str, int | None]:
    filters = Filters.from_query(QueryDict(query))
    return {tab.status: tab.n for tab in log.tabs(filters, log.kept(filters).counts)}


def test_tabs_show_the_kept_counts_of_everything_an_account_or_a_campaign(main: ProviderAccount) -> None:
    other, campaign = account("Other"), Campaign.objects.create(account=main, text="x")
    messages(main, 3, status="failed", campaign=campaign)
    messages(main, 2, status="sent")
    messages(other, 4, status="received")
    assert tabs("") == {"": 9, "queued": 0, "sent": 2, "delivered": 0, "failed": 3, "received": 4}
    assert tabs(f"account={main.pk}") == {"": 5, "queued": 0, "sent": 2, "delivered": 0, "failed": 3}
    assert tabs(f"campaign={campaign.pk}")[""] == 3
    assert tabs("account=999999999999")[""] == 0


@pytest.mark.parametrize("query", ["q=x", "number=372", "period=today", "from=2026-01-01", "account=1&campaign=1"])
def test_tabs_show_no_count_where_none_is_kept(main: ProviderAccount, query: str) -> None:
    messages(main)
    assert set(tabs(query).values()) == {None}


def test_the_version_grows_with_each_change_of_these_rows_alone(main: ProviderAccount) -> None:
    other = account("Other")
    (row,) = messages(main, status="queued")
    mine, theirs, all_of_them = Filters(account=main.pk), Filters(account=other.pk), Filters()
    before = [log.version(filters) for filters in (mine, theirs, all_of_them)]
    ledger.apply([Change(row.pk, Status.SENDING)])
    after = [log.version(filters) for filters in (mine, theirs, all_of_them)]
    assert after[0] > before[0] and after[1] == before[1] and after[2] > before[2]
