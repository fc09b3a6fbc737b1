"""The messages of a filter as CSV: the right ones, all that is known of them, and safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from contacts.models import Contact
from devices.models import Device, Sim
from messaging import exporting
from messaging.log import Filters
from messaging.models import Campaign, Message
from providers.models import ProviderAccount
from tests.base import account, person, signed_in

from .test_log import ids, messages

pytestmark = pytest.mark.django_db
URL = "/messages/export/"
AT = datetime(2020, 3, 1, 22, 30, 15, 123456, tzinfo=UTC)


def table(query: str = "", zone: str = "UTC") -> list[dict[str, str]]:
    lines = exporting.lines(Filters.from_query(QueryDict(query)), ZoneInfo(zone))
    return list(csv.DictReader(io.StringIO("".join(lines), newline="")))


def downloaded(client: Client, query: str = "") -> str:
    response = client.get(f"{URL}?{query}")
    return b"".join(response.streaming_content).decode("utf-8-sig")  # type: ignore[attr-defined]


def test_all_that_is_known_of_a_message_stands_in_its_row(main: ProviderAccount) -> None:
    number = "+37255500001"
    Contact.objects.create(number=number, name="Änna")
    phone = Device.objects.create(account=main, device_id="7", name="Pixel", alias="Shelf")
    Sim.objects.create(device=phone, slot=1, label="Telia")
    campaign = Campaign.objects.create(account=main, name="Spring", text="Hi")
    known = {"provider_id": "m-1", "error_code": "42", "error_text": "Refused.", "cost": Decimal("0.05000")}
    times = {"created_at": AT, "sent_at": AT, "done_at": AT}
    place = {"number": number, "campaign": campaign, "device": "7", "sim": 1}
    (row,) = messages(main, text='Hello,\n"you"', segments=2, status="failed", **known, **times, **place)
    then = "2020-03-02T00:30:15+02:00"
    assert table(zone="Europe/Tallinn") == [
        {
            "id": str(row.pk), "created": then, "number": number, "name": "Änna", "text": 'Hello,\n"you"', "parts": "2",
            "status": "failed", "account": "Main", "device": "Shelf", "sim": "Telia", "campaign": "Spring",
            "provider_id": "m-1", "sent": then, "done": then, "error_code": "42", "error": "Refused.", "cost": "0.05",
        }
    ]  # fmt: skip


def test_what_is_not_known_is_empty_or_the_provider_s_id(main: ProviderAccount) -> None:
    campaign = Campaign.objects.create(account=main, text="A text that goes on for much longer than forty characters")
    messages(main, device="9", sim=0, campaign=campaign)
    (row,) = table()
    assert (row["device"], row["sim"], row["name"], row["sent"], row["cost"]) == ("9", "1", "", "", "")
    assert row["campaign"] == "A text that goes on for much longer than"


def test_formulas_are_defused_and_numbers_are_not_harmed(main: ProviderAccount) -> None:
    Contact.objects.create(number="+37255500000", name="@SUM(A1)")
    bad = '=HYPERLINK("http://x")'
    campaign = Campaign.objects.create(account=main, name=bad, text="Hi")
    words = dict.fromkeys(("text", "provider_id", "error_code", "error_text", "device"), bad)
    messages(main, campaign=campaign, **words)
    (row,) = table()
    assert row["number"] == "+37255500000" and row["name"] == "'@SUM(A1)"
    assert {row[name] for name in ("text", "provider_id", "error_code", "error", "device", "campaign")} == {f"'{bad}"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"old", "failed", "other", "reply"}),
        ("status=failed", {"failed"}),
        ("account={other}", {"other"}),
        ("direction=in", {"reply"}),
        ("number=372666", {"other"}),
        ("q=ailed", {"failed"}),
        ("period=hour", {"failed", "other", "reply"}),
        ("to=2020-03-02", {"old"}),
        ("before=1&after=1", {"old", "failed", "other", "reply"}),
    ],
)
def test_the_filters_are_those_of_the_log(main: ProviderAccount, query: str, expected: set[str]) -> None:
    other = account("Other")
    messages(main, text="old", created_at=AT)
    messages(main, text="failed", status="failed")
    messages(other, text="other", number="+37266600001")
    messages(main, text="reply", status="received")
    found = csv.DictReader(io.StringIO(downloaded(signed_in(), query.format(other=other.pk)), newline=""))
    assert {row["text"] for row in found} == expected


@pytest.mark.parametrize("query", ["", "status=failed", "q=Hello"])
def test_it_goes_on_after_a_slice(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    monkeypatch.setattr(exporting, "SLICE", 2)
    made = messages(main, 5, status="failed")
    assert [int(row["id"]) for row in table(query)] == ids(made)


def test_a_slice_takes_two_queries(
    main: ProviderAccount, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """Four come before the first: accounts, phones, SIMs, and the newest message."""
    monkeypatch.setattr(exporting, "SLICE", 2)
    for n in range(6):
        campaign = Campaign.objects.create(account=main, name=f"No. {n}", text="Hi")
        messages(main, first=n, campaign=campaign)
    with django_assert_num_queries(4 + 3 * 2):
        assert len(table()) == 6


def test_nothing_is_read_before_it_is_asked_for(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "SLICE", 1)
    messages(main, 3)
    lines = exporting.lines(Filters(), UTC)
    first = [next(lines), next(lines)]
    Message.objects.all().delete()
    assert len("".join(first).splitlines()) == 2
    assert "".join(lines) == ""


def test_a_period_is_that_of_the_click(main: ProviderAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    messages(main)
    response, later = signed_in().get(f"{URL}?period=hour"), timezone.now() + timedelta(hours=2)
    monkeypatch.setattr(timezone, "now", lambda: later)
    assert "Hello" in b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]


def test_times_are_those_of_the_person_s_clock(main: ProviderAccount) -> None:
    messages(main, created_at=AT)
    client = signed_in()
    client.cookies["timezone"] = "Europe/Tallinn"
    assert "2020-03-02T00:30:15+02:00" in downloaded(client, "from=2020-03-02")
    assert "2020-03-02" not in downloaded(client, "to=2020-03-02")


def test_the_download_takes_the_right_to_see_messages(main: ProviderAccount) -> None:
    Contact.objects.create(number="+37255500000", name="Anna")
    messages(main)
    seer = signed_in(person("alice", "messaging.view_message"))
    response = seer.get(URL)
    assert response["content-disposition"].startswith('attachment; filename="messages-20')
    assert response["content-type"].startswith("text/csv")
    assert "Anna" not in downloaded(seer)
    assert "Anna" in downloaded(signed_in(person("dora", "messaging.view_message", "contacts.view_contact")))
    assert signed_in(person("bob", "contacts.view_contact")).get(URL).status_code == 403
    assert Client().get(URL)["Location"].startswith("/login/")
    assert seer.post(URL).status_code == 405


def test_the_link_has_the_filter_and_follows_it(main: ProviderAccount) -> None:
    messages(main)
    client, htmx = signed_in(), {"HTTP_HX_REQUEST": "true"}
    link = f'href="{URL}?status=failed&amp;q=Hello"'
    page = client.get("/messages/?status=failed&q=Hello").text
    assert page.count(link) == 1 and "hx-swap-oob" not in page
    fragment = client.get("/messages/?status=failed&q=Hello", **htmx).text
    assert link in fragment and 'hx-swap-oob="true"' in fragment
    assert URL not in client.get("/messages/?status=failed&q=Hello&v=0", **htmx).text
