"""Pages that are merged from several indexes, and slices of a filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from messaging import ledger, pages
from messaging.ledger import Change
from messaging.log import Filters
from messaging.models import Campaign, Message
from providers.models import ProviderAccount
from providers.types import Status
from tests.base import account

pytestmark = pytest.mark.django_db
STATUSES = ("delivered", "failed", "received", "queued", "sent")
MANY = 420


@pytest.fixture
def made() -> list[Message]:
    """Messages of three accounts, in turn, in five statuses; each fourth in a campaign of the first."""
    accounts = [account(f"Account {n}") for n in range(3)]
    campaign = Campaign.objects.create(account=accounts[0], text="x")
    return ledger.insert(
        [
            Message(
                account=accounts[n % 3],
                campaign=campaign if n % 4 == 0 else None,
                number=f"+1212555{n:04d}",
                text=f"Guest {n}",
                status=STATUSES[n // 3 % 5],
                device="phone-1" if n % 5 == 0 else "",
                sim=n % 2,
            )
            for n in range(MANY)
        ]
    )


def filled(query: str) -> Filters:
    """``{first}`` and ``{campaign}`` stand for the ids of the account and the campaign that are there."""
    first, campaign = ProviderAccount.objects.earliest("pk"), Campaign.objects.get()
    return Filters.from_query(QueryDict(query.format(first=first.pk, campaign=campaign.pk)))


def walk(filters: Filters, direction: str = "older") -> Iterator[pages.Page]:
    page = pages.page(filters)
    yield page
    while query := getattr(page, direction):
        page = pages.page(Filters.from_query(QueryDict(query)))
        yield page


def wanted(made: Iterable[Message], filters: Filters) -> list[int]:
    """What the filters mean, the slow way, newest first."""
    return [
        row.pk
        for row in reversed(list(made))
        if row.status in filters.statuses
        and filters.account in (None, row.account_id)
        and filters.campaign in (None, row.campaign_id)
        and row.number.startswith(filters.number)
        and filters.text.lower() in row.text.lower()
        and filters.device in ("", row.device)
        and filters.sim in (None, row.sim)
    ]


QUERIES = [
    "status=failed",
    "account={first}",
    "account={first}&status=received",
    "account={first}&direction=out",
    "direction=in",
    "direction=out",
    "direction=in&status=failed",
    "campaign={campaign}&status=failed",
    "campaign={campaign}&account={first}&status=delivered",
    "status=failed&number=%2B12125550",
    "status=failed&q=guest",
    "account={first}&q=guest+1",
    "status=delivered&device=phone-1",
    "device=phone-1&sim=0",
    "sim=1",
    "status=canceled",
]


@pytest.mark.parametrize("most", [pages.MOST, 0])
@pytest.mark.parametrize("query", QUERIES)
def test_every_row_of_a_filter_is_shown_once(
    made: list[Message], query: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST", most)  # none is merged
    filters = filled(query)
    found = list(walk(filters))
    assert [row.pk for page in found for row in page.rows] == wanted(made, filters)
    if filters.after is None and found[-1].newer:
        seen = [row.pk for page in list(walk(filled(found[-1].newer), "newer"))[::-1] for row in page.rows]
        assert seen[: pages.PAGE] == wanted(made, filters)[: pages.PAGE]


@pytest.mark.parametrize("query", ["status=failed&q=guest", "q=guest", "device=phone-1&account={first}"])
def test_a_search_that_breaks_off_loses_nothing(
    made: list[Message], query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SCAN", 30)
    filters = filled(query)
    found = list(walk(filters))
    assert len(found) > len(wanted(made, filters)) // pages.PAGE + 1
    assert [row.pk for page in found for row in page.rows] == wanted(made, filters)


@pytest.mark.parametrize("few", [pages.FEW, 10])
def test_numbers_are_found_both_ways_within_a_status(
    made: list[Message], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FEW", few)
    filters = filled("status=delivered&number=%2B12125550")
    assert [row.pk for page in walk(filters) for row in page.rows] == wanted(made, filters)


def test_a_campaign_is_walked_by_its_own_index_where_that_is_shorter(made: list[Message]) -> None:
    campaign = Campaign.objects.get()
    with CaptureQueriesContext(connection) as queries:
        pages.page(Filters(campaign=campaign.pk, status="failed"))
    assert "UNION" in queries[-1]["sql"]
    ledger.insert([Message(account=row.account, number="+1", text="x", status="failed") for row in made])
    with CaptureQueriesContext(connection) as queries:
        pages.page(Filters(campaign=campaign.pk, status="failed"))
    assert "UNION" not in queries[-1]["sql"]


@pytest.mark.once
def test_each_part_of_a_merge_is_walked_by_the_index_of_both(made: list[Message]) -> None:
    with CaptureQueriesContext(connection) as queries:
        pages.page(Filters(status="failed"))
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN QUERY PLAN " + queries[-1]["sql"].replace("%", "%%"))
        plan = [row[3] for row in cursor.fetchall()]
    walked = "SEARCH U0 USING COVERING INDEX message_by_account_status (account_id=? AND status=?)"
    assert plan.count(walked.replace("U0", "messaging_message")) == 3
    assert not [line for line in plan if line.startswith("SCAN messaging_message")]


def test_a_slice_is_the_newest_below_an_id_that_are_in_these_statuses(made: list[Message]) -> None:
    failed = wanted(made, Filters(status="failed"))
    top = made[-1].pk + 1
    first, edge = pages.ids(Filters(), {"failed"}, top, 20)
    assert (first, edge) == (failed[:20], failed[19])
    assert pages.ids(Filters(), {"failed"}, edge or 0, 1000) == (failed[20:], None)
    assert pages.ids(Filters(status="sent"), {"failed"}, top, 20) == ([], None)


def test_a_message_that_moves_moves_in_the_log(made: list[Message]) -> None:
    row = next(row for row in reversed(made) if row.status == "queued")
    ledger.apply([Change(row.pk, Status.CANCELED)])
    assert [found.pk for found in pages.page(Filters(status="canceled")).rows] == [row.pk]


@pytest.mark.usefixtures("still")
def test_the_fixed_query_means_the_same_at_any_time() -> None:
    filters = Filters(status="failed", period="hour", text="12")
    read = Filters.from_query(QueryDict(filters.fixed))
    assert (read.status, read.text, read.period) == ("failed", "12", "")
    start = filters.span[0]
    assert read.start and start and abs((read.start - start).total_seconds()) < 1
