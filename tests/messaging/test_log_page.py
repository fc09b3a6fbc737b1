from __future__ import annotations

import html
import re

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from messaging.models import Campaign, Message
from providers.models import ProviderAccount
from tests.base import account, person, signed_in

from .test_log import messages, tabs

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
URL = "/messages/"


@pytest.fixture
def main() -> ProviderAccount:
    return account()


def poll_url(page: str) -> str:
    path = html.unescape(re.search(r'hx-get="([^"]*)" hx-vals', page)[1])  # type: ignore[index]
    version = re.search(r'"v": "([^"]*)"', page)[1]  # type: ignore[index]
    return f"{path}{'&' if '?' in path else '?'}v={version}"


@pytest.mark.parametrize("query", ["", "?status=queued", "?q=Hello"])
def test_a_poll_without_news_has_no_body(main: ProviderAccount, query: str) -> None:
    messages(main, status="queued")
    client = signed_in()
    reply = client.get(poll_url(client.get(URL + query).text), **HTMX)
    assert (reply.status_code, reply.content) == (204, b"")


def test_a_poll_with_news_is_the_fragment_with_a_new_version(main: ProviderAccount) -> None:
    client = signed_in()
    page = client.get(URL).text
    (row,) = messages(main)
    reply = client.get(poll_url(page), **HTMX)
    assert reply.status_code == 200
    assert f'id="m{row.pk}"' in reply.text and "<html" not in reply.text
    assert poll_url(reply.text) != poll_url(page)


def test_only_the_first_page_polls(main: ProviderAccount) -> None:
    messages(main, 60)
    client = signed_in()
    assert "every 3s" in client.get(URL).text
    assert "every 3s" not in client.get(f"{URL}?before=30").text


def test_a_change_of_the_filters_is_a_fragment_and_a_tidy_address(main: ProviderAccount) -> None:
    messages(main)
    reply = signed_in().get(f"{URL}?q=&account={main.pk}&period=&status=", **HTMX)
    assert "<html" not in reply.text
    assert reply["HX-Push-Url"] == f"{URL}?account={main.pk}"


def test_a_poller_without_login_gets_403_and_no_login_page() -> None:
    reply = Client().get(f"{URL}?v=1", **HTMX)
    assert reply.status_code == 403
    assert Client().get(URL)["Location"].startswith("/login/")


@pytest.mark.parametrize(("permissions", "status"), [((), 403), (("messaging.view_message",), 200)])
def test_it_is_for_people_who_may_see_messages(permissions: tuple[str, ...], status: int) -> None:
    assert signed_in(person("alice", *permissions)).get(URL).status_code == status


def test_the_page_takes_as_many_queries_for_50_rows_as_for_one(
    main: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    messages(main, 60)
    client = signed_in()
    for query, more in (("", 0), ("?account=1", 1), ("?before=40", 0), ("?campaign=1", 1), ("?period=week", 1)):
        with django_assert_num_queries(5 + more):  # session, user, counts, accounts, rows
            client.get(URL + query)


def test_a_poll_without_news_takes_three_queries(
    main: ProviderAccount, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    messages(main)
    client = signed_in()
    url = poll_url(client.get(URL).text)
    with django_assert_num_queries(3):  # session, user, counts
        client.get(url, **HTMX)


def test_what_strangers_wrote_is_escaped(main: ProviderAccount) -> None:
    evil = "<script>alert(1)</script>"
    messages(main, text=evil, status="failed", error_text=evil, number="<script>x")
    client = signed_in()
    for query in ("", "?q=%3Cscript%3Ealert", "?number=%3Cscript%3E", "?status=%3Cscript%3E", "?from=%3Cscript%3E"):
        page = client.get(URL + query).text
        assert "<script>alert" not in page and "<script>x" not in page
        assert "&lt;script&gt;alert" in page


def test_a_failed_row_says_why_and_a_received_one_is_marked(main: ProviderAccount) -> None:
    messages(main, status="failed", error_text="The phone is off.")
    messages(main, status="received")
    page = signed_in().get(URL).text
    assert "The phone is off." in page
    assert re.search(r'class="pill quiet">.*Received', page)


def test_an_empty_log_says_what_to_do() -> None:
    page = signed_in().get(URL).text
    assert "No message yet." in page and 'href="/compose/"' in page


def test_a_campaign_that_is_chosen_can_be_taken_away(main: ProviderAccount) -> None:
    campaign = Campaign.objects.create(account=main, text="Spring sale")
    page = signed_in().get(f"{URL}?campaign={campaign.pk}&status=failed").text
    assert "Spring sale" in page
    assert f'href="{URL}?status=failed"' in page


# --- Canceling ---------------------------------------------------------------------------------------


def test_it_cancels_the_selected_that_still_wait(main: ProviderAccount) -> None:
    (waiting,) = messages(main, status="scheduled")
    (gone,) = messages(main, status="sent")
    (left,) = messages(main, status="queued")
    reply = signed_in().post(f"{URL}cancel/", {"id": [waiting.pk, gone.pk, "x", ""], "next": f"{URL}?q=x"})
    assert reply["Location"] == f"{URL}?q=x"
    assert dict(Message.objects.values_list("pk", "status")) == {
        waiting.pk: "canceled", gone.pk: "sent", left.pk: "queued"
    }  # fmt: skip
    waiting.refresh_from_db()
    assert waiting.done_at and waiting.error_text == "Canceled by admin."
    assert tabs("")[""] == 3


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_it_goes_nowhere_else_after_canceling(target: str) -> None:
    assert signed_in().post(f"{URL}cancel/", {"next": target})["Location"] == URL


def test_canceling_takes_a_permission_and_a_post(main: ProviderAccount) -> None:
    (row,) = messages(main, status="queued")
    viewer = signed_in(person("alice", "messaging.view_message"))
    assert viewer.post(f"{URL}cancel/", {"id": row.pk}).status_code == 403
    assert 'type="checkbox"' not in viewer.get(URL).text
    assert signed_in().get(f"{URL}cancel/").status_code == 405
    row.refresh_from_db()
    assert row.status == "queued"
