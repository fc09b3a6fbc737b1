"""The list of campaigns, the page of one, and what is done there."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from contacts.models import ContactList
from messaging import campaign_facts, campaign_pages, conduct, expanding, ledger, parking
from messaging.campaign_pages import Filters
from messaging.models import Campaign, Message
from messaging.templatetags import campaigns as tags
from providers.models import ProviderAccount
from providers.types import Status
from tests.base import account, dated, person, signed_in

from .campaign_rows import URL, at, campaign, messages, text_of

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}


def shown(query: str = "") -> list[int]:
    return [row.campaign.pk for row in campaign_pages.page(Filters.from_query(QueryDict(query))).rows]


def poll_url(page: str) -> str:
    path = html.unescape(re.search(r'hx-get="(/campaigns/[^"]*)" hx-vals', page)[1])  # type: ignore[index]
    version = re.search(r'"v": "([^"]*)"', page)[1]  # type: ignore[index]
    return f"{path}{'&' if '?' in path else '?'}v={version}"


# --- Which campaigns ---------------------------------------------------------------------------------


def test_a_text_to_one_number_is_no_campaign(main: ProviderAccount) -> None:
    campaign(main, {"sent": 1}, name="")
    named = campaign(main, {"sent": 1})
    several = campaign(main, {"sent": 2}, name="")
    to_a_list = campaign(main, {"sent": 1}, name="", cursor=expanding.END)
    under_way = campaign(main, {}, name="", total=1, complete=False)
    assert shown() == [under_way.pk, to_a_list.pk, several.pk, named.pk]


def test_single_messages_are_left_out_by_an_index(main: ProviderAccount) -> None:
    Campaign.objects.bulk_create(
        Campaign(account=main, text="x", total=1, name="Sale" if n % 500 == 0 else "", complete=True)
        for n in range(3_000)
    )
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as asked:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE messaging_campaign")
        assert len(shown()) == 6
        (sql,) = [query["sql"] for query in asked if "ORDER BY" in query["sql"]]
        cursor.execute({"postgresql": "EXPLAIN ", "sqlite": "EXPLAIN QUERY PLAN "}[connection.vendor] + sql)
        assert "campaign_shown" in str(cursor.fetchall())


@pytest.mark.parametrize("query", ["", "q=sale", "state=finished"])
def test_going_through_the_pages_shows_each_once(main: ProviderAccount, query: str) -> None:
    made = [campaign(main).pk for _ in range(60)][::-1]
    pages = [campaign_pages.page(Filters.from_query(QueryDict(query)))]
    while pages[-1].older:
        pages.append(campaign_pages.page(Filters.from_query(QueryDict(pages[-1].older))))
    assert [row.campaign.pk for page in pages for row in page.rows] == made
    assert [len(page.rows) for page in pages] == [25, 25, 10]
    back = campaign_pages.page(Filters.from_query(QueryDict(pages[-1].newer)))
    assert [row.campaign.pk for row in back.rows] == made[25:50]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("state=sending", ["preparing", "uncertain", "going"]),
        ("state=finished", ["over"]),
        ("state=paused", ["paused"]),
        ("state=approval", ["asking"]),
        ("state=canceled", ["canceled"]),
        ("state=<script>", ["preparing", "uncertain", "canceled", "asking", "paused", "over", "going"]),
        ("q=PAUSED", ["paused"]),
        ("q=uncertain text", ["uncertain"]),
        ("q=paused&state=finished", []),
        ("q=%25", []),
    ],
)
def test_it_filters_by_state_and_words(main: ProviderAccount, query: str, found: list[str]) -> None:
    campaign(main, {"delivered": 1, "queued": 1}, name="going")
    campaign(main, {"delivered": 1, "failed": 1, "sent": 1, "canceled": 1}, name="over")
    campaign(main, {"scheduled": 2}, name="paused", state="paused")
    campaign(main, {}, name="asking", state="approval", total=3)
    campaign(main, {"canceled": 3}, name="canceled", state="canceled")
    campaign(main, {"uncertain": 1}, name="uncertain", text="An Uncertain Text")
    campaign(main, {"sent": 1}, name="preparing", complete=False, total=5)
    names = dict(Campaign.objects.values_list("pk", "name"))
    assert [names[pk] for pk in shown(query)] == found


def test_a_filter_shows_the_state_that_the_page_tells(main: ProviderAccount) -> None:
    """The filters ask the database, the page asks conduct.py."""
    for statuses in ({"queued": 1}, {"uncertain": 1}, {"delivered": 1}, {"sending": 1, "sent": 3}, {"expired": 2}):
        for complete in (True, False):
            campaign(main, statuses, complete=complete)
    for row in campaign_pages.page(Filters()).rows:
        assert (row.state == "finished") == (row.campaign.pk in shown("state=finished"))


def test_a_search_looks_at_so_many_and_goes_on(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_pages, "SCAN", 10)
    oldest = campaign(main, name="Needle")
    for _ in range(15):
        campaign(main, {})
    page = text_of(signed_in(), f"{URL}?q=needle")
    assert "Older ones have not been looked at yet" in page
    older = re.search(r'rel="next" href="([^"]*)"', page)[1]  # type: ignore[index]
    assert shown(older.partition("?")[2]) == [oldest.pk]


# --- The list ----------------------------------------------------------------------------------------


def test_a_row_says_how_far_it_is_and_where_it_goes(main: ProviderAccount) -> None:
    one = campaign(main, {"delivered": 5, "failed": 2, "queued": 3, "uncertain": 1}, created_by=person("bob"))
    page = text_of(signed_in(), URL)
    assert f'href="{at(one)}"' in page and "Sale" in page and "Main" in page and "bob" in page
    assert "5 of 11 sent" in page and "2 failed" in page and "1 uncertain" in page
    assert 'aria-label="Delivered: 5, Uncertain: 1, Failed: 2, Waiting: 3"' in page


def test_an_empty_list_says_what_to_do(main: ProviderAccount) -> None:
    client = signed_in()
    assert "No campaign yet." in text_of(client, URL)
    campaign(main)
    page = text_of(client, f"{URL}?state=paused")
    assert "No campaign matches these filters." in page and f'href="{URL}"' in page


def test_what_is_running_is_polled_and_what_is_over_is_not(main: ProviderAccount) -> None:
    client = signed_in()
    campaign(main, {"failed": 1})
    assert "every 3s" not in text_of(client, URL)
    (waiting,) = messages(campaign(main, {}, total=1), {"queued": 1})
    url = poll_url(client.get(URL).text)
    assert client.get(url, **HTMX).status_code == 204
    ledger.apply([ledger.Change(waiting.pk, Status.SENT)])
    reply = client.get(url, **HTMX)
    assert reply.status_code == 200 and "<html" not in reply.text and "1 of 1 sent" in reply.text


def test_a_change_of_the_filters_is_a_fragment_and_a_tidy_address(main: ProviderAccount) -> None:
    campaign(main)
    reply = signed_in().get(f"{URL}?q=sale&state=", **HTMX)
    assert "<html" not in reply.text and reply["HX-Push-Url"] == f"{URL}?q=sale"


@pytest.mark.parametrize(("query", "n"), [("", 4), ("?q=sale", 5), (f"?before={2**62}", 4)])
def test_the_list_asks_the_same_few_questions_however_long_it_is(
    main: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries, query: str, n: int
) -> None:
    for _ in range(30):
        campaign(main, created_by=person(f"p{_}"))
    client = signed_in()
    with django_assert_num_queries(n) as asked:  # session, person, campaigns, counts; where a search ends
        client.get(URL + query)
    assert not any("count(" in query["sql"].lower() or "recipients" in query["sql"] for query in asked)


# --- The page of one ---------------------------------------------------------------------------------

EVERY = {"scheduled": 1, "queued": 2, "sending": 1, "sent": 3, "delivered": 4, "failed": 2, "expired": 1,
         "canceled": 2, "uncertain": 1}  # fmt: skip


def test_the_parts_add_up_to_the_recipients_and_lead_into_the_log(main: ProviderAccount) -> None:
    one = campaign(main, EVERY, skipped={"opted_out": 4, "duplicate": 1})
    Campaign.objects.filter(pk=one.pk).update(total=one.total + 6, complete=False)
    page = signed_in().get(at(one))
    parts = {str(part.label): part.n for part in page.context["parts"]}
    assert parts == {"Sent": 7, "Failed": 3, "Uncertain": 1, "Skipped": 5, "Canceled": 2, "Waiting": 10}
    assert sum(parts.values()) == page.context["balance"].recipients == one.total + 6
    assert "Not prepared yet 6" in page.text
    for status, n in EVERY.items():
        words = campaign_facts.WORDS[status]
        assert f'?campaign={one.pk}&amp;status={status}">{words} {n}</a>' in page.text
    assert "They opted out." in page.text


def test_the_bar_shows_whatever_there_is_however_little(main: ProviderAccount) -> None:
    balance = campaign_pages.standing([campaign(main, {"failed": 1, "delivered": 9}, total=1_000_000)])[0].balance
    segments = {one.kind: one for one in tags.segments(balance, {"failed": 1, "delivered": 9})}
    assert segments["failed"].width > 3 and segments["waiting"].width > 980
    assert round(sum(one.width for one in segments.values())) == tags.WIDTH
    assert segments["failed"].status == "failed" and segments["waiting"].status == ""


@pytest.mark.parametrize(
    ("n", "total", "words"),
    [
        (0, 0, "0\u202f%"),
        (1, 3, "33.3\u202f%"),
        (1, 1_000_000, "< 0.1\u202f%"),
        (999_999, 1_000_000, "> 99.9\u202f%"),
        (5, 5, "100\u202f%"),
    ],
)
def test_a_share_never_looks_like_none_or_all_of_it(n: int, total: int, words: str) -> None:
    assert tags.share(n, total) == words


def test_failures_are_grouped_by_reason(main: ProviderAccount) -> None:
    one, other = campaign(main, {}, total=8), campaign(main, {})
    backup = account("Backup")
    messages(one, {"failed": 2}, error_code="blocked", error_text="Refused")
    messages(other, {"failed": 5}, error_code="blocked", error_text="Refused")
    messages(one, {"failed": 1}, account_id=backup.pk, error_code="blocked", error_text="Refused")
    messages(one, {"expired": 2}, error_text="Too late")
    messages(one, {"failed": 1}, error_text="Phone off")
    found = campaign_facts.failures(one, 6)
    assert {(r.code, r.text, r.n) for r in found.reasons} == {
        ("blocked", "Refused", 3), ("", "Too late", 2), ("", "Phone off", 1)
    }  # fmt: skip
    assert (found.reasons[0].n, found.cut) == (3, False)


def test_only_the_latest_failures_are_looked_at(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_facts, "SAMPLE", 3)
    one = campaign(main, {}, total=5)
    messages(one, {"failed": 2}, error_code="old")
    messages(one, {"failed": 3}, error_code="new")
    found = campaign_facts.failures(one, 5)
    assert [(r.code, r.n) for r in found.reasons] == [("new", 3)] and found.cut
    messages(campaign(main, {}), {"failed": 9}, error_code="other")
    assert [(r.code, r.n) for r in campaign_facts.failures(one, 5).reasons] == [("new", 3)]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"state": "paused", "state_by": "bob", "state_reason": "Wrong link"}, ("Paused by bob.", "Wrong link")),
        ({"state": "paused", "state_reason": "50 failed in a row."}, ("It paused by itself.", "50 failed in a row.")),
        ({"state": "canceled", "state_by": "bob"}, ("Canceled by bob.",)),
        ({"state": "approval"}, ("Until a second person approves it, nothing is sent.",)),
        ({}, ("It is being sent.",)),
        ({"complete": False, "total": 9}, ("The messages are being prepared",)),
        ({"due_at": timedelta(days=2)}, ("It begins at",)),
    ],
)
def test_the_state_is_told_in_words(main: ProviderAccount, values: dict[str, Any], words: tuple[str, ...]) -> None:
    page = text_of(signed_in(), at(campaign(main, {"queued": 2}, **dated(values))))
    assert all(word in page for word in words)


def test_it_names_lists_text_and_account_and_escapes_them(main: ProviderAccount) -> None:
    evil = "<script>alert(1)</script>"
    one = campaign(main, {"failed": 1}, name=evil, text=evil, state="paused", state_reason=evil, state_by=evil)
    guests = ContactList.objects.create(name=f"Guests {evil}")
    one.lists.add(guests)
    client = signed_in()
    for url in (URL, at(one), "/"):
        page = client.get(url).text
        assert "<script>alert" not in page and ("&lt;script&gt;alert" in page or url == "/")
    assert f'href="/lists/{guests.pk}/"' in client.get(at(one)).text


def test_a_poll_is_the_fragment_when_something_changed_and_ends_when_all_is_known(main: ProviderAccount) -> None:
    one = campaign(main, {}, total=1)
    (waiting,) = messages(one, {"queued": 1})
    client = signed_in()
    url = poll_url(client.get(at(one)).text)
    assert (reply := client.get(url, **HTMX)).status_code == 204 and reply.content == b""
    ledger.apply([ledger.Change(waiting.pk, Status.SENT)])
    reply = client.get(url, **HTMX)
    assert "<html" not in reply.text and "Delivery reports may still come." in reply.text and "every 3s" in reply.text
    ledger.apply([ledger.Change(waiting.pk, Status.DELIVERED)])
    reply = client.get(poll_url(reply.text), **HTMX)
    assert "It is over: 1 of 1 recipients were written to." in reply.text and "every 3s" not in reply.text


def test_an_account_that_tells_nothing_more_ends_it_when_all_is_sent(main: ProviderAccount) -> None:
    assert "every 3s" not in text_of(signed_in(), at(campaign(account("Plain", "customersms"), {"sent": 1})))


def test_a_pause_is_news(main: ProviderAccount) -> None:
    one = campaign(main, {"queued": 1})
    client = signed_in()
    url = poll_url(client.get(at(one)).text)
    conduct.pause(one, "admin")
    assert "Paused by admin." in client.get(url, **HTMX).text


def test_the_page_asks_the_same_few_questions_however_big_it_is(
    main: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = signed_in()
    for n in (1, 40):
        one = campaign(main, {"delivered": n, "failed": n}, total=2 * n)
        with django_assert_num_queries(7) as asked:  # session, person, campaign, counts, lists, where failed, reasons
            client.get(at(one))
        assert not any("recipients" in query["sql"] for query in asked)
    version = client.get(at(one)).context["version"]
    with django_assert_num_queries(4):
        assert client.get(f"{at(one)}?v={version}", **HTMX).status_code == 204


# --- Elsewhere ---------------------------------------------------------------------------------------


def test_the_log_and_the_message_lead_to_the_campaign(main: ProviderAccount) -> None:
    one = campaign(main)
    message = Message.objects.filter(campaign=one).first()
    client, viewer = signed_in(), signed_in(person("viewer", "messaging.view_message"))
    for url in (f"/messages/?campaign={one.pk}", f"/messages/{message.pk}/"):
        assert f'href="{at(one)}"' in text_of(client, url)
        assert f'href="{at(one)}"' not in text_of(viewer, url)


def test_the_overview_shows_what_is_under_way(main: ProviderAccount) -> None:
    campaign(main, name="Long gone")
    for n in range(6):
        campaign(main, {"delivered": 1, "queued": 3}, name=f"Number {n}")
    campaign(main, {}, total=2, state="paused", name="Halted", complete=False)
    campaign(main, {"queued": 1}, name="Called off", state="canceled")
    client = signed_in()
    assert [str(row.campaign) for row in client.get("/").context["campaigns"]] == [
        "Halted", "Number 5", "Number 4", "Number 3", "Number 2"
    ]  # fmt: skip
    page = text_of(client, "/")
    assert "1 of 4 sent" in page and "Long gone" not in page and "Called off" not in page
    assert "Campaigns under way" not in text_of(signed_in(person("viewer", "messaging.view_message")), "/")


def test_a_paused_campaign_is_news_to_the_overview(main: ProviderAccount) -> None:
    one = campaign(main, {"queued": 1})
    client = signed_in()
    version = client.get("/").context["version"]
    assert client.get(f"/?v={version}", **HTMX).status_code == 204
    Campaign.objects.filter(pk=one.pk).update(state="paused", state_at=timezone.now())
    assert client.get(f"/?v={version}", **HTMX).status_code == 200


def test_a_parked_message_waits(main: ProviderAccount) -> None:
    one = campaign(main, {}, total=1, state="paused")
    messages(one, {"scheduled": 1}, due_at=timezone.now() + parking.FAR, **parking.values())
    page = text_of(signed_in(), at(one))
    assert f'?campaign={one.pk}&status=scheduled">Scheduled 1</a>' in page
