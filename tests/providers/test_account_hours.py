"""An account's sending hours: on its pages, and in the command that adds it."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client

from providers.models import ProviderAccount
from tests.base import account, person, signed_in

pytestmark = pytest.mark.django_db

GOOD = {
    "kind": "smsprovider",
    "name": "Clinic",
    "base_url": "https://api.smsprovider.com/v1",
    "credential_api_key": "key-5678-abcd",
    "hours": "Mon-Fri 8-20, sat 10-18",
    "zone": "Europe/Tallinn",
}
HOURS = "Mon-Fri 08:00-20:00, Sat 10:00-18:00"
OUTSIDE = "It is outside its sending hours."


@pytest.fixture
def client() -> Client:
    return signed_in()


def text_of(client: Client, url: str) -> str:
    return " ".join(client.get(url).text.split())


def stored() -> tuple[str, str]:
    return ProviderAccount.objects.values_list("hours", "zone").get()


# --- The form ----------------------------------------------------------------------------------------


def test_hours_are_kept_as_they_are_written(client: Client) -> None:
    client.post("/accounts/add/", GOOD)
    assert stored() == (HOURS, "Europe/Tallinn")


def test_without_hours_it_sends_always_by_the_servers_clock(client: Client) -> None:
    client.post("/accounts/add/", {**GOOD, "hours": "", "zone": ""})
    assert stored() == ("", "")


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("hours", "whenever", "“whenever” is neither days nor hours. Write it as Mon-Fri 08:00-20:00"),
        ("hours", "8:00-8:00", "For the whole day write 00:00-24:00."),
        ("zone", "Mars/Base", "Select a valid choice."),
    ],
)
def test_what_cannot_be_read_is_refused_and_kept_in_the_form(
    client: Client, field: str, typed: str, words: str
) -> None:
    reply = client.post("/accounts/add/", {**GOOD, field: typed})
    assert words in " ".join(reply.context["form"].errors[field])
    assert field == "zone" or f'value="{typed}"' in reply.text
    assert not ProviderAccount.objects.exists()


def test_hours_can_be_changed(client: Client) -> None:
    row = account(hours=HOURS, zone="Europe/Tallinn")
    page = text_of(client, f"/accounts/{row.pk}/")
    assert f'value="{HOURS}"' in page and '<option value="Europe/Tallinn" selected>' in page
    client.post(f"/accounts/{row.pk}/", {**GOOD, "hours": "20:00-02:00", "zone": "UTC"})
    assert stored() == ("20:00-02:00", "UTC")


def test_a_zone_that_is_no_longer_offered_stays_a_choice(client: Client) -> None:
    row = account(zone="EST5EDT")
    assert '<option value="EST5EDT" selected>' in text_of(client, f"/accounts/{row.pk}/")
    client.post(f"/accounts/{row.pk}/", {**GOOD, "zone": "EST5EDT"})
    assert stored() == (HOURS, "EST5EDT")


def test_the_form_names_the_servers_zone(client: Client, settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    assert '<option value="" selected>The server&#x27;s, Asia/Tokyo</option>' in text_of(
        client, "/accounts/add/?kind=smsprovider"
    )


# --- The pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hour", "outside"), [(5, True), (6, False)])  # 07:00 and 08:00 in Tallinn, on a Monday
def test_the_pages_tell_the_hours_and_whether_they_are_over(hour: int, outside: bool) -> None:
    row = account(hours=HOURS, zone="Europe/Tallinn")
    with time_machine.travel(datetime(2027, 1, 18, hour, tzinfo=UTC)):
        client = signed_in()
        for url in ("/accounts/", f"/accounts/{row.pk}/"):
            page = text_of(client, url)
            assert f'{HOURS} <span class="muted">· Europe/Tallinn</span>' in page
            assert (OUTSIDE in page, "2027-01-18T06:00:00+00:00" in page) == (outside, outside)


def test_a_reader_sees_them_too() -> None:
    row = account(hours=HOURS)
    page = text_of(signed_in(person("bob", "providers.view_provideraccount")), f"/accounts/{row.pk}/")
    assert f'{HOURS} <span class="muted">· UTC</span>' in page


def test_an_account_without_hours_is_always_open(client: Client) -> None:
    row = account()
    page = text_of(client, f"/accounts/{row.pk}/")
    assert "<dt>Sending hours</dt><dd>always" in page and OUTSIDE not in page


# --- The command -------------------------------------------------------------------------------------

ADD = ("add_account", "Main", "--kind=smsprovider", "--base-url=https://api.example/v1", "--credential=api_key=key-1")


def test_the_command_takes_hours_and_a_zone() -> None:
    call_command(*ADD, "--hours=Mon-Fri 8-20, Sat 10-18", "--zone=Europe/Tallinn", stdout=StringIO())
    assert stored() == (HOURS, "Europe/Tallinn")


@pytest.mark.parametrize(
    ("option", "words"),
    [("--hours=whenever", "hours: “whenever” is neither"), ("--zone=Mars/Base", "zone: There is no such time zone")],
)
def test_the_command_refuses_what_it_cannot_read(option: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command(*ADD, option, stdout=StringIO())
    assert not ProviderAccount.objects.exists()
