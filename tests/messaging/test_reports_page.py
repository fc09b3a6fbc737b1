from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from messaging import ledger
from messaging.models import DeliveryReport, Message, Posted
from providers.models import ProviderAccount
from tests.base import account, person, signed_in
from tests.looks import fits

pytestmark = pytest.mark.django_db
URL = "/messages/reports/"
AGAIN = f"{URL}again/"


def reports(row: ProviderAccount, *ids: str, status: str = "delivered") -> list[DeliveryReport]:
    made = [DeliveryReport(account=row, provider_id=name, number="+11234567890", status=status) for name in ids]
    for one in made:
        one.raw_status, one.error_text = (
            "UNDELIV",
            "The handset was switched off for the whole of the time it was tried.",
        )
    return DeliveryReport.objects.bulk_create(made)


def ids_on(client: Client, url: str = URL) -> list[str]:
    return re.findall(r'<td class="mono lead wrap">(.*?)</td>', client.get(url).content.decode())


def older(client: Client, url: str) -> str:
    found = re.search(r'rel="next" href="([^"]+)"', client.get(url).content.decode())
    return unescape(found[1]) if found else ""


def test_it_shows_the_newest_first_and_none_that_has_a_message() -> None:
    row = account()
    message = ledger.insert([Message(account=row, number="+11234567890", text="x", status="sent")])[0]
    reports(row, "a", "b")
    DeliveryReport.objects.create(account=row, provider_id="c", status="sent", message=message)
    assert ids_on(signed_in()) == ["b", "a"]


def test_it_shows_one_account_alone() -> None:
    first, second = account("First"), account("Second")
    reports(first, "a")
    reports(second, "b")
    assert ids_on(signed_in(), f"{URL}?account={second.pk}") == ["b"]


def test_pages_go_on_from_the_last_row() -> None:
    row, client = account(), signed_in()
    reports(row, *(f"r{n}" for n in range(120)))
    seen, url = [], f"{URL}?account={row.pk}"
    while url:
        seen += ids_on(client, url)
        url = older(client, url)
    assert seen == [f"r{n}" for n in reversed(range(120))]


def test_a_word_that_nobody_knows_is_shown_as_it_came() -> None:
    DeliveryReport.objects.create(account=account(), provider_id="a", status="unknown", raw_status="<b>PONDERING")
    page = signed_in().get(URL).content.decode()
    assert "Unknown status" in page and "&lt;b&gt;PONDERING" in page


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "Every report belongs to a message."),
        ("?account=1", "Every report of this account belongs to a message."),
        ("?before=1", "There are no older reports."),
        ("?account=x&before=-1", "Every report belongs to a message."),
    ],
)
def test_an_empty_page_says_why(query: str, says: str) -> None:
    assert says in signed_in().get(URL + query).content.decode()


def test_it_takes_a_permission() -> None:
    assert signed_in(person("bob", "messaging.view_message")).get(URL).status_code == 403
    assert signed_in(person("eve", "messaging.view_deliveryreport")).get(URL).status_code == 200


def test_a_page_takes_the_same_queries_however_long_it_is() -> None:
    row, client = account(), signed_in()
    queries = []
    for n in (1, 60):
        reports(row, *(f"r{n}-{i}" for i in range(n)))
        with CaptureQueriesContext(connection) as seen:
            client.get(URL)
        queries.append(len(seen))
    assert queries[0] == queries[1] <= 5


def test_the_account_leads_to_its_reports() -> None:
    row = account()
    assert f"{URL}?account={row.pk}" in signed_in().get(reverse("providers-account", args=[row.pk])).content.decode()


# --- Posts that could not be worked on -----------------------------------------------------------------


def stuck(row: ProviderAccount, tries: int = 3) -> Posted:
    later = timezone.now() + timedelta(hours=1)
    return Posted.objects.create(account=row, method="POST", tries=tries, next_at=later, error="OSError: disk full")


def due() -> set[int]:
    return set(Posted.objects.filter(next_at__lte=timezone.now()).values_list("pk", flat=True))


def test_a_post_that_broke_off_can_be_tried_now(django_capture_on_commit_callbacks: Any) -> None:
    row, other = account(), account("Other")
    first, second, third = stuck(row), stuck(row), stuck(other)
    client = signed_in()
    assert client.get(URL).text.count(f'action="{AGAIN}"') == 4  # each, and all of them
    with django_capture_on_commit_callbacks(execute=True):
        reply = client.post(AGAIN, {"id": first.pk}, follow=True)
    assert due() == {first.pk} and "1 post is tried again now." in reply.text
    assert "messaging.tasks.posted" in [task.func() for task in OrmQ.objects.all()]
    reply = client.post(AGAIN, {"account": row.pk}, follow=True)
    assert due() == {first.pk, second.pk} and reply.redirect_chain[0][0] == f"{URL}?account={row.pk}"
    client.post(AGAIN)
    assert due() == {first.pk, second.pk, third.pk}


@pytest.mark.parametrize("name", ["999999999999", "x", ""])
def test_of_a_post_that_is_gone_it_says_so(name: str) -> None:
    stuck(account())
    assert "was worked on in the meantime" in signed_in().post(AGAIN, {"id": name}, follow=True).text
    assert due() == set()


def test_trying_takes_a_permission_and_a_post() -> None:
    stuck(account())
    reader = signed_in(person("eve", "messaging.view_deliveryreport"))
    assert AGAIN not in reader.get(URL).text and reader.post(AGAIN).status_code == 403
    assert signed_in().get(AGAIN).status_code == 405 and due() == set()


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_page_is_fit_for_everybody(admin_page: Page, live_server: LiveServer) -> None:
    reports(account(), "0f8c1b1e-9a63-4d0e-9f3e-3a0f6f2b7c55-and-quite-a-bit-longer", "msg_2", status="failed")
    stuck(ProviderAccount.objects.get())
    admin_page.goto(live_server.url + URL)
    fits(admin_page)
