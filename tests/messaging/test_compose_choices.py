"""What else can be chosen on the compose page: a route, phones and SIMs, hours, and an end."""

from __future__ import annotations

import html
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from messaging.models import Campaign, Message, Route, RouteMember
from providers.models import ProviderAccount
from tests.base import account, signed_in
from tests.devices.base import phone
from tests.forms import Forms

pytestmark = pytest.mark.django_db
URL = "/compose/"
A, B = "+37255512345", "+12125551234"


@pytest.fixture
def client() -> Client:
    return signed_in()


@pytest.fixture
def main() -> ProviderAccount:
    return account(sender="Shop")


@pytest.fixture
def shelf() -> ProviderAccount:
    row = account("Shelf", kind="smsgateway")
    phone(row, "1", 0, name="Counter")
    phone(row, "2", 0, 1, name="Window", online=False)
    phone(row, "3", 0, name="Drawer", enabled=False)
    return row


@pytest.fixture
def route(main: ProviderAccount, shelf: ProviderAccount) -> Route:
    row = Route.objects.create(name="Cheapest first")
    for position, member in enumerate((main, shelf)):
        RouteMember.objects.create(route=row, account=member, position=position)
    return row


def typed(through: ProviderAccount | Route, **changes: Any) -> dict[str, Any]:
    chosen = f"route:{through.pk}" if isinstance(through, Route) else through.pk
    return {
        "token": str(uuid.uuid4()),
        "account": chosen,
        "numbers": f"{A}\n{B}",
        "text": "Hi",
        "zone": "UTC",
    } | chosen_today(changes)


def chosen_today(values: dict[str, Any]) -> dict[str, Any]:
    """What a form sends when it is filled in now: a number of days as the noon that many days from today."""
    return {name: in_days(value.days) if isinstance(value, timedelta) else value for name, value in values.items()}


def sent(client: Client, values: dict[str, Any]) -> Campaign:
    reply = client.post(URL, values)
    assert reply.status_code == 302, html.unescape(reply.text)
    return Campaign.objects.latest("pk")


def refused(client: Client, values: dict[str, Any]) -> str:
    """The page with the form again. Nothing was stored."""
    reply = client.post(URL, values)
    assert (reply.status_code, Campaign.objects.count(), Message.objects.count()) == (200, 0, 0)
    return html.unescape(reply.text)


def in_days(days: int) -> str:
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}T12:00"


# --- Routes ------------------------------------------------------------------------------------------


def test_a_route_is_chosen_where_accounts_are(
    client: Client, main: ProviderAccount, shelf: ProviderAccount, route: Route
) -> None:
    page = client.get(URL).text
    assert '<optgroup label="Routes">' in page and f'<option value="route:{route.pk}">Cheapest first</option>' in page
    campaign = sent(client, typed(route, sender="Me"))
    assert (campaign.route, campaign.account, campaign.sender) == (route, main, "Me")


def test_without_routes_there_is_no_talk_of_them(client: Client, main: ProviderAccount) -> None:
    page = client.get(URL).text
    assert "optgroup" not in page and "finish_by" not in page


def test_a_route_that_has_nobody_to_carry_cannot_be_chosen(client: Client, main: ProviderAccount) -> None:
    empty = Route.objects.create(name="Nobody")
    off = Route.objects.create(name="Asleep")
    RouteMember.objects.create(route=off, account=account("Off", enabled=False))
    page = client.get(URL).text
    assert "Nobody" not in page and "Asleep" not in page
    assert "gone or switched off" in refused(client, typed(empty))


def test_a_route_can_what_one_of_its_accounts_can(client: Client, route: Route) -> None:
    picture = "https://example.com/a.jpg"
    assert sent(client, typed(route, attachments=picture)).attachments == [picture]
    assert sent(client, typed(route, text="x" * 2000)).route == route
    RouteMember.objects.filter(position=1).delete()
    assert client.post(URL, typed(route, attachments=picture)).status_code == 200
    assert "takes at most 1600 characters" in client.post(URL, typed(route, text="x" * 2000)).text


def test_only_a_route_is_told_when_to_finish(client: Client, main: ProviderAccount, route: Route) -> None:
    end = in_days(2)
    campaign = sent(client, typed(route, finish_by=end, zone="Asia/Tokyo"))
    assert campaign.finish_by == datetime.fromisoformat(f"{end}+09:00")
    page = client.post(URL, typed(main, finish_by=end)).text
    assert "Only a route can be told when to finish." in page and end in page


# --- Phones ------------------------------------------------------------------------------------------


PHONES = {
    "the primary one": ({}, {}),
    "all phones": ({"phones": "devices"}, {"all": "devices"}),
    "all SIMs": ({"phones": "sims"}, {"all": "sims"}),
    "one of all, at random": ({"phones": "sims", "random": "on"}, {"all": "sims", "random": True}),
    "some": ({"phones": "some", "own": ["1", "2|1"]}, {"targets": ["1", "2|1"]}),
    "some, said without a script": ({"phones": "", "own": ["2|0"]}, {"targets": ["2|0"]}),
}


@pytest.mark.parametrize("case", list(PHONES))
def test_phones_and_sims_are_chosen(client: Client, shelf: ProviderAccount, case: str) -> None:
    changes, stored = PHONES[case]
    own = {f"phones_{shelf.pk}": changes.get("own", [])}
    assert sent(client, typed(shelf, **changes, **own)).devices == stored


NO_PHONES = {
    "some, but none": ({"phones": "some"}, "Check the phones or SIMs that are to send"),
    "one of none": ({"random": "on"}, "Say of which phones one is to be picked"),
    "a phone that is switched off": ({"phones": "some", "own": ["3"]}, "A phone or SIM is gone or switched off."),
    "a SIM that is not there": ({"phones": "some", "own": ["1|1"]}, "A phone or SIM is gone or switched off."),
    "another word": ({"phones": "tablets"}, "tablets is not one of the available choices"),
}


@pytest.mark.parametrize("case", list(NO_PHONES))
def test_phones_that_cannot_send_are_refused(client: Client, shelf: ProviderAccount, case: str) -> None:
    changes, sentence = NO_PHONES[case]
    own = {f"phones_{shelf.pk}": changes.get("own", [])}
    assert sentence in refused(client, typed(shelf, **changes, **own))


def test_the_phones_are_named_with_their_sims(client: Client, shelf: ProviderAccount) -> None:
    page = client.get(URL).text
    for label in ("Counter: its default SIM", "Counter: SIM 1", "Window (offline): SIM 2"):
        assert label in page
    assert "Drawer" not in page


def test_all_phones_of_an_account_without_phones_get_a_sentence(client: Client) -> None:
    bare = account("Bare", kind="smsgateway")
    assert "None of its phones is known and switched on." in client.get(URL).text
    assert "No phone of this account is known and switched on." in refused(client, typed(bare, phones="devices"))
    assert sent(client, typed(bare)).devices == {}


def test_the_phones_of_other_accounts_do_not_count(
    client: Client, main: ProviderAccount, shelf: ProviderAccount, route: Route
) -> None:
    other = account("Other shelf", kind="smsgateway")
    RouteMember.objects.filter(account=main).update(position=9)
    chosen = {"phones": "", f"phones_{shelf.pk}": ["1"]}
    for through in (main, other, route):
        assert sent(client, typed(through, **chosen)).devices == {}


def test_accounts_without_phones_are_not_asked_for_them(client: Client, main: ProviderAccount) -> None:
    assert 'name="phones"' not in client.get(URL).text


def test_a_link_can_name_a_sim(client: Client, shelf: ProviderAccount) -> None:
    page = client.get(f"{URL}?account={shelf.pk}&device=2%7C1").text
    form = Forms(page).with_field("phones")
    assert (form["phones"], form[f"phones_{shelf.pk}"]) == ("some", "2|1")
    assert client.get(f"{URL}?account=%00&device=%00").status_code == 200


# --- Hours and ends ----------------------------------------------------------------------------------


def test_hours_are_kept_in_one_spelling_with_their_clock(client: Client, main: ProviderAccount) -> None:
    campaign = sent(client, typed(main, hours="monday-friday 8-20", by_recipient="on", zone="Europe/Tallinn"))
    assert (campaign.hours, campaign.by_recipient, campaign.zone) == ("Mon-Fri 08:00-20:00", True, "Europe/Tallinn")


def test_what_has_not_left_by_then_does_not_go(client: Client, main: ProviderAccount) -> None:
    end = in_days(2)
    campaign = sent(client, typed(main, due=in_days(1), expires_at=end))
    assert campaign.expires_at == datetime.fromisoformat(f"{end}Z")
    assert set(Message.objects.values_list("expires_at", flat=True)) == {campaign.expires_at}


DAY = timedelta(days=1)
REFUSED = {
    "no hours": ({"hours": "always"}, "“always” is neither days nor hours."),
    "nobody's hours": ({"by_recipient": "on"}, "Say which hours they are. Write them as Mon-Fri 08:00-20:00"),
    "no time": ({"expires_at": "tonight"}, "This is not a date and time."),
    "over": ({"expires_at": "2020-01-01T10:00"}, "This time is over."),
    "before it begins": ({"due": 3 * DAY, "expires_at": 2 * DAY}, "This is not after the time at which"),
    "at no clock": ({"hours": "8-20", "expires_at": DAY, "zone": "Mars/Olympus"}, "no such time zone"),
}


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_is_wrong_is_said_and_shown_unfolded(client: Client, main: ProviderAccount, case: str) -> None:
    changes, sentence = REFUSED[case]
    page = refused(client, typed(main, **changes))
    assert sentence in page and '<details id="rare" open>' in page


def test_an_end_before_the_next_sending_hours_is_refused(client: Client, main: ProviderAccount) -> None:
    today = datetime.now(UTC)
    chosen = {"hours": f"{today + 2 * DAY:%a} 08:00-20:00", "expires_at": f"{today + DAY:%Y-%m-%d}T12:00"}
    page = refused(client, typed(main, **chosen))
    assert "There are no sending hours before then." in page and '<details id="rare" open>' in page


def test_they_are_folded_away_until_one_is_used(client: Client, main: ProviderAccount) -> None:
    assert '<details id="rare">' in client.get(URL).text
    assert '<details id="rare">' in refused(client, typed(main, text=""))


# --- Nothing is lost ---------------------------------------------------------------------------------


def test_every_choice_survives_an_error(client: Client, shelf: ProviderAccount, route: Route) -> None:
    chosen = {
        "account": f"route:{route.pk}",
        "phones": "some",
        f"phones_{shelf.pk}": "2|1",
        "hours": "8-20",
        "finish_by": in_days(2),
        "expires_at": in_days(3),
        "due": in_days(1),
    }
    checked = {"random": "on", "by_recipient": "on", "priority": "on"}
    page = refused(client, typed(route, text="", zone="Asia/Tokyo", **chosen, **checked))
    form = Forms(page).with_field("phones")
    assert {name: form[name] for name in chosen} == chosen
    assert checked.keys() <= form.keys()
    assert "<option selected>Asia/Tokyo</option>" in page


CHANGES: dict[str, dict[str, Any]] = {
    "route": {},
    "phones": {"phones": "sims"},
    "random": {"random": "on"},
    "priority": {"priority": "on"},
    "hours": {"hours": "Mon 08:00-20:00"},
    "whose clock": {"by_recipient": ""},
    "end": {"expires_at": 9 * DAY},
    "time": {"due": 2 * DAY},
    "now": {"due": ""},
}


@pytest.mark.parametrize("case", list(CHANGES))
def test_a_choice_changed_after_it_was_sent_is_not_lost_in_silence(
    client: Client, shelf: ProviderAccount, route: Route, case: str
) -> None:
    values = typed(shelf, phones="devices", hours="8-20", by_recipient="on", due=in_days(1), expires_at=in_days(5))
    first = client.post(URL, values)
    assert client.post(URL, values)["Location"] == first["Location"]
    changes = CHANGES[case] or {"account": f"route:{route.pk}"}
    assert "was sent already" in client.post(URL, values | chosen_today(changes)).text
    assert Campaign.objects.count() == 1


def test_a_time_zone_matters_where_there_are_hours(client: Client, main: ProviderAccount) -> None:
    values = typed(main)
    client.post(URL, values)
    assert client.post(URL, values | {"zone": "Asia/Tokyo"}).status_code == 302
    values = typed(main, hours="8-20")
    client.post(URL, values)
    assert "was sent already" in client.post(URL, values | {"zone": "Asia/Tokyo"}).text


def test_the_same_form_after_its_time_has_come_is_the_same(client: Client, main: ProviderAccount) -> None:
    values = typed(main, due=f"{timezone.now() + timedelta(minutes=1):%Y-%m-%dT%H:%M}", zone="UTC")
    first = client.post(URL, values)
    Campaign.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    again = client.post(URL, values | {"due": f"{timezone.now():%Y-%m-%dT%H:%M}"})
    assert again["Location"] == first["Location"]


def test_a_campaign_can_be_named_and_another_name_is_another_campaign(client: Client, main: ProviderAccount) -> None:
    values = typed(main, name="Summer sale")
    assert sent(client, values).name == "Summer sale"
    assert "Summer sale" in client.get("/campaigns/").text
    reply = client.post(URL, values | {"name": "Winter sale"})
    assert "An earlier version of this form was sent already" in reply.text
