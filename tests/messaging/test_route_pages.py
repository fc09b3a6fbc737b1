"""The pages of routes."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Page
from pytest_django.live_server_helper import LiveServer

from api import keys
from messaging import ledger
from messaging.models import Campaign, Message, Route, RouteMember
from providers.models import ProviderAccount
from tests.base import account, person, signed_in
from tests.forms import Forms

pytestmark = pytest.mark.django_db

URL, ADD = "/routes/", "/routes/add/"
READER = ("messaging.view_route", "messaging.view_message", "providers.view_provideraccount")


@pytest.fixture
def client() -> Client:
    return signed_in()


def route(name: str = "Everywhere", strategy: str = Route.ORDERED, *members: ProviderAccount) -> Route:
    made = Route.objects.create(name=name, strategy=strategy)
    for place, row in enumerate(members, 1):
        RouteMember.objects.create(route=made, account=row, position=place, weight=place)
    return made


def text_of(client: Client, url: str) -> str:
    reply = client.get(url)
    assert reply.status_code == 200
    return html.unescape(" ".join(reply.text.split()))


def filled(client: Client, url: str, **typed: Any) -> dict[str, Any]:
    """The page's form with what is typed into it; ``account_0`` is a field of the first row."""
    fields: dict[str, Any] = Forms(client.get(url).text).with_field("members-TOTAL_FORMS")
    for name, value in typed.items():
        field, _, row = name.partition("_")
        fields[f"members-{row}-{field}" if row else field] = value
    return fields


def stored(made: Route) -> list[tuple[str, int, int, str]]:
    return [(m.account.name, m.position, m.weight, m.prefixes) for m in made.members.all()]


# --- Looking -----------------------------------------------------------------------------------------


def test_without_routes_the_list_says_what_they_are_for(client: Client) -> None:
    page = text_of(client, URL)
    assert "There is no route yet." in page and f'href="{ADD}"' in page


def test_the_list_shows_the_accounts_in_order_with_their_health_and_what_waits(client: Client) -> None:
    first, second = account("First"), account("Second", paused_reason="The key was refused.")
    ledger.insert([Message(account=second, number="+37255512345", text="x", status="queued") for _ in range(3)])
    made = route("Everywhere", Route.WEIGHTED, first, second)
    RouteMember.objects.filter(account=second).update(prefixes="+44 +353")
    page = text_of(client, URL)
    assert page.index("First") < page.index("Second")
    for words in ("weight 1, 33 %", "weight 2, 67 %", "+44 +353", "The key was refused.", "3 messages", made.name):
        assert words in page


def test_it_says_why_a_route_cannot_be_used(client: Client) -> None:
    route("Off", Route.ORDERED, account(enabled=False))
    assert "Every account of the route Off is switched off." in text_of(client, URL)


@pytest.mark.parametrize("n", [1, 4])
def test_the_list_asks_the_same_few_questions_however_much_there_is(
    client: Client, n: int, django_assert_num_queries: Callable[..., Any]
) -> None:
    for index in range(n):
        route(f"Route {index}", Route.ORDERED, *(account(f"Account {index}-{other}") for other in range(n)))
    with django_assert_num_queries(5):  # session, person, routes, members, kept counts
        client.get(URL)


# --- Adding and changing -----------------------------------------------------------------------------


def test_a_route_is_added_with_its_accounts_in_their_places(client: Client) -> None:
    a, b = account("A"), account("B")
    fields = filled(client, ADD, name="New", strategy="weighted", account_0=a.pk, position_0=2, prefixes_0="+44, +353")
    reply = client.post(ADD, {**fields, "members-1-account": b.pk, "members-1-position": 1, "members-1-weight": 3})
    assert reply["Location"] == URL
    made = Route.objects.get()
    assert (made.name, made.strategy) == ("New", "weighted")
    assert stored(made) == [("B", 1, 3, ""), ("A", 2, 1, "+44 +353")]
    assert "The route New is saved." in text_of(client, URL)


def test_accounts_are_changed_removed_and_swapped(client: Client) -> None:
    a, b, c = account("A"), account("B"), account("C")
    made = route("Everywhere", Route.ORDERED, a, b, c)
    url = f"{URL}{made.pk}/"
    fields = filled(client, url, account_0=b.pk, account_1=a.pk, DELETE_2="on", name="Anywhere")
    assert client.post(url, fields).status_code == 302
    assert stored(made) == [("B", 1, 1, ""), ("A", 2, 2, "")]
    made.refresh_from_db()
    assert made.name == "Anywhere"


def test_more_rows_are_offered_and_what_was_typed_is_kept(client: Client) -> None:
    a = account("A")
    fields = filled(client, ADD, name="New", account_1=a.pk, weight_1="7", prefixes_2="no prefix")
    reply = client.post(ADD, {**fields, "more": "1"})
    assert reply.status_code == 200 and not Route.objects.exists()
    again = Forms(reply.text).with_field("members-TOTAL_FORMS")
    assert (again["name"], again["members-0-account"], again["members-0-weight"]) == ("New", str(a.pk), "7")
    assert again["members-1-prefixes"] == "no prefix" and again["members-4-weight"] == "1"
    assert "error" not in reply.text


def wrong(a: int) -> dict[str, tuple[dict[str, Any], str]]:
    return {
        "no name": ({"name": " ", "account_0": a}, "Give the route a name."),
        "a name that is taken": ({"name": "Taken", "account_0": a}, "There is a route of this name."),
        "nobody": ({}, "A route needs at least one account."),
        "only a removed one": ({"account_0": a, "DELETE_0": "on"}, "A route needs at least one account."),
        "twice": ({"account_0": a, "account_1": a}, "Main is on the route twice."),
        "a weight of nothing": ({"account_0": a, "weight_0": 0}, "The weight is a number from 1 to 1000."),
        "no place": ({"account_0": a, "position_0": ""}, "The place is a number from 1 to 1000."),
        "no plus": ({"account_0": a, "prefixes_0": "+44 353"}, "“353” is not how a number begins."),
        "no digits": ({"account_0": a, "prefixes_0": "+x"}, "“+x” is not how a number begins."),
        "a zero": ({"account_0": a, "prefixes_0": "+0"}, "“+0” is not how a number begins."),
        "prefixes of nobody": ({"account_0": a, "prefixes_1": "+44"}, "Choose the account"),
        "an account that is gone": ({"account_0": 12345}, "Select a valid choice."),
    }


@pytest.mark.parametrize("case", wrong(0))
def test_what_is_wrong_is_said_and_nothing_is_saved(client: Client, case: str) -> None:
    route("Taken")
    typed, sentence = wrong(account().pk)[case]
    reply = client.post(ADD, filled(client, ADD, **{"name": "New", **typed}))
    assert reply.status_code == 200
    assert sentence in html.unescape(reply.text) and "Nothing was saved." in reply.text
    assert Route.objects.count() == 1 and not RouteMember.objects.exists()


def test_a_damaged_form_is_no_fault_of_ours(client: Client) -> None:
    for damage in ({}, {"more": "1"}, {"more": "1", "members-TOTAL_FORMS": "many"}):
        assert client.post(ADD, {"name": "New", **damage}).status_code == 200
    assert not Route.objects.exists()


def test_without_credentials_that_can_be_read_the_pages_work(client: Client, settings: Any) -> None:
    made = route("Everywhere", Route.ORDERED, account())
    settings.FIELD_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]
    for url in (URL, ADD, f"{URL}{made.pk}/"):
        assert client.get(url).status_code == 200


# --- Deleting ----------------------------------------------------------------------------------------


def test_a_route_to_which_nothing_belongs_is_deleted(client: Client) -> None:
    made = route("Everywhere", Route.ORDERED, account())
    assert "Delete …" in text_of(client, f"{URL}{made.pk}/")
    assert client.post(f"{URL}{made.pk}/delete/")["Location"] == URL
    assert not Route.objects.exists() and ProviderAccount.objects.exists()


@pytest.mark.parametrize("what", ["campaign", "key", "message"])
def test_a_route_in_use_is_kept(client: Client, what: str) -> None:
    row = account()
    made = route("Everywhere", Route.ORDERED, row)
    if what == "campaign":
        Campaign.objects.create(account=row, route=made, text="x")
    elif what == "key":
        keys.create("Shop", route=made)
    else:
        ledger.insert([Message(account=row, route=made, number="+37255512345", text="x")])
    assert ("It cannot be deleted" in text_of(client, f"{URL}{made.pk}/")) == (what != "message")
    client.post(f"{URL}{made.pk}/delete/")
    assert Route.objects.exists()
    assert "has campaigns or keys" in text_of(client, URL)


def test_an_account_on_a_route_is_not_deleted(client: Client) -> None:
    row = account()
    route("Everywhere", Route.ORDERED, row)
    client.post(f"/accounts/{row.pk}/delete/")
    assert ProviderAccount.objects.exists()


# --- Who may -----------------------------------------------------------------------------------------


def test_a_reader_sees_routes_and_changes_nothing() -> None:
    made = route("Everywhere", Route.ORDERED, account())
    reader = signed_in(person("bob", *READER))
    assert ADD not in text_of(reader, URL)
    page = text_of(reader, f"{URL}{made.pk}/")
    assert "Main" in page and "Save changes" not in page and "Delete" not in page
    for url in (ADD, f"{URL}{made.pk}/", f"{URL}{made.pk}/delete/"):
        assert reader.post(url, {"name": "Mine"}).status_code == 403
    assert Route.objects.get().name == "Everywhere"


def test_links_and_counts_are_for_those_who_may_open_them() -> None:
    made = route("Everywhere", Route.ORDERED, account())
    page = text_of(signed_in(person("bob", "messaging.view_route")), f"{URL}{made.pk}/")
    assert "Main" in page and "/accounts/" not in page and "Waiting there" not in page


def test_deleting_takes_a_post(client: Client) -> None:
    assert client.get(f"{URL}{route().pk}/delete/").status_code == 405


# --- In the browser ----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_route_is_made_by_keyboard_and_fits_the_screen(admin_page: Page, live_server: LiveServer, width: int) -> None:
    account("A rather long name for an account at a provider")
    admin_page.set_viewport_size({"width": width, "height": 900})
    admin_page.goto(live_server.url + ADD)
    admin_page.get_by_label("Name").fill("Everywhere")
    admin_page.get_by_label("Account").first.select_option(index=1)
    admin_page.get_by_label("Prefixes").first.fill("+44 +353")
    admin_page.get_by_label("Prefixes").first.press("Enter")  # saves, and asks for no more rows
    admin_page.wait_for_url(live_server.url + URL)
    for url in (URL, f"{URL}{Route.objects.get().pk}/"):
        admin_page.goto(live_server.url + url)
        assert admin_page.evaluate("document.documentElement.scrollWidth") <= width
