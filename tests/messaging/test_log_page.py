from __future__ import annotations

import html
import re
from datetime import timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from messaging import parking
from messaging.models import BulkAction, Campaign, Message
from providers.models import ProviderAccount
from tests.base import account, person, signed_in

from .test_log import messages, tabs

pytestmark = pytest.mark.django_db
HTMX = {"HTTP_HX_REQUEST": "true"}
URL = "/messages/"


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
    for query, more in (
        ("", 0),
        (f"?account={main.pk}", 1),
        ("?before=40", 0),
        ("?campaign=1", 1),
        ("?period=week", 1),
    ):
        with django_assert_num_queries(6 + more):  # session, user, counts, accounts, actions, rows; pairs
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


# --- Acting on many ----------------------------------------------------------------------------------


def act(client: Client, name: str, **values: object) -> HttpResponse:
    return client.post(f"{URL}act/", {"action": name, "next": f"{URL}?q=x", **values})


def statuses() -> list[str]:
    return list(Message.objects.order_by("pk").values_list("status", flat=True))


def test_it_asks_before_it_does_what_cannot_be_undone(main: ProviderAccount) -> None:
    rows = [*messages(main, 2, status="queued"), *messages(main, status="sent")]
    ids = [row.pk for row in rows]
    client = signed_in()
    question = act(client, "cancel", id=ids).text
    assert "Cancel these messages?" in question and "2 messages." in question
    assert statuses() == ["queued", "queued", "sent"]
    reply = act(client, "cancel", id=ids, sure="1")
    assert reply["Location"] == f"{URL}?q=x"
    assert statuses() == ["canceled", "canceled", "sent"]
    page = client.get(URL).text
    assert "2 messages are canceled." in page and "Left out: 1 had left already." in page


def test_what_harms_nobody_is_done_at_once(main: ProviderAccount) -> None:
    (row,) = messages(main, status="uncertain")
    act(signed_in(), "sent", id=row.pk)
    assert statuses() == ["sent"]


def test_all_of_a_filter_are_sent_once_more_through_another_account(main: ProviderAccount) -> None:
    other = account("Other")
    messages(main, 3, status="failed")
    messages(main, 2, status="failed", number="+1212")
    client = signed_in()
    whole = {"whole": "1", "filters": "number=%2B372"}
    question = act(client, "resend", **whole).text
    assert "3 messages." in question and "Other" in question
    token = re.search(r'name="token" value="([^"]*)"', question)[1]  # type: ignore[index]
    for _ in range(2):
        act(client, "resend", **whole, sure="1", account=other.pk, token=token)
    assert "3 messages are queued once more." in client.get(URL).text
    assert Message.objects.filter(account=other, resend_of__number__startswith="+372").count() == 3
    assert BulkAction.objects.get().done == 3


@pytest.mark.parametrize(
    ("typed", "said"),
    [("2099-01-01T10:00", "more than a year ahead"), ("x", "not a date and time"), ("2020-01-01T10:00", "over")],
)
def test_a_time_that_cannot_be_is_asked_for_again(main: ProviderAccount, typed: str, said: str) -> None:
    (row,) = messages(main, status="queued")
    reply = act(signed_in(), "reschedule", id=row.pk, sure="1", moment=typed)
    assert reply.status_code == 200 and said in reply.text
    assert statuses() == ["queued"]


def test_messages_get_another_time(main: ProviderAccount) -> None:
    (row,) = messages(main, status="queued")
    moment = timezone.localtime() + timedelta(days=2)
    act(signed_in(), "reschedule", id=row.pk, sure="1", moment=f"{moment:%Y-%m-%dT%H:%M}")
    row.refresh_from_db()
    assert row.status == "scheduled" and f"{timezone.localtime(row.due_at):%H:%M}" == f"{moment:%H:%M}"


def test_it_says_so_when_nothing_can_be_done_any_more(main: ProviderAccount) -> None:
    (row,) = messages(main, status="sent")
    assert "That cannot be done with any of them any more" in act(signed_in(), "cancel", id=row.pk).text


@pytest.mark.parametrize("name", ["", "nonsense", "delete"])
def test_an_action_that_does_not_exist_does_nothing(main: ProviderAccount, name: str) -> None:
    messages(main, status="queued")
    assert act(signed_in(), name, whole="1", sure="1").status_code == 302
    assert statuses() == ["queued"]


@pytest.mark.parametrize(
    ("name", "status", "permission"),
    [("cancel", "queued", "change"), ("sent", "uncertain", "change"), ("resend", "failed", "add")],
)
def test_each_action_takes_its_permission_and_is_offered_to_nobody_else(
    main: ProviderAccount, name: str, status: str, permission: str
) -> None:
    (row,) = messages(main, status=status)
    viewer = signed_in(person("viewer", "messaging.view_message"))
    assert act(viewer, name, id=row.pk, sure="1").status_code == 403
    assert statuses() == [status] and 'type="checkbox"' not in viewer.get(URL).text
    editor = signed_in(person("editor", "messaging.view_message", f"messaging.{permission}_message"))
    assert f'value="{name}"' in editor.get(URL).text and f'id="c{row.pk}"' in editor.get(URL).text
    assert act(editor, name, id=row.pk, sure="1").status_code == 302
    assert statuses() != [status]


@pytest.mark.parametrize(
    ("query", "offered"),
    [("", {"cancel", "reschedule", "resend"}), ("?status=failed", {"resend"}), ("?status=received", set())],
)
def test_only_what_suits_the_statuses_is_offered(main: ProviderAccount, query: str, offered: set[str]) -> None:
    for status in ("queued", "failed", "received"):
        messages(main, status=status)
    page = signed_in().get(URL + query).text
    assert set(re.findall(r'name="action" value="(\w+)"', page)) == offered


def test_the_whole_filter_is_offered_where_there_is_more_than_a_page(main: ProviderAccount) -> None:
    messages(main, 50, status="failed")
    client = signed_in()
    assert 'name="whole"' not in client.get(URL).text
    messages(main, 1201, status="failed")
    assert "All 1,251 of this filter" in client.get(URL).text
    assert "All of this filter" in client.get(f"{URL}?q=hello").text


def test_a_running_action_is_shown_live_and_can_be_stopped(main: ProviderAccount) -> None:
    messages(main, 700, status="queued")
    client = signed_in()
    act(client, "cancel", whole="1", filters="", sure="1", token="t")
    page = client.get(URL).text
    assert "In the works: 500 of 700. 500 messages are canceled." in " ".join(page.split())
    assert 'hx-get="/messages/actions/"' in page
    pk = BulkAction.objects.get().pk
    assert client.get(f"{URL}actions/{pk}/stop/").status_code == 405
    client.post(f"{URL}actions/{pk}/stop/")
    fragment = client.get(f"{URL}actions/", **HTMX).text
    assert "Stopped by admin. 500 messages are canceled." in " ".join(fragment.split())
    assert "hx-get" not in fragment and "<html" not in fragment


def test_filters_without_a_field_can_be_taken_away(main: ProviderAccount) -> None:
    (row,) = messages(main, device="phone-1", sim=1)
    messages(main, device="phone-2", sim=1)
    page = signed_in().get(f"{URL}?device=phone-1&sim=1&direction=out").text
    assert re.findall(r'id="m(\d+)"', page) == [str(row.pk)]
    assert f'href="{URL}?direction=out"' in page and "SIM 2" in page
    assert f'href="{URL}?device=phone-1&amp;sim=1"' in page


def test_scheduled_ones_tell_when_they_leave(main: ProviderAccount) -> None:
    """Those of a paused campaign too, whose time is put a thousand years later."""
    tomorrow = timezone.now() + timedelta(days=1)
    for due_at in (tomorrow, tomorrow + parking.FAR, timezone.now() + parking.FAR):
        messages(main, status="scheduled", due_at=due_at)
    client = signed_in()
    page = client.get(f"{URL}?status=scheduled").text
    assert ">Leaves</th>" in page and ">Created</th>" not in page
    times = re.findall(r'end created">(.*?)</td>', page)
    assert times[0] == "–" and times[1] == times[2] and timezone.localtime(tomorrow).isoformat() in times[1]
    assert ">Created</th>" in client.get(URL).text
